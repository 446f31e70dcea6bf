"""Work that is sharded: to write down numbers. Also what processes of their own run for tests.

    python numbers_to_write.py OUTPUT LOG [REFUSED]

helps with the numbers of OUTPUT, and refuses one of them; with a LOG called "dies" the first
process to come does.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from tqdm.auto import tqdm

from coteach.errors import InputError
from coteach.sharding import Shards, help_with

COUNT, SIZE = 11, 4
EXPECTED = "".join(f"number {number}\n" for number in range(COUNT)).encode()


def shards_of(output: Path, **settings: object) -> Shards:
    return Shards(output, {"kind": "numbers", **settings}, COUNT, SIZE)


class Writer:
    """Writes numbers, and notes in a log which ones.

    Args:
        log: shared by all processes.
        refused: a number that cannot be written.
        seconds: that a number takes.
    """

    def __init__(self, log: Path, refused: int | None = None, seconds: float = 0.0) -> None:
        self.log = log
        self.refused = refused
        self.seconds = seconds

    def __call__(self, items: range, path: Path, bar: tqdm) -> None:
        with path.open("w") as file, self.log.open("a") as log:
            for item in items:
                time.sleep(self.seconds)
                if item == self.refused:
                    raise InputError(f"{item}: refused")
                file.write(f"number {item}\n")
                log.write(f"{item}\n")
                bar.update()

    def logged(self) -> list[int]:
        return sorted(map(int, self.log.read_text().split())) if self.log.exists() else []


def finish(output: Path, writer: Writer) -> None:
    """What a command does in one process, without the imports of a launcher."""
    shards = shards_of(output)
    shards.begin()
    help_with(shards, writer)
    shards.join()


if __name__ == "__main__":
    output, log, *refused = sys.argv[1:]
    if log.endswith("dies"):  # the first to come does
        try:
            os.close(os.open(f"{log}.first", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            pass
        else:
            with shards_of(Path(output)).claim(0):
                os.kill(os.getpid(), 9)
    try:
        writer = Writer(Path(log), *map(int, refused), seconds=0.02)
        help_with(shards_of(Path(output)), writer)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
