"""Several categories in one run: a student each, one after another, and their mean."""

from __future__ import annotations

import gc
import json
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from coteach.data.corpus import Corpus, load_corpus
from coteach.data.files import replacing
from coteach.data.sources import TaskData
from coteach.errors import InputError
from coteach.evaluation.significance import macro_f1_difference
from coteach.recipe import Recipe
from coteach.training.processes import processes
from coteach.training.record import write_recipe
from coteach.training.run import run

__all__ = ["categories_of", "describe_categories", "run_categories"]


def categories_of(recipe: Recipe) -> dict[str, Recipe]:
    """A recipe for each of its categories; none where its data is of one alone.

    Raises:
        InputError: the recipe's parts do not fit, or the categories cannot be listed.
    """
    parts = recipe.data.parts() if isinstance(recipe.data, TaskData) else {}
    if parts:
        recipe.check()
    return {
        category: replace(recipe, name=f"{recipe.name}/{category}", data=data)
        for category, data in parts.items()
    }


def run_categories(
    recipes: Mapping[str, Recipe], folder: Path, console: Console | None = None
) -> dict[str, Any]:
    """Carry recipes out one after another, each in ``folder/<category>``.

    A category that is finished there is not run again, one that was interrupted goes on. One that
    fails is reported, and the others go on.

    Args:
        recipes: category → its recipe.
        folder: of the runs and of ``summary.json``.
        console: for the tables; None for the terminal.

    Returns:
        The summary, as ``summary.json`` has it: "categories", by name, each with the F1 of every
        system or an "error", and "macro", the means of the finished ones (co-teaching paper,
        table 2: micro within a category, macro over categories).

    Raises:
        InputError: a finished category is of another recipe.
    """
    state = processes()
    console = console or Console(highlight=False)
    console.quiet = not state.is_main_process
    errors: dict[str, str] = {}
    for number, (category, recipe) in enumerate(recipes.items(), start=1):
        place = folder / category
        if (place / "summary.json").exists():
            write_recipe(recipe, place, state.num_processes)  # refuses that of another recipe
            console.print(f"{number}/{len(recipes)} {category}: finished before", markup=False)
            continue
        console.print(f"{number}/{len(recipes)} {category}", markup=False)
        try:
            run(recipe, place, console)
        except InputError as error:  # the same in all processes
            errors[category] = str(error)
        except Exception as error:
            if state.num_processes > 1:  # the others would wait for this one
                raise
            traceback.print_exc()
            errors[category] = f"{type(error).__name__}: {error}"
        if category in errors:
            console.print(f"{category} failed: {errors[category]}", markup=False, soft_wrap=True)
        gc.collect()  # a student and its graph know each other
    state.wait_for_everyone()
    summary = _summary([*recipes], folder, errors)
    if state.is_main_process:
        with replacing(folder / "summary.json") as file:
            json.dump(summary, file, ensure_ascii=False, indent=2)
        console.print(_table(summary))
    return summary


def describe_categories(
    recipes: Mapping[str, Recipe], console: Console | None = None
) -> dict[str, str]:
    """Read the data of every category and print how much there is; train nothing.

    Returns:
        Category → why it cannot be run, of those that cannot.
    """
    console = console or Console(highlight=False)
    table = Table(title="Data of the categories", title_justify="left")
    table.add_column("category")
    for heading in ("pages", "train", "dev", "report", "gold values", "attributes"):
        table.add_column(heading, justify="right")
    table.add_column("teams", overflow="fold")
    errors: dict[str, str] = {}
    for category, recipe in recipes.items():
        try:
            corpus = load_corpus(recipe.task_data(), recipe.seed, recipe.cache)
        except InputError as error:
            errors[category] = str(error)
        else:
            table.add_row(escape(category), *_figures(corpus))
    console.print(table)
    for category, message in errors.items():
        console.print(f"{category} cannot be run: {message}", markup=False, soft_wrap=True)
    return errors


def _figures(corpus: Corpus) -> list[str]:
    splits = (corpus.train, corpus.dev, corpus.report)
    values = sum(len(spans) for of in splits if of for spans in of.gold.values.values())
    return [
        f"{len(corpus.pages):,}",
        *(f"{len(split.page_ids):,}" if split else "–" for split in splits),
        f"{values:,}",
        str(len(corpus.attributes)),
        escape(", ".join(team.name for team in corpus.teams)) or "–",
    ]


