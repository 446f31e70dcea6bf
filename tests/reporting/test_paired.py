from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from coteach.evaluation.significance import Interval
from coteach.reporting.paired import PairedTest, detectable_difference, holm, mean_interval


def test_a_test_by_hand() -> None:
    """Differences 1, 2, 3: mean 2, s.d. 1, t = 2 √3 with 2 degrees of freedom.

    There P(T > t) is (1 − t / √(t² + 2)) / 2 = (1 − √(6/7)) / 2.
    """
    test = PairedTest.of([0.03, 0.05, 0.07], [0.02, 0.03, 0.04])
    assert test is not None
    one_sided = (1 - math.sqrt(6 / 7)) / 2
    assert test.greater == pytest.approx(one_sided)
    assert test.two_sided == pytest.approx(2 * one_sided)
    margin = 4.302653 * 0.01 / math.sqrt(3)  # the 97.5 % point of t with 2 degrees of freedom
    assert test.difference.estimate == pytest.approx(0.02)
    assert (test.difference.low, test.difference.high) == pytest.approx(
        (0.02 - margin, 0.02 + margin)
    )
    other = PairedTest.of([0.02, 0.03, 0.04], [0.03, 0.05, 0.07])
    assert other is not None
    assert other.greater == pytest.approx(1 - one_sided)
    assert other.two_sided == pytest.approx(2 * one_sided)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([], []),
        ([0.5], [0.4]),
        ([0.5, 0.5], [0.5, 0.5]),
        ([0.81, 0.83, 0.1], [0.79, 0.81, 0.08]),  # equal, but not in their last bits
    ],
)
def test_without_spread_there_is_no_test(first: list[float], second: list[float]) -> None:
    assert PairedTest.of(first, second) is None


@pytest.mark.parametrize("pairs", [2, 3, 10, 30])
def test_the_detectable_difference_has_its_power(pairs: int) -> None:
    """The power from the definition: T > c where Z + δ√n/s > c √(χ²/k), over all χ²."""
    degrees = pairs - 1
    critical = stats.t.ppf(0.95, degrees)
    shift = detectable_difference(0.5, pairs) * math.sqrt(pairs) / 0.5

    def found(chi: float) -> float:
        return float(
            stats.norm.sf(critical * chi / math.sqrt(degrees) - shift) * stats.chi.pdf(chi, degrees)
        )

    power, _ = integrate.quad(found, 0, math.inf)
    assert power == pytest.approx(0.8, abs=1e-6)


def test_the_detectable_difference_shrinks_with_the_pairs() -> None:
    assert detectable_difference(0.02, 40) < detectable_difference(0.02, 10)
    assert detectable_difference(0.04, 10) == pytest.approx(2 * detectable_difference(0.02, 10))
    # With many pairs the normal distribution's: (1.645 + 0.842) s / √n.
    expected = (stats.norm.ppf(0.95) + stats.norm.ppf(0.8)) / math.sqrt(1000)
    assert detectable_difference(1.0, 1000) == pytest.approx(expected, rel=0.01)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_what_the_step_down_procedure_does(ps: list[float], alpha: float) -> None:
    rejected = 0
    for rank, p in enumerate(sorted(ps)):
        if p * (len(ps) - rank) > alpha:
            break
        rejected += 1
    assert sum(p <= alpha for p in holm(ps)) == rejected


def test_texts_are_drawn_with_replacement() -> None:
    values = [1.0] * 30 + [0.0] * 60 + [-1.0] * 10
    interval = mean_interval(values)
    assert interval is not None
    dice = np.random.default_rng(1)
    means = dice.choice(values, (20_000, 100)).mean(axis=1)
    assert interval.estimate == pytest.approx(0.2)
    assert interval.low == pytest.approx(np.quantile(means, 0.025), abs=0.012)
    assert interval.high == pytest.approx(np.quantile(means, 0.975), abs=0.012)
    assert mean_interval(values) == interval


@pytest.mark.filterwarnings("error")
def test_intervals_of_little() -> None:
    assert mean_interval([1.0]) is None
    assert mean_interval([0.0, 0.0, 0.0]) == Interval(0.0, 0.0, 0.0)
