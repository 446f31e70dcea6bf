"""The tokens of a stretch of text, and a memory for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

Value = TypeVar("Value")
LONGEST_REMEMBERED = 32
"""Characters of the longest stretch of text whose pieces are worth remembering."""


class Piece(NamedTuple):
    """A vocabulary id and its range [start, end), in code points of the text that it comes from."""

    id: int
    start: int
    end: int


class Pieces(NamedTuple):
    """The pieces of a line: ids and ranges as lists of one length."""

    ids: list[int]
    starts: list[int]
    ends: list[int]

    @classmethod
    def concatenate(cls, parts: Iterable[tuple[str, Iterable[Piece]]]) -> Pieces:
        """The pieces of a line from its consecutive parts: the text and the pieces of each."""
        ids: list[int] = []
        starts: list[int] = []
        ends: list[int] = []
        place = 0
        for text, pieces in parts:
            for token, start, end in pieces:
                ids.append(token)
                starts.append(place + start)
                ends.append(place + end)
            place += len(text)
        return cls(ids, starts, ends)


class Memory(dict[str, Value], Generic[Value]):
    """Computes the value of a text once; forgets all when it holds ``limit`` texts.

    Texts longer than ``longest`` are not kept: they hardly come again.
    """

    def __init__(
        self, compute: Callable[[str], Value], limit: int = 200_000, longest: int | None = None
    ) -> None:
        super().__init__()
        self._compute = compute
        self._limit = limit
        self._longest = longest

    def __missing__(self, text: str) -> Value:
        value = self._compute(text)
        if self._longest is None or len(text) <= self._longest:
            if len(self) >= self._limit:
                self.clear()
            self[text] = value
        return value
