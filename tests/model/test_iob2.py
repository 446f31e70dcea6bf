from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coteach.model.alignment import Tokens
from coteach.model.iob2 import Fit, Locator, TokenSpan, decode, encode, fill, tag_pieces
from coteach.model.spans import Span
from coteach.model.windows import merge, windows

ATTRIBUTES = ("name", "place")
O, B, I = 0, 1, 2  # noqa: E741


class Place(NamedTuple):
    line: int
    start: int
    end: int


def tokens_at(*places: tuple[int, int, int]) -> Tokens:
    lines, starts, ends = ([place[i] for place in places] for i in range(3))
    return Tokens(list(range(len(places))), lines, starts, ends)


def spans_of(tags: list[int], tokens: Tokens, probabilities: list[float] | None = None) -> list:
    """Decoded spans of one attribute, without its name."""
    column = np.array(tags).reshape(-1, 1)
    chosen = np.array(probabilities or [1.0] * len(tags)).reshape(-1, 1)
    return [(span[1:], confidence) for span, confidence in decode(column, chosen, tokens, ("x",))]


# Five tokens of two characters, the third without text, over two lines.
FIVE = tokens_at((0, 0, 2), (0, 2, 4), (0, 4, 4), (1, 0, 2), (1, 2, 4))


@st.composite
def layouts(draw: st.DrawFn) -> tuple[Tokens, list[Place]]:
    """Tokens with gaps, without text and with repeated ranges; and the distinct ranges."""
    tokens: list[Place] = []
    ranges: list[Place] = []
    for line in range(draw(st.integers(1, 3))):
        position = 0
        for _ in range(draw(st.integers(0, 6))):
            position += draw(st.integers(0, 2))
            if draw(st.integers(0, 3)) == 0:
                tokens.append(Place(line, position, position))
            place = Place(line, position, position + draw(st.integers(1, 3)))
            ranges.append(place)
            tokens += [place] * draw(st.sampled_from([1, 1, 1, 2, 3]))
            position = place.end
    return tokens_at(*tokens), ranges


@st.composite
def spans_on_tokens(draw: st.DrawFn) -> tuple[Tokens, set[Span]]:
    """A layout, and spans on its token boundaries that overlap only across attributes."""
    tokens, ranges = draw(layouts())
    spans = set()
    for attribute in ATTRIBUTES:
        position = 0
        while position < len(ranges):
            length = draw(st.integers(0, 3))
            if length:
                first, last = ranges[position], ranges[min(position + length, len(ranges)) - 1]
                spans.add(Span(attribute, first.line, first.start, last.line, last.end))
            position += max(length, 1)
    return tokens, spans


# Text → tags → text


@given(spans_on_tokens(), st.integers(1, 8), st.integers(0, 7), st.randoms(use_true_random=False))
def test_spans_on_token_boundaries_come_back_identical(
    case: tuple[Tokens, set[Span]], size: int, overlap: int, random: object
) -> None:
    tokens, spans = case
    found, fit = encode(spans, Locator(tokens), ATTRIBUTES)
    assert fit == Fit(exact=len(spans))
    tags = np.zeros((len(tokens), len(ATTRIBUTES)), dtype=np.int8)
    fill(tags, found)

    cuts = windows(len(tokens), size, min(overlap, size - 1))
    pieces = [np.zeros((cut.stop - cut.start, 2), dtype=np.int8) for cut in cuts]
    for piece, cut in zip(pieces, cuts, strict=True):
        fill(piece, found, offset=cut.start)
        assert np.array_equal(piece, tags[cut.start : cut.stop])
    if cuts:
        tags = merge(pieces, cuts)
    # What stands on tokens without text must not matter.
    for position in range(len(tokens)):
        if tokens.starts[position] == tokens.ends[position]:
            tags[position] = [random.randrange(3), random.randrange(3)]  # type: ignore[attr-defined]
    decoded = decode(tags, np.ones(tags.shape), tokens, ATTRIBUTES)
    assert decoded == [(span, 1.0) for span in sorted(spans)]


# Spans → tokens


@given(layouts(), st.data())
def test_a_locator_finds_all_tokens_that_share_a_character(
    layout: tuple[Tokens, list[Place]], data: st.DataObject
) -> None:
    tokens, _ = layout
    points = st.tuples(st.integers(0, 2), st.integers(0, 20))
    start, end = sorted(data.draw(st.tuples(points, points).filter(lambda it: it[0] != it[1])))
    span = Span("name", *start, *end)
    touched = [
        i
        for i, place in enumerate(zip(tokens.lines, tokens.starts, tokens.ends, strict=True))
        if any(start <= (place[0], c) < end for c in range(place[1], place[2]))
    ]
    if not touched:
        assert Locator(tokens)(span) is None
        return
    first, last = touched[0], touched[-1]
    is_exact = (
        (tokens.lines[first], tokens.starts[first]) == start
        and (tokens.lines[last], tokens.ends[last]) == end
    )  # fmt: skip
    assert Locator(tokens)(span) == (first, last + 1, is_exact)


