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
from coteach.searching.space import Cell, Grid, labels_of
from coteach.searching.study import Outcome
from coteach.training.record import as_json

__all__ = ["Standing", "chosen_of", "ranked", "report_scores", "report_table", "table", "write"]


@dataclass(frozen=True)
class Standing:
    """A setting with all its runs.

    Attributes:
        setting: its name.
        cells: one a seed.
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
        """The dev micro-F1s there are, fractions."""
        return [it.dev for it in self.outcomes if it is not None and it.dev is not None]

    @property
    def complete(self) -> bool:
        """Every seed has its figure: means over fewer seeds would not compare."""
        return len(self.devs) == len(self.cells)

    @property
    def mean(self) -> float:
        """Of the dev micro-F1s, over the seeds that there are."""
        return fmean(self.devs) if self.devs else -1.0

    @property
    def deviation(self) -> float | None:
        """Their standard deviation over two seeds or more."""
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


def chosen_of(standings: Sequence[Standing]) -> Standing | None:
    """The best setting; None while a cell is left to run, or if none is complete."""
    if any(outcome is None for it in standings for outcome in it.outcomes):
        return None
    return standings[0] if standings[0].complete else None


def table(standings: Sequence[Standing], grid: Grid) -> Table:
    """The settings with their dev micro-F1 in percent."""
    seeds = len(standings[0].cells)
    result = Table()
    for label in labels_of(grid).values():
        result.add_column(escape(label), justify="right")
    result.add_column("dev F1", justify="right", no_wrap=True)
    if seeds > 1:
        result.add_column("± s.d.", justify="right", no_wrap=True)
        result.add_column("seeds", justify="right", no_wrap=True)
    with_state = not all(it.complete for it in standings)
    if with_state:
        result.add_column("")
    for it in standings:
        row = [escape(str(value)) for value in it.values.values()]
        row.append(f"{100 * it.mean:.2f}" if it.devs else "–")
        if seeds > 1:
            row.append("–" if it.deviation is None else f"{100 * it.deviation:.2f}")
            row.append(f"{len(it.devs)}/{seeds}")
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
    """What a setting reaches on the report pages, in percent, mean over its runs, beside the best
    team."""
    runs = list(scores.values())
    teams = {name: it["f1"] for name, it in runs[0].items() if it["kind"] == "team"}
    shown = sorted(teams, key=teams.__getitem__)[-1:]
    shown += [name for name, it in runs[0].items() if it["kind"] == "student"]
    result = Table()
    result.add_column("system", no_wrap=True)
    for heading in ("P", "R", "F1"):
        result.add_column(heading, justify="right")
    for name in shown:
        means = [fmean(run[name][key] for run in runs) for key in ("precision", "recall", "f1")]
        result.add_row(escape(name), *(f"{100 * mean:.2f}" for mean in means))
    return result


def write(
    folder: Path,
    standings: Sequence[Standing],
    probability: str,
    scores: Mapping[str, Mapping[str, Any]] | None,
) -> None:
    """Write ``search.json`` (settings, the best first) and ``search.csv`` (a line a run).

    Args:
        folder: of the search.
        standings: ranked.
        probability: whose dev micro-F1 it is.
        scores: of the chosen setting's runs, the first of ``standings``; None: there is none.
    """
    described = {
        "figure": "micro-F1 on the dev pages",
        "probability": probability,
        "settings": [
            {
                "setting": it.setting,
                "values": as_json(it.values),
                "mean": it.mean if it.devs else None,
                "standard_deviation": it.deviation,
                "runs": [_entry(*pair) for pair in zip(it.cells, it.outcomes, strict=True)],
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
        lines.writerow([*standings[0].values, *_entry(standings[0].cells[0], None)])
        for it in standings:
            for cell, outcome in zip(it.cells, it.outcomes, strict=True):
                lines.writerow([*it.values.values(), *_entry(cell, outcome).values()])


def _entry(cell: Cell, outcome: Outcome | None) -> dict[str, Any]:
    return {
        "folder": cell.name,
        "seed": cell.recipe.seed,
        "dev_f1": outcome and outcome.dev,
        "step": outcome and outcome.step,
        "seconds": outcome and outcome.seconds,
        "error": outcome and outcome.error,
    }