def _summary(categories: Sequence[str], folder: Path, errors: Mapping[str, str]) -> dict[str, Any]:
    rows: dict[str, dict[str, Any]] = {}
    scores: dict[str, dict[str, dict[str, Any]]] = {}
    for category in categories:
        if category in errors:
            rows[category] = {"error": errors[category]}
            continue
        found = json.loads((folder / category / "summary.json").read_text(encoding="utf-8"))
        scores[category] = found["scores"]
        f1s = {system: of["f1"] for system, of in found["scores"].items()}
        rows[category] = {"pages": found["pages"], "f1": f1s}
    counts = {category: _page_counts(folder / category / "pages.json") for category in scores}
    systems = dict.fromkeys(system for of in scores.values() for system in of)
    return {
        "categories": rows,
        "macro": {system: _macro(system, scores, counts) for system in systems},
    }


def _macro(
    system: str,
    scores: Mapping[str, Mapping[str, Mapping[str, Any]]],
    counts: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, Any]:
    """A system's means over the categories in which it is, and the difference of F1 to the best
    team of each of them with its 95 % interval."""
    own = {category: of[system] for category, of in scores.items() if system in of}
    result: dict[str, Any] = {
        "kind": next(iter(own.values()))["kind"],
        "categories": len(own),
        **{name: fmean(of[name] for of in own.values()) for name in ("precision", "recall", "f1")},
    }
    best = {category: team for category in own if (team := _best_team(scores[category]))}
    if best and result["kind"] != "team":
        interval = macro_f1_difference(
            [counts[category][system][None] for category in best],
            [counts[category][team][None] for category, team in best.items()],
        )
        difference = asdict(interval)
        result["f1_minus_best_teams"] = {
            "categories": len(best),
            "difference": difference["estimate"],
            "low": difference["low"],
            "high": difference["high"],
        }
    return result


def _best_team(scores: Mapping[str, Mapping[str, Any]]) -> str | None:
    f1s = {system: of["f1"] for system, of in scores.items() if of["kind"] == "team"}
    return max(f1s, key=f1s.__getitem__, default=None)


def _page_counts(path: Path) -> dict[str, np.ndarray]:
    """System → true positives, predicted and gold values of each page, (pages, 3)."""
    pages = json.loads(path.read_text(encoding="utf-8"))
    return {
        system: np.stack([right, pages["predicted"][system], pages["gold"]], axis=1)
        for system, right in pages["true_positives"].items()
    }


def _table(summary: Mapping[str, Any]) -> Table:
    """A row a category and the macro mean: the best team of each, and the student."""
    students = [name for name, of in summary["macro"].items() if of["kind"] == "student"]
    baselines = [name for name, of in summary["macro"].items() if of["kind"] == "baseline"]
    teams = [name for name, of in summary["macro"].items() if of["kind"] == "team"]
    table = Table(
        title="Micro-F1 by category (%), and its mean over them",
        title_justify="left",
        caption="mean: a system's over the categories it is in, of which the last row counts",
        caption_justify="left",
    )
    table.add_column("category", overflow="fold")
    bests: list[float] = []
    shown = [*students, *(name for name in baselines if name == "gold_only")]
    for heading in (*shown, *(["best team"] if teams else [])):
        table.add_column(heading, justify="right")
    for category, row in summary["categories"].items():
        if "error" in row:
            table.add_row(escape(category), "failed")
            continue
        best = max((row["f1"][team] for team in teams if team in row["f1"]), default=None)
        bests += [] if best is None else [best]
        cells = [row["f1"].get(system) for system in shown] + ([best] if teams else [])
        table.add_row(escape(category), *map(_percent, cells))
    table.add_section()
    means = [summary["macro"][system] for system in shown]
    best_mean = [_percent(fmean(bests)), str(len(bests))] if bests else []
    table.add_row("mean", *(_percent(of["f1"]) for of in means), *best_mean[:1])
    table.add_row("categories", *(str(of["categories"]) for of in means), *best_mean[1:])
    return table


def _percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:.2f}"
