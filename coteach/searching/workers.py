"""Runs the cells of a search, each in a process of its own, some at a time.

A process a cell: what one of them does to itself (memory that runs out, a crash of a driver) ends
that one only, and each frees all of its memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from coteach.searching.space import Cell
from coteach.searching.study import Outcome, Study
from coteach.training.preemption import SIGNALS
from coteach.training.processes import environment

__all__ = ["BUSY", "log_of", "run_cells"]

BUSY = 3
"""Exit code of a process whose cell another one holds."""
STOPPED = tuple(128 + number for number in SIGNALS)
"""Exit codes of a process that a signal stopped, with a checkpoint: no failure."""

Command = Callable[[Cell], Sequence[str]]


@dataclass(frozen=True)
class _Running:
    cell: Cell
    worker: int
    process: subprocess.Popen[bytes]


def run_cells(
    study: Study, cells: Sequence[Cell], command: Command, workers: int, threads: int | None
) -> None:
    """Run all cells that are not done; returns when none of them is left to this invocation.

    Args:
        study: that remembers how they end.
        cells: in this order.
        command: of a cell, the process that runs it; exits with ``BUSY`` if it may not.
        workers: processes at a time.
        threads: of each, as in ``environment``.
    """
    before = study.outcomes()
    seen = max((outcome.number for outcome in before.values()), default=-1)
    waiting = [it for it in cells if it.name not in before or before[it.name].dev is None]
    running: list[_Running] = []
    bar = tqdm(
        total=len(cells),
        initial=len(cells) - len(waiting),
        desc="search",
        unit="run",
        mininterval=0.5 if sys.stderr.isatty() else 60,  # a log file needs fewer lines
    )
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                cell = waiting.pop(0)
                if study.has_ended(cell, after=seen):  # elsewhere, meanwhile
                    bar.update()
                    continue
                worker = min(set(range(workers)) - {it.worker for it in running})
                variables = environment(worker, workers, threads)
                process = _start(log_of(study.folder, cell), command(cell), variables)
                running.append(_Running(cell, worker, process))
            time.sleep(0.1)
            for it in [it for it in running if it.process.poll() is not None]:
                running.remove(it)
                bar.write(_end(study, it.cell, it.process.returncode, seen))
                bar.update()
            epochs = " ".join(f"{_epoch(study.folder / it.cell.name):.1f}" for it in running)
            bar.set_postfix_str(epochs and f"epoch {epochs}", refresh=sys.stderr.isatty())
    finally:
        bar.close()
        for it in running:
            it.process.terminate()
        for it in running:
            it.process.wait()


def log_of(folder: Path, cell: Cell) -> Path:
    """The file that has all a cell's processes print."""
    return folder / "logs" / f"{cell.name}.log"


def _start(
    log: Path, command: Sequence[str], variables: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    log.parent.mkdir(exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=variables
        )


def _end(study: Study, cell: Cell, code: int, seen: int) -> str:
    """What became of a cell whose process has ended, in a line; what died of itself is recorded."""
    if code == BUSY:
        return f"{cell.name}: run by another process"
    if code in STOPPED:
        return f"{cell.name}: stopped by a signal; the same command goes on with it"
    if not study.has_ended(cell, after=seen):
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        study.add(cell, Outcome(cell.name, error=f"the process ended with {how}"))
    outcome = study.outcomes()[cell.name]
    if outcome.dev is None:
        return f"{cell.name}: FAILED: {outcome.error} ({log_of(study.folder, cell)})"
    minutes = outcome.seconds / 60
    return f"{cell.name}: {outcome.shown}, {minutes:.1f} minutes"


def _epoch(folder: Path) -> float:
    """How far a run has come, by the last whole line of its log."""
    try:
        with (folder / "log.jsonl").open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 4096))
            lines = file.read().decode(errors="ignore").splitlines()
    except OSError:  # not begun
        return 0.0
    for line in reversed(lines):
        try:
            return float(json.loads(line)["epoch"])
        except (ValueError, KeyError, TypeError):
            continue
    return 0.0
