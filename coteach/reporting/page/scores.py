"""The page's first tables: the runs, and everybody's scores as their summaries have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coteach.data.files import read_json
from coteach.reporting.page.names import AnyRun
from coteach.reporting.runs import Run
from coteach.reporting.tables import Cell, Column, Table

__all__ = ["DIFFERENCE", "run_table", "score_tables"]

DIFFERENCE = "F1 − best team"
"""The column that the page draws with its interval, the two columns behind it."""


def run_table(runs: Sequence[AnyRun], names: Sequence[str]) -> Table:
    """What each run was: recipe, seed, what it learnt from, and what it reached on dev.

    Args:
        runs: of both kinds.
        names: theirs on the page.
    """
    rows = []
    for run, name in zip(runs, names, strict=True):
        summary = _mapping(read_json(run.folder / "summary.json"))
        dev, pages = (_mapping(summary.get(key)) for key in ("dev", "pages"))
        texts = _mapping(summary.get("texts"))
        rows.append(
            (
                name,
                summary.get("task", "extraction"),
                summary.get("seed"),
                pages.get("training", texts.get("train")),
                pages.get("labelled", texts.get("train")),
                dev.get("score"),
                dev.get("score_name"),
                dev.get("step"),
            )
        )
    columns = (
        *(Column(heading, "text") for heading in ("run", "task")),
        *(Column(heading, "count") for heading in ("seed", "pages or texts", "with gold")),
        Column("dev"),
        Column("dev: figure", "text"),
        Column("dev: step", "count"),
    )
    return Table("runs", "Runs", columns, tuple(rows), ("dev: of the checkpoint that was kept.",))


def score_tables(runs: Sequence[Run], names: Mapping[str, str]) -> list[Table]:
    """Everybody's scores, a table a category; a team that several runs scored alike stands once.

    Args:
        runs: of extraction.
        names: folder → the run's name on the page.
    """
    tables = []
    for category in dict.fromkeys(run.category for run in runs):
        of_category = [run for run in runs if run.category == category]
        several = len(of_category) > 1
        rows: dict[tuple[Cell, ...], None] = {}
        for run in of_category:
            for system, entry in read_json(run.folder / "summary.json")["scores"].items():
                gap = _mapping(entry.get("f1_minus_best_team"))
                own = entry["kind"] == "student" or system == "gold_only"
                rows[
                    (
                        system,
                        *([names[str(run.folder)] if own else None] if several else []),
                        entry["kind"],
                        *(entry[key] for key in ("precision", "recall", "f1")),
                        *(gap.get(key) for key in ("difference", "low", "high")),
                    )
                ] = None
        columns = (
            Column("system", "text"),
            *([Column("run", "text")] if several else []),
            Column("kind", "text"),
            *map(Column, ("P", "R", "F1")),
            *(Column(heading, "difference") for heading in (DIFFERENCE, "low", "high")),
        )
        pages = len(of_category[0].page_ids)
        ordered = sorted(rows, key=lambda row: ("team", "baseline", "student").index(_kind(row)))
        note = (
            f"{DIFFERENCE}: points, with its 95 % interval (low, high), paired bootstrap over the "
            "pages. An interval with 0 in it is too small a difference to decide. "
            "vote>=n: values that n teams or more have. student:p is the mean of its output head "
            "(p_out) and its teacher heads (p_mean)."
        )
        title = f"{category}: precision, recall and F1 (%), micro-averaged on {pages} pages"
        tables.append(Table(f"scores_{category}", title, columns, tuple(ordered), (note,)))
    return tables


def _kind(row: tuple[Cell, ...]) -> str:
    return next(str(cell) for cell in row[1:3] if cell in ("team", "baseline", "student"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
