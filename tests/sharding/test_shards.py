"""What lies on disk, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from numbers_to_write import COUNT, EXPECTED, Writer, finish, shards_of

from coteach.errors import InputError
from coteach.sharding import Shards, help_with, lines_of, shards, working

TRACED = {shards.__file__, working.__file__, sys.modules[Writer.__module__].__file__}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "made" / "numbers.txt"


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path / "log")


def in_child(do: Callable[[], object]) -> int:
    """Start a process that does something; returns its id."""
    child = os.fork()
    if child == 0:
        try:
            do()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return child


def end_of(child: int) -> int:
    """The signal, negative, or the exit code that a process ended with."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killing_itself(after: int, do: Callable[[], object]) -> Callable[[], None]:
    """Do something, but end with SIGKILL before the line of coteach.sharding of that number."""

    def run() -> None:
        left = after

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal left
            if frame.f_code.co_filename not in TRACED:
                return None
            if event == "line":
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        do()

    return run


def test_parts_become_the_output(output: Path, writer: Writer) -> None:
    finish(output, writer)
    assert output.read_bytes() == EXPECTED
    assert lines_of(output) == COUNT
    assert list(output.parent.iterdir()) == [output]
    assert writer.logged() == list(range(COUNT))


def killed_anywhere(output: Path, writer: Writer, first: int, step: int) -> int:
    """Kill a run before the line ``first`` and every ``step``-th one after it, and go on.

    Returns:
        The number of times.
    """
    times = 0
    while True:
        output.parent.mkdir()
        output.write_text("old")
        code = end_of(
            in_child(killing_itself(first + times * step, lambda: finish(output, writer)))
        )
        if code == 0:
            return times
        assert code == -signal.SIGKILL
        assert output.read_bytes() in (b"old", EXPECTED)
        finish(output, writer)
        assert output.read_bytes() == EXPECTED
        assert list(output.parent.iterdir()) == [output]
        output.unlink()
        output.parent.rmdir()
        times += 1


def test_killed_at_some_lines(output: Path, writer: Writer) -> None:
    assert killed_anywhere(output, writer, 3, 29) > 5


@pytest.mark.slow
def test_killed_at_every_line(output: Path, writer: Writer) -> None:
    assert killed_anywhere(output, writer, 0, 1) > 200


def test_what_is_done_is_not_done_again(output: Path, tmp_path: Path, writer: Writer) -> None:
    with pytest.raises(InputError, match=r"^5: refused$"):
        finish(output, Writer(tmp_path / "log", refused=5))
    assert writer.logged() == [0, 1, 2, 3, 4]
    assert shards_of(output).missing() == [1, 2]
    assert not output.exists()
    finish(output, writer)
    assert output.read_bytes() == EXPECTED
    assert writer.logged() == sorted([*range(COUNT), 4])


def test_several_processes_share_the_shards(output: Path, tmp_path: Path) -> None:
    writer = Writer(tmp_path / "log", seconds=0.01)
    children = [in_child(lambda: finish(output, writer)) for _ in range(3)]
    assert [end_of(child) for child in children] == [0, 0, 0]
    assert output.read_bytes() == EXPECTED
    assert list(output.parent.iterdir()) == [output]


def test_the_shard_of_a_dead_process_is_taken_over(
    output: Path, tmp_path: Path, writer: Writer
) -> None:
    held = tmp_path / "held"

    def hold() -> None:
        with shards_of(output).claim(1):
            held.touch()
            time.sleep(60)

    shards_of(output).begin()
    holder = in_child(hold)
    while not held.exists():
        time.sleep(0.01)
    with shards_of(output).claim(1) as path:
        assert path is None
    other = in_child(lambda: finish(output, writer))
    while writer.logged() != [0, 1, 2, 3, 8, 9, 10]:
        time.sleep(0.01)
    time.sleep(0.1)
    assert not output.exists()  # it waits
    os.kill(holder, signal.SIGKILL)
    assert (end_of(holder), end_of(other)) == (-signal.SIGKILL, 0)
    assert output.read_bytes() == EXPECTED
    assert writer.logged() == list(range(COUNT))


