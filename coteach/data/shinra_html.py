"""HTML pages of SHINRA: their text, and where in it a place of the HTML lies.

The organisers' plain pages are what is left of the HTML when the markup is taken out and character
references are decoded: line breaks between tags stay, those inside of a comment or a tag go with
it. Up to the first of the latter, which in Wikipedia's pages comes after the article, a line has
the same number in both (2019).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from html import unescape
from html.parser import HTMLParser

from coteach.data.pages import Page
from coteach.model.spans import Span

__all__ = ["HtmlText"]


class HtmlText:
    """The text of an HTML page, and the way from places in the HTML to places in the text.

    Places are (line, offset): lines split on "\\n" only, offsets in code points, both from 0.

    Args:
        html: the page as it is in the file.

    Attributes:
        text: the page without markup, character references decoded.
    """

    def __init__(self, html: str) -> None:
        parser = _Parser(html)
        self._boundaries = parser.boundaries
        self._raw_starts = parser.raw_starts
        self._raw_lengths = parser.raw_lengths
        self._texts = parser.texts
        self._html_lines = _line_starts(html)
        self._html_length = len(html)
        self.text = "".join(parser.texts)
        self.lines = self.text.split("\n")
        self._text_lines = _line_starts(self.text)
        self._text_starts = [0]
        for text in parser.texts:
            self._text_starts.append(self._text_starts[-1] + len(text))

    def place(self, line: int, offset: int) -> tuple[int, int] | None:
        """Where a place of the HTML is in the text.

        Returns:
            The line and the offset; None for a place inside a tag, a comment or a character
            reference, or outside of the page: it has none.
        """
        at = self._position(line, offset)
        if at is None:
            return None
        number = bisect_right(self._raw_starts, at) - 1
        inside = at - self._raw_starts[number] if number >= 0 else -1
        if number >= 0 and inside < self._raw_lengths[number]:
            if inside and len(self._texts[number]) != self._raw_lengths[number]:
                return None
            position = self._text_starts[number] + inside
        elif at in self._boundaries:  # between two tags, or at the end of a text
            position = self._text_starts[number + 1]
        else:
            return None
        text_line = bisect_right(self._text_lines, position) - 1
        return text_line, position - self._text_lines[text_line]

    def span(self, span: Span, plain: Page | None = None) -> Span | None:
        """The span of the text that a span of the HTML marks.

        Args:
            span: by its ``html_offset``.
            plain: the page of which a span is wanted; its lines there must be those of this text.

        Returns:
            The span by its ``text_offset``; None where an end has no place in the text, no
            character is left, or the lines of ``plain`` differ.
        """
        start = self.place(span.start_line, span.start_offset)
        end = self.place(span.end_line, span.end_offset)
        if start is None or end is None or start >= end:
            return None
        lines = slice(start[0], end[0] + 1)
        if plain is not None and plain.lines[lines] != self.lines[lines]:
            return None
        return Span(span.attribute, *start, *end)

    def html_span(self, span: Span) -> Span | None:
        """The span of the HTML that marks a span of the text: the way back of :meth:`span`.

        Markup at its ends stays outside, as in the task's gold.

        Returns:
            The span by its ``html_offset``; None where it does not lie in this text, or an end
            is among the characters of one character reference.
        """
        if span.end_line >= len(self.lines) or any(
            offset > len(self.lines[line]) for line, offset in (span[1:3], span[3:5])
        ):
            return None
        start = self._text_lines[span.start_line] + span.start_offset
        end = self._text_lines[span.end_line] + span.end_offset
        if not start < end:
            return None
        # The piece of text that begins last before the start, and first before the end.
        first = self._raw_place(bisect_right(self._text_starts, start) - 1, start)
        last = self._raw_place(bisect_left(self._text_starts, end) - 1, end)
        return None if first is None or last is None else Span(span.attribute, *first, *last)

    def _raw_place(self, number: int, position: int) -> tuple[int, int] | None:
        """Line and offset in the HTML of a place in, or at an end of, a piece of text."""
        inside = position - self._text_starts[number]
        length, raw_length = len(self._texts[number]), self._raw_lengths[number]
        if length != raw_length and 0 < inside < length:
            return None
        raw = self._raw_starts[number] + (raw_length if inside == length else inside)
        line = bisect_right(self._html_lines, raw) - 1
        return line, raw - self._html_lines[line]

    def _position(self, line: int, offset: int) -> int | None:
        """The place as a number of code points from the start of the HTML."""
        if line >= len(self._html_lines):
            return None
        stops = [*self._html_lines[line + 1 : line + 2], self._html_length + 1]
        position = self._html_lines[line] + offset
        return position if position < stops[0] else None


class _Parser(HTMLParser):
    """Notes where every piece of text begins, and where every piece of markup does."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=False)
        self.boundaries: set[int] = {0, len(html)}
        self.raw_starts: list[int] = []
        self.raw_lengths: list[int] = []
        self.texts: list[str] = []
        self._html = html
        self._lines = _line_starts(html)
        try:
            self.feed(html)
            self.close()
        except AssertionError:
            # Some Pythons give up on a broken declaration: what follows it has no text.
            pass

    def handle_data(self, data: str) -> None:
        self._add(data, data)

    def handle_charref(self, name: str) -> None:
        self._add_reference(f"&#{name}")

    def handle_entityref(self, name: str) -> None:
        self._add_reference(f"&{name}")

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._mark()

    def handle_endtag(self, tag: str) -> None:
        self._mark()

    def handle_comment(self, data: str) -> None:
        self._mark()

    def handle_decl(self, decl: str) -> None:
        self._mark()

    def handle_pi(self, data: str) -> None:
        self._mark()

    def unknown_decl(self, data: str) -> None:
        self._mark()

    def _add_reference(self, raw: str) -> None:
        end = self._mark() + len(raw)
        raw += self._html[end : end + 1] if self._html.startswith(";", end) else ""
        self._add(raw, unescape(raw))

    def _add(self, raw: str, text: str) -> None:
        start = self._mark()
        self.boundaries.add(start + len(raw))
        self.raw_starts.append(start)
        self.raw_lengths.append(len(raw))
        self.texts.append(text)

    def _mark(self) -> int:
        """The place of what is being read, which is a boundary."""
        line, offset = self.getpos()
        position = self._lines[line - 1] + offset
        self.boundaries.add(position)
        return position


def _line_starts(text: str) -> list[int]:
    starts = [0]
    while found := text.find("\n", starts[-1]) + 1:
        starts.append(found)
    return starts
