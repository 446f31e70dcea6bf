"""Trainings that a signal stops, and the same command that goes on with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_task
import tiny_texts
import torch
from safetensors.torch import load_file
from tiny_loop import Loop, parameters

import coteach.training.loop as module
from coteach.recipe import Recipe
from coteach.train import main
from coteach.training.preemption import Preemption, Stopped

ROOT = Path(__file__).parents[2]


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sends this process signals while a step of some trainings is being computed."""
    real = module.train_step

    def arrange(number: int, *signals: signal.Signals) -> None:
        def step(*arguments: Any) -> Any:
            if arguments[-1].number + 1 == number:
                for sent in signals:
                    os.kill(os.getpid(), sent)
            return real(*arguments)

        monkeypatch.setattr(module, "train_step", step if signals else real)

    return arrange


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_training_stops_after_its_step_and_goes_on(
    loop: Loop, tmp_path: Path, at_step: Callable[..., None], sent: signal.Signals
) -> None:
    """Bit for bit, with dropout."""
    options: dict[str, Any] = {"optimisation": {"epochs": 2.5}}
    expected, whole, _ = loop(tmp_path / "whole", **options)
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    at_step(5, sent)
    with pytest.raises(Stopped) as stopped:
        loop(tmp_path / "parts", **options)
    assert (stopped.value.step, stopped.value.total) == (5, expected.step) == (5, 10)
    assert str(stopped.value) == f"stopped at step 5 of 10 by {sent.name}"
    assert stopped.value.code == {signal.SIGTERM: 143, signal.SIGINT: 130}[sent]
    assert stopped.value.folder == tmp_path / "parts"
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers
    (checkpoint,) = (tmp_path / "parts" / "checkpoints").iterdir()
    assert checkpoint.name == "step-00000005"
    at_step(0)
    progress, resumed, _ = loop(tmp_path / "parts", **options)
    assert progress == expected
    for name, value in parameters(whole).items():
        assert torch.equal(parameters(resumed)[name], value), name


def test_the_last_step_and_an_evaluation_are_finished(
    loop: Loop, tmp_path: Path, at_step: Callable[..., None]
) -> None:
    at_step(4, signal.SIGTERM)
    with pytest.raises(Stopped, match="step 4 of 4"):
        loop(tmp_path, optimisation={"epochs": 1}, figures=[0.5])
    at_step(0)
    progress, _, kept = loop(tmp_path, optimisation={"epochs": 1}, figures=[0.9])
    assert progress.history == [{"step": 4, "p": 0.5}]
    assert kept == []


def test_a_second_interrupt_does_not_wait(
    loop: Loop, tmp_path: Path, at_step: Callable[..., None]
) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    at_step(2, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        loop(tmp_path)
    assert not (tmp_path / "checkpoints").exists()
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers


def test_the_first_signal_counts() -> None:
    with Preemption() as preemption:
        assert preemption.received is None
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # Kubernetes and Slurm may repeat it
        os.kill(os.getpid(), signal.SIGINT)
        assert preemption.received == signal.SIGTERM


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as under nohup or "command &"
    try:
        with Preemption() as preemption:
            os.kill(os.getpid(), signal.SIGINT)
            assert preemption.received is None
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_no_handlers_beside_the_main_thread(tiny_recipe: Recipe) -> None:
    found: list[object] = []

    def work() -> None:
        with Preemption() as preemption:
            found.extend([signal.getsignal(signal.SIGTERM), preemption.received])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM), None]


def test_the_command_says_how_to_go_on(
    tmp_path: Path, at_step: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """In the middle of a baseline, which is not the run's own training."""
    recipe, run = str(tiny_task.write(tmp_path / "task")), tmp_path / "run"
    options = [recipe, "--baselines", "gold_only", "--output", str(run)]
    at_step(2, signal.SIGTERM)
    assert main(options) == 143
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"stopped at step 2 of 8 by SIGTERM ({run / 'gold_only'}); "
        f"the same command with --output {run} goes on"
    )
    assert not (run / "summary.json").exists()
    at_step(1, signal.SIGINT)
    assert main(options) == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"stopped at step 1 of 8 by SIGINT; the same command with --output {run} goes on"
    )
    at_step(0)
    assert main(options) == 0
    assert (run / "summary.json").exists()


def test_a_stage_stops(tmp_path: Path, at_step: Callable[..., None]) -> None:
    tiny_texts.write(tmp_path)
    tiny_texts.write_teachers(tmp_path)
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        f"from pathlib import Path\nimport tiny_texts\n"
        f"recipe = tiny_texts.distilled(Path({str(tmp_path)!r}))\n"
    )
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([str(recipe), "--output", str(whole)]) == 0
    for step in (2, 3, 4):  # of the first stage, at its end, and of the second
        at_step(step, signal.SIGTERM)
        assert main([str(recipe), "--output", str(parts)]) == 143
    at_step(0)
    assert main([str(recipe), "--output", str(parts)]) == 0
    expected, found = (load_file(it / "student" / "model.safetensors") for it in (whole, parts))
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


# By the system

SIGNALLED = """
import os, signal, sys
import coteach.training.loop as module
from coteach.train import main

real = module.train_step

def step(*arguments):
    if arguments[-1].number == 4 and os.environ.get("LOCAL_RANK", "{rank}") == "{rank}":
        os.kill({target}, signal.{sent})
    return real(*arguments)

module.train_step = step
sys.exit(main(sys.argv[1:]))
"""


def start(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "ACCELERATE_USE_CPU": "true",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    }
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def assert_goes_on(launcher: list[str], options: list[str], folder: Path) -> None:
    """The weights of an uninterrupted run, bit for bit."""
    for output in ("parts", "whole"):
        done = start([*launcher, "-m", "coteach.train", *options, "--output", str(folder / output)])
        assert done.returncode == 0, done.stderr
    parts, whole = (
        load_file(folder / output / "student" / "model.safetensors")
        for output in ("parts", "whole")
    )
    for name, value in whole.items():
        assert torch.equal(parts[name], value), name


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_process_is_stopped(tmp_path: Path, sent: str, code: int) -> None:
    options = [str(tiny_task.write(tmp_path / "task")), "--baselines", "vote"]
    script = SIGNALLED.format(rank=0, target="os.getpid()", sent=sent)
    done = start([sys.executable, "-c", script, *options, "--output", str(tmp_path / "parts")])
    assert done.returncode == code, done.stderr
    line = f"stopped at step 5 of 8 by {sent}; the same command with --output {tmp_path / 'parts'}"
    assert line in done.stderr
    assert (tmp_path / "parts" / "checkpoints" / "step-00000005").is_dir()
    assert_goes_on([sys.executable], options, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["os.getpid()", "os.getppid()"])
def test_two_processes_stop_together(tmp_path: Path, target: str) -> None:
    """Where one of them alone is told to, as well as where torchrun is, which tells both."""
    options = [str(tiny_task.write(tmp_path / "task")), "--baselines", "vote"]
    options += ["--optimisation.epochs", "4"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    script = tmp_path / "script.py"
    script.write_text(SIGNALLED.format(rank=1, target=target, sent="SIGTERM"))
    done = start([*launcher, str(script), *options, "--output", str(tmp_path / "parts")])
    assert done.returncode != 0  # torchrun's own
    # Beyond the second step where torchrun has to hear of it first.
    assert done.stderr.count("of 8 by SIGTERM; the same command") == 1, done.stderr
    (checkpoint,) = (tmp_path / "parts" / "checkpoints").iterdir()
    assert checkpoint.name >= "step-00000005"
    assert_goes_on(launcher, options, tmp_path)
