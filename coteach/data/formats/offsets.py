"""Places as offsets into a page's whole text, as most formats give them, and as line and offset."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from coteach.errors import InputError
from coteach.model.spans import Span

__all__ = ["Offsets"]


class Offsets:
    """The places of one page. Offsets count code points of the whole text, "\\n" among them."""

    def __init__(self, text: str) -> None:
        """Index ``text``, a page's."""
        self.length = len(text)
        lengths = [len(line) + 1 for line in text.split("\n")]
        self._starts = list(accumulate(lengths[:-1], initial=0))

    def offset(self, line: int, offset: int) -> int:
        """The offset into the text of an offset into a line."""
        return self._starts[line] + offset

    def bounds(self, span: Span) -> tuple[int, int]:
        """Where a span starts and ends, the end exclusive."""
        start = self.offset(span.start_line, span.start_offset)
        return start, self.offset(span.end_line, span.end_offset)

    def span(self, attribute: str, start: int, end: int) -> Span:
        """The span of ``start`` to ``end``.

        Raises:
            InputError: it is empty, or not within the text.
        """
        if not 0 <= start < end <= self.length:
            raise InputError(
                f"expected 0 ≤ start < end ≤ {self.length}, the length of the text, "
                f"got start {start} and end {end}"
            )
        return Span(attribute, *self._place(start), *self._place(end))

    def _place(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._starts, offset) - 1
        return line, offset - self._starts[line]
