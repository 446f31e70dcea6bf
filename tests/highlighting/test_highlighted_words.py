from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_students import tiny_tokenizer

from coteach.highlighting.words import Special, Word, cut, join, levels, shown
from coteach.model.alignment import Aligner, Tokens

AWKWARD = st.text(
    st.sampled_from("すもも東京都に住む。ＡbcＤ\n\r\t \u3000\u200b\u00a0\u2028㍿é\u0301🏯‍𠮷<>&0１"),
    max_size=40,
)


def tokens_of(*ranges: tuple[int, int, int]) -> Tokens:
    """Tokens by (line, start, end)."""
    lines, starts, ends = (list(column) for column in zip(*ranges, strict=True))
    return Tokens([0] * len(ranges), lines, starts, ends)


def test_words_are_those_of_mecab() -> None:
    text = "東京都に住む。 最高だ\n\nabc def"
    words = [text[start:end] for start, end in cut(text)]
    assert words == ["東京", "都", "に", "住む", "。", "最高", "だ", "abc", "def"]


def test_pieces_add_up_to_words() -> None:
    text = "住む 東京"
    tokens = tokens_of((0, 0, 1), (0, 1, 2), (0, 3, 5))
    words, specials = join(text, tokens, [0.2, 0.3, 0.5], ["住", "む", "東京"])
    assert words == [Word("住む", 0.5), Word(" ", None), Word("東京", 0.5)]
    assert specials == []


def test_a_piece_across_words_is_shared_by_characters() -> None:
    text = "東京都に"  # 東京 + 都 + に
    tokens = tokens_of((0, 0, 3), (0, 3, 4))
    words, _ = join(text, tokens, [0.6, 0.4], ["東京都", "に"])
    assert [word.text for word in words] == ["東京", "都", "に"]
    assert [word.weight for word in words] == pytest.approx([0.4, 0.2, 0.4])


def test_white_space_within_a_piece_gets_no_share() -> None:
    words, specials = join("良い 城", tokens_of((0, 0, 4)), [0.6], ["良い▁城"])
    assert [word.weight for word in words] == [pytest.approx(0.4), None, pytest.approx(0.2)]
    assert specials == []


def test_pieces_of_later_lines_and_without_text() -> None:
    text = "東京\n城"
    tokens = tokens_of((0, 0, 2), (0, 2, 2), (1, 0, 1))
    words, specials = join(text, tokens, [0.1, 0.2, 0.7], ["東京", "[SEP]", "城"])
    assert words == [Word("東京", 0.1), Word("\n", None), Word("城", 0.7)]
    assert specials == [Special("[SEP]", 0.2)]


def test_what_is_behind_the_window_has_no_weight() -> None:
    tokens = tokens_of((0, 0, 2), (0, 2, 3))
    words, _ = join("東京城", tokens, [1.0], ["東京"])
    assert words == [Word("東京", 1.0), Word("城", None)]


def test_marks_cut_words() -> None:
    text = "住む 東京"
    tokens = tokens_of((0, 0, 2), (0, 3, 5))
    words, _ = join(text, tokens, [0.2, 0.6], ["住む", "東京"], [(1, 4)])
    assert words == [
        Word("住", pytest.approx(0.1)),
        Word("む", pytest.approx(0.1), True),
        Word(" ", None, True),
        Word("東", pytest.approx(0.3), True),
        Word("京", pytest.approx(0.3)),
    ]
    words, _ = join("a  b", tokens_of((0, 0, 1)), [1.0], ["a"], [(0, 2), (3, 4)])
    assert [(it.text, it.marked) for it in words] == [
        ("a", True),
        (" ", True),
        (" ", False),
        ("b", True),
    ]


