"""Folders of finished runs, written without training, and what lies behind them."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coteach.data.pages import Annotations
from coteach.data.sources import Split
from coteach.evaluation.scoreboard import Kind, Scoreboard
from coteach.model.spans import Span

ATTRIBUTES = ["人名", "地名", "施設名", "法人名", "製品名"]
Values = dict[str, frozenset[Span]]


def gold(category: str, pages: int = 20) -> Values:
    """The gold of a category: on every page one value of most attributes."""
    dice = random.Random(category)
    return {
        f"{category}{number}": frozenset(
            Span(attribute, 0, place, 0, place + 2)
            for place, attribute in enumerate(ATTRIBUTES)
            if dice.random() < 0.8
        )
        for number in range(pages)
    }


def found(answers: Values, skill: float, seed: object) -> Values:
    """What a system of a skill finds: each value or, a third as often as it misses one, noise."""
    dice = random.Random(str(seed))
    return {
        page_id: frozenset(
            span if dice.random() < skill else span._replace(end_offset=span.end_offset + 1)
            for span in sorted(spans)
            if dice.random() < 0.5 + skill / 2
        )
        for page_id, spans in answers.items()
    }


def team_values(category: str, skills: Mapping[str, float]) -> dict[str, Values]:
    """team → values."""
    return {team: found(gold(category), skill, (category, team)) for team, skill in skills.items()}


def write_run(
    folder: Path,
    category: str,
    systems: Mapping[str, tuple[Kind, Values]],
    *,
    name: str = "coteach",
    seed: int = 1,
    training: int = 2000,
    answers: Values | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """A finished run's folder, with the values of ``systems`` scored as a run does it."""
    answers = gold(category) if answers is None else answers
    page_ids = tuple(answers)
    board = Scoreboard(Split("report", page_ids, Annotations("gold", answers, frozenset(page_ids))))
    for system, (kind, values) in systems.items():
        board.add(system, kind, values)
    recipe = {
        "type": "Recipe",
        "name": name,
        "data": {"type": "ShinraData", "pages": f"task/plain/{category}", "max_pages": training},
        "optimisation": {"type": "Optimisation", "epochs": 8, **(settings or {})},
        "seed": seed,
    }
    summary = {
        "recipe": name,
        "seed": seed,
        "pages": {"training": training, "labelled": 40},
        "scores": board.as_json(),
        "attributes": board.by_attribute(),
    }
    folder.mkdir(parents=True)
    for file, content in (
        ("recipe.json", {"recipe": recipe}),
        ("summary.json", summary),
        ("pages.json", board.by_page()),
    ):
        (folder / file).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return folder


def student(category: str, skill: float, seed: object) -> dict[str, tuple[Kind, Values]]:
    """A student with its three probabilities, p the best of them."""
    return {
        f"student:{probability}": ("student", found(gold(category), s, (category, seed, s)))
        for probability, s in (("p", skill), ("p_out", skill - 0.1), ("p_mean", skill - 0.05))
    }


def teams(category: str, skills: Sequence[float]) -> dict[str, tuple[Kind, Values]]:
    """Teams "team1", "team2", …, one a skill."""
    named = {f"team{number}": skill for number, skill in enumerate(skills, start=1)}
    return {team: ("team", values) for team, values in team_values(category, named).items()}


def write_classification_run(
    folder: Path,
    correct: Sequence[bool],
    *,
    layer: int = 2,
    weight: float = 0.5,
    fold: int = 0,
    seed: int = 1,
    name: str = "pos",
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """A finished run of classification, whose student was right on some texts of a fold.

    Args:
        folder: of the run; it is made.
        correct: of each text, whether the student found its class, "a" or "b" in turn.
        layer: of the auxiliary edge.
        weight: of the auxiliary edge.
        fold: that was scored; its texts' ids name it.
        seed: of the run.
        name: of the recipe.
        settings: further fields of its data.
    """
    recipe = {
        "type": "Recipe",
        "name": name,
        "data": {
            "type": "ClassificationData",
            "train": "news/train.tsv",
            "folds": 10,
            "fold": fold,
            **(settings or {}),
        },
        "nodes": {
            "gold": {"type": "Gold"},
            "mecab": {"type": "PartOfSpeech"},
            "student": {"type": "Student"},
        },
        "edges": {
            "gold": {"type": "Edge", "source": "gold", "layer": 12, "weight": 1.0},
            "part_of_speech": {
                "type": "Edge",
                "source": "mecab",
                "layer": layer,
                "weight": weight,
            },
        },
        "seed": seed,
        "processes": layer,  # which is not what is learnt
    }
    accuracy = sum(correct) / len(correct)
    both = {"split": "report", "texts": len(correct), "loss": 1.0}
    summary = {
        "task": "classification",
        "recipe": name,
        "seed": seed,
        "dev": {"score": accuracy, "score_name": "accuracy", "step": 1},
        "scores": {
            "majority": {"kind": "baseline", "accuracy": 0.5, "macro_f1": 0.25, **both},
            "student": {"kind": "student", "accuracy": accuracy, "macro_f1": accuracy / 2, **both},
        },
    }
    folder.mkdir(parents=True)
    for file, content in (("recipe.json", {"recipe": recipe}), ("summary.json", summary)):
        (folder / file).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    with (folder / "report.jsonl").open("w", encoding="utf-8") as lines:
        for number, right in enumerate(correct):
            true, other = ("a", "b") if number % 2 else ("b", "a")
            text = {
                "id": f"train:{fold}-{number}",
                "text": "文",
                "gold": true,
                "predicted": true if right else other,
                "probabilities": {true: 0.75 if right else 0.25, other: 0.25 if right else 0.75},
            }
            lines.write(json.dumps(text, ensure_ascii=False) + "\n")
    return folder


def write_auxiliary_runs(
    folder: Path,
    skills: Mapping[int, tuple[float, float]],
    folds: int = 10,
    texts: int = 100,
    **options: Any,
) -> Path:
    """Runs of every layer and fold, as a search leaves them.

    Args:
        folder: of the search.
        skills: layer → share of the texts that multi-task and single-task find, on average.
        folds: how many.
        texts: of a fold.
        options: of :func:`write_classification_run`.
    """
    for layer, pair in skills.items():
        for weight, skill in zip((0.5, 0.0), pair, strict=True):
            for fold in range(folds):
                dice = random.Random(f"{layer} {weight} {fold} {options}")
                write_classification_run(
                    folder / f"layer={layer},weight={weight},fold={fold}",
                    [dice.random() < skill for _ in range(texts)],
                    layer=layer,
                    weight=weight,
                    fold=fold,
                    **options,
                )
    return folder
