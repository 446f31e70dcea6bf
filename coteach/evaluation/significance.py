"""How sure a score is: percentile bootstrap over pages, paired where two systems are compared.

Values of one page are not independent, so whole pages are drawn; both systems are scored on the
same draws (Berg-Kirkpatrick et al., EMNLP 2012; Efron and Tibshirani 1993, chapter 13).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

__all__ = ["Interval", "f1_difference", "f1_interval"]

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
    if counts.shape != baseline.shape or not np.array_equal(counts[:, 2], baseline[:, 2]):
        raise ValueError("expected counts of the same pages against the same gold")

    def difference(
        tp: np.ndarray,
        predicted: np.ndarray,
        gold: np.ndarray,
        other_tp: np.ndarray,
        other_predicted: np.ndarray,
        axis: int,
    ) -> np.ndarray:
        return _f1(tp, predicted, gold, axis) - _f1(other_tp, other_predicted, gold, axis)

    columns = (*counts.T, baseline[:, 0], baseline[:, 1])
    return _bootstrap(difference, columns, (-1.0, 1.0), resamples, confidence, seed)


def f1_interval(
    counts: np.ndarray, *, resamples: int = _RESAMPLES, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """One system's micro-F1; arguments as in :func:`f1_difference`.

    With fewer than two pages the interval is all of [0, 1].
    """
    return _bootstrap(_f1, tuple(counts.T), (0.0, 1.0), resamples, confidence, seed)


def _bootstrap(
    statistic: Callable[..., np.ndarray],
    columns: tuple[np.ndarray, ...],
    uninformative: tuple[float, float],
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval:
    estimate = float(statistic(*columns, axis=-1))
    pages = len(columns[0])
    if pages < 2:
        return Interval(estimate, *uninformative)
    bounds = stats.bootstrap(
        columns,
        statistic,
        n_resamples=resamples,
        batch=max(1, _ELEMENTS_AT_ONCE // pages),
        vectorized=True,
        paired=True,
        confidence_level=confidence,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(estimate, float(bounds.low), float(bounds.high))


def _f1(
    true_positives: np.ndarray, predicted: np.ndarray, gold: np.ndarray, axis: int
) -> np.ndarray:
    values = predicted.sum(axis) + gold.sum(axis)
    # No value at all is an F1 of 0, as in the score.
    return 2 * true_positives.sum(axis) / np.maximum(values, 1)
