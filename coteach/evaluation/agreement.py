"""How far two models find the same tokens important, text by text, and whether a model's own
importance says what it looks at.

All figures are of the tokens that are compared, whichever these are: the caller leaves special
tokens out or keeps them.

Tokens are ranked by score, highest first; of equal scores the earlier token comes first, so that
sets of top tokens are always the same ones. The rank correlations treat equal scores as ties.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats

from coteach.errors import InputError
from coteach.losses.importance import ImportanceJaccard, Normalisation, distribution
from coteach.losses.importance import soft_jaccard as _soft_jaccard

__all__ = [
    "Comparison",
    "Deletions",
    "by_chance",
    "deletions",
    "kendall",
    "mean_figures",
    "ranking",
    "share",
    "soft_jaccard",
    "spearman",
    "top_jaccard",
]

_ROUNDING = 1e-9  # of percentages: 10 % of 30 tokens are 3


@dataclass(frozen=True)
class Comparison:
    """Which figures of agreement there are."""

    tokens: tuple[int, ...] = (3, 5)
    """The k of "Jaccard top k": sets of so many tokens. A text of no more than k tokens has 1,
    whatever the scores."""
    percent: tuple[float, ...] = (10.0, 20.0, 50.0)
    """The same in percent of a text's tokens, rounded up."""
    temperature: float = ImportanceJaccard.temperature
    """τ of "soft Jaccard", by which scores are divided before the softmax; the loss's own."""
    normalisation: Normalisation = "none"
    """What a text's scores are divided by before that, as in the loss."""

    def __post_init__(self) -> None:
        for count in self.tokens:
            if count < 1:
                raise InputError(f"top_tokens: expected at least 1, got {count}")
        for percent in self.percent:
            if not 0 < percent <= 100:
                raise InputError(f"top_percent: expected a number in (0, 100], got {percent:g}")
        if not 0 < self.temperature < math.inf:
            raise InputError(f"temperature: expected a positive number, got {self.temperature:g}")

    @property
    def names(self) -> tuple[str, ...]:
        """What the figures are called, in their order."""
        return (
            "top-1 match",
            *(f"Jaccard top {count}" for count in self.tokens),
            *(f"Jaccard top {percent:g} %" for percent in self.percent),
            "soft Jaccard",
            "Spearman",
            "Kendall",
        )

    def __call__(self, first: np.ndarray, second: np.ndarray) -> dict[str, float]:
        """The figures of one text, by name; NaN where there is nothing to compare.

        Args:
            first: scores of the text's tokens, shape (tokens,).
            second: another model's scores of the same tokens.

        Returns:
            Jaccards and the match in [0, 1], correlations in [-1, 1]. A text without tokens has
            no figure, one of a single token no correlation. Scores that are all the same order
            nothing: their correlation is 0, so that empty attributions are not left out.

        Raises:
            ValueError: the two are not scores of the same tokens, or a score is no number.
        """
        if first.shape != second.shape or first.ndim != 1:
            raise ValueError(
                f"expected scores of the same tokens, got {first.shape} and {second.shape}"
            )
        if not (np.isfinite(first).all() and np.isfinite(second).all()):
            raise ValueError("expected scores that are numbers, got inf or NaN")
        size = len(first)
        if not size:
            return dict.fromkeys(self.names, math.nan)
        counts = (1, *self.tokens, *(share(size, percent) for percent in self.percent))
        orders = ranking(first), ranking(second)
        values = (
            *(_jaccard(*(order[:count] for order in orders)) for count in counts),
            soft_jaccard(first, second, self.temperature, self.normalisation),
            spearman(first, second),
            kendall(first, second),
        )
        return dict(zip(self.names, values, strict=True))


def ranking(scores: np.ndarray) -> np.ndarray:
    """The places of the tokens, the highest score first, of equal scores the earlier token."""
    return np.argsort(-scores, kind="stable")


def share(size: int, percent: float) -> int:
    """How many of ``size`` tokens a percentage is, rounded up; 0 of none."""
    return math.ceil(percent * size / 100 - _ROUNDING)


