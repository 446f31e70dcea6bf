"""What the co-teaching paper's Figures 2 and 3 show, as points, correlations and tables."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from statistics import fmean, stdev

import numpy as np
from scipy import stats

from coteach.reporting.observations import Observation
from coteach.reporting.tables import (
    BEST_TEAM,
    Column,
    Table,
    attribute_f1s,
    category_f1s,
    systems,
)

__all__ = [
    "Correlation",
    "Lead",
    "Sweep",
    "SweepPoint",
    "correlation",
    "lead_table",
    "leads",
    "sweep_table",
    "sweeps",
]

_ENOUGH = 3  # points, below which there is no correlation


@dataclass(frozen=True)
class Lead:
    """A point of Figure 2, of a category or an attribute.

    Attributes:
        unit: its name.
        f1: the student's F1.
        best: the best team's F1.
        second: the second-best team's.
    """

    unit: str
    f1: float
    best: float
    second: float

    @property
    def lead(self) -> float:
        """By how much the best team leads: Figure 2's horizontal axis."""
        return self.best - self.second

    @property
    def gain(self) -> float:
        """What the student gains on the best team: Figure 2's vertical axis."""
        return self.f1 - self.best


@dataclass(frozen=True)
class Correlation:
    """Two t tests, both two-sided, over the points of a student.

    Attributes:
        count: points.
        r: Pearson's correlation of lead and gain.
        r_t: its t statistic, r · √((count − 2) / (1 − r²)).
        r_p: its p value with count − 2 degrees of freedom, as in the paper.
        gain: the mean gain.
        gain_t: its t statistic (student and best team, paired).
        gain_p: its p value with count − 1 degrees of freedom.
    """

    count: int
    r: float
    r_t: float
    r_p: float
    gain: float
    gain_t: float
    gain_p: float


@dataclass(frozen=True)
class SweepPoint:
    """F1 of a student that learnt from so many pages, over seeds.

    Attributes:
        training_pages: the pages.
        f1s: one a seed.
    """

    training_pages: int
    f1s: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over seeds."""
        return fmean(self.f1s)

    @property
    def spread(self) -> float | None:
        """The standard deviation over seeds; None with one seed."""
        return stdev(self.f1s) if len(self.f1s) > 1 else None


@dataclass(frozen=True)
class Sweep:
    """A panel of Figure 3: a student on a category, against its number of training pages.

    Attributes:
        student: the system, without its number of pages.
        category: the category.
        best_team: the best team's F1; None without teams.
        lines: probability → points, pages ascending.
    """

    student: str
    category: str
    best_team: float | None
    lines: dict[str, tuple[SweepPoint, ...]]


def leads(observations: Sequence[Observation]) -> dict[str, list[Lead]]:
    """Figure 2's points by student: categories or, where there are fewer than three, attributes.

    A category or attribute with fewer than two teams has no point.
    """
    by_category: dict[str, list[Observation]] = defaultdict(list)
    for seen in observations:
        by_category[seen.category].append(seen)
    if len(by_category) >= _ENOUGH:
        f1s = category_f1s(observations)
    else:
        f1s = {
            attribute if len(by_category) == 1 else f"{category}: {attribute}": row
            for category, group in by_category.items()
            for attribute, row in attribute_f1s(group).items()
        }
    teams = {it.system for it in observations if it.kind == "team"}
    students = {it.system for it in observations if it.kind == "student"}
    result: dict[str, list[Lead]] = {}
    for student in (name for name in systems(observations) if name in students):
        for unit, row in f1s.items():
            ranked = sorted((row[team] for team in teams & row.keys()), reverse=True)
            if student in row and len(ranked) > 1:
                result.setdefault(student, []).append(Lead(unit, row[student], *ranked[:2]))
    return result


def correlation(points: Sequence[Lead]) -> Correlation | None:
    """Figure 2's t tests; None where the points are too few, or do not differ."""
    lead = np.array([point.lead for point in points])
    gain = np.array([point.gain for point in points])
    if len(points) < _ENOUGH or np.ptp(lead) == 0 or np.ptp(gain) == 0:
        return None
    pearson = stats.pearsonr(lead, gain)
    paired = stats.ttest_rel([point.f1 for point in points], [point.best for point in points])
    count, r = len(points), float(pearson.statistic)
    unexplained = 1 - r * r
    return Correlation(
        count=count,
        r=r,
        r_t=r * math.sqrt((count - 2) / unexplained) if unexplained > 0 else r * math.inf,
        r_p=float(pearson.pvalue),
        gain=float(gain.mean()),
        gain_t=float(paired.statistic),
        gain_p=float(paired.pvalue),
    )


