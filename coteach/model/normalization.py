"""NFKC with its way back: from which characters of the original each normalised one comes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

# Anything but characters that NFKC maps one to one and that never join the character before them.
# Most lines hold only those: ASCII, letters of Latin-1, Greek and Cyrillic, punctuation, kana,
# ideographs, full-width forms, half-width katakana without their sound marks.
_UNUSUAL = re.compile(
    "[^\x00-\x7fÀ-ÿΑ-ΡΣ-Ωα-ωА-я‐-–—‘-”\u3000-\u3029\u3041-\u3096\u30a0-\u30fe"
    "\u3400-\u4dbf\u4e00-\u9fff！-ﾝ￥]"
)


class Normalized(NamedTuple):
    """A normalised text and the original range [starts[i], ends[i]) behind its i-th character."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    @classmethod
    def one_to_one(cls, text: str) -> Normalized:
        """Each character comes from the original one at its own place."""
        return cls(text, range(len(text)), range(1, len(text) + 1))

    @property
    def is_one_to_one(self) -> bool:
        """Whether it was made by ``one_to_one``: places need no translation."""
        return isinstance(self.starts, range)


def nfkc(text: str) -> Normalized:
    """NFKC of ``text``, with the part of ``text`` behind every character.

    The parts follow one another without gap, and their own normal forms, joined, are the normal
    form of the whole. A part is one character, or several that are composed or reordered together
    (か + U+3099). Characters that come from one part (㍿ gives 株式会社) share its range.
    """
    normalized = unicodedata.normalize("NFKC", text)
    if normalized == text or not _UNUSUAL.search(text):
        return Normalized.one_to_one(normalized)
    starts: list[int] = []
    ends: list[int] = []
    position = 0
    for start, end in [*_unusual_parts(text), (len(text), len(text))]:
        starts += range(position, start)
        ends += range(position + 1, start + 1)
        form = unicodedata.normalize("NFKC", text[start:end])
        if form == text[start:end]:
            starts += range(start, end)
            ends += range(start + 1, end + 1)
        else:
            starts += [start] * len(form)
            ends += [end] * len(form)
        position = end
    return Normalized(normalized, starts, ends)


def joins(before: str, character: str) -> bool:
    """Whether ``character`` is normalised together with ``before``, the part that it follows.

    It is if it can be reordered against it (a combining mark) or is composed with it (か + U+3099,
    the jamo of one syllable); Unicode Standard Annex 15, section 1.3.
    """
    if not _UNUSUAL.match(character):
        return False
    if unicodedata.combining(unicodedata.normalize("NFKD", character)[0]):
        return True
    apart = unicodedata.normalize("NFKC", before) + unicodedata.normalize("NFKC", character)
    return unicodedata.normalize("NFKC", before + character) != apart


def _unusual_parts(text: str) -> list[tuple[int, int]]:
    """The ranges of ``text`` that are normalised as one, where they hold an unusual character."""
    parts: list[tuple[int, int]] = []
    for match in _UNUSUAL.finditer(text):
        here = match.start()
        follows_part = bool(parts) and parts[-1][1] == here
        start = parts[-1][0] if follows_part else max(here - 1, 0)
        if not joins(text[start:here], text[here]):
            start = here
        elif follows_part:
            parts.pop()
        parts.append((start, here + 1))
    return parts
