"""Finished runs, read from their folders: who was scored, where, and every count behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coteach.data.files import read_json
from coteach.errors import InputError
from coteach.evaluation.scoreboard import Kind
from coteach.evaluation.shinra import Counts
from coteach.searching.space import DATABASE

__all__ = ["Run", "finished_runs", "read_runs", "unfinished_cells"]

CLASSIFICATION = "classification"  # the task that a summary names


@dataclass(frozen=True)
class Run:
    """What a finished run's folder says.

    Attributes:
        folder: where it is.
        recipe: the recipe, as ``recipe.json`` has it.
        seed: of everything random in it.
        category: the category of its data or, where that names none, its folder of pages.
        training_pages: pages that the student learnt from.
        labelled_pages: those of them with gold.
        kinds: system → team, baseline or student, in the order of the summary.
        page_ids: the scored pages.
        pages: system → counts, shape (pages, 3): true positives, predicted, gold.
        attributes: system → attribute → its counts over all pages.
    """

    folder: Path
    recipe: Mapping[str, Any]
    seed: int
    category: str
    training_pages: int
    labelled_pages: int
    kinds: Mapping[str, Kind]
    page_ids: tuple[str, ...]
    pages: Mapping[str, np.ndarray]
    attributes: Mapping[str, Mapping[str, Counts]]


def finished_runs(folders: Sequence[Path], classification: bool) -> list[tuple[Path, Any]]:
    """The folders of finished runs of one kind, each with its summary.

    Args:
        folders: each a run's own, or one that holds runs at any depth.
        classification: runs that classify texts; else those that extract values from pages.

    Raises:
        InputError: a folder has no run of either kind, or a run of either is not finished; those
            of a search may be.
    """
    waiting = unfinished_cells(folders)
    found = [folder for start in folders for folder in _run_folders(Path(start))]
    summaries = {folder: _summary(folder) for folder in found if folder not in waiting}
    if not summaries:
        raise InputError.at(found[0].parent, None, "no run of this search is finished")
    return [
        (folder, summary)
        for folder, summary in summaries.items()
        if (isinstance(summary, dict) and summary.get("task") == CLASSIFICATION) == classification
    ]


def unfinished_cells(folders: Sequence[Path]) -> list[Path]:
    """The runs of searches, in some folders, that are not finished; a report leaves them out."""
    found = [folder for start in folders for folder in _run_folders(Path(start))]
    return [
        folder
        for folder in dict.fromkeys(found)
        if (folder.parent / DATABASE).exists() and not (folder / "summary.json").exists()
    ]


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs of extraction in some folders, each a run's own or one that holds runs at any depth.

    Raises:
        InputError: a folder has no run, a run is not finished or was scored by an older version,
            or two runs of a category were scored on different pages.
    """
    runs = [_read_run(*found) for found in finished_runs(folders, classification=False)]
    first: dict[str, Run] = {}
    for run in runs:
        other = first.setdefault(run.category, run)
        if run.page_ids != other.page_ids or not np.array_equal(_gold(run), _gold(other)):
            raise InputError.at(
                run.folder / "pages.json",
                None,
                f"other pages or another gold than in {other.folder}, also of {run.category!r}; "
                "expected runs of a category to share them (data.report and data.splits say which)",
            )
    return runs


def _run_folders(start: Path) -> list[Path]:
    if not start.is_dir():
        raise InputError.at(start, None, "no such folder; expected a run's, or one that holds runs")
    found = _walk(start)
    if not found:
        raise InputError.at(start, None, "no run here; expected a folder with recipe.json")
    return found


def _walk(folder: Path) -> list[Path]:
    children = sorted(path for path in folder.iterdir() if path.is_dir())
    below = [run for child in children for run in _walk(child)]
    # A search has a recipe.json as well, above those of its runs.
    return below if below or not (folder / "recipe.json").exists() else [folder]


def _summary(folder: Path) -> Any:
    if not (folder / "summary.json").exists():
        raise InputError.at(
            folder / "summary.json",
            None,
            "missing: this run is not finished; finish it (the same command goes on with it) or "
            "name the finished runs one by one",
        )
    return read_json(folder / "summary.json")


def _read_run(folder: Path, summary: Any) -> Run:
    for path, missing in (
        (folder / "pages.json", not (folder / "pages.json").exists()),
        (folder / "summary.json", "attributes" not in summary),
    ):
        if missing:
            raise InputError.at(
                path,
                None,
                "no counts here: an older version scored this run. Give its command of "
                f"coteach.train again with --output {folder}, which only scores a finished run, or "
                "train it anew if its recipe is no longer the same",
            )
    recipe, pages = read_json(folder / "recipe.json"), read_json(folder / "pages.json")
    try:
        return _run(folder, recipe["recipe"], summary, pages)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError.at(folder, None, f"not the files of a run: {error!r}") from None


def _run(folder: Path, recipe: Any, summary: Any, pages: Any) -> Run:
    kinds = {name: entry["kind"] for name, entry in summary["scores"].items()}
    attributes = summary["attributes"]
    return Run(
        folder=folder,
        recipe=recipe,
        seed=summary["seed"],
        category=_category(recipe["data"]),
        training_pages=summary["pages"]["training"],
        labelled_pages=summary["pages"]["labelled"],
        kinds=kinds,
        page_ids=tuple(pages["page_ids"]),
        pages={
            name: np.array(
                [pages["true_positives"][name], pages["predicted"][name], pages["gold"]],
                dtype=np.int64,
            ).T
            for name in kinds
        },
        attributes={
            name: {
                attribute: Counts(
                    attributes["true_positives"][name][attribute],
                    attributes["predicted"][name][attribute],
                    gold,
                )
                for attribute, gold in attributes["gold"].items()
            }
            for name in kinds
        },
    )


def _category(data: Mapping[str, Any]) -> str:
    named = data.get("category")
    return named if isinstance(named, str) else Path(data.get("pages") or data["type"]).name


def _gold(run: Run) -> np.ndarray:
    return next(iter(run.pages.values()))[:, 2]
