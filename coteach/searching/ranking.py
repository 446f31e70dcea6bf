"""Which setting is best on the dev pages, and the files and tables that say so.

The report pages take no part in the choice: their figures are read for the chosen setting alone,
and only once no cell is left to run.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rich.markup import escape
from rich.table import Table

from coteach.data.files import replacing
from coteach.data.sources import TaskData
from coteach.searching.space import SEED, Cell, Grid, labels_of
from coteach.searching.study import MICRO_F1, Outcome
from coteach.training.record import as_json

__all__ = [
    "Figure",
    "Standing",
    "chosen_of",
    "figure_of",
    "ranked",
    "report_scores",
    "report_table",
    "table",
    "write",
]


ACCURACY = "accuracy"


@dataclass(frozen=True)
class Figure:
    """What a search compares.

    Attributes:
        name: "micro-F1 (p)" or "accuracy".
        short: of a column.
        unit: what is scored, "pages" or "texts".
    """

    name: str
    short: str
    unit: str


@dataclass(frozen=True)
class Standing:
    """A setting with all its runs.

    Attributes:
        setting: its name.
        cells: one a repetition.
        outcomes: of each, None where it has not ended.
    """

    setting: str
    cells: tuple[Cell, ...]
    outcomes: tuple[Outcome | None, ...]

    @property
    def values(self) -> dict[str, Any]:
        """Path → value."""
        return self.cells[0].values

    @property
    def devs(self) -> list[float]:
        """The dev scores there are, fractions."""
        return [it.dev for it in self.outcomes if it is not None and it.dev is not None]

    @property
    def complete(self) -> bool:
        """Every run has its score: means over fewer would not compare."""
        return len(self.devs) == len(self.cells)

    @property
    def mean(self) -> float:
        """Of the dev scores, over the runs that there are."""
        return fmean(self.devs) if self.devs else -1.0

    @property
    def deviation(self) -> float | None:
        """Their standard deviation over two runs or more."""
        return stdev(self.devs) if len(self.devs) > 1 else None

    @property
    def state(self) -> str:
        """In words, where it is not complete."""
        errors = [it.error for it in self.outcomes if it is not None and it.dev is None]
        if errors:
            return f"failed: {errors[0]}"
        return "" if self.complete else "not finished"


def ranked(cells: Sequence[Cell], outcomes: Mapping[str, Outcome]) -> list[Standing]:
    """The settings, the best first; complete ones before the others."""
    by_setting: dict[str, list[Cell]] = {}
    for cell in cells:
        by_setting.setdefault(cell.setting, []).append(cell)
    standings = [
        Standing(setting, tuple(group), tuple(outcomes.get(cell.name) for cell in group))
        for setting, group in by_setting.items()
    ]
    return sorted(standings, key=lambda it: (not it.complete, -it.mean))


def figure_of(standings: Sequence[Standing]) -> Figure:
    """What the runs were compared by or, where none has succeeded, will be."""
    recipe = standings[0].cells[0].recipe
    if not isinstance(recipe.data, TaskData):
        return Figure(_name_in(standings) or ACCURACY, ACCURACY, "texts")
    name = _name_in(standings) or f"{MICRO_F1} ({recipe.selection.probability})"
    return Figure(name, "F1", "pages")


def _name_in(standings: Sequence[Standing]) -> str | None:
    outcomes = (outcome for it in standings for outcome in it.outcomes if outcome is not None)
    return next((it.score_name for it in outcomes if it.score_name is not None), None)


def chosen_of(standings: Sequence[Standing]) -> Standing | None:
    """The best setting; None while a cell is left to run, or if none is complete."""
    if any(outcome is None for it in standings for outcome in it.outcomes):
        return None
    return standings[0] if standings[0].complete else None


def table(standings: Sequence[Standing], grid: Grid, figure: Figure) -> Table:
    """The settings with their dev scores in percent."""
    runs = len(standings[0].cells)
    labels = labels_of(grid)
    result = Table()
    for path in grid.over:
        result.add_column(escape(labels[path]), justify="right")
    result.add_column(f"dev {figure.short}", justify="right", no_wrap=True)
    if runs > 1:
        result.add_column("± s.d.", justify="right", no_wrap=True)
        heading = "seeds" if grid.repeats_seeds_only else "runs"
        result.add_column(heading, justify="right", no_wrap=True)
    with_state = not all(it.complete for it in standings)
    if with_state:
        result.add_column("")
    for it in standings:
        row = [escape(str(value)) for value in it.values.values()]
        row.append(f"{100 * it.mean:.2f}" if it.devs else "–")
        if runs > 1:
            row.append("–" if it.deviation is None else f"{100 * it.deviation:.2f}")
            row.append(f"{len(it.devs)}/{runs}")
        if with_state:
            row.append(escape(it.state))
        result.add_row(*row)
    return result


def report_scores(folder: Path, chosen: Standing) -> dict[str, dict[str, Any]]:
    """Name of a cell → the scores in the summary of its run, for the cells of one setting."""
    return {
        cell.name: json.loads((folder / cell.name / "summary.json").read_text("utf-8"))["scores"]
        for cell in chosen.cells
    }


def report_table(scores: Mapping[str, Mapping[str, Any]]) -> Table:
    """What a setting reaches on the report pages or texts, in percent, mean over its runs: of
    extraction beside the best team, of classification beside the baselines."""
    runs = list(scores.values())
    columns = {"P": "precision", "R": "recall", "F1": "f1"}
    if any(ACCURACY in it for it in runs[0].values()):
        columns = {"accuracy": ACCURACY, "macro-F1": "macro_f1"}
    teams = {name: it["f1"] for name, it in runs[0].items() if it["kind"] == "team"}
    shown = sorted(teams, key=teams.__getitem__)[-1:]
    kinds = ("student", "baseline") if ACCURACY in columns.values() else ("student",)
    shown += [name for name, it in runs[0].items() if it["kind"] in kinds]
    result = Table()
    result.add_column("system", no_wrap=True)
    for heading in columns:
        result.add_column(heading, justify="right")
    for name in shown:
        means = [fmean(run[name][key] for run in runs) for key in columns.values()]
        result.add_row(escape(name), *(f"{100 * mean:.2f}" for mean in means))
    return result


def write(
    folder: Path,
    standings: Sequence[Standing],
    figure: Figure,
    scores: Mapping[str, Mapping[str, Any]] | None,
) -> None:
    """Write ``search.json`` (settings, the best first) and ``search.csv`` (a line a run).

    Args:
        folder: of the search.
        standings: ranked.
        figure: what was compared.
        scores: of the chosen setting's runs, the first of ``standings``; None: there is none.
    """
    selection = standings[0].cells[0].recipe.selection
    described = {
        "figure": f"{figure.name} on the dev {figure.unit}",
        "probability": selection.probability if figure.unit == "pages" else None,
        "settings": [
            {
                "setting": it.setting,
                "values": as_json(it.values),
                "mean": it.mean if it.devs else None,
                "standard_deviation": it.deviation,
                "runs": [_entry(*pair, figure) for pair in zip(it.cells, it.outcomes, strict=True)],
            }
            for it in standings
        ],
        "chosen": None
        if scores is None
        else {"setting": standings[0].setting, "scores": dict(scores)},
    }
    with replacing(folder / "search.json") as file:
        json.dump(described, file, ensure_ascii=False, indent=2)
    with replacing(folder / "search.csv") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow([*standings[0].values, *_entry(standings[0].cells[0], None, figure)])
        for it in standings:
            for cell, outcome in zip(it.cells, it.outcomes, strict=True):
                lines.writerow([*it.values.values(), *_entry(cell, outcome, figure).values()])


def _entry(cell: Cell, outcome: Outcome | None, figure: Figure) -> dict[str, Any]:
    return {
        "folder": cell.name,
        **as_json({path: it for path, it in cell.repetition.items() if path != SEED}),
        "seed": cell.recipe.seed,
        f"dev_{figure.short.lower()}": outcome and outcome.dev,
        "step": outcome and outcome.step,
        "seconds": outcome and outcome.seconds,
        "error": outcome and outcome.error,
    }