def lead_table(points: Mapping[str, Sequence[Lead]]) -> Table:
    """Figure 2's points."""
    rows = [
        (student, point.unit, point.f1, point.best, point.second, point.lead, point.gain)
        for student, group in points.items()
        for point in group
    ]
    columns = (
        Column("student", "text"),
        Column("category or attribute", "text"),
        *map(Column, ("F1", BEST_TEAM, "second-best team")),
        Column("lead of the best team", "difference"),
        Column("gain on the best team", "difference"),
    )
    note = "In the figure, points that have no room for their name go without."
    return Table("figure2", "Figure 2, its points: F1 (%)", columns, tuple(rows), (note,))


def correlation_table(points: Mapping[str, Sequence[Lead]]) -> Table:
    """Figure 2's t tests."""
    tests = {student: correlation(group) for student, group in points.items()}
    rows = [(student, *astuple(test)) for student, test in tests.items() if test is not None]
    columns = (
        Column("student", "text"),
        Column("points", "count"),
        *(Column(name, "number") for name in ("r", "t of r", "p of r")),
        Column("mean gain", "difference"),
        *(Column(name, "number") for name in ("t of the gain", "p of the gain")),
    )
    notes = (
        "r: Pearson's correlation of the best team's lead over the second with the student's gain "
        "on the best team; t = r √((n − 2) / (1 − r²)), n − 2 degrees of freedom. Gain: paired t "
        "test of student and best team over the points, n − 1 degrees of freedom. Both two-sided.",
        "The best team's F1 is in both, with opposite signs: where scores are noisy, r is below 0 "
        "even if the student does not depend on the teams.",
    )
    return Table("figure2_tests", "Figure 2, its t tests", columns, tuple(rows), notes)


def sweeps(observations: Sequence[Observation]) -> list[Sweep]:
    """Figure 3's panels: students that learnt from at least two different numbers of pages."""
    panels: dict[tuple[str, str], list[Observation]] = defaultdict(list)
    for seen in observations:
        if seen.kind == "student":
            panels[seen.sweep, seen.category].append(seen)
    return [
        _sweep(student, category, group, observations)
        for (student, category), group in panels.items()
        if len({it.training_pages for it in group}) > 1
    ]


def sweep_table(panels: Sequence[Sweep]) -> Table:
    """Figure 3's points."""
    rows = [
        (
            panel.student,
            panel.category,
            probability,
            point.training_pages,
            len(point.f1s),
            point.mean,
            point.spread,
            panel.best_team,
        )
        for panel in panels
        for probability, points in panel.lines.items()
        for point in points
    ]
    columns = (
        *(Column(name, "text") for name in ("student", "category", "probability")),
        *(Column(name, "count") for name in ("training pages", "seeds")),
        *map(Column, ("mean F1", "standard deviation", BEST_TEAM)),
    )
    note = "In the figure, bars are a standard deviation over seeds to either side."
    return Table("figure3", "Figure 3, its points: F1 (%)", columns, tuple(rows), (note,))


def _sweep(
    student: str,
    category: str,
    group: Sequence[Observation],
    observations: Sequence[Observation],
) -> Sweep:
    f1s: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for seen in group:
        f1s[seen.probability or "p"][seen.training_pages].append(seen.f1)
    teams = [it.f1 for it in observations if it.kind == "team" and it.category == category]
    return Sweep(
        student,
        category,
        max(teams, default=None),
        {
            probability: tuple(SweepPoint(count, tuple(line[count])) for count in sorted(line))
            for probability, line in f1s.items()
        },
    )
