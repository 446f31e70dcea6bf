from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import tiny_task
import torch

from coteach.recipe import Recipe
from coteach.searching import Grid
from coteach.searching.space import Cell, cells_of
from coteach.searching.study import Outcome, Study
from coteach.searching.workers import BUSY, _epoch, log_of, run_cells
from coteach.training.processes import environment

GRID = Grid({"optimisation.batch_size": (1, 2, 4, 8)})


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return tiny_task.load(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def cells(recipe: Recipe) -> list[Cell]:
    return cells_of(recipe, GRID)


@pytest.fixture
def study(recipe: Recipe, tmp_path: Path) -> Study:
    return Study(tmp_path / "search", recipe, GRID)


class Commands:
    """Shell scripts that stand for runs; those without one succeed, as the study is told here."""

    def __init__(self, study: Study, scripts: dict[str, str] | None = None) -> None:
        self.study = study
        self.scripts = scripts or {}
        self.started: list[str] = []

    def __call__(self, cell: Cell) -> list[str]:
        self.started.append(cell.name)
        if cell.name not in self.scripts:
            self.study.add(cell, Outcome(cell.name, dev=0.5, step=1))
        return ["sh", "-c", self.scripts.get(cell.name, "true")]


def test_a_search_that_stopped_goes_on_with_what_is_missing(
    study: Study, cells: list[Cell]
) -> None:
    names = [cell.name for cell in cells]
    first = Commands(study, {names[1]: "false"})
    run_cells(study, cells[:2], first, workers=1, threads=None)
    assert first.started == names[:2]
    second = Commands(study)
    run_cells(study, cells, second, workers=2, threads=1)
    assert second.started == names[1:]
    third = Commands(study)
    run_cells(study, cells, third, workers=1, threads=None)
    assert third.started == []


def test_what_fails_is_told_and_the_others_go_on(
    study: Study, cells: list[Cell], capsys: pytest.CaptureFixture[str]
) -> None:
    names = [cell.name for cell in cells]
    scripts = {
        names[0]: "echo what happened; echo and why >&2; exit 7",
        names[1]: "kill -9 $$",
        names[2]: f"exit {BUSY}",
    }
    run_cells(study, cells, Commands(study, scripts), workers=2, threads=None)
    outcomes = study.outcomes()
    assert outcomes[names[0]].error == "the process ended with exit code 7"
    assert outcomes[names[1]].error == "the process ended with signal 9"
    assert names[2] not in outcomes  # another process will tell
    assert outcomes[names[3]].dev == 0.5
    log = log_of(study.folder, cells[0])
    assert log.read_text() == "what happened\nand why\n"
    captured = capsys.readouterr()
    lines = captured.out + captured.err
    for line in (
        f"{names[0]}: FAILED: the process ended with exit code 7 ({log})",
        f"{names[2]}: run by another process",
        f"{names[3]}: dev micro-F1 50.00",
    ):
        assert line in lines


def test_a_cell_that_ends_elsewhere_is_not_started(study: Study, cells: list[Cell]) -> None:
    commands = Commands(study)

    def command(cell: Cell) -> list[str]:
        study.add(cells[1], Outcome(cells[1].name, error="elsewhere"))
        study.add(cells[2], Outcome(cells[2].name, dev=0.1))
        return commands(cell)

    run_cells(study, cells[:3], command, workers=1, threads=None)
    assert commands.started == [cells[0].name]


def test_an_interrupted_search_leaves_no_process(
    study: Study, cells: list[Cell], tmp_path: Path
) -> None:
    began, lived = tmp_path / "began", tmp_path / "lived"

    def command(cell: Cell) -> list[str]:
        if cell is cells[1]:
            while not began.exists():
                time.sleep(0.01)
            raise KeyboardInterrupt
        return ["sh", "-c", f"touch {began}; for i in 1 2 3; do sleep 0.2; done; touch {lived}"]

    with pytest.raises(KeyboardInterrupt):
        run_cells(study, cells, command, workers=2, threads=None)
    time.sleep(0.8)
    assert not lived.exists()
    assert study.outcomes() == {}


def test_threads_and_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert "OMP_NUM_THREADS" not in environment(0, 1, None)
    assert environment(0, 3, None)["OMP_NUM_THREADS"] == "2"
    assert environment(0, 3, 5)["OMP_NUM_THREADS"] == "5"
    assert "CUDA_VISIBLE_DEVICES" not in environment(1, 2, None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    devices = [environment(it, 3, None)["CUDA_VISIBLE_DEVICES"] for it in range(3)]
    assert devices == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert environment(1, 2, None)["CUDA_VISIBLE_DEVICES"] == "6"
    assert environment(1, 2, None)["OMP_NUM_THREADS"] == "3"


def test_how_far_a_run_is(tmp_path: Path) -> None:
    assert _epoch(tmp_path) == 0
    log = tmp_path / "log.jsonl"
    log.write_text("")
    assert _epoch(tmp_path) == 0
    lines = [json.dumps({"event": "train", "step": it, "epoch": it / 4}) for it in range(1, 200)]
    log.write_text("\n".join(lines) + '\n{"event": "tra')
    assert _epoch(tmp_path) == 199 / 4


@pytest.mark.parametrize("code", [130, 143])
def test_a_cell_that_a_signal_stopped_has_not_failed(
    study: Study, cells: list[Cell], capsys: pytest.CaptureFixture[str], code: int
) -> None:
    """The next search goes on with it."""
    run_cells(study, cells[:1], Commands(study, {cells[0].name: f"exit {code}"}), 1, None)
    assert study.outcomes() == {}
    captured = capsys.readouterr()
    line = f"{cells[0].name}: stopped by a signal; the same command goes on with it"
    assert line in captured.out + captured.err
    again = Commands(study)
    run_cells(study, cells[:1], again, workers=1, threads=None)
    assert again.started == [cells[0].name]