@settings(deadline=None)
@given(text=AWKWARD, data=st.data())
def test_marks_change_neither_text_nor_weights(text: str, data: st.DataObject) -> None:
    tokens = Aligner(tiny_tokenizer())(text)
    weights = [float(number + 1) for number in range(len(tokens))]
    ends = st.integers(0, len(text))
    marks = data.draw(st.lists(st.tuples(ends, ends).map(sorted).map(tuple), max_size=3))
    words, specials = join(text, tokens, weights, ["x"] * len(tokens), marks)
    assert "".join(word.text for word in words) == text
    inside = [any(start <= place < end for start, end in marks) for place in range(len(text))]
    assert [word.marked for word in words for _ in word.text] == inside
    assert all(word.text for word in words)
    total = math.fsum(word.weight or 0 for word in words)
    assert total + math.fsum(it.weight for it in specials) == pytest.approx(math.fsum(weights))


def test_nothing() -> None:
    assert join("", Tokens(), [], []) == ([], [])
    assert join(" \n", Tokens(), [], []) == ([Word(" \n", None)], [])


@given(text=AWKWARD)
def test_words_cover_every_visible_character_once(text: str) -> None:
    ranges = cut(text)
    covered = [place for start, end in ranges for place in range(start, end)]
    assert len(set(covered)) == len(covered)
    assert covered == sorted(covered)
    assert all(text[start:end].strip() == text[start:end] != "" for start, end in ranges)
    left = set(range(len(text))) - set(covered)
    assert all(text[place].isspace() for place in left)


@given(text=AWKWARD, data=st.data())
def test_weights_are_neither_lost_nor_made(text: str, data: st.DataObject) -> None:
    tokens = Aligner(tiny_tokenizer())(text)
    read = data.draw(st.integers(0, len(tokens)))
    weights = data.draw(
        st.lists(st.floats(0, 1, allow_subnormal=False), min_size=read, max_size=read)
    )
    words, specials = join(text, tokens, weights, ["x"] * read)
    assert "".join(word.text for word in words) == text
    joined = math.fsum(word.weight for word in words if word.weight is not None)
    joined += math.fsum(special.weight for special in specials)
    assert joined == pytest.approx(math.fsum(weights), abs=1e-9)


def naive_join(text: str, tokens: Tokens, weights: list[float]) -> list[float]:
    """Every code point's weight: a token's, divided among its visible characters in words."""
    result = [0.0] * len(text)
    inside = {place for start, end in cut(text) for place in range(start, end)}
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    for number, weight in enumerate(weights):
        line = starts[tokens.lines[number]]
        places = range(line + tokens.starts[number], line + tokens.ends[number])
        visible = [place for place in places if place in inside]
        for place in visible:
            result[place] += weight / len(visible)
    return result


@given(text=AWKWARD, size=st.integers(1, 5))
def test_shares_are_those_of_the_definition(text: str, size: int) -> None:
    ranges = [
        (number, start, min(start + size, len(line)))
        for number, line in enumerate(text.split("\n"))
        for start in range(0, len(line), size)
    ]
    tokens = tokens_of(*ranges) if ranges else Tokens()
    weights = [float(number + 1) for number in range(len(ranges))]
    words, _ = join(text, tokens, weights, ["x"] * len(ranges))
    by_character = naive_join(text, tokens, weights)
    place = 0
    for word in words:
        expected = math.fsum(by_character[place : place + len(word.text)])
        assert (word.weight or 0.0) == pytest.approx(expected)
        place += len(word.text)


def test_levels() -> None:
    words = [Word("a", 0.0), Word("b", 0.25), Word(" ", None), Word("c", 0.5)]
    assert levels(words) == [0, 128, None, 255]
    assert levels([Word("a", 0.0)]) == [0]
    assert levels([]) == []
    against = [Word("a", -0.5), Word("b", 0.25), Word("c", -0.0)]
    assert levels(against) == [-255, 128, 0]


def test_control_characters_are_shown() -> None:
    assert shown("a\0\x1b\x7f\n\tb") == "a␀␛␡\n\tb"
