from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_task
from rich.console import Console
from rich.table import Table

from coteach.recipe import Recipe
from coteach.searching import Grid
from coteach.searching.ranking import (
    Figure,
    chosen_of,
    figure_of,
    ranked,
    report_scores,
    report_table,
    table,
    write,
)
from coteach.searching.space import Cell, cells_of
from coteach.searching.study import Outcome

GRID = Grid({"optimisation.batch_size": (2, 4, 8)})
F1 = Figure("micro-F1 (p)", "F1", "pages")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return tiny_task.load(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def cells(recipe: Recipe) -> list[Cell]:
    """Three settings with two seeds."""
    return cells_of(recipe, Grid(GRID.over, {"seed": (1, 2)}))


def outcomes(**devs: float | None) -> dict[str, Outcome]:
    """By setting and seed, ``b2s1``; None failed."""
    result = {}
    for key, dev in devs.items():
        size, seed = key[1:].split("s")
        name = f"batch_size={size},seed={seed}"
        result[name] = Outcome(name, dev=dev, error=None if dev is not None else "[no] memory")
    return result


def text(table: Table) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def summary(folder: Path, cell: Cell, f1: float) -> None:
    def entry(kind: str, f1: float) -> dict[str, object]:
        return {"kind": kind, "split": "report", "precision": f1, "recall": f1, "f1": f1}

    scores = {
        "weak": entry("team", 0.1),
        "strong": entry("team", 0.7),
        "vote>=2": entry("baseline", 0.2),
        "student:p": entry("student", f1),
    }
    (folder / cell.name).mkdir(parents=True)
    (folder / cell.name / "summary.json").write_text(json.dumps({"scores": scores}))


def test_the_best_mean_is_chosen_not_the_luckiest_seed(cells: list[Cell]) -> None:
    standings = ranked(
        cells, outcomes(b2s1=0.5, b2s2=0.6, b4s1=0.9, b4s2=0.1, b8s1=0.58, b8s2=0.56)
    )
    assert [it.setting for it in standings] == ["batch_size=8", "batch_size=2", "batch_size=4"]
    assert standings[0].mean == pytest.approx(0.57)
    assert standings[0].deviation == pytest.approx(0.0141421356)
    assert chosen_of(standings) is standings[0]
    shown = text(table(standings, GRID, F1))
    assert "57.00" in shown
    assert "1.41" in shown
    assert "2/2" in shown
    assert "seeds" in shown
    assert "dev F1" in shown


def test_a_setting_that_lacks_a_seed_is_not_chosen(cells: list[Cell]) -> None:
    standings = ranked(cells, outcomes(b2s1=0.9, b2s2=None, b4s1=0.4, b4s2=0.4, b8s1=0.5, b8s2=0.2))
    assert [it.setting for it in standings] == ["batch_size=4", "batch_size=8", "batch_size=2"]
    assert chosen_of(standings) is standings[0]
    assert "failed: [no] memory" in text(table(standings, GRID, F1))


def test_nothing_is_chosen_before_the_end(cells: list[Cell]) -> None:
    standings = ranked(cells, outcomes(b2s1=0.9, b2s2=0.9, b4s1=0.4, b4s2=0.4, b8s1=0.5))
    assert standings[0].complete
    assert chosen_of(standings) is None
    assert "not finished" in text(table(standings, GRID, F1))
    assert chosen_of(ranked(cells, {})) is None
    every = dict.fromkeys(("b2s1", "b2s2", "b4s1", "b4s2", "b8s1", "b8s2"))
    assert chosen_of(ranked(cells, outcomes(**every))) is None


def test_equals_keep_the_order_of_the_grid(cells: list[Cell]) -> None:
    standings = ranked(cells[:3], {it.name: Outcome(it.name, dev=0.0) for it in cells[:3]})
    assert [it.values["optimisation.batch_size"] for it in standings] == [2, 4, 8]
    assert [it.deviation for it in standings] == [None] * 3
    assert "s.d." not in text(table(standings, GRID, F1))


def test_the_report_is_read_for_the_chosen_setting_only(cells: list[Cell], tmp_path: Path) -> None:
    standings = ranked(cells, outcomes(b2s1=0.1, b2s2=0.1, b4s1=0.5, b4s2=0.5, b8s1=0.2, b8s2=0.2))
    chosen = chosen_of(standings)
    assert chosen is not None
    for cell, f1 in zip(chosen.cells, (0.2, 0.4), strict=True):  # the others have no summary
        summary(tmp_path, cell, f1)
    scores = report_scores(tmp_path, chosen)
    assert scores.keys() == {"batch_size=4,seed=1", "batch_size=4,seed=2"}
    shown = text(report_table(scores))
    assert "30.00" in shown
    assert "strong" in shown
    assert "weak" not in shown
    write(tmp_path, standings, F1, scores)
    written = json.loads((tmp_path / "search.json").read_text(encoding="utf-8"))
    assert written["chosen"] == {"setting": "batch_size=4", "scores": scores}
    assert [it["mean"] for it in written["settings"]] == [0.5, 0.2, 0.1]
    with (tmp_path / "search.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(it["optimisation.batch_size"], it["seed"], it["dev_f1"]) for it in lines] == [
        ("4", "1", "0.5"),
        ("4", "2", "0.5"),
        ("8", "1", "0.2"),
        ("8", "2", "0.2"),
        ("2", "1", "0.1"),
        ("2", "2", "0.1"),
    ]


def test_what_has_not_ended_is_written_too(cells: list[Cell], tmp_path: Path) -> None:
    standings = ranked(cells, outcomes(b2s1=None))
    write(tmp_path, standings, figure_of(standings), None)
    written = json.loads((tmp_path / "search.json").read_text(encoding="utf-8"))
    assert written["chosen"] is None
    assert written["figure"] == "micro-F1 (p) on the dev pages"
    assert written["probability"] == "p"
    assert [it["mean"] for it in written["settings"]] == [None, None, None]
    assert written["settings"][0]["runs"][0]["error"] == "[no] memory"
    assert written["settings"][0]["runs"][1]["dev_f1"] is None
    assert len((tmp_path / "search.csv").read_text().splitlines()) == 7


def test_folds_of_a_classification(recipe: Recipe, tmp_path: Path) -> None:
    """Pages stand for folds here; the mean over all repetitions decides."""
    grid = Grid(GRID.over, {"data.max_pages": (30, 40), "seed": (1, 2)})
    cells = cells_of(recipe, grid)
    devs = {2: (0.8, 0.8, 0.8, 0.8), 4: (0.9, 0.9, 0.9, 0.1), 8: (0.7, 0.9, 0.9, 0.9)}
    left = {size: list(scores) for size, scores in devs.items()}
    ended = {
        cell.name: Outcome(
            cell.name,
            dev=left[cell.values["optimisation.batch_size"]].pop(0),
            score_name="accuracy",
        )
        for cell in cells
    }
    standings = ranked(cells, ended)
    assert [it.setting for it in standings] == ["batch_size=8", "batch_size=2", "batch_size=4"]
    assert [it.mean for it in standings] == pytest.approx([0.85, 0.8, 0.7])
    figure = Figure("accuracy", "accuracy", "texts")
    shown = text(table(standings, grid, figure))
    for part in ("dev accuracy", "runs", "4/4"):
        assert part in shown
    for absent in ("seeds", "F1", "max_pages"):
        assert absent not in shown
    write(tmp_path, standings, figure, None)
    written = json.loads((tmp_path / "search.json").read_text(encoding="utf-8"))
    assert written["figure"] == "accuracy on the dev texts"
    assert written["probability"] is None
    with (tmp_path / "search.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(it["data.max_pages"], it["seed"], it["dev_accuracy"]) for it in lines[:4]] == [
        ("30", "1", "0.7"),
        ("30", "2", "0.9"),
        ("40", "1", "0.9"),
        ("40", "2", "0.9"),
    ]
    assert len(lines) == 12


def test_what_was_compared(recipe: Recipe, cells: list[Cell]) -> None:
    class Texts:
        """Stands for data that are not pages."""

    texts = [replace(it, recipe=replace(it.recipe, data=Texts())) for it in cells]
    done = Outcome(cells[1].name, dev=0.5, score_name="micro-F1 (p_out)")
    accurate = replace(done, score_name="accuracy")
    for them, ended, expected in [
        (cells, {}, F1),
        (cells, {done.cell: replace(done, score_name=None)}, F1),
        (cells, {done.cell: done}, Figure("micro-F1 (p_out)", "F1", "pages")),
        (texts, {}, Figure("accuracy", "accuracy", "texts")),
        (texts, {done.cell: accurate}, Figure("accuracy", "accuracy", "texts")),
    ]:
        assert figure_of(ranked(them, ended)) == expected


def test_the_report_of_a_classification() -> None:
    def scores(accuracy: float) -> dict[str, object]:
        both = {"split": "report", "texts": 10, "loss": 1.0}
        return {
            "majority": {"kind": "baseline", "accuracy": 0.125, "macro_f1": 0.0625, **both},
            "student": {"kind": "student", "accuracy": accuracy, "macro_f1": 0.5, **both},
        }

    shown = text(report_table({"a": scores(0.5), "b": scores(0.75)}))
    for part in ("accuracy", "macro-F1", "62.50", "50.00", "majority", "12.50", "6.25"):
        assert part in shown
    assert "P " not in shown
