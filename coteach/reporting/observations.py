"""Who was scored: teams, baselines and students under the names that tables show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from coteach.errors import InputError
from coteach.evaluation.scoreboard import Kind
from coteach.evaluation.shinra import Counts
from coteach.reporting.runs import Run

__all__ = [
    "GOLD_ONLY",
    "NOT_THE_RECIPE",
    "SELF_TEACHING",
    "Observation",
    "differing",
    "observe",
    "setting_name",
]

GOLD_ONLY = "gold_only"
"""The recipe, and the baseline within a run, that is the paper's "BERT"."""
SELF_TEACHING = "self_teaching"
"""The recipe that is the paper's 自己教育: its one "team" is a student of its own."""

# What may differ between runs of one recipe, and does not change what is learnt.
NOT_THE_RECIPE = (
    *("type", "name", "seed", "processes", "cache", "baselines"),
    "selection.checkpoint_every",
)


@dataclass(frozen=True)
class Observation:
    """One system scored on one category.

    Attributes:
        system: the name that tables show. A student has that of its recipe and, where runs of
            the same name differ in more than the seed, what they differ in.
        kind: a team, a baseline (``gold_only`` and ``self_teaching`` are two) or a student.
        probability: what decided (p, p_out or p_mean); None where there is no choice.
        category: the category.
        seed: of the run that trained it; None where nothing was trained.
        training_pages: pages that it, or the student of its run, learnt from.
        sweep: the system's name without the number of training pages.
        counts: shape (pages, 3): true positives, predicted and gold of each page.
        attributes: attribute → counts over all pages.
    """

    system: str
    kind: Kind
    probability: str | None
    category: str
    seed: int | None
    training_pages: int
    sweep: str
    counts: np.ndarray
    attributes: Mapping[str, Counts]

    @property
    def f1(self) -> float:
        """Micro-averaged over all pages."""
        return Counts(*map(int, self.counts.sum(0))).f1


def observe(runs: Sequence[Run]) -> list[Observation]:
    """Everybody who was scored, once for each category and, where trained, for each seed.

    Teams and baselines are taken from the first run that has them, the ``gold_only`` of a run of
    its own before that within another run.

    Raises:
        InputError: two runs are the same recipe on the same category with the same seed, or a
            recipe has the name of a team.
    """
    named = _names(runs)
    result: dict[tuple[str, str | None, str, int | None], Observation] = {}
    trained_by: dict[tuple[str, str, int], Run] = {}
    for run, (system, sweep) in zip(runs, named, strict=True):
        same = trained_by.setdefault((system, run.category, run.seed), run)
        if same is not run:
            raise InputError(
                f"{run.folder} and {same.folder} are the same recipe with the same seed "
                f"({run.seed}) on {run.category!r}; expected one of them"
            )
        for seen in _of_student(run, system, sweep):
            result[seen.system, seen.probability, seen.category, seen.seed] = seen
    for run in runs:
        for seen in _of_others(run):
            result.setdefault((seen.system, seen.probability, seen.category, seen.seed), seen)
    teams = {seen.system for seen in result.values() if seen.kind == "team"}
    for system, _ in named:
        if system in teams:
            raise InputError(
                f"{system!r} is the name of a team and of a recipe; expected different names "
                "(a run has another one with --name)"
            )
    return list(result.values())


def _of_student(run: Run, system: str, sweep: str) -> Iterator[Observation]:
    for name, kind in run.kinds.items():
        if kind == "student":
            seen = _observation(run, name, system)
            yield replace(
                seen,
                kind="baseline" if run.recipe["name"] in (GOLD_ONLY, SELF_TEACHING) else "student",
                probability=name.partition(":")[2],
                seed=run.seed,
                sweep=sweep,
            )


def _of_others(run: Run) -> Iterator[Observation]:
    if run.recipe["name"] == SELF_TEACHING:
        return  # the teams there are no teams
    for name, kind in run.kinds.items():
        if name == GOLD_ONLY:
            seen = _observation(run, name, name)
            yield replace(seen, probability="p", seed=run.seed, training_pages=run.labelled_pages)
        elif kind != "student":
            yield _observation(run, name, name)


def _observation(run: Run, name: str, system: str) -> Observation:
    return Observation(
        system=system,
        kind=run.kinds[name],
        probability=None,
        category=run.category,
        seed=None,
        training_pages=run.training_pages,
        sweep=system,
        counts=run.pages[name],
        attributes=run.attributes[name],
    )


def _names(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """The shown name of each run's student: with and without its number of training pages.

    Only what differs between runs of one name on one category is part of a name: a setting that
    was searched for each category does not part the recipe into one for each.
    """
    by_name: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_name[run.recipe["name"]].append(run)
    varying = {name: _varying(group) for name, group in by_name.items()}
    result = []
    for run in runs:
        name = run.recipe["name"]
        places, is_swept = varying[name]
        settings = _settings(run.recipe, places)
        size = [f"max_pages={run.recipe['data']['max_pages']}"] if is_swept else []
        result.append((_in_brackets(name, settings + size), _in_brackets(name, settings)))
    return result


def setting_name(recipe: Mapping[str, Any], places: Sequence[tuple[str, ...]]) -> str:
    """A recipe's name with what it says at some places: "coteach (beta=0.9, layer=2)"."""
    return _in_brackets(recipe["name"], _settings(recipe, places))


def _settings(recipe: Mapping[str, Any], places: Sequence[tuple[str, ...]]) -> list[str]:
    lasts = [place[-1] for place in places]
    return [
        f"{place[-1] if lasts.count(place[-1]) == 1 else '.'.join(place)}={_value(recipe, place)}"
        for place in places
    ]


def _varying(runs: Sequence[Run]) -> tuple[list[tuple[str, ...]], bool]:
    """Where the recipes of one name differ, and whether the number of pages does."""
    alike: dict[tuple[str, int], list[Mapping[str, Any]]] = defaultdict(list)
    sizes: dict[str, set[int]] = defaultdict(set)
    for run in runs:
        size = run.recipe["data"]["max_pages"]
        alike[run.category, size].append(run.recipe)
        sizes[run.category].add(size)
    places = dict.fromkeys(
        place
        for group in alike.values()
        for place in differing(group)
        if ".".join(place) not in NOT_THE_RECIPE
    )
    return list(places), any(len(group) > 1 for group in sizes.values())


def differing(parts: Sequence[Any], place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The places, from the outside in, at which not all recipes say the same."""
    if all(isinstance(part, Mapping) for part in parts):
        for key in dict.fromkeys(key for part in parts for key in part):
            if all(key in part for part in parts):
                yield from differing([part[key] for part in parts], (*place, key))
            else:
                yield (*place, key)
    elif any(part != parts[0] for part in parts):
        yield place


def _value(recipe: Any, place: Sequence[str]) -> str:
    for key in place:
        if not isinstance(recipe, Mapping) or key not in recipe:
            return "none"
        recipe = recipe[key]
    if isinstance(recipe, Mapping):
        return str(recipe.get("type", "given"))
    return f"{recipe:g}" if isinstance(recipe, float) else str(recipe)


def _in_brackets(name: str, settings: Sequence[str]) -> str:
    return f"{name} ({', '.join(settings)})" if settings else name
