"""How the shards of an output get done: in this process, in several, and after an interruption."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Protocol

from tqdm.auto import tqdm

from coteach.errors import InputError
from coteach.sharding.shards import Shards

__all__ = ["Job", "carry_out", "coordinate", "help_with", "interruptible", "share"]

POLL = 0.5  # seconds between two looks at what other processes have done

Write = Callable[[range, Path, tqdm], None]
"""Does some items and writes them to a file; may move the bar on for each."""


class _Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


def interruptible(run: Callable[[], int], silent: bool = False) -> int:
    """Run a command whose work is kept when it is interrupted; returns the exit code.

    Args:
        run: returns the exit code where nothing happens.
        silent: say nothing of an interruption.

    Returns:
        That of ``run``; 2 after an InputError, 130 after Ctrl-C, 143 after SIGTERM.
    """

    def terminate(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    # Elsewhere Python allows no handlers.
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, terminate) if in_main_thread else None
    try:
        return run()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interruption:
        if not silent:
            print("interrupted; to go on, give the same command", file=sys.stderr)
        return 143 if isinstance(interruption, _Terminated) else 130
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


class Job(Protocol):
    """What is done in shards, with all that it takes."""

    @property
    def shards(self) -> Shards: ...

    def write(self, items: range, path: Path, bar: tqdm) -> None:
        """Do some items and write them to a file; may move the bar on for each."""


def share(
    load: Callable[[str | None], Job],
    count: int,
    worker: bool,
    command: Sequence[str],
    unit: str,
    name: str,
) -> int:
    """Do a job in one process, in several, or help with it: as a command's options say.

    Args:
        load: makes the job ready on a device; None is the best one.
        count: of processes.
        worker: only help with what has begun.
        command: of a process that helps.
        unit: what an item is called.
        name: of the progress bar.

    Returns:
        The exit code, as of :func:`coordinate`.

    Raises:
        InputError: the number of processes is not positive, or a launcher has started several
            already; as of what this calls.
    """
    from coteach.training.processes import processes  # imports torch

    if count < 1:
        raise InputError(f"processes: expected at least 1, got {count}")
    launched = processes().num_processes  # before the job, which goes to this process's device
    if count > 1:
        if launched > 1:
            raise InputError(f"processes: expected 1, as a launcher has started {launched}")
        # What the job takes is loaded to be checked, and not kept.
        return coordinate(load("cpu").shards, command, count, unit, name)
    job = load(None)
    if worker:
        help_with(job.shards, job.write)
    else:
        carry_out(job.shards, job.write, unit, name)
    return 0


def carry_out(shards: Shards, write: Write, unit: str, name: str) -> None:
    """Do all shards in this process, or in those of a launcher together, and join them.

    Raises:
        InputError: as of :meth:`Shards.begin` and :meth:`Shards.join`, and of ``write``.
    """
    from coteach.training.processes import processes

    state = processes()
    shards.begin()
    state.wait_for_everyone()  # or who comes late would find everything done and gone, and begin
    with _progress_bar(shards, unit, name, silent=not state.is_main_process) as bar:
        _work(shards, write, bar)
    state.wait_for_everyone()
    if state.is_main_process:
        shards.join()
    state.wait_for_everyone()  # for the output


def help_with(shards: Shards, write: Write) -> None:
    """Do shards of what another process has begun, and will join.

    Raises:
        InputError: what has begun has other settings; as of ``write``.
    """
    shards.check()
    with _progress_bar(shards, "", "", silent=True) as bar:
        _work(shards, write, bar)


def coordinate(shards: Shards, command: Sequence[str], count: int, unit: str, name: str) -> int:
    """Let several processes do all shards, and join them.

    One that dies leaves its shard to the others; one that finds an input that cannot be used ends
    them all.

    Args:
        shards: to be done.
        command: of a process that helps; its exit code is 2 where the input cannot be used.
        count: of processes.
        unit: what an item is called.
        name: of the progress bar.

    Returns:
        The exit code: 0; 2 where that of a process is; 1 where shards are missing as all
        processes have died.

    Raises:
        InputError: as of :meth:`Shards.begin` and :meth:`Shards.join`.
    """
    shards.begin()
    with _progress_bar(shards, unit, name, silent=False) as bar:
        usable = _run_processes(shards, command, count, bar)
    if not usable:
        _tell_done(shards, unit)
        return 2
    if shards.is_open and shards.missing():
        _tell_done(shards, unit)
        print("error: all processes have died", file=sys.stderr)
        return 1
    shards.join()
    return 0


@contextmanager
def _progress_bar(shards: Shards, unit: str, name: str, silent: bool) -> Iterator[tqdm]:
    """A bar over all items, with those done before; an interruption tells how many are done."""
    done = shards.count(shards.done())
    bar = tqdm(
        total=shards.settings["items"],
        initial=done,
        unit=unit,
        desc=name,
        mininterval=0.1 if sys.stderr.isatty() else 60,  # a log file needs fewer lines
        disable=silent,
    )
    try:
        yield bar
    except (KeyboardInterrupt, InputError):
        bar.close()
        if not silent:
            _tell_done(shards, unit)
        raise
    finally:
        bar.close()


def _work(shards: Shards, write: Write, bar: tqdm) -> None:
    """Take shards until none is missing, those too whose process has died."""
    while shards.is_open and (missing := shards.missing()):
        before = len(missing)
        for number in missing:
            with shards.claim(number) as path:
                if path is not None:
                    write(shards.items_of(number), path, bar)
                    before -= 1
            if path is not None:
                _show(shards, bar)
        if before == len(missing):  # others are at all of them
            time.sleep(POLL)
            _show(shards, bar)
    shards.check()


def _run_processes(shards: Shards, command: Sequence[str], count: int, bar: tqdm) -> bool:
    """Run processes until all have ended; False, at once, where an input cannot be used."""
    from coteach.training.processes import environment

    running: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(count):
            running.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env=environment(number, count, None),
                )
            )
        while running:
            time.sleep(POLL)
            _show(shards, bar)
            for process in [it for it in running if it.poll() is not None]:
                running.remove(process)
                code = process.returncode
                if code == 2:
                    return False
                if code:
                    how = f"signal {-code}" if code < 0 else f"exit code {code}"
                    bar.write(f"a process ended with {how}; {len(running)} left", sys.stderr)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
    return True


def _show(shards: Shards, bar: tqdm) -> None:
    """Let the bar stand where all processes together are."""
    if shards.is_open:  # else everything is done, and the folder may be gone
        bar.update(shards.count(shards.done()) - bar.n)


def _tell_done(shards: Shards, unit: str) -> None:
    """Say what an end before the end has not lost."""
    if done := shards.count(shards.done()):
        message = f"{done:,} of {shards.settings['items']:,} {unit}s are done and kept"
        print(f"{message} in {shards.folder}", file=sys.stderr)