def top_jaccard(first: np.ndarray, second: np.ndarray, count: int) -> float:
    """|A ∩ B| / |A ∪ B| of the sets of ``count`` top tokens (importance-transfer thesis, §4.1)."""
    return _jaccard(ranking(first)[:count], ranking(second)[:count])


def soft_jaccard(
    first: np.ndarray,
    second: np.ndarray,
    temperature: float,
    normalisation: Normalisation = "none",
) -> float:
    """The soft Jaccard of two texts' importance distributions (importance-transfer thesis, eq.
    3.6), in float64."""
    scores = torch.from_numpy(np.stack([first, second]).astype(np.float64))
    mask = torch.ones_like(scores, dtype=torch.bool)
    p, q = distribution(scores, mask, temperature, normalisation)
    return float(_soft_jaccard(p[None], q[None]))


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's ρ; equal scores share the mean of their ranks. NaN of one token, 0 of scores
    that are all the same."""
    return _correlation(stats.spearmanr, first, second)


def kendall(first: np.ndarray, second: np.ndarray) -> float:
    """Kendall's τ-b, which allows for equal scores. NaN of one token, 0 of scores that are all
    the same."""
    return _correlation(stats.kendalltau, first, second)


def by_chance(
    comparison: Comparison,
    first: np.ndarray,
    second: np.ndarray,
    generator: np.random.Generator,
    draws: int = 10,
) -> dict[str, float]:
    """The floor: the mean figures of a text when ``first`` is shuffled among its tokens.

    Args:
        comparison: which figures.
        first: the scores that are shuffled, those of the teacher.
        second: the other model's.
        generator: of the shuffles.
        draws: how many there are.
    """
    return mean_figures(comparison(generator.permutation(first), second) for _ in range(draws))


def mean_figures(figures: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The mean of every figure over several runs or draws; NaN where any is NaN."""
    rows = list(figures)
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


@dataclass(frozen=True)
class Deletions:
    """Tokens to delete from a text, so that one sees whether its important tokens matter.

    Each is a list of sets of places; of ``top`` and ``bottom`` one set for every percentage, of
    ``random`` several.
    """

    top: list[np.ndarray]
    random: list[np.ndarray]
    bottom: list[np.ndarray]

    def __iter__(self) -> Iterator[tuple[str, list[np.ndarray]]]:
        return iter((("top", self.top), ("random", self.random), ("bottom", self.bottom)))


def deletions(
    scores: np.ndarray,
    places: Sequence[int] | np.ndarray,
    percent: Sequence[float],
    generator: np.random.Generator,
    draws: int = 5,
) -> Deletions:
    """The most important tokens, as many at random, and the least important ones.

    The fall of a probability without the top tokens is the comprehensiveness of DeYoung et al.
    2020 (ERASER, §4); over several percentages its mean is their area over the perturbation curve.

    Args:
        scores: of the text's tokens, shape (tokens,).
        places: tokens that may be deleted, those that are not special.
        percent: of these tokens, rounded up.
        generator: of what is random.
        draws: random sets for every percentage.
    """
    allowed = np.asarray(places, dtype=np.int64)
    ranked = allowed[ranking(scores[allowed])]
    counts = [share(len(ranked), it) for it in percent]
    return Deletions(
        top=[ranked[:count] for count in counts],
        random=[
            np.sort(generator.choice(allowed, count, replace=False))
            for count in counts
            for _ in range(draws)
        ],
        bottom=[ranked[len(ranked) - count :] for count in counts],
    )


def _jaccard(first: np.ndarray, second: np.ndarray) -> float:
    common = len(np.intersect1d(first, second, assume_unique=True))
    return common / (len(first) + len(second) - common)


def _correlation(method: object, first: np.ndarray, second: np.ndarray) -> float:
    if len(first) < 2:
        return math.nan
    if not np.ptp(first) or not np.ptp(second):
        return 0.0
    return float(method(first, second).statistic)  # type: ignore[operator]
