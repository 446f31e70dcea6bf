"""Spans ↔ IOB2 tags, one tag sequence per attribute or one for all, by exact character offsets."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from .alignment import Tokens
from .spans import Span

OUTSIDE, BEGIN, INSIDE = 0, 1, 2
IGNORE = -100
CLASSES = 3


class TokenSpan(NamedTuple):
    """A span in token positions: ``attribute`` is an index, ``stop`` is exclusive."""

    attribute: int
    start: int
    stop: int


@dataclass
class Fit:
    """How well spans fit token boundaries.

    Attributes:
        exact: spans whose two ends lie on token boundaries; they come back identical.
        grown: spans with an end inside a token, of which they then take the whole (or, rarely, in
            white space, which no token holds).
        overlapping: spans left out because a span of the same attribute holds one of their
            tokens (one IOB2 sequence per attribute cannot say both; the earlier and longer stays).
        lost: spans without any token (white space only, or an attribute not asked for).
    """

    exact: int = 0
    grown: int = 0
    overlapping: int = 0
    lost: int = 0

    def __add__(self, other: Fit) -> Fit:
        return Fit(
            self.exact + other.exact,
            self.grown + other.grown,
            self.overlapping + other.overlapping,
            self.lost + other.lost,
        )

    @property
    def total(self) -> int:
        return self.exact + self.grown + self.overlapping + self.lost


class Locator:
    """Finds the tokens of a span in one page, in logarithmic time."""

    def __init__(self, tokens: Tokens) -> None:
        """Index ``tokens``, a page's tokens in reading order; tokens without text are skipped."""
        places = list(zip(tokens.lines, tokens.starts, tokens.ends, strict=True))
        self._positions = [i for i, (_, start, end) in enumerate(places) if start < end]
        self._starts = [(places[i][0], places[i][1]) for i in self._positions]
        self._ends = [(places[i][0], places[i][2]) for i in self._positions]

    def __call__(self, span: Span) -> tuple[int, int, bool] | None:
        """First token, last token + 1, and whether both ends are exact; None without a token."""
        start = (span.start_line, span.start_offset)
        end = (span.end_line, span.end_offset)
        first = bisect_right(self._ends, start)
        stop = bisect_left(self._starts, end)
        if first >= stop:
            return None
        exact = self._starts[first] == start and self._ends[stop - 1] == end
        return self._positions[first], self._positions[stop - 1] + 1, exact


def encode(
    spans: Iterable[Span], locate: Locator, attributes: Sequence[str]
) -> tuple[list[TokenSpan], Fit]:
    """Spans of one page as token spans.

    Args:
        spans: the spans, in any order.
        locate: the page's locator.
        attributes: names whose index the token spans carry.

    Returns:
        Token spans in reading order, no two of one attribute overlapping, and the fit.
    """
    fit = Fit()
    index = {name: i for i, name in enumerate(attributes)}
    found: list[tuple[TokenSpan, bool]] = []
    for span in spans:
        place = locate(span)
        if place is None or span.attribute not in index:
            fit.lost += 1
        else:
            found.append((TokenSpan(index[span.attribute], place[0], place[1]), place[2]))
    kept: list[TokenSpan] = []
    free = [0] * len(attributes)
    for token_span, exact in sorted(found, key=lambda it: (it[0].start, -it[0].stop, not it[1])):
        if token_span.start < free[token_span.attribute]:
            fit.overlapping += 1
            continue
        free[token_span.attribute] = token_span.stop
        kept.append(token_span)
        if exact:
            fit.exact += 1
        else:
            fit.grown += 1
    return kept, fit


