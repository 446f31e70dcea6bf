"""Finished runs with a tiny student, written without training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_runs
from tiny_students import CLASSES, tiny_student, tiny_tagger, tiny_tokenizer

from coteach.model import Student
from coteach.recipe import Recipe, load_recipe
from coteach.training.record import write_recipe

TEAMS = ("team1", "team2")
HOME = "/home/someone/task"
"""Where the data was, of which nobody is to hear."""


def save_student(folder: Path, student: Student) -> Path:
    """Write a student with its tokenizer, as one whose encoder came from a folder."""
    student.config.encoder["_name_or_path"] = f"{HOME}/encoder"
    student.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def write_extraction_run(folder: Path, *, recipe: str = "recipes.shinra_pos") -> Path:
    """A co-taught run with two teams, of which the first weighs more."""
    systems = {
        **fake_runs.teams("Castle", [0.5, 0.4]),
        **fake_runs.student("Castle", 0.7, 1),
    }
    fake_runs.write_run(folder, "Castle", systems, name="castles")
    _write_recipe(folder, load_recipe(recipe))
    heads = [{"name": name, "layer": -1} for name in (*TEAMS, "output")]
    student = tiny_tagger(
        attributes=fake_runs.ATTRIBUTES, heads=heads, teacher_weights=[1.5, 0.5], overlap=4
    )
    save_student(folder / "student", student)
    return folder


def write_classification_run(folder: Path) -> Path:
    """A run that classifies by a teacher, in two stages."""
    fake_runs.write_classification_run(folder, [True, True, False, True])
    _write_recipe(folder, load_recipe("recipes.tinybert_importance"))
    change(folder / "summary.json", texts={"train": 30, "dev": 5, "report": 4}, classes=CLASSES)
    save_student(folder / "student", tiny_student())
    return folder


def change(path: Path, **parts: Any) -> None:
    """Replace some parts of a file of JSON."""
    said = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**said, **parts}, ensure_ascii=False), encoding="utf-8")


def rename(folder: Path, names: Mapping[str, str], files: Sequence[str]) -> None:
    """Replace whole names, such as a team's, wherever they stand in files of JSON."""

    def renamed(part: Any) -> Any:
        if isinstance(part, dict):
            return {renamed(key): renamed(value) for key, value in part.items()}
        if isinstance(part, list):
            return [renamed(it) for it in part]
        return names.get(part, part) if isinstance(part, str) else part

    for name in files:
        path = folder / name
        said = renamed(json.loads(path.read_text(encoding="utf-8")))
        path.write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")


def _write_recipe(folder: Path, recipe: Recipe) -> None:
    (folder / "recipe.json").unlink()
    data: Any = recipe.data
    if hasattr(data, "submissions"):
        places = {"pages": "plain/Castle", "gold": "gold.json", "submissions": "submissions"}
        places |= {"report": "report.json", "splits": "splits.json"}
        data = replace(data, **{name: Path(HOME, place) for name, place in places.items()})
    else:
        data = replace(data, train=f"{HOME}/texts.tsv")
    write_recipe(replace(recipe, data=data), folder)
