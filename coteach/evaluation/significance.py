"""How sure a score is: percentile bootstrap over pages, and t intervals over seeds.

Values of one page are not independent, so whole pages are drawn; two systems are scored on the
same draws (Berg-Kirkpatrick et al., EMNLP 2012; Efron and Tibshirani 1993, chapter 13).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

__all__ = ["Interval", "f1_difference", "f1_interval", "macro_f1_difference", "t_interval"]

_RESAMPLES = 2_000
_ELEMENTS_AT_ONCE = 4_000_000  # page draws held in memory at a time


@dataclass(frozen=True)
class Interval:
    """An estimate and the bounds of its confidence interval, in fractions of 1."""

    estimate: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference is significant at the interval's level."""
        return self.low > 0 or self.high < 0


def f1_difference(
    counts: np.ndarray,
    baseline: np.ndarray,
    *,
    resamples: int = _RESAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The difference of two systems' micro-F1, system minus baseline.

    Args:
        counts: the system's counts, shape (pages, 3): true positives, predicted and gold values
            (:func:`coteach.evaluation.shinra.page_counts`).
        baseline: the other system's counts on the same pages.
        resamples: draws of as many pages as there are.
        confidence: the interval's level.
        seed: of the draws.

    Returns:
        The interval. With fewer than two pages nothing can be drawn: it is then all of [-1, 1].

    Raises:
        ValueError: the two are not counts of the same pages.
    """
    return macro_f1_difference(
        [counts[None]], [baseline[None]], resamples=resamples, confidence=confidence, seed=seed
    )


def macro_f1_difference(
    systems: Sequence[np.ndarray],
    baselines: Sequence[np.ndarray],
    *,
    resamples: int = _RESAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The difference of two systems' micro-F1, averaged over runs and then over categories.

    Pages are drawn within each category, the same for all runs of both systems. The runs are as
    they are: their own spread is :func:`t_interval`'s.

    Args:
        systems: for each category, the counts of the system's runs, shape (runs, pages, 3).
        baselines: the same of the other system; the number of its runs may differ.
        resamples: draws in each category of as many pages as it has.
        confidence: the interval's level.
        seed: of the draws.

    Returns:
        The interval. Where a category has fewer than two pages, it is all of [-1, 1].

    Raises:
        ValueError: the two are not counts of the same pages.
    """
    draws = np.zeros(resamples)
    estimates = []
    generator = np.random.default_rng(seed)
    for runs, others in zip(systems, baselines, strict=True):
        both = (*runs, *others)
        if len({of.shape for of in both}) > 1 or any((of != both[0])[:, 2].any() for of in both):
            raise ValueError("expected counts of the same pages against the same gold")

        def difference(
            pages: np.ndarray, axis: int, runs: np.ndarray = runs, others: np.ndarray = others
        ) -> np.ndarray:
            return _mean_f1(runs, pages, axis) - _mean_f1(others, pages, axis)

        estimate, drawn = _bootstrap(difference, len(both[0]), resamples, generator)
        estimates.append(estimate)
        draws += drawn / len(systems)
    return _percentiles(sum(estimates) / len(estimates), draws, (-1.0, 1.0), confidence)


def f1_interval(
    counts: np.ndarray, *, resamples: int = _RESAMPLES, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """One system's micro-F1; arguments as in :func:`f1_difference`.

    With fewer than two pages the interval is all of [0, 1].
    """

    def f1(pages: np.ndarray, axis: int) -> np.ndarray:
        return _mean_f1(counts[None], pages, axis)

    estimate, draws = _bootstrap(f1, len(counts), resamples, np.random.default_rng(seed))
    return _percentiles(estimate, draws, (0.0, 1.0), confidence)


def t_interval(values: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """The mean of what several seeds gave, with Student's t interval.

    Args:
        values: one a seed; for two systems, the differences of the pairs with the same seed.
        confidence: the interval's level.

    Returns:
        The interval. One value says nothing about the spread: it is then unbounded.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("expected at least one value")
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return Interval(mean, -math.inf, math.inf)
    error = float(np.std(values, ddof=1)) / math.sqrt(count)
    margin = error * float(stats.t.ppf((1 + confidence) / 2, count - 1))
    return Interval(mean, mean - margin, mean + margin)


def _bootstrap(
    statistic: Callable[..., np.ndarray],
    pages: int,
    resamples: int,
    generator: np.random.Generator,
) -> tuple[float, np.ndarray]:
    """A statistic of page numbers on all pages and on draws of them; NaN where none are drawn."""
    numbers = np.arange(pages)
    estimate = float(statistic(numbers, axis=-1))
    if pages < 2:
        return estimate, np.full(resamples, np.nan)
    result = stats.bootstrap(
        (numbers,),
        statistic,
        n_resamples=resamples,
        batch=max(1, _ELEMENTS_AT_ONCE // pages),
        vectorized=True,
        method="percentile",
        random_state=generator,
    )
    return estimate, result.bootstrap_distribution


def _percentiles(
    estimate: float, draws: np.ndarray, uninformative: tuple[float, float], confidence: float
) -> Interval:
    if np.isnan(draws).any():
        return Interval(estimate, *uninformative)
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(estimate, float(low), float(high))


def _mean_f1(runs: np.ndarray, pages: np.ndarray, axis: int) -> np.ndarray:
    """The mean over runs of the micro-F1 on some pages, for one draw or many.

    Args:
        runs: counts, shape (runs, all pages, 3).
        pages: numbers of pages, shape (…, pages).
        axis: that of the pages, the last.
    """
    f1s = []
    for counts in runs:
        true_positives, predicted, gold = counts.T[:, pages].sum(axis)
        # No value at all is an F1 of 0, as in the score.
        f1s.append(2 * true_positives / np.maximum(predicted + gold, 1))
    return np.mean(f1s, axis=0)