def test_every_span_is_counted_once() -> None:
    spans = [
        Span("name", 0, 0, 0, 2),  # on boundaries
        Span("name", 0, 3, 1, 1),  # inside of its first and last token, over a line break
        Span("name", 1, 0, 1, 4),  # shares a token with the one before
        Span("place", 0, 0, 1, 4),  # another attribute is another sequence
        Span("place", 2, 0, 2, 9),  # where no token is
        Span("other", 0, 0, 0, 2),  # an attribute not asked for
    ]
    found, fit = encode(spans, Locator(FIVE), ATTRIBUTES)
    assert found == [TokenSpan(1, 0, 5), TokenSpan(0, 0, 1), TokenSpan(0, 1, 4)]
    assert fit == Fit(exact=2, grown=1, overlapping=1, lost=2)
    assert fit.total == len(spans)
    assert fit + Fit(1, 2, 3, 4) == Fit(3, 3, 4, 6)


def test_of_overlapping_spans_the_earlier_then_longer_then_exact_one_stays() -> None:
    locate = Locator(FIVE)
    earlier, later = Span("name", 0, 0, 0, 4), Span("name", 0, 2, 1, 4)
    short, grown = Span("name", 0, 0, 0, 2), Span("name", 0, 0, 0, 3)
    for order in ([earlier, later, short, grown], [grown, short, later, earlier]):
        found, fit = encode(order, locate, ATTRIBUTES)
        assert found == [TokenSpan(0, 0, 2)]
        assert fit == Fit(exact=1, overlapping=3)


def test_spans_that_only_touch_both_stay() -> None:
    found, fit = encode(
        [Span("name", 0, 0, 0, 2), Span("name", 0, 2, 0, 4)], Locator(FIVE), ATTRIBUTES
    )
    assert found == [TokenSpan(0, 0, 1), TokenSpan(0, 1, 2)]
    assert fit == Fit(exact=2)


def test_a_page_without_tokens_loses_its_spans() -> None:
    span = Span("name", 0, 0, 0, 2)
    assert encode([span], Locator(Tokens()), ATTRIBUTES) == ([], Fit(lost=1))
    blank = Locator(tokens_at((0, 0, 0), (0, 1, 1)))
    assert encode([span], blank, ATTRIBUTES) == ([], Fit(lost=1))


# Words → tokens of one joint sequence


@st.composite
def words_on_lines(draw: st.DrawFn) -> list[Span]:
    """Words of two classes and a third not asked for, anywhere, in any order."""
    words = []
    for line in range(3):
        position = 0
        for _ in range(draw(st.integers(0, 8))):
            start = position + draw(st.integers(0, 2))
            position = start + draw(st.integers(1, 4))
            name = draw(st.sampled_from([*ATTRIBUTES, "other"]))
            words.append(Span(name, line, start, line, position))
    return draw(st.permutations(words))


@given(layouts(), words_on_lines())
def test_a_piece_belongs_to_the_word_of_its_first_character(
    layout: tuple[Tokens, list[Place]], words: list[Span]
) -> None:
    tokens, _ = layout
    places = [Place(*it) for it in zip(tokens.lines, tokens.starts, tokens.ends, strict=True)]
    tags: list[str | None] = []
    fit = Fit()
    word_of: list[Span | None] = []
    for place in places:
        holders = [
            word
            for word in words
            if word.start_line == place.line and word.start_offset <= place.start < word.end_offset
        ]
        assert len(holders) <= 1
        has_text = place.start < place.end
        word = holders[0] if holders and holders[0].attribute in ATTRIBUTES else None
        is_first = word is not None and word not in word_of
        word_of.append(word if has_text else None)
        tags.append(f"{'B' if is_first else 'I'}-{word.attribute}" if word else "O")
        if not has_text:
            tags[-1] = None
    for word in words:
        own = [place for place, owner in zip(places, word_of, strict=True) if owner == word]
        if not own:
            fit.lost += 1
        elif own[0].start == word.start_offset and own[-1].end == word.end_offset:
            fit.exact += 1
        else:
            fit.grown += 1

    found, found_fit = tag_pieces(words, tokens, ATTRIBUTES)
    assert found_fit == fit
    assert found == sorted(found, key=lambda it: it.start)
    assert all(a.stop <= b.start for a, b in pairwise(found))
    written: list[str | None] = ["O"] * len(tokens)
    for attribute, start, stop in found:
        name = ATTRIBUTES[attribute]
        written[start:stop] = [f"B-{name}", *[f"I-{name}"] * (stop - start - 1)]
    # What stands on tokens without text does not matter.
    assert [tag if known else None for tag, known in zip(written, tags, strict=True)] == tags


