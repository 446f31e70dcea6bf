"""Paired comparisons over folds and over texts, as the part-of-speech auxiliary paper's (§4.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from scipy import optimize, stats

from coteach.evaluation.significance import Interval, t_interval

__all__ = ["ALPHA", "POWER", "PairedTest", "detectable_difference", "holm", "mean_interval"]

ALPHA = 0.05
"""The paper's level of significance."""
POWER = 0.8
_RESAMPLES = 2_000
_ELEMENTS_AT_ONCE = 4_000_000  # draws held in memory at a time


@dataclass(frozen=True)
class PairedTest:
    """The paired t test of two systems over common folds and seeds.

    Attributes:
        difference: the mean difference with its 95 % t interval, fractions of 1.
        greater: p that the first is not better, one-sided, as in the paper.
        two_sided: p that the two are alike.
        detectable: :func:`detectable_difference` of these pairs.
    """

    difference: Interval
    greater: float
    two_sided: float
    detectable: float

    @classmethod
    def of(cls, first: Sequence[float], second: Sequence[float]) -> PairedTest | None:
        """The test of two systems' scores, pair by pair.

        Returns:
            The test; None where there are fewer than two pairs, or all differences are the same,
            which leaves no spread to test against.
        """
        differences = [one - other for one, other in zip(first, second, strict=True)]
        # Equal differences may differ in their last bits.
        if len(differences) < 2 or np.ptp(differences) < 1e-12:
            return None
        greater = stats.ttest_rel(first, second, alternative="greater").pvalue
        deviation = float(np.std(differences, ddof=1))
        return cls(
            t_interval(differences),
            float(greater),
            float(stats.ttest_rel(first, second).pvalue),
            detectable_difference(deviation, len(differences)),
        )


def detectable_difference(deviation: float, pairs: int) -> float:
    """The smallest true mean difference that a one-sided paired t test would find.

    "Find": p < 0.05 with a probability of 0.8, by the noncentral t distribution.

    Args:
        deviation: the standard deviation of the differences.
        pairs: how many there are, at least 2.
    """
    critical = stats.t.ppf(1 - ALPHA, pairs - 1)

    def excess(noncentrality: float) -> float:
        return float(stats.nct.sf(critical, pairs - 1, noncentrality)) - POWER

    upper = 2.0
    while excess(upper) < 0:
        upper *= 2
    return float(optimize.brentq(excess, 0.0, upper)) * deviation / math.sqrt(pairs)


def holm(ps: Sequence[float]) -> list[float]:
    """p values corrected for how many there are (Holm 1979), in their order."""
    adjusted = [0.0] * len(ps)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = highest
    return adjusted


def mean_interval(values: Sequence[float]) -> Interval | None:
    """The mean of a value a text with its 95 % percentile bootstrap interval; None for one text."""
    if len(values) < 2:
        return None
    result = stats.bootstrap(
        (np.asarray(values, dtype=float),),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=max(1, _ELEMENTS_AT_ONCE // len(values)),
        vectorized=True,
        method="percentile",
        random_state=np.random.default_rng(0),
    )
    low, high = result.confidence_interval
    return Interval(fmean(values), float(low), float(high))