def test_other_settings_are_refused(output: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        finish(output, Writer(tmp_path / "log", refused=9))
    for other, message in [
        (shards_of(output, kind="letters"), 'kind "numbers", now "letters"'),
        (Shards(output, {"kind": "numbers"}, COUNT, 5), "shard_size 4, now 5"),
        (Shards(output, {"kind": "numbers"}, 12, 4), "items 11, now 12"),
        (Shards(output, {}, COUNT, 4), 'kind "numbers", now null'),
    ]:
        for use in (other.begin, other.check):
            with pytest.raises(InputError) as error:
                use()
            assert f"numbers.txt.parts: holds the beginning of another run: {message};" in str(
                error.value
            )
        assert not other.is_open
        with other.claim(2) as path:
            assert path is None
    assert shards_of(output).missing() == [2]
    # Also where the only shard that is done is none of the other run's.
    for number in (0, 1):
        (output.with_name("numbers.txt.parts") / f"0000{number}.part").rename(
            output.with_name("numbers.txt.parts") / f"0000{number + 8}.part"
        )
    with pytest.raises(InputError, match="items 11, now 3"):
        Shards(output, {"kind": "numbers"}, 3, 4).begin()


def test_what_nobody_has_done_a_shard_of_gives_way(
    output: Path, tmp_path: Path, writer: Writer
) -> None:
    """A first attempt with a mistake leaves nothing that must be removed by hand."""
    first = shards_of(output, kind="letters")
    first.begin()
    with suppress(KeyboardInterrupt), first.claim(2):
        with pytest.raises(InputError, match='kind "letters", now "numbers"'):
            finish(output, writer)  # somebody is at it
        raise KeyboardInterrupt
    finish(output, writer)
    assert output.read_bytes() == EXPECTED
    # Whoever comes late to a run that gave way is told.
    first.begin()
    shards_of(output).begin()
    with pytest.raises(InputError, match='kind "numbers", now "letters"'):
        help_with(first, writer)


def test_a_folder_that_is_complete_but_was_not_removed(output: Path, writer: Writer) -> None:
    def leave() -> None:
        finish(output, writer)
        writer.log.unlink()
        left = shards_of(output)
        left.begin()
        (left.folder / "joined").touch()

    leave()
    assert Shards.begun(output) is None
    finish(output, writer)  # only removes it
    assert writer.logged() == []
    assert list(output.parent.iterdir()) == [output]
    leave()
    output.unlink()
    finish(output, writer)
    assert output.read_bytes() == EXPECTED
    leave()
    other = shards_of(output, kind="letters")
    other.begin()
    assert other.is_open


def test_what_is_done_can_be_written_before_the_end(output: Path, tmp_path: Path) -> None:
    assert Shards.begun(output) is None
    with pytest.raises(InputError):
        finish(output, Writer(tmp_path / "log", refused=5))
    names = [f"name {number}" for number in range(COUNT)]
    listed = output.with_name("numbers.processed.txt")
    begun = Shards.begun(output)
    assert begun is not None
    assert begun.settings == shards_of(output).settings
    assert begun.write_done(listed, names) == 4
    assert output.read_bytes() == EXPECTED[: EXPECTED.index(b"number 4")]
    assert listed.read_text().splitlines() == names[:4]
    assert begun.missing() == [1, 2]
    with pytest.raises(ValueError, match=r"shards not done: \[1, 2\]"):
        begun.join()

    finish(output, Writer(tmp_path / "log"))
    assert output.read_bytes() == EXPECTED
    assert list(output.parent.iterdir()) == [output]  # all are done: the list has gone


def test_a_list_of_the_user_stays(output: Path, writer: Writer) -> None:
    output.parent.mkdir()
    listed = output.with_name("numbers.processed.txt")
    listed.write_text("1\n")
    finish(output, writer)
    assert listed.read_text() == "1\n"


def test_what_cannot_be(output: Path, tmp_path: Path, writer: Writer) -> None:
    with pytest.raises(InputError, match="shard size: expected at least 1, got 0"):
        Shards(output, {}, COUNT, 0)
    with pytest.raises(InputError, match="cannot be written: Is a directory"):
        shards_of(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written: Not a directory"):
        finish(tmp_path / "file" / "numbers.txt", writer)
    shards_of(output).begin()
    run = output.with_name("numbers.txt.parts") / "run.json"
    for content, message in [("{", "run.json: expected JSON"), ("[]", "run.json: expected an obj")]:
        run.write_text(content)
        with pytest.raises(InputError, match=message):
            shards_of(output).check()
    settings = {"items": 3, "shard_size": 2}
    run.write_text(json.dumps(settings))
    with pytest.raises(
        InputError, match="expected an object with the numbers format, items, shard_size"
    ):
        Shards.begun(output)
