"""Places in a text as a script counts them: UTF-16 units."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from coteach.highlighting.words import line_starts
from coteach.model.spans import Span

__all__ = ["Places"]


class Places:
    """Turns places in code points, as every file has them, into UTF-16 units.

    Args:
        text: that the places are in.
    """

    def __init__(self, text: str) -> None:
        self._lines = line_starts(text)
        self._units: Sequence[int] | None = None  # None: one a code point
        if text and max(text) > "\uffff":
            self._units = [0, *accumulate(2 if character > "\uffff" else 1 for character in text)]

    def __call__(self, place: int) -> int:
        """Of a place in the whole text."""
        return place if self._units is None else self._units[place]

    def of(self, span: Span) -> tuple[int, int]:
        """Start and end of a span."""
        return (
            self(self._lines[span.start_line] + span.start_offset),
            self(self._lines[span.end_line] + span.end_offset),
        )
