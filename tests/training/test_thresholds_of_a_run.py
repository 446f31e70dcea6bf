"""A run that chooses thresholds on dev keeps them with its student."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from coteach.data.corpus import load_corpus
from coteach.data.shinra import read_annotations
from coteach.evaluation.scoreboard import Scoreboard
from coteach.evaluation.thresholds import choose_thresholds
from coteach.recipe import Recipe
from coteach.training.loading import load_extractor
from coteach.training.run import run


@pytest.fixture
def choosy(tiny_recipe: Recipe) -> Recipe:
    optimisation = replace(tiny_recipe.optimisation, epochs=4)
    selection = replace(tiny_recipe.selection, thresholds="f1")
    return replace(tiny_recipe, optimisation=optimisation, selection=selection)


def thresholds_in(student: Path) -> dict[str, float]:
    config: dict[str, Any] = json.loads((student / "config.json").read_text(encoding="utf-8"))
    return config["thresholds"]


def test_thresholds_are_chosen_on_dev_and_applied(choosy: Recipe, tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200)
    run(choosy, tmp_path / "run", console)

    corpus = load_corpus(choosy.data, choosy.seed)
    for folder in (tmp_path / "run", tmp_path / "run" / "gold_only"):
        extractor = load_extractor(folder / "student")
        texts = [corpus.pages[page_id].text for page_id in corpus.dev.page_ids]
        found = {
            page_id: result["p"]
            for page_id, result in zip(
                corpus.dev.page_ids, extractor(texts, threshold=0.0), strict=True
            )
        }
        chosen = choose_thresholds(corpus.dev.gold.values, found, corpus.attributes)
        expected = {name: choice.threshold for name, choice in chosen.items()}
        assert thresholds_in(folder / "student") == pytest.approx(expected, abs=1e-6)

    assert corpus.report is not None
    student = load_extractor(tmp_path / "run" / "student")
    assert any(student.student.config.thresholds.values())
    values = read_annotations(tmp_path / "run" / "report.json", name="student").values
    for page_id in corpus.report.page_ids:
        (result,) = student([corpus.pages[page_id].text])
        assert {span for span, _ in result["p"]} == values.get(page_id, frozenset())
    assert "confidence ≥" in console.file.getvalue()  # type: ignore[attr-defined]

    # Again, with nothing left to train: the same thresholds.
    before = thresholds_in(tmp_path / "run" / "student")
    run(choosy, tmp_path / "run", Console(file=io.StringIO()))
    assert thresholds_in(tmp_path / "run" / "student") == before


def test_the_dev_score_is_that_of_the_student_with_its_thresholds(
    choosy: Recipe, tmp_path: Path
) -> None:
    recipe = replace(choosy, baselines=())
    dev = run(recipe, tmp_path / "run", Console(file=io.StringIO()))["dev"]
    corpus = load_corpus(recipe.data, recipe.seed)
    extractor = load_extractor(tmp_path / "run" / "student")
    texts = [corpus.pages[page_id].text for page_id in corpus.dev.page_ids]
    board = Scoreboard(corpus.dev)
    found = zip(corpus.dev.page_ids, extractor(texts), strict=True)
    by_page = {page_id: [span for span, _ in result["p"]] for page_id, result in found}
    assert dev["f1"]["p"] == pytest.approx(board.add("p", "student", by_page))
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    before = next(it for it in log if it["event"] == "dev" and it["step"] == dev["step"])
    assert dev["f1"]["p"] > before["p"]
    assert dev["f1"]["p_out"] == before["p_out"]
