"""Finished runs whose data is still there: what the report's page needs, without training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tiny_task
from fake_runs import Values

from coteach.data.corpus import load_corpus
from coteach.data.pages import Annotations, Page
from coteach.data.shinra import write_submission
from coteach.data.shinra_task import ShinraData
from coteach.data.sources import Split
from coteach.evaluation.scoreboard import Scoreboard
from coteach.model.spans import Span
from coteach.recipe import Recipe, load_recipe
from coteach.training.record import write_recipe

HOSTILE = '"><img src=x onerror=alert(1)>'
"""As a name: of a team, an attribute or a run. No file can have it: "/" is missing."""
SCRIPT = "<script>alert(1)</script></script><!--\u2028"
"""As a text."""


def write_tiny_run(folder: Path, task: Path, seed: int = 1, **changes: Any) -> Path:
    """A finished run on the tiny task, whose student finds all but years, and one place wrong.

    Args:
        folder: of the run; it is made.
        task: the tiny task; it is written where there is none.
        seed: of the run.
        **changes: of the recipe.
    """
    written = task / "recipe.py"
    recipe = load_recipe(str(written)) if written.exists() else tiny_task.load(task)
    recipe = replace(recipe, seed=seed, **changes)
    corpus = load_corpus(recipe.task_data(), recipe.seed)
    assert corpus.report is not None
    found = {
        page_id: frozenset(span for span in spans if span.attribute != "築城年")
        for page_id, spans in corpus.report.gold.values.items()
    }
    found["9"] = frozenset(
        span._replace(end_offset=span.end_offset + 1) if span.attribute == "場所" else span
        for span in found["9"]
    )
    return _write(folder, recipe, corpus.pages, corpus.report, corpus.teams, found)


def write_large_run(
    folder: Path, task: Path, texts: Mapping[str, str], teams: Sequence[str], attribute: str = "名"
) -> Path:
    """A run on pages of one's own, all of them report pages but for two.

    The gold's value is the first two characters of every page, and every third page's student
    and every other team miss it by one.

    Args:
        folder: of the run; it is made.
        task: folder of its data; it is made.
        texts: page id → text, of two characters at least.
        teams: their names.
        attribute: the only one.
    """
    plain = task / "plain" / "Large"
    plain.mkdir(parents=True)
    texts = {"train": "学習の頁", "dev": "選択の頁", **texts}
    for page_id, text in texts.items():
        (plain / f"{page_id}.txt").write_bytes(text.encode())
    pages = {page_id: Page(page_id, text) for page_id, text in texts.items()}
    right = {page_id: frozenset({Span(attribute, 0, 0, 0, 2)}) for page_id in texts}
    wrong = {page_id: frozenset({Span(attribute, 0, 0, 0, 1)}) for page_id in texts}

    def write(path: Path, values: Values) -> None:
        write_submission(path, [(pages[it], _scored(spans)) for it, spans in values.items()])

    for split, ids in (("gold", ["train"]), ("dev", ["dev"]), ("report", [*texts][2:])):
        write(task / f"{split}.json", {page_id: right[page_id] for page_id in ids})
    for number, team in enumerate(teams):
        write(task / "submissions" / team / "Large.json", (right, wrong)[number % 2])
    data = ShinraData(
        pages=plain,
        gold=task / "gold.json",
        dev=task / "dev.json",
        report=task / "report.json",
        submissions=task / "submissions",
    )
    tiny = tiny_task.load(task / "tiny")
    recipe = replace(tiny, data=data)
    corpus = load_corpus(data, 1)
    assert corpus.report is not None
    found = {
        page_id: (wrong if number % 3 == 0 else right)[page_id]
        for number, page_id in enumerate(corpus.report.page_ids)
    }
    return _write(folder, recipe, corpus.pages, corpus.report, corpus.teams, found)


def _write(
    folder: Path,
    recipe: Recipe,
    pages: Mapping[str, Page],
    split: Split,
    teams: Sequence[Annotations],
    found: Values,
) -> Path:
    board = Scoreboard(split)
    for team in teams:
        board.add(team.name, "team", team.values)
    for probability in ("p", "p_out", "p_mean"):
        board.add(f"student:{probability}", "student", found)
    folder.mkdir(parents=True)
    write_recipe(recipe, folder)
    write_submission(
        folder / "report.json",
        [(pages[page_id], _scored(found[page_id])) for page_id in split.page_ids],
    )
    summary = {
        "recipe": recipe.name,
        "task": "extraction",
        "seed": recipe.seed,
        "pages": {"training": 10, "labelled": 6},
        "dev": {"step": 20, "score": 0.5, "score_name": "micro-F1 (p)"},
        "scores": board.as_json(),
        "attributes": board.by_attribute(),
    }
    for file, content in (("summary.json", summary), ("pages.json", board.by_page())):
        (folder / file).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return folder


def _scored(spans: Iterable[Span]) -> list[tuple[Span, float]]:
    return [(span, 1.0) for span in sorted(spans)]


def write_log(path: Path) -> None:
    """A short log of training."""
    lines: list[dict[str, Any]] = [
        {"event": "train", "step": 10, "epoch": 1, "seconds": 1.5, "loss": 0.5, "loss_gold": 0.6},
        {"event": "dev", "step": 10, "epoch": 1, "p": 0.25, "p_out": 0.2},
        {"event": "train", "step": 20, "epoch": 2, "seconds": 1.5, "loss": 0.25, "loss_gold": 0.3},
        {"event": "dev", "step": 20, "epoch": 2, "p": 0.5, "p_out": 0.4},
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def lose_data(task: Path) -> None:
    """Delete a task's files, as after a move to another machine."""
    shutil.rmtree(task)
