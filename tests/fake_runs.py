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
