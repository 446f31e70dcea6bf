from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from coteach.evaluation.significance import (
    Interval,
    f1_difference,
    f1_interval,
    macro_f1_difference,
    t_interval,
)


def counts(pages: int, recall: float, seed: int) -> np.ndarray:
    """A system that finds each of ten values a page with a probability, and nothing wrong."""
    found = np.random.default_rng(seed).binomial(10, recall, size=pages)
    return np.stack([found, found, np.full(pages, 10)], axis=1)


def f1(table: np.ndarray) -> float:
    right, predicted, gold = table.sum(0)
    return 2 * right / (predicted + gold)


def naive_bounds(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    draws = np.random.default_rng(5)
    differences = []
    for _ in range(2_000):
        pages = draws.integers(len(first), size=len(first))
        differences.append(f1(first[pages]) - f1(second[pages]))
    return np.percentile(differences, [2.5, 97.5])


def test_the_interval_is_that_of_a_naive_bootstrap() -> None:
    first, second = counts(200, 0.6, 1), counts(200, 0.5, 2)
    interval = f1_difference(first, second)
    assert interval.estimate == pytest.approx(f1(first) - f1(second))
    assert (interval.low, interval.high) == pytest.approx(naive_bounds(first, second), abs=0.003)
    assert interval.excludes_zero


def test_the_draws_are_paired() -> None:
    # Pages differ a lot, the systems by one value a page: only pairing can see the difference.
    base = counts(100, 0.5, 3)
    base[:50, :2] = 0
    better = base + np.array([1, 1, 0])
    interval = f1_difference(better, base)
    assert interval.excludes_zero
    width = interval.high - interval.low
    alone = f1_interval(better)
    assert width < (alone.high - alone.low) / 3


def test_the_seed_decides_the_draws() -> None:
    first, second = counts(50, 0.6, 1), counts(50, 0.5, 2)
    assert f1_difference(first, second, seed=1) == f1_difference(first, second, seed=1)
    assert f1_difference(first, second, seed=1) != f1_difference(first, second, seed=2)


def test_swapping_the_systems_swaps_the_interval() -> None:
    first, second = counts(50, 0.6, 1), counts(50, 0.5, 2)
    forth, back = f1_difference(first, second), f1_difference(second, first)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))


@pytest.mark.parametrize("table", [counts(30, 0.5, 1), np.zeros((30, 3), dtype=np.int64)])
def test_identical_systems_differ_by_nothing(table: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert f1_difference(table, table.copy()) == Interval(0.0, 0.0, 0.0)


@pytest.mark.parametrize("pages", [0, 1])
def test_too_few_pages_say_nothing(pages: int) -> None:
    table = counts(pages, 0.5, 1)
    difference = f1_difference(table, table)
    assert difference == Interval(0.0, -1.0, 1.0)
    assert not difference.excludes_zero
    assert f1_interval(table) == Interval(f1(table) if pages else 0.0, 0.0, 1.0)


def test_one_system() -> None:
    table = counts(200, 0.5, 1)
    interval = f1_interval(table, confidence=0.5)
    assert interval.low < f1(table) < interval.high
    wide = f1_interval(table)
    assert wide.high - wide.low > interval.high - interval.low


def test_counts_of_other_pages_are_refused() -> None:
    table = counts(10, 0.5, 1)
    with pytest.raises(ValueError, match="same pages"):
        f1_difference(table, table[1:])
    with pytest.raises(ValueError, match="same gold"):
        f1_difference(table, table + np.array([0, 0, 1]))


def mean_f1(runs: np.ndarray, pages: np.ndarray) -> float:
    return float(np.mean([f1(run[pages]) for run in runs]))


def test_means_over_runs_and_categories_are_those_of_a_naive_bootstrap() -> None:
    sizes = (60, 150)
    first = [np.stack([counts(size, 0.6, seed) for seed in (1, 2, 3)]) for size in sizes]
    second = [np.stack([counts(size, 0.5, seed) for seed in (4, 5)]) for size in sizes]
    draws = np.random.default_rng(7)
    differences = []
    for _ in range(2_000):
        by_category = []
        for mine, others in zip(first, second, strict=True):
            pages = draws.integers(mine.shape[1], size=mine.shape[1])
            by_category.append(mean_f1(mine, pages) - mean_f1(others, pages))
        differences.append(np.mean(by_category))
    interval = macro_f1_difference(first, second)
    everything = [np.arange(size) for size in sizes]
    estimate = np.mean(
        [
            mean_f1(mine, pages) - mean_f1(others, pages)
            for mine, others, pages in zip(first, second, everything, strict=True)
        ]
    )
    assert interval.estimate == pytest.approx(estimate)
    assert (interval.low, interval.high) == pytest.approx(
        tuple(np.percentile(differences, [2.5, 97.5])), abs=0.003
    )


def test_one_run_of_one_category_is_the_plain_difference() -> None:
    first, second = counts(50, 0.6, 1), counts(50, 0.5, 2)
    assert macro_f1_difference([first[None]], [second[None]]) == f1_difference(first, second)


def test_a_category_of_one_page_says_nothing() -> None:
    many, one = counts(50, 0.6, 1)[None], counts(1, 0.6, 1)[None]
    interval = macro_f1_difference([many, one], [many, one])
    assert interval == Interval(0.0, -1.0, 1.0)


def test_runs_on_other_pages_are_refused() -> None:
    table = counts(10, 0.5, 1)
    other_gold = table + np.array([0, 0, 1])
    with pytest.raises(ValueError, match="same gold"):
        macro_f1_difference([np.stack([table, other_gold])], [table[None]])


@pytest.mark.parametrize("values", [[0.5, 0.7], [0.1, 0.4, 0.3, 0.2]])
def test_the_t_interval_is_that_of_scipy(values: list[float]) -> None:
    interval = t_interval(values, confidence=0.9)
    bounds = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert interval.estimate == pytest.approx(np.mean(values))
    assert (interval.low, interval.high) == pytest.approx((bounds.low, bounds.high))


def test_one_seed_says_nothing() -> None:
    interval = t_interval([0.5])
    assert interval == Interval(0.5, -math.inf, math.inf)
    assert not interval.excludes_zero
    with pytest.raises(ValueError, match="at least one"):
        t_interval([])