def tag_pieces(
    spans: Iterable[Span], tokens: Tokens, classes: Sequence[str]
) -> tuple[list[TokenSpan], Fit]:
    """Words of one page as token spans of one joint tag sequence: O, B and I of every class.

    A piece belongs to the word in which its first character lies. The first piece of a word is its
    B, the others its I. So a piece over a word's end counts for the word in which it begins, or,
    beginning in none, for none (O); the word in which it ends goes without it. Tokens without text
    belong to no word; a token span runs across those between a word's pieces.

    Args:
        spans: the words, in any order, none overlapping another; the attribute is the class.
        tokens: the page's tokens.
        classes: names whose index the token spans carry as ``attribute``.

    Returns:
        Token spans in reading order, none overlapping another, and the fit: ``exact`` words begin
        where their first piece does and end where their last one does, ``grown`` ones do not,
        ``lost`` ones have no piece (or a class not asked for); ``overlapping`` is 0.
    """
    index = {name: number for number, name in enumerate(classes)}
    found: list[TokenSpan] = []
    exact = lost = 0
    lines, starts, ends = tokens.lines, tokens.starts, tokens.ends
    position, size = 0, len(tokens)
    for name, start_line, start, end_line, end in sorted(spans, key=itemgetter(1, 2)):
        number = index.get(name)
        if number is None:
            lost += 1
            continue
        while position < size and (
            lines[position] < start_line
            or (lines[position] == start_line and starts[position] < start)
            or starts[position] == ends[position]
        ):
            position += 1
        first = last = position
        while position < size and (
            lines[position] < end_line or (lines[position] == end_line and starts[position] < end)
        ):
            if starts[position] < ends[position]:
                last = position + 1
            position += 1
        if first == last:
            lost += 1
            continue
        found.append(TokenSpan(number, first, last))
        exact += (lines[first], starts[first]) == (start_line, start) and (
            (lines[last - 1], ends[last - 1]) == (end_line, end)
        )
    return found, Fit(exact=exact, grown=len(found) - exact, lost=lost)


def fill(tags: np.ndarray, spans: Iterable[Sequence[int]], offset: int = 0) -> None:
    """Write token spans into a window of tags, in place.

    Args:
        tags: integer array (tokens, attributes), O where nothing is written.
        spans: (attribute, start, stop) in page positions.
        offset: the page position of the window's first token. A span that begins before the
            window continues in it as I.
    """
    length = len(tags)
    for attribute, start, stop in spans:
        start, stop = start - offset, min(stop - offset, length)
        if stop <= 0 or start >= length:
            continue
        tags[max(start, 0) : stop, attribute] = INSIDE
        if start >= 0:
            tags[start, attribute] = BEGIN


def decode(
    tags: np.ndarray, probabilities: np.ndarray, tokens: Tokens, attributes: Sequence[str]
) -> list[tuple[Span, float]]:
    """Tags of one page as spans with a confidence (decoded as in co-teaching's code).

    B opens a span and closes an open one, I extends an open span and is ignored otherwise, O
    closes. Tokens without text are passed over. A span open at the end closes at the last token.

    Args:
        tags: integer array (tokens, attributes).
        probabilities: float array (tokens, attributes), the probability of each of ``tags``.
        tokens: the page's tokens.
        attributes: names of the second axis.

    Returns:
        (span, confidence) sorted by span. The confidence is the geometric mean, over the span's
        tokens, of the probability of the tag that each of them was given: in (0, 1], not
        dependent on the span's length.
    """
    found: dict[Span, float] = {}
    has_text = [start < end for start, end in zip(tokens.starts, tokens.ends, strict=True)]
    logs = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny), dtype=np.float64)
    for position, attribute in np.argwhere(tags == BEGIN):
        if not has_text[position]:
            continue
        members = [position]
        for following in range(position + 1, len(tags)):
            if not has_text[following]:
                continue
            if tags[following, attribute] != INSIDE:
                break
            members.append(following)
        span = Span(
            attributes[attribute],
            tokens.lines[position],
            tokens.starts[position],
            tokens.lines[members[-1]],
            tokens.ends[members[-1]],
        )
        confidence = float(np.exp(logs[members, attribute].mean()))
        # Two tokens of one character may both begin a span: it is one place, found once.
        found[span] = max(confidence, found.get(span, 0.0))
    return sorted(found.items())
