from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coteach.model.windows import Window, merge, windows


@st.composite
def cuts(draw: st.DrawFn) -> tuple[int, int, int]:
    size = draw(st.integers(1, 40))
    return draw(st.integers(0, 200)), size, draw(st.integers(0, size - 1))


@given(cuts())
def test_every_position_is_kept_once_and_in_order(cut: tuple[int, int, int]) -> None:
    length, size, overlap = cut
    result = windows(length, size, overlap)
    assert [p for w in result for p in range(w.keep_start, w.keep_stop)] == list(range(length))
    for window in result:
        assert window.start <= window.keep_start < window.keep_stop <= window.stop
        assert window.stop - window.start <= size
    for left, right in pairwise(result):
        assert left.stop - left.start == size
        assert left.stop - right.start == overlap
        assert right.stop > left.stop
        # The overlap is halved: either window answers for the side where it sees more.
        assert abs((left.stop - left.keep_stop) - (right.keep_start - right.start)) <= 1


@given(cuts())
def test_merging_the_pieces_gives_the_page_again(cut: tuple[int, int, int]) -> None:
    length, size, overlap = cut
    page = np.arange(length * 2).reshape(length, 2)
    result = windows(length, size, overlap)
    if length:
        pieces = [page[window.start : window.stop] for window in result]
        assert np.array_equal(merge(pieces, result), page)
        # Axes before the tokens' are left alone.
        stacked = [np.stack([piece, -piece]) for piece in pieces]
        assert np.array_equal(merge(stacked, result), np.stack([page, -page]))
    else:
        assert result == []


def test_the_original_s_cuts() -> None:
    assert windows(511, 510, 100) == [Window(0, 510, 0, 460), Window(410, 511, 460, 511)]
    assert [w[:2] for w in windows(1330, 510, 100)] == [(0, 510), (410, 920), (820, 1330)]
    assert [w[:2] for w in windows(1331, 510, 100)][-1] == (1230, 1331)


@pytest.mark.parametrize("length", [1, 25, 50, 509, 510])
def test_a_page_of_one_window_is_never_trimmed(length: int) -> None:
    assert windows(length, 510, 100) == [Window(0, length, 0, length)]


@pytest.mark.parametrize("overlap", [-1, 10, 11])
def test_an_overlap_must_be_smaller_than_the_window(overlap: int) -> None:
    with pytest.raises(ValueError, match=rf"\[0, window size = 10\), got {overlap}"):
        windows(5, 10, overlap)
