"""Tables 1 and 2 of the co-teaching paper, and the same over a category's attributes.

F1 is micro-averaged within a category and macro-averaged over categories, as in the paper.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from coteach.evaluation.shinra import Counts
from coteach.reporting.observations import GOLD_ONLY, SELF_TEACHING, Observation

__all__ = [
    "BEST_TEAM",
    "BEST_TEAM_BY_ATTRIBUTE",
    "MACRO",
    "Cell",
    "Column",
    "Table",
    "attribute_f1s",
    "attribute_table",
    "category_f1s",
    "category_table",
    "group_table",
    "systems",
    "with_p",
]

BEST_TEAM = "best team"
"""The team with the highest F1 on what is scored: an oracle, picked on the very pages."""
BEST_TEAM_BY_ATTRIBUTE = "best team per attribute"
"""An oracle again: for each attribute the values of the team that is best at it."""
MACRO = "macro-average"
"""The row of the mean over the other rows."""

Cell = str | int | float | None
Form = Literal["text", "count", "share", "difference", "number"]


@dataclass(frozen=True)
class Column:
    """A column: its heading, and how its values are shown.

    Shares and differences are fractions of 1, shown in percent; a number is shown as it is.
    """

    name: str
    form: Form = "share"


@dataclass(frozen=True)
class Table:
    """Rows of cells, None where there is no value.

    Attributes:
        name: of its files.
        title: one line.
        columns: the first says what a row is.
        rows: as many cells a row as there are columns.
        notes: what a reader must know, a sentence or two each.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


def group_table(
    observations: Sequence[Observation], groups: Mapping[str, Sequence[str]] | None = None
) -> Table:
    """Table 1: F1 of groups of categories (the shared task's sub-tasks), and of all of them.

    Args:
        observations: everybody who was scored.
        groups: group → categories. None: only the row of all categories.
    """
    f1s = category_f1s(observations)
    members = {**(groups or {}), "all": list(f1s)}
    return _score_table(
        "table1",
        "F1 (%) by group: macro-average over categories, micro-average within each",
        "group",
        {group: _macro([f1s[category] for category in names]) for group, names in members.items()},
        observations,
        ("A system that was not scored on every category of a group has no value there.",),
    )


def category_table(observations: Sequence[Observation]) -> Table:
    """Table 2: F1 of every category, and the mean over those."""
    f1s = category_f1s(observations)
    return _score_table(
        "table2",
        "F1 (%) by category: micro-average within each",
        "category",
        {**f1s, MACRO: _macro(list(f1s.values()))},
        observations,
    )


def attribute_table(observations: Sequence[Observation], category: str) -> Table:
    """F1 of a category's attributes; in a task of one category they play the categories' part."""
    seen = [it for it in observations if it.category == category]
    f1s = attribute_f1s(seen)
    micro = category_f1s(seen)[category]
    notes: tuple[str, ...] = ()
    if BEST_TEAM in micro:
        micro[BEST_TEAM] = micro.pop(BEST_TEAM_BY_ATTRIBUTE)  # as in the rows above
        notes = (
            f"The {BEST_TEAM} is that of each attribute; its micro-average pools their values.",
        )
    return _score_table(
        f"attributes_{category}",
        f"F1 (%) by attribute of {category}",
        "attribute",
        {**f1s, MACRO: _macro(list(f1s.values())), "micro-average": micro},
        seen,
        notes,
    )


def category_f1s(observations: Sequence[Observation]) -> dict[str, dict[str, float]]:
    """category → system → micro-F1: of students with p, of trained systems the mean over seeds.

    Where there are teams, the best of them and the best by attribute are two systems more.
    """
    result = {}
    for category in dict.fromkeys(it.category for it in observations):
        seen = [it for it in observations if it.category == category]
        result[category] = _means((it.system, it.f1) for it in with_p(seen))
        teams = [it for it in seen if it.kind == "team"]
        if teams:
            result[category][BEST_TEAM] = max(team.f1 for team in teams)
            best = [
                max((team.attributes[attribute] for team in teams), key=lambda counts: counts.f1)
                for attribute in teams[0].attributes
            ]
            result[category][BEST_TEAM_BY_ATTRIBUTE] = Counts(
                sum(counts.true_positives for counts in best),
                sum(counts.predicted for counts in best),
                sum(counts.gold for counts in best),
            ).f1
    return result


def attribute_f1s(observations: Sequence[Observation]) -> dict[str, dict[str, float]]:
    """attribute → system → F1 as in :func:`category_f1s`; the observations are of one category."""
    result = {}
    for attribute in observations[0].attributes:
        scored = [(it, it.attributes[attribute].f1) for it in with_p(observations)]
        result[attribute] = _means((it.system, f1) for it, f1 in scored)
        teams = [f1 for it, f1 in scored if it.kind == "team"]
        if teams:
            result[attribute][BEST_TEAM] = max(teams)
    return result


def with_p(observations: Sequence[Observation]) -> list[Observation]:
    """Without what students find by p_out or p_mean alone: the paper's figures are those of p."""
    return [it for it in observations if it.probability in (None, "p")]


def systems(observations: Sequence[Observation]) -> list[str]:
    """Everybody, in the tables' order: teams, the best of them, votes, paper's baselines, students.

    Votes stand as they were given, the others are sorted.
    """

    def rank(seen: Observation) -> tuple[int, str, int]:
        if seen.kind == "team":
            return 0, seen.system, 0
        if seen.seed is None:
            return 1, "", 0
        return 2 if seen.kind == "baseline" else 3, seen.sweep, seen.training_pages

    ordered = sorted(observations, key=rank)
    teams = [it.system for it in ordered if it.kind == "team"]
    oracles = [BEST_TEAM, BEST_TEAM_BY_ATTRIBUTE] if teams else []
    others = [it.system for it in ordered if it.kind != "team"]
    return list(dict.fromkeys([*teams, *oracles, *others]))


def _means(scored: Iterable[tuple[str, float]]) -> dict[str, float]:
    """system → mean of its scores."""
    values = defaultdict(list)
    for system, f1 in scored:
        values[system].append(f1)
    return {system: fmean(f1s) for system, f1s in values.items()}


def _macro(units: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean over units, for the systems that have a value in all of them."""
    everywhere = [system for system in units[0] if all(system in unit for unit in units)]
    return {system: fmean(unit[system] for unit in units) for system in everywhere}


def _score_table(
    name: str,
    title: str,
    unit: str,
    f1s: Mapping[str, Mapping[str, float]],
    observations: Sequence[Observation],
    notes: tuple[str, ...] = (),
) -> Table:
    columns = [
        system for system in systems(observations) if any(system in row for row in f1s.values())
    ]
    if BEST_TEAM in columns:
        notes += (f"The {BEST_TEAM} is an oracle: it is picked on the very pages that are scored.",)
    explained = {GOLD_ONLY: '"BERT" (gold alone)', SELF_TEACHING: "自己教育 (self-teaching)"}
    notes += tuple(
        f"{system} is the paper's {meaning}."
        for system, meaning in explained.items()
        if system in columns
    )
    seeds = {it.seed for it in observations if it.seed is not None}
    if len(seeds) > 1:
        notes += ("Of systems trained with several seeds, the mean; see the table of seeds.",)
    return Table(
        name,
        title,
        (Column(unit, "text"), *map(Column, columns)),
        tuple((label, *map(row.get, columns)) for label, row in f1s.items()),
        notes,
    )
