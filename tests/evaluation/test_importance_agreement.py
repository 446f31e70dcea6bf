from __future__ import annotations

import math
import warnings
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coteach.errors import InputError
from coteach.evaluation.agreement import (
    Comparison,
    by_chance,
    deletions,
    kendall,
    mean_figures,
    ranking,
    share,
    soft_jaccard,
    spearman,
    top_jaccard,
)
from coteach.losses.importance import ImportanceJaccard

SCORES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=9)
PAIRS = st.integers(1, 9).flatmap(
    lambda size: st.tuples(
        *[st.lists(st.integers(-3, 3).map(float), min_size=size, max_size=size)] * 2
    )
)


def naive_order(scores: list[float]) -> list[int]:
    """By score, highest first; of equal ones the earlier."""
    return sorted(range(len(scores)), key=lambda place: (-scores[place], place))


def naive_ranks(scores: list[float]) -> list[float]:
    """1 for the lowest; equal ones share the mean."""
    return [
        1 + sum(other < score for other in scores) + (sum(o == score for o in scores) - 1) / 2
        for score in scores
    ]


def naive_spearman(first: list[float], second: list[float]) -> float:
    a, b = (np.array(naive_ranks(it)) for it in (first, second))
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / math.sqrt((a @ a) * (b @ b)))


def naive_kendall(first: list[float], second: list[float]) -> float:
    """τ-b: (concordant − discordant) / √(pairs not tied in first × in second)."""
    difference, untied = 0, [0, 0]
    for i, j in combinations(range(len(first)), 2):
        one, other = np.sign(first[i] - first[j]), np.sign(second[i] - second[j])
        difference += one * other
        untied[0] += one != 0
        untied[1] += other != 0
    return float(difference / math.sqrt(untied[0] * untied[1]))


@settings(deadline=None)
@given(scores=SCORES)
def test_ties_go_to_the_earlier_token(scores: list[float]) -> None:
    assert ranking(np.array(scores)).tolist() == naive_order(scores)


@settings(deadline=None)
@given(pair=PAIRS, count=st.integers(1, 10))
def test_jaccard_of_top_sets(pair: tuple[list[float], list[float]], count: int) -> None:
    first, second = (set(naive_order(it)[:count]) for it in pair)
    expected = len(first & second) / len(first | second)
    assert top_jaccard(*map(np.array, pair), count) == pytest.approx(expected)


@settings(deadline=None)
@given(pair=PAIRS)
def test_rank_correlations(pair: tuple[list[float], list[float]]) -> None:
    arrays = [np.array(it) for it in pair]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = spearman(*arrays), kendall(*arrays)
    if len(pair[0]) == 1:
        assert all(map(math.isnan, found))
    elif min(map(len, map(set, pair))) == 1:
        assert found == (0, 0)
    else:
        assert found[0] == pytest.approx(naive_spearman(*pair))
        assert found[1] == pytest.approx(naive_kendall(*pair))


@pytest.mark.parametrize("normalisation", ["none", "maximum", "mean"])
def test_soft_jaccard_is_the_losss(normalisation: str) -> None:
    first, second = np.array([0.1, 0.5, 0.0, -0.2]), np.array([0.2, 0.4, 0.1, 0.3])
    loss = ImportanceJaccard(temperature=0.3, normalisation=normalisation)  # type: ignore[arg-type]
    tensors = [torch.from_numpy(it)[None] for it in (second, first)]
    expected = 1 - loss(*tensors, torch.ones(1, 4, dtype=torch.bool))
    found = soft_jaccard(first, second, 0.3, normalisation)  # type: ignore[arg-type]
    assert found == pytest.approx(float(expected), abs=1e-12)
    if normalisation == "none":
        p, q = (np.exp(it / 0.3) / np.exp(it / 0.3).sum() for it in (first, second))
        assert found == pytest.approx(p @ q / (p @ p + q @ q - p @ q))


@pytest.mark.parametrize(
    ("size", "percent", "expected"),
    [
        (30, 10, 3),
        (31, 10, 4),
        (1, 1, 1),
        (0, 50, 0),
        (7, 100, 7),
        (9, 50, 5),
        (3, 33.4, 2),
        (375, 8.8, 33),  # 8.8 · 375 / 100 is a little more in binary
    ],
)
def test_shares_are_rounded_up(size: int, percent: float, expected: int) -> None:
    assert share(size, percent) == expected


def test_every_figure_has_its_name() -> None:
    comparison = Comparison(tokens=(2,), percent=(10, 50), temperature=0.1)
    first, second = np.array([4.0, 3, 2, 1]), np.array([4.0, 1, 3, 2])
    found = comparison(first, second)
    assert found == {
        "top-1 match": 1,
        "Jaccard top 2": pytest.approx(1 / 3),
        "Jaccard top 10 %": 1,
        "Jaccard top 50 %": pytest.approx(1 / 3),
        "soft Jaccard": pytest.approx(soft_jaccard(first, second, 0.1)),
        "Spearman": pytest.approx(0.4),
        "Kendall": pytest.approx(1 / 3),
    }
    assert tuple(found) == comparison.names
    assert set(comparison(first, first).values()) == {1}


