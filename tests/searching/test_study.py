from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tiny_task

from coteach.errors import InputError
from coteach.recipe import Recipe
from coteach.searching import Grid
from coteach.searching.space import Cell, cells_of
from coteach.searching.study import Outcome, Study, run_cell

GRID = Grid({"optimisation.batch_size": (2, 4, 8), "edges.*.loss.beta": (0.9, 0.99)})
FORK = multiprocessing.get_context("fork")  # with torch imported already


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return tiny_task.load(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def cells(recipe: Recipe) -> list[Cell]:
    return cells_of(recipe, GRID)


def summary(f1: float) -> dict[str, Any]:
    """An older version's."""
    return {"dev": {"probability": "p", "step": 3, "f1": {"p": f1, "p_out": 1.0}}}


def test_what_is_compared_is_what_the_summary_says(
    recipe: Recipe, cells: list[Cell], tmp_path: Path
) -> None:
    study = Study(tmp_path, recipe, GRID)
    for cell, dev, expected in [
        (cells[0], {"score": 0.75, "score_name": "accuracy", "step": 2}, (0.75, "accuracy")),
        (
            cells[1],
            {**summary(0.25)["dev"], "score": 0.5, "score_name": "micro-F1 (p_out)"},
            (0.5, "micro-F1 (p_out)"),
        ),
        (cells[2], summary(0.25)["dev"], (0.25, "micro-F1 (p)")),
    ]:
        outcome = run_cell(study, cell, lambda *_, dev=dev: {"dev": dev})
        assert outcome is not None
        assert (outcome.dev, outcome.score_name) == expected
        kept = Study(tmp_path, recipe, GRID).outcomes()[cell.name]
        assert (kept.dev, kept.score_name) == expected


def test_an_outcome_is_kept(recipe: Recipe, cells: list[Cell], tmp_path: Path) -> None:
    seen = []

    def run(ran: Recipe, folder: Path) -> dict[str, Any]:
        seen.append((ran, folder))
        return summary(0.25)

    study = Study(tmp_path / "s", recipe, GRID)
    outcome = run_cell(study, cells[1], run)
    assert seen == [(cells[1].recipe, tmp_path / "s" / cells[1].name)]
    assert outcome is not None
    assert (outcome.cell, outcome.dev, outcome.step, outcome.error) == (
        cells[1].name,
        0.25,
        3,
        None,
    )
    # Opened again, it is still there, and what is done is not run again.
    again = Study(tmp_path / "s", recipe, GRID)
    assert again.outcomes().keys() == {cells[1].name}
    assert again.outcomes()[cells[1].name].dev == 0.25
    assert run_cell(again, cells[1], run) == again.outcomes()[cells[1].name]
    assert len(seen) == 1


def test_it_is_a_study_of_optuna(recipe: Recipe, cells: list[Cell], tmp_path: Path) -> None:
    import optuna

    study = Study(tmp_path, recipe, GRID)
    for number, cell in enumerate(cells):
        study.add(cell, Outcome(cell.name, dev=number / 10, step=1, seconds=60.0))
    loaded = optuna.load_study(study_name="tiny", storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert loaded.best_value == 0.5
    assert loaded.best_params == {"optimisation.batch_size": 8, "edges.*.loss.beta": 0.99}
    assert loaded.best_trial.duration is not None
    assert loaded.best_trial.duration.total_seconds() == 60


def test_a_failure_is_reported_and_tried_again(
    recipe: Recipe, cells: list[Cell], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> dict[str, Any]:
        raise RuntimeError("out of\nmemory")

    def unusable(*_: object) -> dict[str, Any]:
        raise InputError("data: no pages")

    study = Study(tmp_path, recipe, GRID)
    for run, message in ((broken, "RuntimeError: out of memory"), (unusable, "data: no pages")):
        outcome = run_cell(study, cells[0], run)
        assert outcome is not None
        assert (outcome.dev, outcome.error) == (None, message)
        assert study.outcomes()[cells[0].name].error == message
    assert "Traceback" in capsys.readouterr().err
    assert study.has_ended(cells[0])
    assert not study.has_ended(cells[0], after=1)
    run_cell(study, cells[0], lambda *_: summary(0.5))
    assert study.outcomes()[cells[0].name].dev == 0.5
    assert study.has_ended(cells[0], after=99)


def test_a_cell_has_one_owner(recipe: Recipe, cells: list[Cell], tmp_path: Path) -> None:
    study = Study(tmp_path, recipe, GRID)
    with study.claim(cells[0]) as mine, study.claim(cells[0]) as twice:
        assert (mine, twice) == (True, False)
        assert run_cell(study, cells[0], lambda *_: summary(0.5)) is None
        with study.claim(cells[1]) as other:
            assert other
    with study.claim(cells[0]) as free:
        assert free


def _hang(folder: Path, recipe: Recipe, cell: Cell) -> None:
    def run(_: Recipe, run_folder: Path) -> dict[str, Any]:
        run_folder.mkdir()
        time.sleep(60)
        return summary(0.1)

    run_cell(Study(folder, recipe, GRID), cell, run)


def test_what_was_killed_is_run_again(recipe: Recipe, cells: list[Cell], tmp_path: Path) -> None:
    study = Study(tmp_path, recipe, GRID)
    process = FORK.Process(target=_hang, args=(tmp_path, recipe, cells[0]))
    process.start()
    deadline = time.monotonic() + 20
    while not (tmp_path / cells[0].name).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert run_cell(study, cells[0], lambda *_: summary(0.5)) is None
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert study.outcomes() == {}
    outcome = run_cell(study, cells[0], lambda *_: summary(0.5))
    assert outcome is not None
    assert outcome.dev == 0.5


def _work(folder: Path, recipe: Recipe, ran: Path) -> None:
    def run(_: Recipe, run_folder: Path) -> dict[str, Any]:
        with ran.open("a") as file:
            file.write(run_folder.name + "\n")
        time.sleep(0.02)
        return summary(0.5)

    study = Study(folder, recipe, GRID)
    for _ in range(2):
        for cell in cells_of(recipe, GRID):
            run_cell(study, cell, run)


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_two_workers_do_every_cell_once(recipe: Recipe, cells: list[Cell], tmp_path: Path) -> None:
    """They also begin the study at the same moment."""
    ran = tmp_path / "ran.txt"
    processes = [
        FORK.Process(target=_work, args=(tmp_path / "search", recipe, ran)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert Counter(ran.read_text().split()) == Counter(cell.name for cell in cells)
    assert len(Study(tmp_path / "search", recipe, GRID).outcomes()) == len(cells)


def test_another_search_in_the_same_folder(recipe: Recipe, tmp_path: Path) -> None:
    repeat = {"seed": (1, 2), "data.max_pages": (30, 40)}
    begun = Grid(GRID.over, repeat)
    Study(tmp_path, recipe, begun)
    Study(tmp_path, recipe, begun)
    Study(tmp_path, recipe, Grid(GRID.over, dict(reversed(repeat.items()))))  # names no other runs
    other = {**GRID.over, "optimisation.batch_size": (2, 4)}
    for grid, message in [
        (Grid(other, repeat), r"optimisation\.batch_size was \[2, 4, 8\], now \[2, 4\]$"),
        (Grid(GRID.over, {**repeat, "seed": (1,)}), r"seeds was \[1, 2\], now \[1\]$"),
        (GRID, r"seeds was \[1, 2\], now \[\]; repeat data\.max_pages was \[30, 40\], now None$"),
        (Grid({"selection.patience": (1, None)}, repeat), r"selection\.patience was None, now"),
    ]:
        with pytest.raises(InputError, match=message) as error:
            Study(tmp_path, recipe, grid)
        assert str(error.value).startswith(f"{tmp_path / 'study.db'}: this search was begun with")
    changed = cells_of(recipe, GRID)[0].recipe
    with pytest.raises(InputError, match=r"recipe\.json: .*teams\.loss\.beta was 0\.99999, now"):
        Study(tmp_path, changed, begun)


@pytest.mark.parametrize("seeds", [(), (1, 2)])
def test_a_study_of_an_older_version_goes_on(
    recipe: Recipe, tmp_path: Path, seeds: tuple[int, ...]
) -> None:
    """It knows seeds alone, and its trials no name of the score."""
    import optuna

    grid = Grid(GRID.over, {"seed": seeds} if seeds else {})
    cell = cells_of(recipe, grid)[0]
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    old = optuna.create_study(storage=storage, study_name="tiny", direction="maximize")
    values = {path: list(them) for path, them in GRID.over.items()}
    old.set_user_attr("grid", {**values, "seeds": list(seeds)})
    attributes = {"cell": cell.name, "step": 3, "seconds": 1.0, "error": None}
    old.add_trial(optuna.trial.create_trial(value=0.5, user_attrs=attributes))
    outcome = Study(tmp_path, recipe, grid).outcomes()[cell.name]
    assert (outcome.dev, outcome.score_name) == (0.5, None)
    assert outcome.shown == "dev micro-F1 50.00"
    with pytest.raises(InputError, match=r"repeat data\.max_pages was None, now \[30\]"):
        Study(tmp_path, recipe, Grid(GRID.over, {**grid.repeat, "data.max_pages": (30,)}))


def test_what_is_no_study(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("This is no database, whatever its name says. " * 30)
    with pytest.raises(InputError, match=r"study\.db: cannot be used as an Optuna study: "):
        Study(tmp_path, recipe, GRID)


def test_without_optuna(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install coteach\[search\]"):
        Study(tmp_path / "search", recipe, GRID)
    assert not (tmp_path / "search").exists()


def test_repetitions_may_be_added(tmp_path: Path, recipe: Recipe) -> None:
    """A search of two seeds goes on with four; one with fewer, or other values, does not."""
    over = {"optimisation.batch_size": (4, 8)}
    Study(tmp_path, recipe, Grid(over, {"seed": (1, 2)}))
    Study(tmp_path, recipe, Grid(over, {"seed": (1, 2, 3, 4)}))
    Study(tmp_path, recipe, Grid(over, {"seed": (4, 3, 2, 1)}))
    for other in (
        Grid(over, {"seed": (1, 2)}),
        Grid(over),
        Grid({"optimisation.batch_size": (4, 8, 16)}, {"seed": (1, 2, 3, 4)}),
        Grid(over, {"seed": (1, 2, 3, 4), "optimisation.epochs": (1.0, 2.0)}),
    ):
        with pytest.raises(InputError, match="begun with another grid"):
            Study(tmp_path, recipe, other)
