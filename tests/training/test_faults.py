"""Runs that are killed, as the system kills them, and disks that are full: by the command."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_task
import torch
from safetensors.torch import load_file

import coteach.training.checkpoint
from coteach.model import Student
from coteach.train import main

ROOT = Path(__file__).parents[2]
KILLED = """
import os, signal, sys
import coteach.training.{module} as module
from coteach.train import main

real, calls = module.{function}, 0

def dying(*arguments, **options):
    global calls
    calls += 1
    if calls == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)

module.{function} = dying
main(sys.argv[1:])
"""


def killed(options: list[str], module: str, function: str, call: int) -> None:
    """Give the command in a process of its own, which dies when it calls a function."""
    script = KILLED.format(module=module, function=function, call=call)
    done = subprocess.run(
        [sys.executable, "-c", script, *options],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Of the student, and of the last checkpoint with the optimiser's state."""
    (checkpoint,) = (folder / "checkpoints").iterdir()
    files = [folder / "student" / "model.safetensors", *checkpoint.glob("*.safetensors")]
    return {
        f"{path.parent.name}/{path.name}/{name}": value
        for path in files
        for name, value in load_file(path).items()
    }


# In mid-epoch, between checkpoints by the clock; and while the best student is replaced.
@pytest.mark.parametrize(
    ("module", "function", "call", "step"),
    [
        ("loop", "train_step", 6, 5),
        pytest.param("checkpoint", "save_file", 10, 4, marks=pytest.mark.slow),
        pytest.param("checkpoint", "_to_disk", 5, 3, marks=pytest.mark.slow),
        pytest.param("checkpoint", "recover_folder", 10, 7, marks=pytest.mark.slow),
        pytest.param("loop", "plan_epoch", 2, 4, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_ends_in_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, module: str, function: str, call: int, step: int
) -> None:
    recipe = str(tiny_task.write(tmp_path / "task"))
    options = [recipe, "--baselines", "vote", "--optimisation.epochs", "2.5"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*options, "--output", str(whole)]) == 0

    often = [*options, "--selection.checkpoint-every", "1e-9", "--output", str(parts)]
    killed(often, module, function, call)
    assert not (parts / "summary.json").exists()
    assert (parts / "checkpoints" / f"step-{step:08d}").exists()
    assert main([*options, "--processes", "2", "--output", str(parts)]) == 0

    expected, found = weights(whole), weights(parts)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    assert (parts / "summary.json").read_bytes() == (whole / "summary.json").read_bytes()
    assert {path.name for path in parts.iterdir()} == {path.name for path in whole.iterdir()}


# Disks


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    recipe = str(tiny_task.write(tmp_path / "task"))
    return [recipe, "--baselines", "vote", "--output", str(tmp_path / "run")]


def error_of(capsys: pytest.CaptureFixture[str], command: list[str]) -> str:
    """The one line on standard error after the progress bars."""
    assert main(command) == 2
    lines = capsys.readouterr().err.splitlines()
    line = lines[-1]
    assert line.startswith("error: ")
    assert not any("Traceback" in line for line in lines)
    return line


def test_no_place_for_the_run(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").touch()
    message = f"{tmp_path / 'run'}: no place for the run: {tmp_path / 'run'} is no folder"
    assert message in error_of(capsys, command)
    assert not (tmp_path / "task" / "cache").exists()  # said before anything was read


def test_no_room_is_said_before_training(
    command: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000))
    assert "are free" in error_of(capsys, command)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["recipe.json"]
    monkeypatch.undo()
    assert main(command) == 0


@pytest.mark.parametrize(
    ("owner", "name", "what"),
    [
        (coteach.training.checkpoint, "save_file", "step-00000003"),
        (Student, "save_pretrained", "student"),
    ],
)
def test_a_disk_that_fills_up(
    command: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    what: str,
) -> None:
    """What was saved before is whole, and the run goes on from there once there is room."""
    command += ["--selection.checkpoint-every", "1e-9"]
    real, calls = getattr(owner, name), 0

    def filling(*arguments: Any, **options: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > 4 or owner is Student:
            raise OSError(28, "No space left on device")
        real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, filling)
        message = f"{what}: cannot be written: No space left on device"
        assert error_of(capsys, command).endswith(message)
    run = tmp_path / "run"
    (checkpoint,) = (run / "checkpoints").iterdir()  # nothing half-written is left
    assert checkpoint.name == ("step-00000003" if owner is Student else "step-00000002")
    assert not any(run.glob("student*"))
    assert main(command) == 0
    assert (run / "student" / "model.safetensors").exists()