def test_one_token_and_none() -> None:
    comparison = Comparison()
    one = comparison(np.array([0.3]), np.array([-1.0]))
    assert {name for name, value in one.items() if math.isnan(value)} == {"Spearman", "Kendall"}
    assert {value for value in one.values() if not math.isnan(value)} == {1}
    assert all(map(math.isnan, comparison(np.empty(0), np.empty(0)).values()))


def test_empty_attributions_do_not_agree() -> None:
    """Scores that are all 0 count, with correlation 0, and match the first tokens only."""
    teacher = np.array([0.1, 0.2, 0.9, 0.5, 0.0, 0.3])
    found = Comparison(tokens=(1, 3), percent=(50,))(teacher, np.zeros(6))
    assert found["Spearman"] == found["Kendall"] == found["top-1 match"] == 0
    assert found["Jaccard top 3"] == pytest.approx(1 / 5)
    assert not any(map(math.isnan, found.values()))


@pytest.mark.parametrize("bad", [np.array([1.0, math.nan]), np.array([1.0, math.inf])])
def test_scores_that_are_no_numbers(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="scores that are numbers"):
        Comparison()(bad, np.array([1.0, 2]))


def test_scores_of_other_tokens() -> None:
    with pytest.raises(ValueError, match="the same tokens"):
        Comparison()(np.ones(2), np.ones(3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": (0,)}, "top_tokens: expected at least 1, got 0"),
        ({"percent": (0.0,)}, r"top_percent: expected a number in \(0, 100\], got 0"),
        ({"percent": (101.0,)}, "got 101"),
        ({"temperature": 0.0}, "temperature: expected a positive number, got 0"),
        ({"temperature": math.nan}, "temperature: expected a positive number, got nan"),
    ],
)
def test_figures_that_there_are_not(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Comparison(**options)  # type: ignore[arg-type]


def test_the_floor_is_that_of_all_permutations() -> None:
    """Of two of five tokens, the expected Jaccard is Σ P(common) · common / (4 − common)."""
    comparison = Comparison(tokens=(2,), percent=())
    first, second = np.array([5.0, 4, 3, 2, 1]), np.array([1.0, 5, 2, 4, 3])
    found = by_chance(comparison, first, second, np.random.default_rng(0), draws=500)
    expected = sum(
        len({0, 1} & set(chosen)) / (4 - len({0, 1} & set(chosen)))
        for chosen in combinations(range(5), 2)
    ) / math.comb(5, 2)
    assert found["Jaccard top 2"] == pytest.approx(expected, abs=0.05)
    assert found["top-1 match"] == pytest.approx(1 / 5, abs=0.05)
    assert found["Spearman"] == pytest.approx(0, abs=0.06)
    assert found["Kendall"] == pytest.approx(0, abs=0.06)
    assert comparison(first, second) != found
    again = [by_chance(comparison, first, second, np.random.default_rng(0), 3) for _ in range(2)]
    assert again[0] == again[1]


def test_the_floor_shuffles_the_first_scores_alone() -> None:
    comparison = Comparison()
    same = np.full(6, 0.5)
    other = np.arange(6.0)
    assert by_chance(comparison, same, other, np.random.default_rng(1), 3) == mean_figures(
        [comparison(same, other)]
    )


def test_deletions() -> None:
    scores = np.array([9.0, 0.1, 0.3, 0.3, 0.2, 0.0, 9.0])
    places = [1, 2, 3, 4, 5]
    found = deletions(scores, places, (20, 60), np.random.default_rng(0), draws=3)
    assert [it.tolist() for it in found.top] == [[2], [2, 3, 4]]
    assert [it.tolist() for it in found.bottom] == [[5], [4, 1, 5]]
    assert list(map(len, found.random)) == [1, 1, 1, 3, 3, 3]
    for chosen in found.random:
        assert len(set(chosen.tolist()) & set(places)) == len(chosen)
    assert len({tuple(it.tolist()) for it in found.random[3:]}) > 1
    again = deletions(-scores, places, (20, 60), np.random.default_rng(0), draws=3)
    assert [it.tolist() for it in again.random] == [it.tolist() for it in found.random]


@settings(deadline=None)
@given(scores=SCORES, percent=st.floats(1, 100))
def test_top_and_bottom_are_the_ends_of_the_ranking(scores: list[float], percent: float) -> None:
    places = np.arange(len(scores))
    found = deletions(np.array(scores), places, (percent,), np.random.default_rng(0), 1)
    count = share(len(scores), percent)
    assert found.top[0].tolist() == naive_order(scores)[:count]
    assert found.bottom[0].tolist() == naive_order(scores)[len(scores) - count :]
