"""Students that classify texts: their figures on dev, and the table at the end of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import gather_object
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from coteach.data.classification import LabelledTexts
from coteach.data.files import replacing
from coteach.data.windowed import Windowed
from coteach.evaluation.classification import class_figures, majority
from coteach.model.classification import Classifier
from coteach.training.loading import load_classifier
from coteach.training.prepare import Prepared

__all__ = ["class_evaluation", "score_texts"]


def class_evaluation(
    prepared: Prepared, accelerator: Accelerator
) -> Callable[[], Mapping[str, float]]:
    """Gives the figures of a prepared student, as it is, on the dev texts."""
    corpus = prepared.corpus
    assert isinstance(corpus, LabelledTexts)
    classifier = Classifier(prepared.student, prepared.tokenizer)
    contents = _contents(prepared.everything, corpus.dev)
    labels = [corpus.labels[text_id] for text_id in corpus.dev]

    def evaluate() -> Mapping[str, float]:
        return class_figures(labels, _classify(classifier, contents, accelerator))

    return evaluate


def score_texts(
    prepared: Prepared,
    dev: Mapping[str, Any],
    folder: Path,
    accelerator: Accelerator,
    console: Console,
) -> dict[str, Any]:
    """Score the kept student on the report texts, or without any on dev; write it all down.

    Args:
        prepared: what was run.
        dev: what the kept student reached on dev, for the summary.
        folder: of the run.
        accelerator: precision and processes.
        console: for the table.

    Returns:
        The summary.
    """
    recipe, corpus = prepared.recipe, prepared.corpus
    assert isinstance(corpus, LabelledTexts)
    split, text_ids = ("report", corpus.report) if corpus.report else ("dev", corpus.dev)
    classifier = load_classifier(folder / "student")
    classifier.student.to(accelerator.device)
    contents = _contents(prepared.everything, text_ids)
    probabilities = _classify(classifier, contents, accelerator)
    labels = [corpus.labels[text_id] for text_id in text_ids]
    common = majority(
        [corpus.labels[text_id] for text_id in corpus.train], len(corpus.classes), len(text_ids)
    )
    scores = {
        "most frequent class": _entry("baseline", split, labels, common),
        "student": _entry("student", split, labels, probabilities),
    }
    summary = {
        "recipe": recipe.name,
        "task": "classification",
        "seed": recipe.seed,
        "classes": list(corpus.classes),
        "texts": {"train": len(corpus.train), "dev": len(corpus.dev), split: len(text_ids)},
        "dev": dict(dev),
        "scores": scores,
        "input": list(corpus.remarks),
    }
    if accelerator.is_main_process:
        _write_predictions(folder / f"{split}.jsonl", corpus, text_ids, probabilities)
        if corpus.fold_of is not None:
            corpus.write_folds(folder / "folds.json")
        with replacing(folder / "summary.json") as file:
            json.dump(summary, file, ensure_ascii=False, indent=2)
    title = f"{recipe.name}: {len(text_ids):,} {split} texts of {len(corpus.classes)} classes"
    if corpus.report is None:
        title += "; selection saw them: give data.report or data.folds for a fair table"
    console.print(_table(escape(title), scores))
    console.print(f"Student: {folder / 'student'}", soft_wrap=True)
    return summary


def _contents(windowed: Windowed, text_ids: Sequence[str]) -> list[list[int]]:
    """Some texts' token ids, in their order."""
    rows = windowed.only(text_ids).rows
    by_id = dict(zip(rows["page_id"], rows["input_ids"], strict=True))
    return [by_id[text_id] for text_id in text_ids]


def _classify(
    classifier: Classifier, contents: Sequence[list[int]], accelerator: Accelerator
) -> np.ndarray:
    """Class probabilities, (texts, classes), the texts shared among the processes."""
    classifier.student.eval()
    mine = range(accelerator.process_index, len(contents), accelerator.num_processes)
    with accelerator.autocast():
        found = list(classifier.from_contents(contents[number] for number in mine))
    numbered = list(zip(mine, found, strict=True))
    if accelerator.num_processes > 1:
        numbered = gather_object(numbered)
    return np.stack([answer for _, answer in sorted(numbered, key=lambda it: it[0])])


def _entry(
    kind: str, split: str, labels: Sequence[int], probabilities: np.ndarray
) -> dict[str, Any]:
    figures = class_figures(labels, probabilities)
    return {"kind": kind, "split": split, "texts": len(labels), **figures}


def _write_predictions(
    path: Path, corpus: LabelledTexts, text_ids: Sequence[str], probabilities: np.ndarray
) -> None:
    """A line of JSON for every text: its gold and predicted class, and how likely each is."""
    with replacing(path) as file:
        for text_id, likelihoods in zip(text_ids, probabilities, strict=True):
            line = {
                "id": text_id,
                "text": corpus.pages[text_id].text,
                "gold": corpus.classes[corpus.labels[text_id]],
                "predicted": corpus.classes[int(likelihoods.argmax())],
                "probabilities": dict(
                    zip(corpus.classes, map(float, likelihoods.round(6)), strict=True)
                ),
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _table(title: str, scores: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("system", no_wrap=True)
    for heading in ("accuracy", "macro-F1", "loss"):
        table.add_column(heading, justify="right")
    for name, entry in scores.items():
        shares = (f"{100 * entry[key]:.2f}" for key in ("accuracy", "macro_f1"))
        table.add_row(name, *shares, f"{entry['loss']:.4f}")
    return table
