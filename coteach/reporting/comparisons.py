"""How sure the differences are: over seeds by t intervals, over pages by the paired bootstrap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from statistics import fmean, stdev

import numpy as np

from coteach.evaluation.significance import Interval, macro_f1_difference, t_interval
from coteach.reporting.observations import Observation
from coteach.reporting.tables import BEST_TEAM, MACRO, Cell, Column, Table, systems, with_p

__all__ = ["UNDECIDED", "comparison_table", "seed_table", "verdict"]

UNDECIDED = "too small to decide"
"""What is said of a difference whose interval contains 0."""


def seed_table(observations: Sequence[Observation]) -> Table:
    """Mean, standard deviation and 95 % t interval over seeds of everything that was trained."""
    trained = [it for it in observations if it.seed is not None]
    rows: list[tuple[Cell, ...]] = []
    for system in systems(trained):
        mine = [it for it in trained if it.system == system]
        for probability in dict.fromkeys(it.probability for it in mine):
            seen = [it for it in mine if it.probability == probability]
            for place in _places(observations):
                f1s = place.f1s(seen)
                if not f1s:
                    continue
                seeds = ", ".join(map(str, f1s))
                mean = t_interval(list(f1s.values()))
                spread: tuple[Cell, ...] = (None, None, None)
                if len(f1s) > 1:
                    spread = (stdev(f1s.values()), mean.low, mean.high)
                rows.append((system, probability, place.name, seeds, mean.estimate, *spread))
    columns = (
        *(Column(name, "text") for name in ("system", "probability", "category", "seeds")),
        *map(Column, ("mean F1", "standard deviation", "low", "high")),
    )
    note = "low, high: 95 % t interval of the mean. One seed says nothing about the spread."
    return Table("seeds", "F1 (%) over seeds", columns, tuple(rows), (note,))


def comparison_table(observations: Sequence[Observation]) -> Table:
    """Differences of F1 between what was trained, and to the best team and the baselines.

    Every difference has two intervals: over pages (paired bootstrap, the runs as they are) and,
    from two common seeds on, over seeds (paired t). A system counts with probability p.
    """
    others = [it for it in with_p(observations) if it.kind != "team"]
    shown = [*_best_teams(observations), *others]
    by_name: dict[str, list[Observation]] = defaultdict(list)
    for seen in shown:
        by_name[seen.system].append(seen)
    trained = [name for name in systems(shown) if by_name[name][0].seed is not None]
    fixed = [name for name in by_name if name not in trained]
    pairs = [(later, earlier) for earlier, later in combinations(trained, 2)]
    rows = [
        (system, other, *cells)
        for system, other in [*pairs, *product(reversed(trained), fixed)]
        for place in _places(observations)
        if (cells := _compare(by_name[system], by_name[other], place))
    ]
    columns = (
        *(Column(name, "text") for name in ("system", "minus", "category", "seeds")),
        *(Column(name, "difference") for name in ("difference", "pages: low", "pages: high")),
        Column("over pages", "text"),
        *(Column(name, "difference") for name in ("seeds: low", "seeds: high")),
        Column("over seeds", "text"),
    )
    notes = (
        "Difference: of the mean F1 over seeds. pages: 95 % paired bootstrap over pages (2,000 "
        "draws), for these very runs. seeds: 95 % paired t interval over the seeds that both have; "
        "none with fewer than two.",
        f"{UNDECIDED!r}: the interval contains 0. Intervals are not corrected for how many there "
        f"are. The {BEST_TEAM} is an oracle, picked on these pages.",
    )
    return Table("comparisons", "Differences of F1 (points)", columns, tuple(rows), notes)


@dataclass(frozen=True)
class _Place:
    """One category, or all of them with the mean over them."""

    name: str
    categories: tuple[str, ...]

    def f1s(self, observations: Sequence[Observation]) -> dict[int | None, float]:
        """seed → mean over the categories of a system's F1, for seeds that all of them have."""
        by_category = [
            {it.seed: it.f1 for it in observations if it.category == category}
            for category in self.categories
        ]
        return {
            seed: fmean(f1s[seed] for f1s in by_category)
            for seed in by_category[0]
            if all(seed in f1s for f1s in by_category)
        }

    def counts(
        self, observations: Sequence[Observation], seeds: Collection[int | None]
    ) -> list[np.ndarray]:
        """For each category, the counts of a system's runs, shape (runs, pages, 3)."""
        return [
            np.stack(
                [it.counts for it in observations if it.category == category and it.seed in seeds]
            )
            for category in self.categories
        ]


def _places(observations: Sequence[Observation]) -> list[_Place]:
    categories = tuple(dict.fromkeys(it.category for it in observations))
    places = [_Place(category, (category,)) for category in categories]
    return places if len(places) == 1 else [*places, _Place(MACRO, categories)]


def _compare(
    system: Sequence[Observation], other: Sequence[Observation], place: _Place
) -> tuple[Cell, ...] | None:
    """The cells of a comparison; None where one of the two was not scored there."""
    f1s, other_f1s = place.f1s(system), place.f1s(other)
    if not f1s or not other_f1s:
        return None
    fixed = None in other_f1s
    common = [seed for seed in f1s if fixed or seed in other_f1s]
    if common and not fixed:
        f1s, other_f1s = ({seed: them[seed] for seed in common} for them in (f1s, other_f1s))
    pages = macro_f1_difference(place.counts(system, f1s), place.counts(other, other_f1s))
    differences = [f1s[seed] - other_f1s[None if fixed else seed] for seed in common]
    seeds = t_interval(differences) if len(differences) > 1 else None
    own, others = (", ".join(map(str, them)) for them in (f1s, other_f1s))
    return (
        place.name,
        own if common else f"{own} / {others}",
        *(pages.estimate, pages.low, pages.high, verdict(pages)),
        *((seeds.low, seeds.high, verdict(seeds)) if seeds else (None, None, None)),
    )


def _best_teams(observations: Sequence[Observation]) -> list[Observation]:
    """The best team of each category, under one name."""
    teams: dict[str, list[Observation]] = defaultdict(list)
    for seen in observations:
        if seen.kind == "team":
            teams[seen.category].append(seen)
    best = [max(group, key=lambda it: it.f1) for group in teams.values()]
    return [replace(team, system=BEST_TEAM, kind="baseline") for team in best]


def verdict(interval: Interval) -> str:
    """What an interval of a difference says, in words."""
    if not interval.excludes_zero:
        return UNDECIDED
    return "higher" if interval.low > 0 else "lower"
