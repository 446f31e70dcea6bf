"""A run that is killed, as the system kills it, and the command given again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_task
import torch
from safetensors.torch import load_file

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
    ("module", "function", "call"),
    [
        ("loop", "train_step", 6),
        pytest.param("checkpoint", "save_file", 9, marks=pytest.mark.slow),
        pytest.param("checkpoint", "_to_disk", 2, marks=pytest.mark.slow),
        pytest.param("loop", "plan_epoch", 2, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_ends_in_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], module: str, function: str, call: int
) -> None:
    recipe = str(tiny_task.write(tmp_path / "task"))
    options = [recipe, "--baselines", "vote", "--optimisation.epochs", "2.5"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*options, "--output", str(whole)]) == 0

    often = [*options, "--selection.checkpoint-every", "1e-9", "--output", str(parts)]
    killed(often, module, function, call)
    assert not (parts / "summary.json").exists()
    assert any((parts / "checkpoints").glob("step-????????"))
    assert main([*options, "--processes", "2", "--output", str(parts)]) == 0

    expected, found = weights(whole), weights(parts)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    assert (parts / "summary.json").read_bytes() == (whole / "summary.json").read_bytes()
    assert {path.name for path in parts.iterdir()} == {path.name for path in whole.iterdir()}
