from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coteach.errors import InputError
from coteach.training.logs import Log


class Trackers:
    """The part of an Accelerator that a log knows."""

    def __init__(self, is_main_process: bool = True) -> None:
        self.is_main_process = is_main_process
        self.told: list[tuple[int, dict[str, Any]]] = []

    def log(self, values: dict[str, Any], step: int) -> None:
        self.told.append((step, values))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_an_event(path: Path) -> None:
    trackers = Trackers()
    log = Log(path, trackers)  # type: ignore[arg-type]
    log("train", 10, loss=0.5, steps=3)
    log("dev", 20, note="城", by={"a": 0.25})
    assert lines(path) == [
        {"event": "train", "step": 10, "loss": 0.5, "steps": 3},
        {"event": "dev", "step": 20, "note": "城", "by": {"a": 0.25}},
    ]
    assert "城" in path.read_text(encoding="utf-8")
    assert trackers.told == [(10, {"train/loss": 0.5, "train/steps": 3})]


def test_a_resumed_run_drops_what_came_after(path: Path) -> None:
    log = Log(path, Trackers())  # type: ignore[arg-type]
    for step in (5, 10, 15, 20):
        log("train", step, loss=1 / step)
    with path.open("a") as file:
        file.write('{"event": "train", "ste')  # cut short by a kill
    log.keep_until(10)
    assert [line["step"] for line in lines(path)] == [5, 10]
    log("train", 15, loss=0.0)
    assert [line["step"] for line in lines(path)] == [5, 10, 15]
    log.keep_until(0)
    assert path.read_text() == ""
    assert [file.name for file in path.parent.iterdir()] == ["log.jsonl"]


def test_only_the_main_process_writes(path: Path) -> None:
    Log(path, Trackers()).keep_until(3)  # type: ignore[arg-type]
    assert not path.exists()
    Log(path, Trackers())("train", 1, loss=1.0)  # type: ignore[arg-type]
    other = Trackers(is_main_process=False)
    log = Log(path, other)  # type: ignore[arg-type]
    log("train", 2, loss=2.0)
    log.keep_until(0)
    assert [line["step"] for line in lines(path)] == [1]
    assert other.told == [(2, {"train/loss": 2.0})]  # each tracker decides for itself


def test_a_full_disk() -> None:
    log = Log(Path("/dev/full"), Trackers())  # type: ignore[arg-type]
    with pytest.raises(
        InputError, match=r"^/dev/full: cannot be written: No space left on device$"
    ):
        log("train", 10, loss=0.5)


def test_a_tracker_that_cannot_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Trackers, "log", fail)
    with pytest.raises(InputError, match=r"log\.jsonl: cannot be written: No space left"):
        Log(path, Trackers())("train", 10, loss=0.5)  # type: ignore[arg-type]
