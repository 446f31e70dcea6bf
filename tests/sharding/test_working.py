"""Processes that share the shards of an output, and interruptions."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numbers_to_write
import pytest
from numbers_to_write import COUNT, EXPECTED, Writer, shards_of

from coteach.errors import InputError
from coteach.sharding import carry_out, coordinate, interruptible, share

ROOT = Path(__file__).parents[2]
Coordinate = Callable[..., int]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "made" / "numbers.txt"


@pytest.fixture
def run(output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Coordinate:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def run(*arguments: str, count: int = 2) -> int:
        log, *rest = arguments
        program = [sys.executable, numbers_to_write.__file__, str(output), str(tmp_path / log)]
        return coordinate(shards_of(output), [*program, *rest], count, "number", "write")

    return run


def test_processes_share_the_shards(
    output: Path, run: Coordinate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("log") == 0
    assert output.read_bytes() == EXPECTED
    assert list(output.parent.iterdir()) == [output]
    assert Writer(tmp_path / "log").logged() == list(range(COUNT))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{COUNT}/{COUNT}" in captured.err


def test_a_process_that_dies_leaves_its_shard_to_the_others(
    output: Path, run: Coordinate, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("dies") == 0
    assert output.read_bytes() == EXPECTED
    # None are left where the other one has done all before the death is noticed.
    assert re.search("a process ended with signal 9; [01] left", capsys.readouterr().err)


def test_all_processes_die(
    output: Path, run: Coordinate, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("dies", count=1) == 1
    assert capsys.readouterr().err.endswith("\nerror: all processes have died\n")
    assert not output.exists()
    assert run("dies", count=1) == 0
    assert output.read_bytes() == EXPECTED


def test_an_input_that_cannot_be_used_ends_all_processes(
    output: Path, run: Coordinate, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("log", "9") == 2
    assert capfd.readouterr().err.count("error: 9: refused\n") >= 1
    assert not output.exists()
    assert 2 in shards_of(output).missing()
    assert run("log") == 0
    assert output.read_bytes() == EXPECTED


def test_one_process(output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError):
        carry_out(shards_of(output), Writer(tmp_path / "log", refused=5), "number", "write")
    folder = output.with_name("numbers.txt.parts")
    message = f"4 of 11 numbers are done and kept in {folder}\n"
    assert capsys.readouterr().err.endswith(message)
    carry_out(shards_of(output), Writer(tmp_path / "log"), "number", "write")
    err = capsys.readouterr().err
    assert "4/11" in err  # where the bar begins
    assert "11/11" in err
    assert output.read_bytes() == EXPECTED


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
def test_signals(
    output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int, code: int
) -> None:
    writer = Writer(tmp_path / "log")

    def interrupted(items: range, path: Path, bar: object) -> None:
        if 8 in items:
            signal.raise_signal(number)
        writer(items, path, bar)  # type: ignore[arg-type]

    def run() -> int:
        carry_out(shards_of(output), interrupted, "number", "write")
        return 0

    before = signal.getsignal(signal.SIGTERM)
    assert interruptible(run) == code
    *_, done, last = capsys.readouterr().err.splitlines()
    assert done == f"8 of 11 numbers are done and kept in {output}.parts"
    assert last == "interrupted; to go on, give the same command"
    assert signal.getsignal(signal.SIGTERM) is before

    carry_out(shards_of(output), writer, "number", "write")
    assert output.read_bytes() == EXPECTED
    assert writer.logged() == list(range(COUNT))


def test_silent_interruptions(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> int:
        raise KeyboardInterrupt

    assert interruptible(run, silent=True) == 130
    assert capsys.readouterr().err == ""
    assert interruptible(lambda: 7) == 7
    with ThreadPoolExecutor(1) as threads:  # where Python allows no signal handlers
        assert threads.submit(interruptible, lambda: 7).result() == 7


def test_a_process_of_a_launcher_gets_its_device_before_the_job_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []

    def launched() -> SimpleNamespace:
        order.append("processes")
        return SimpleNamespace(num_processes=2)

    def load(device: str | None) -> Any:
        order.append(f"load {device}")
        raise KeyboardInterrupt

    monkeypatch.setattr("coteach.training.processes.processes", launched)
    for worker in (False, True):
        with pytest.raises(KeyboardInterrupt):
            share(load, 1, worker, [], "number", "write")
    assert order == ["processes", "load None"] * 2
    with pytest.raises(InputError, match="processes: expected 1, as a launcher has started 2"):
        share(load, 2, False, [], "number", "write")
