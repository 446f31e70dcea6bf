"""Finished runs that classified texts, read from their folders: which texts were right."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from coteach.data.files import byte_lines, read_json
from coteach.errors import InputError
from coteach.reporting.observations import NOT_THE_RECIPE
from coteach.reporting.runs import finished_runs

__all__ = ["ClassificationRun", "Score", "read_classification_runs", "without"]

_ROUNDING = 1e-6  # the summary's accuracy may have been averaged in another way


@dataclass(frozen=True)
class Score:
    """What a system reached on a run's scored texts, fractions of 1."""

    kind: Literal["student", "baseline"]
    accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class ClassificationRun:
    """What the folder of a finished run of classification says.

    Attributes:
        folder: where it is.
        recipe: the recipe, as ``recipe.json`` has it.
        seed: of everything random in it.
        fold: that was scored.
        scores: system → score; one of them is the student's.
        text_ids: the scored texts.
        gold: the class of each.
        correct: whether the student found it, shape (texts,).
    """

    folder: Path
    recipe: Mapping[str, Any]
    seed: int
    fold: int
    scores: Mapping[str, Score]
    text_ids: tuple[str, ...]
    gold: tuple[str, ...]
    correct: np.ndarray

    @property
    def accuracy(self) -> float:
        """The student's."""
        return float(self.correct.mean())

    @property
    def student(self) -> Score:
        """The student's score."""
        return next(it for it in self.scores.values() if it.kind == "student")

    def setting(self, *others: str) -> dict[str, Any]:
        """The recipe without what does not change what is learnt, seed, fold and other places."""
        return without(self.recipe, (*NOT_THE_RECIPE, "data.fold", *others))


def read_classification_runs(folders: Sequence[Path]) -> list[ClassificationRun]:
    """The runs of classification in some folders, as :func:`coteach.reporting.runs.read_runs`.

    Raises:
        InputError: a folder has no run, a run is not finished, its files do not fit together, or
            two runs of a name are the same recipe with the same fold and seed.
    """
    runs = [_read_run(*found) for found in finished_runs(folders, classification=True)]
    first: dict[str, ClassificationRun] = {}
    for run in runs:
        key = json.dumps([run.recipe["name"], run.setting(), run.fold, run.seed], sort_keys=True)
        same = first.setdefault(key, run)
        if same is not run:
            raise InputError(
                f"{run.folder} and {same.folder} are the same recipe with the same fold "
                f"({run.fold}) and seed ({run.seed}); expected one of them"
            )
    return runs


def without(part: Any, places: Sequence[str]) -> Any:
    """A recipe as JSON without what stands at some places, dotted paths."""
    if not isinstance(part, Mapping):
        return part
    return {
        key: without(
            value, [it.removeprefix(f"{key}.") for it in places if it.startswith(f"{key}.")]
        )
        for key, value in part.items()
        if key not in places
    }


def _read_run(folder: Path, summary: Any) -> ClassificationRun:
    recipe = read_json(folder / "recipe.json")
    try:
        return _run(folder, recipe["recipe"], summary)
    except InputError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError.at(folder, None, f"not the files of a run: {error!r}") from None


def _run(folder: Path, recipe: Any, summary: Any) -> ClassificationRun:
    scores = {
        name: Score(it["kind"], it["accuracy"], it["macro_f1"])
        for name, it in summary["scores"].items()
    }
    (student,) = (name for name, it in scores.items() if it.kind == "student")
    path = folder / f"{summary['scores'][student]['split']}.jsonl"
    text_ids, gold, correct = _read_texts(path)
    run = ClassificationRun(
        folder=folder,
        recipe=recipe,
        seed=summary["seed"],
        fold=recipe["data"]["fold"],
        scores=scores,
        text_ids=text_ids,
        gold=gold,
        correct=correct,
    )
    if abs(run.accuracy - run.student.accuracy) > _ROUNDING:
        raise InputError.at(
            path,
            None,
            f"accuracy {run.accuracy:.6f}, but {run.student.accuracy:.6f} in summary.json; "
            "expected files of one run",
        )
    return run


def _read_texts(path: Path) -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray]:
    """The ids of the scored texts, their classes, and whether each was found."""
    gold: dict[str, str] = {}
    correct = []
    for number, line in byte_lines(path):
        try:
            text = json.loads(line)
            text_id, true, predicted = text["id"], text["gold"], text["predicted"]
        except (KeyError, RecursionError, TypeError, ValueError):
            raise InputError.at(
                path, number, 'expected a scored text, {"id": …, "gold": …, "predicted": …}'
            ) from None
        if text_id in gold:
            raise InputError.at(path, number, f"text {text_id!r} stands there twice")
        gold[text_id] = true
        correct.append(predicted == true)
    if not gold:
        raise InputError.at(path, None, "no text; expected a scored text a line")
    return tuple(gold), tuple(gold.values()), np.array(correct)
