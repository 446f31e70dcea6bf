"""Where a value stands in a page: the one coordinate system that everything else speaks."""

from __future__ import annotations

from typing import NamedTuple


class Span(NamedTuple):
    """One attribute value by its place in the original text of a page.

    Lines are the page's text split on "\\n" only and count from 0; offsets count Unicode code
    points within their line; the end is exclusive. A span may run over line breaks. Spans sort
    by attribute, then by place (SHINRA's ``text_offset``: methods of the 2019 shared task).
    """

    attribute: str
    start_line: int
    start_offset: int
    end_line: int
    end_offset: int

    def text(self, lines: list[str]) -> str:
        """The span's own characters in ``lines``, a page's lines; breaks between them are "\\n"."""
        if self.start_line == self.end_line:
            return lines[self.start_line][self.start_offset : self.end_offset]
        first = lines[self.start_line][self.start_offset :]
        last = lines[self.end_line][: self.end_offset]
        return "\n".join([first, *lines[self.start_line + 1 : self.end_line], last])
