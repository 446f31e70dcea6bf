"""Trackers of a run: which there are, what they are told, and how they go on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_task
from accelerate import tracking as accelerate_tracking
from accelerate.tracking import GeneralTracker
from accelerate.utils import LoggerType
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import coteach.training.logs as module
from coteach.errors import InputError
from coteach.recipe import Recipe
from coteach.train import main
from coteach.training.logs import Tracking, check_trackers
from coteach.training.record import write_recipe


class Remembering(GeneralTracker):
    """A tracker that a user has registered with Accelerate."""

    name = "remembering"
    requires_logging_directory = False
    made: list[Remembering]

    def __init__(self, project: str, **options: Any) -> None:
        super().__init__()
        self.project, self.options = project, options
        self.events: list[str] = []
        self.told: dict[int, set[str]] = {}
        self.config: dict[str, Any] = {}
        self.made.append(self)

    @property
    def tracker(self) -> list[str]:
        return self.events

    def start(self) -> None:
        self.events.append("start")

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.config = values

    def log(self, values: dict[str, Any], step: int | None, **_: Any) -> None:
        assert step is not None
        self.told.setdefault(step, set()).update(values)

    def finish(self) -> None:
        self.events.append("finish")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Remembering]]:
    """The trackers that a test leads to, in order."""
    register = getattr(accelerate_tracking, "register_tracker_class", None)
    if register is None:
        pytest.skip("accelerate below 1.15 knows only its own trackers")
    monkeypatch.setattr(Remembering, "made", [], raising=False)
    register(Remembering)
    yield Remembering.made
    del accelerate_tracking.LOGGER_TYPE_TO_CLASS["remembering"]


def test_what_a_tracker_is_told(
    made: list[Remembering], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the baseline and the student, each a run of its own in one project."""
    recipe = str(tiny_task.write(tmp_path / "task"))
    options = [recipe, "--baselines", "gold_only", "--trackers", "remembering"]
    assert main([*options, "--output", str(tmp_path / "run")]) == 0
    assert [it.project for it in made] == ["tiny", "tiny"]
    for tracker in made:
        assert tracker.events == ["start", "finish"]
        assert tracker.config["optimisation.learning_rate"] == 5e-3
        assert tracker.config["nodes.student.encoder_config.model_type"] == "bert"
        assert tracker.config["trackers"] == '["remembering"]'
        assert tracker.config["optimisation.clip_norm"] == "null"
        assert all(isinstance(it, bool | int | float | str) for it in tracker.config.values())
    assert {"train/loss", "train/learning_rate", "dev/p"} <= made[1].told[8]
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_a_run_that_fails_is_finished(
    made: list[Remembering], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    tracking = Tracking(replace(tiny_recipe, trackers=("remembering",)), tmp_path)
    with pytest.raises(KeyboardInterrupt), tracking(tracking.accelerator(tmp_path), tmp_path):
        raise KeyboardInterrupt
    assert made[0].events == ["start", "finish"]


def test_names_of_runs(
    made: list[Remembering], tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the libraries get them; W&B's goes on by an identity, trackio's only where it was cut."""
    for name in ("mlflow", "trackio", "wandb"):
        monkeypatch.setitem(accelerate_tracking.LOGGER_TYPE_TO_CLASS, name, Remembering)
    monkeypatch.setattr(accelerate_tracking, "get_available_trackers", lambda: [*LoggerType])
    names = ("mlflow", "trackio", "wandb")
    recipe = replace(tiny_recipe, name="many/Castle", trackers=names)
    folder = tmp_path / "Castle"
    write_recipe(recipe, folder)
    tracking = Tracking(recipe, folder)
    for place in (folder, folder / "stages" / "first"):
        with tracking(tracking.accelerator(place), place):
            pass
    (folder / "checkpoints" / "step-00000003").mkdir(parents=True)
    with tracking(tracking.accelerator(folder), folder):
        pass
    of_run = dict(zip(names, made[:3], strict=True))
    of_stage = dict(zip(names, made[3:6], strict=True))
    again = dict(zip(names, made[6:], strict=True))
    assert {it.project for it in made} == {"many"}
    assert [it.options["run_name"] for it in made[::3]] == [
        "Castle",
        "Castle/stages/first",
        "Castle",
    ]
    values = of_run["trackio"].config
    assert of_run["trackio"].options == {"name": "Castle", "resume": "never", "config": values}
    assert again["trackio"].options == {"name": "Castle", "resume": "allow", "config": values}
    assert of_run["wandb"].options == again["wandb"].options
    identities = {of["wandb"].options["id"] for of in (of_run, of_stage, again)}
    assert len(identities) == 2
    assert not any("/" in identity for identity in identities)
    assert of_run["mlflow"].config
    assert not again["mlflow"].config  # told before


def test_tensorboard(tiny_recipe: Recipe, tmp_path: Path) -> None:
    tracking = Tracking(tiny_recipe, tmp_path)
    accelerator = tracking.accelerator(tmp_path)
    with tracking(accelerator, tmp_path):
        accelerator.log({"dev/p": 0.5}, step=4)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(it.step, it.value) for it in events.Scalars("dev/p")] == [(4, 0.5)]
    (values,) = (tmp_path / "tensorboard").rglob("hparams.yml")
    assert "optimisation.batch_size: 4\n" in values.read_text()


def test_trackio_goes_on_offline(
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trackio = pytest.importorskip("trackio")
    tracking = Tracking(replace(tiny_recipe, trackers=("trackio",)), tmp_path / "run")
    for step in (4, 8):
        accelerator = tracking.accelerator(tmp_path / "run")
        with tracking(accelerator, tmp_path / "run"):
            accelerator.log({"dev/p": step / 10}, step=step)
        (tmp_path / "run" / "checkpoints" / "step-00000004").mkdir(parents=True, exist_ok=True)
    assert "Resumed existing run: run" in capsys.readouterr().out
    (run,) = trackio.Api().runs("tiny")
    assert run.name == "run"
    assert run.config["optimisation.batch_size"] == 4


def test_what_cannot_be_used_is_said_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = str(tiny_task.write(tmp_path / "task"))
    available = [it for it in LoggerType if it not in (LoggerType.WANDB, LoggerType.COMETML)]
    monkeypatch.setattr(module, "get_available_trackers", lambda: available)
    for name, message in (
        ("paper", "trackers: expected some of ['aim', 'clearml', 'comet_ml',"),
        ("wandb", "trackers: 'wandb' is not installed; expected its package: pip install wandb"),
        ("comet_ml", "pip install comet-ml"),
    ):
        for options in (["--dry-run"], ["--output", str(tmp_path / "run")]):
            assert main([recipe, "--trackers", "tensorboard", name, *options]) == 2
            assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "task" / "cache").exists()
    check_trackers(())


def test_a_tracker_that_does_not_begin(
    made: list[Remembering], tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Remembering) -> None:
        raise RuntimeError("not\nlogged in")

    monkeypatch.setattr(Remembering, "start", fail)
    tracking = Tracking(replace(tiny_recipe, trackers=("remembering",)), tmp_path)
    with (
        pytest.raises(InputError, match=r"^trackers: remembering: cannot begin: not logged in$"),
        tracking(tracking.accelerator(tmp_path), tmp_path),
    ):
        pass
