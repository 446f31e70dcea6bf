"""The scores of a run: tables for people, and the same for the Hub's metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult

from coteach.evaluation.shinra import Counts
from coteach.model.configuration import StudentConfig
from coteach.publishing.facts import RunFacts, data_title
from coteach.publishing.markdown import Markdown, table

__all__ = ["attribute_table", "evaluations", "score_table", "team_table"]


def score_table(facts: RunFacts) -> Markdown:
    """Everybody's scores in percent, differences with their 95 % intervals."""
    scores = facts.summary["scores"]
    if facts.classifies:
        shown = [
            (
                name,
                entry["kind"],
                _percent(entry["accuracy"]),
                _percent(entry["macro_f1"]),
                f"{entry['loss']:.4f}",
            )
            for name, entry in scores.items()
        ]
        return table(("system", "kind", "accuracy", "macro-F1", "loss"), shown, numbers=3)
    rows = []
    for name, entry in scores.items():
        difference = entry.get("f1_minus_best_team")
        interval = Markdown() if difference is None else _interval(difference)
        figures = (_percent(entry[key]) for key in ("precision", "recall", "f1"))
        rows.append((name, entry["kind"], *figures, interval))
    headings = ("system", "kind", "P", "R", "F1", "F1 − best team (95 % interval)")
    return table(headings, rows, numbers=4)


def attribute_table(facts: RunFacts) -> Markdown | None:
    """Of p, by attribute; None where the run has no such counts."""
    counts, name = facts.summary.get("attributes"), "student:p"
    if counts is None or name not in counts["predicted"]:
        return None
    rows = []
    for attribute, gold in counts["gold"].items():
        right, predicted = (counts[of][name][attribute] for of in ("true_positives", "predicted"))
        of = Counts(right, predicted, gold)
        figures = (of.precision, of.recall, of.f1) if gold else (None, None, None)
        rows.append((attribute, f"{gold:,}", f"{predicted:,}", *map(_percent, figures)))
    headings = ("attribute", "gold values", "found", "P", "R", "F1")
    return table(headings, rows, numbers=5)


def team_table(config: StudentConfig, scores: Mapping[str, Any]) -> Markdown:
    """Each teacher head with its weight in p_mean, the mean over attributes with the range."""
    rows = []
    for number, team in enumerate(config.teachers):
        weights = [1.0] if config.teacher_weights is None else config.teacher_weights[number]
        weights = weights if isinstance(weights, list) else [weights]
        shown = f"{sum(weights) / len(weights):.2f}"
        if max(weights) - min(weights) > 1e-6:
            shown += f" ({min(weights):.2f} to {max(weights):.2f})"
        entry = scores.get(team)
        rows.append((team, shown, _percent(None if entry is None else entry["f1"])))
    return table(("team", "weight", "its own F1"), rows, numbers=2)


def evaluations(facts: RunFacts, task: str, data_name: str | None = None) -> list[EvalResult]:
    """What the pipeline answers with, for ``model-index``: fractions of 1.

    Args:
        facts: of the run.
        task: the Hub's name of it.
        data_name: what the data is called; None for the names of its files.
    """
    scores = facts.summary["scores"]
    students = {name: of for name, of in scores.items() if of["kind"] == "student"}
    chosen = students.get("student:p", next(iter(students.values())))
    metrics = {"f1": "micro-F1 (exact places)", "precision": "precision", "recall": "recall"}
    if facts.classifies:
        metrics = {"accuracy": "accuracy", "macro_f1": "macro-F1"}
    name = data_name or data_title(facts.recipe["data"])
    return [
        EvalResult(
            task_type=task,
            dataset_type=re.sub(r"[^\w./-]+", "-", name),
            dataset_name=name,
            dataset_split=facts.split,
            metric_type="f1" if metric == "macro_f1" else metric,
            metric_name=shown,
            metric_value=round(float(chosen[metric]), 6),
        )
        for metric, shown in metrics.items()
    ]


def _interval(difference: Mapping[str, float]) -> Markdown:
    bounds = (100 * difference[key] for key in ("difference", "low", "high"))
    return Markdown("{:+.2f} [{:+.2f}, {:+.2f}]".format(*bounds))


def _percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:.2f}"
