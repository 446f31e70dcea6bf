"""The words of a text, and the weights of a student's tokens joined to them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from coteach.model.alignment import Tokens
from coteach.model.mecab import MecabWords, bundled_dictionary

__all__ = ["LEVELS", "Special", "Word", "cut", "join", "levels", "line_starts", "shown"]

LEVELS = 256
"""Steps of a colour (part-of-speech paper, §4.2)."""

# What cannot be seen, such as NUL, is shown by Unicode's picture of it.
_PICTURES = {code: 0x2400 + code for code in range(0x20) if code not in b"\t\n"} | {0x7F: 0x2421}


@dataclass(frozen=True)
class Word:
    """A stretch of a text: a word of MeCab, or what stands between two.

    Attributes:
        text: its characters, as the student read them.
        weight: what its tokens weigh together; None for white space, and for a word that the
            student did not read, such as one behind its window.
        marked: whether it is part of a span that is pointed out.
    """

    text: str
    weight: float | None
    marked: bool = False


@dataclass(frozen=True)
class Special:
    """A token without characters of the text, such as [CLS], and its weight."""

    token: str
    weight: float


def cut(text: str) -> list[tuple[int, int]]:
    """The words that MeCab finds with unidic-lite, line by line: [start, end) in code points.

    No word begins or ends with white space; every other character belongs to exactly one, but for
    NUL at the end of a line, which MeCab takes for a space.

    Args:
        text: of any number of lines, without lone surrogates.
    """
    ranges = []
    place = 0
    for line in text.split("\n"):
        start = place
        for word in _mecab()(line):
            end = start + len(word)
            left = end - len(text[start:end].lstrip())
            right = start + len(text[start:end].rstrip())
            if left < right:
                ranges.append((left, right))
            start = end
        place += len(line) + 1
    return ranges


def join(
    text: str,
    tokens: Tokens,
    weights: Sequence[float],
    names: Sequence[str],
    marks: Sequence[tuple[int, int]] = (),
) -> tuple[list[Word], list[Special]]:
    """Give every word the sum of its tokens' weights.

    A token that runs over several words is shared among them by characters.

    Args:
        text: that the tokens are of.
        tokens: of the text, as far as the student read it.
        weights: of the tokens.
        names: of the tokens, for those without text.
        marks: spans to point out, [start, end) in code points of the text. A word across an end
            of one is cut in two.

    Returns:
        Words and what stands between them, in order: joined, they are the text. And the tokens
        without text, in order. All weights together are the sum of ``weights``.
    """
    edges = sorted({edge for mark in marks for edge in mark})
    ranges = [part for it in cut(text) for part in _split(*it, edges)]
    starts = [start for start, _ in ranges]
    lines = line_starts(text)
    sums: dict[int, float] = {}
    specials = []
    for place, (weight, name) in enumerate(zip(weights, names, strict=True)):
        line = lines[tokens.lines[place]]
        start, end = line + tokens.starts[place], line + tokens.ends[place]
        shares = {}
        number = max(bisect_right(starts, start) - 1, 0)
        while number < len(ranges) and ranges[number][0] < end:
            common = min(end, ranges[number][1]) - max(start, ranges[number][0])
            if common > 0:
                shares[number] = common
            number += 1
        if not shares:
            specials.append(Special(name, weight))
        for number, common in shares.items():
            part = weight * common / sum(shares.values())
            sums[number] = sums.get(number, 0.0) + part
    stretches: list[tuple[int, int, float | None]] = []
    place = 0
    for number, (start, end) in enumerate(ranges):
        stretches += [(*it, None) for it in _split(place, start, edges)]
        stretches.append((start, end, sums.get(number)))
        place = end
    stretches += [(*it, None) for it in _split(place, len(text), edges)]
    words = [
        Word(text[start:end], weight, any(first <= start < stop for first, stop in marks))
        for start, end, weight in stretches
    ]
    return words, specials


def levels(words: Sequence[Word]) -> list[int | None]:
    """The colour of every word, from 0 to 255 for the weight farthest from 0 among them; below 0
    for weights below 0, None without a weight."""
    largest = max((abs(word.weight) for word in words if word.weight is not None), default=0.0)
    return [
        None if word.weight is None else round((LEVELS - 1) * word.weight / (largest or 1.0))
        for word in words
    ]


def shown(text: str) -> str:
    """The text with a picture in place of every control character, one by one."""
    return text.translate(_PICTURES)


def line_starts(text: str) -> list[int]:
    """Where each line of a text begins, in code points."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    return starts


def _split(start: int, end: int, edges: Sequence[int]) -> list[tuple[int, int]]:
    """The range, cut at the edges within it; nothing of an empty one."""
    places = [start, *(edge for edge in edges if start < edge < end), end]
    return list(pairwise(places)) if start < end else []


@cache
def _mecab() -> MecabWords:
    return MecabWords(bundled_dictionary("unidic_lite"))