def test_words_against_pieces() -> None:
    #   pieces: 東京|都に|行|った     words: 東 京都 に 行った
    tokens = tokens_at((0, 0, 2), (0, 2, 4), (0, 4, 5), (0, 5, 7))
    words = [
        Span("name", 0, 0, 0, 1),  # ends inside of its piece
        Span("place", 0, 1, 0, 3),  # begins inside of a piece that is another word's
        Span("name", 0, 3, 0, 4),  # no piece begins in it
        Span("place", 0, 4, 0, 7),
    ]
    found, fit = tag_pieces(words, tokens, ATTRIBUTES)
    assert found == [TokenSpan(0, 0, 1), TokenSpan(1, 1, 2), TokenSpan(1, 2, 4)]
    assert fit == Fit(exact=1, grown=2, lost=1)


def test_a_word_may_run_over_tokens_without_text() -> None:
    found, fit = tag_pieces([Span("name", 0, 0, 1, 2)], FIVE, ATTRIBUTES)
    assert found == [TokenSpan(0, 0, 4)]
    assert fit == Fit(exact=1)
    assert tag_pieces([], FIVE, ATTRIBUTES) == ([], Fit())
    assert tag_pieces([Span("name", 0, 0, 0, 2)], Tokens(), ATTRIBUTES) == ([], Fit(lost=1))


# Token spans → tags


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (0, [O, O, B, I]),  # cut at the window's end
        (2, [B, I, I, O]),
        (3, [I, I, O, O]),  # begins before the window: goes on as I
        (4, [I, O, O, O]),
        (5, [O, O, O, O]),  # ends where the window starts
        (-4, [O, O, O, O]),  # starts where the window ends
    ],
)
def test_a_span_is_cut_by_windows(offset: int, expected: list[int]) -> None:
    tags = np.zeros((4, 2), dtype=np.int8)
    fill(tags, [TokenSpan(1, 2, 5)], offset)
    assert tags[:, 1].tolist() == expected
    assert not tags[:, 0].any()


# Tags → spans


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([O, O, O, O, O], []),
        ([I, I, O, O, I], []),  # an I with nothing open
        ([B, O, O, I, B], [(0, 0, 0, 2), (1, 2, 1, 4)]),  # a stray I opens nothing again
        ([B, B, O, O, O], [(0, 0, 0, 2), (0, 2, 0, 4)]),  # B closes what is open
        ([O, O, O, O, B], [(1, 2, 1, 4)]),  # open at the end
        ([O, O, O, B, I], [(1, 0, 1, 4)]),  # closed at the last token, not the one before
        ([O, B, O, I, O], [(0, 2, 1, 2)]),  # the third token has no text: an O there is no O,
        ([O, B, B, I, O], [(0, 2, 1, 2)]),  # a B no B,
        ([O, O, B, I, O], []),
        ([O, B, I, O, O], [(0, 2, 0, 4)]),  # and an I no I
    ],
)
def test_decoding_rules(tags: list[int], expected: list[tuple[int, ...]]) -> None:
    assert [place for place, _ in spans_of(tags, FIVE)] == expected


def test_confidence_is_the_geometric_mean_over_tokens_with_text() -> None:
    (_, first), (_, second) = spans_of([B, I, I, I, B], FIVE, [0.9, 0.4, 0.001, 0.5, 0.3])
    assert first == pytest.approx((0.9 * 0.4 * 0.5) ** (1 / 3))
    assert second == pytest.approx(0.3)
    ((_, unlikely),) = spans_of([B, O, O, O, O], FIVE, [0.0] * 5)
    assert 0 < unlikely < 1e-30
    assert math.isfinite(unlikely)


def test_attributes_are_decoded_apart_and_sorted_by_span() -> None:
    tags = np.array([[O, B], [B, I], [I, I], [I, O], [O, B]])
    assert [span for span, _ in decode(tags, np.ones(tags.shape), FIVE, ("b", "a"))] == [
        Span("a", 0, 0, 0, 4),
        Span("a", 1, 2, 1, 4),
        Span("b", 0, 2, 1, 2),
    ]


def test_a_character_of_several_tokens_is_one_span() -> None:
    # Two tokens of one character that both begin: the same place twice, said once.
    tokens = tokens_at((0, 0, 1), (0, 0, 1), (0, 1, 2))
    assert spans_of([B, B, O], tokens, [0.2, 0.8, 1.0]) == [((0, 0, 0, 1), pytest.approx(0.8))]


def test_an_empty_page_has_no_span() -> None:
    empty = np.zeros((0, 2))
    assert decode(empty, empty, Tokens(), ATTRIBUTES) == []
