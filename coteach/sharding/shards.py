"""An output that is made in shards: what is done lies in a folder beside it, and survives a kill.

For ``found.json`` the folder is ``found.json.parts``. It has ``run.json``, what is being done, and
for every shard that is done a file ``<number>.part``; that a shard is being done is told by a lock,
which a process that is killed lets go of. Once the last shard is done the parts become
``found.json`` and the folder goes. Nothing in it depends on who did what: a shard that is done
twice has the same bytes. Several machines may share the folder where its file system has working
locks.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from coteach.data.files import opening, read_json, temporary_beside
from coteach.errors import InputError, quote

__all__ = ["Shards", "lines_of"]

FORMAT = 1
RUN, JOINED, PARTIAL, LOCK = "run.json", "joined", "partial", "run.lock"
OWN = ("format", "items", "shard_size")  # settings that every run has


class Shards:
    """The shards of an output.

    Args:
        output: the file that is made in the end.
        settings: what the bytes of a shard depend on, by name, in JSON's types; where the folder
            holds something else, it is refused.
        items: how many there are.
        size: items a shard; the last one may have fewer.

    Attributes:
        output: the file that is made in the end.
        folder: of the parts.
        settings: of this run, with the number of items and the size of a shard.

    Raises:
        InputError: the size is not positive, or the output is a folder.
    """

    def __init__(
        self, output: str | Path, settings: Mapping[str, Any], items: int, size: int
    ) -> None:
        if size < 1:
            raise InputError(f"shard size: expected at least 1, got {size}")
        self.output = Path(output)
        with opening(self.output, "written"):
            if self.output.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        self.folder = self.output.with_name(f"{self.output.name}.parts")
        self.settings = {"format": FORMAT, **settings, "items": items, "shard_size": size}
        self._items, self._size = items, size
        self._count = -(-items // size)

    @classmethod
    def begun(cls, output: str | Path) -> Shards | None:
        """What is being done for an output, whatever it is; None where nothing is."""
        folder = Path(output).with_name(f"{Path(output).name}.parts")
        if (folder / JOINED).exists() or not (folder / RUN).exists():
            return None
        settings = _read_run(folder / RUN)
        if settings is None:  # removed at this moment
            return None
        rest = {name: value for name, value in settings.items() if name not in OWN}
        return cls(output, rest, settings["items"], settings["shard_size"])

    def begin(self) -> None:
        """Make the folder, or go on in it.

        Raises:
            InputError: the folder holds what was done with other settings, or cannot be written.
        """
        while True:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                with self._lock():
                    if (self.folder / JOINED).exists():  # and then killed, before all was removed
                        if self.output.exists() and _read_run(self.folder / RUN) == self.settings:
                            return
                        self._remove()
                        continue
                    if (self.folder / RUN).exists() and not self._is_untouched():
                        self.check()
                        return
                    text = json.dumps(self.settings, ensure_ascii=False, indent=2)
                    with self._replacing(self.folder / RUN) as file:
                        file.write(text.encode())
                    return
            except FileNotFoundError:  # another process has removed it at this moment
                continue
            except OSError as error:
                message = f"cannot be written: {error.strerror}"
                raise InputError.at(self.folder, None, message) from None

    def check(self) -> None:
        """Refuse a folder of other settings.

        Raises:
            InputError: says which ones.
        """
        found = _read_run(self.folder / RUN)
        if found is None or found == self.settings:
            return
        different = [
            f"{name} {quote(found.get(name))}, now {quote(self.settings.get(name))}"
            for name in {**found, **self.settings}
            if found.get(name) != self.settings.get(name)
        ]
        raise InputError.at(
            self.folder,
            None,
            f"holds the beginning of another run: {'; '.join(different)}; expected the same "
            "settings or another --output. To begin anew, remove this folder",
        )

    @property
    def is_open(self) -> bool:
        """Whether this is being done: begun, and not joined yet."""
        return not (self.folder / JOINED).exists() and _read_run(self.folder / RUN) == self.settings

    def items_of(self, number: int) -> range:
        """The items of a shard."""
        start = number * self._size
        return range(start, min(start + self._size, self._items))

    def done(self) -> list[int]:
        """The shards that are done, in order."""
        try:
            names = {entry.name for entry in os.scandir(self.folder)}
        except FileNotFoundError:
            return []
        return [number for number in range(self._count) if self._part(number).name in names]

    def missing(self) -> list[int]:
        """The shards that are not done, in order."""
        return sorted(set(range(self._count)) - set(self.done()))

    def count(self, numbers: Iterable[int]) -> int:
        """How many items some shards have."""
        return sum(len(self.items_of(number)) for number in numbers)

    @contextmanager
    def claim(self, number: int) -> Iterator[Path | None]:
        """Hold a shard against all other processes while it is done.

        Yields:
            The file to write; when the block ends without an error it is the shard's part. None
            where another process holds the shard, or has done it.
        """
        lock = FileLock(self.folder / f"{number}.lock")
        try:
            lock.acquire(timeout=0)
        except (Timeout, FileNotFoundError):  # held, or all is joined and removed
            yield None
            return
        except OSError as error:  # no permission, or no locks
            path = Path(lock.lock_file)
            raise InputError.at(path, None, f"cannot be locked: {error.strerror}") from None
        try:
            part = self._part(number)
            if part.exists() or not self.is_open:
                yield None
                return
            temporary = temporary_beside(part)
            try:
                yield temporary
                with opening(part, "written"):
                    _to_disk(temporary)  # before its name, or a power cut could leave it empty
                    temporary.replace(part)
            finally:
                temporary.unlink(missing_ok=True)
        finally:
            lock.release()

    def join(self) -> None:
        """Make the output of the parts and remove them, unless another process has.

        Raises:
            InputError: the output cannot be written.
            ValueError: a shard is missing.
        """
        try:
            with self._lock():
                if self.is_open:
                    if missing := self.missing():
                        raise ValueError(f"shards not done: {missing}")
                    self._write(range(self._count))
                    if (self.folder / PARTIAL).exists():
                        name = (self.folder / PARTIAL).read_text(encoding="utf-8")
                        self.output.with_name(name).unlink(missing_ok=True)
                    (self.folder / JOINED).touch()
                if (self.folder / JOINED).exists():
                    self._remove()
                elif not (self.folder / RUN).exists():
                    self._remove_empty()  # its lock was made anew while another removed all
        except FileNotFoundError:
            return

    def write_done(self, names_file: Path, names: Sequence[str]) -> int:
        """Write what is done so far as the output, which stays incomplete; the run goes on.

        Args:
            names_file: beside the output, for the names of the items that are done, one a line;
                it goes when the output becomes complete.
            names: of all items.

        Returns:
            The number of items that are done.

        Raises:
            InputError: a file cannot be written.
        """
        with opening(self.folder, "written"), self._lock():
            numbers = self.done()
            (self.folder / PARTIAL).write_text(names_file.name, encoding="utf-8")
            # First the names: a reader at this moment may miss a value, but never takes an item
            # that is not done for one without values.
            with self._replacing(names_file) as file:
                for number in numbers:
                    file.writelines(f"{names[it]}\n".encode() for it in self.items_of(number))
            self._write(numbers)
        return self.count(numbers)

    def _part(self, number: int) -> Path:
        return self.folder / f"{number:05}.part"

    def _lock(self) -> FileLock:
        return FileLock(self.folder / LOCK)

    def _is_untouched(self) -> bool:
        """Whether no shard is done, of whatever run, nor is being done."""
        if any(self.folder.glob("*.part")):
            return False
        for path in self.folder.glob("*.lock"):
            if path.name != LOCK:
                lock = FileLock(path)
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    return False
                lock.release()
        return True

    def _write(self, numbers: Iterable[int]) -> None:
        """Make the output of some parts, which stay."""
        with self._replacing(self.output) as file:
            for number in numbers:
                with self._part(number).open("rb") as part:
                    shutil.copyfileobj(part, file, 2**20)

    @contextmanager
    def _replacing(self, path: Path) -> Iterator[BinaryIO]:
        """A file that takes the place of ``path`` when the block ends without an error.

        Until then it lies in the folder: whatever is left of it after a kill goes with that.
        """
        temporary = temporary_beside(self.folder / path.name)
        with opening(path, "written"):
            self.folder.mkdir(exist_ok=True)
            try:
                with temporary.open("wb") as file:
                    yield file
                _to_disk(temporary)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def _remove(self) -> None:
        """Remove the folder; that it was joined is the last thing to be forgotten."""
        last = [self.folder / name for name in (RUN, JOINED, LOCK)]
        for path in self.folder.iterdir():
            if path not in last:
                path.unlink(missing_ok=True)
        for path in last[:2]:
            path.unlink(missing_ok=True)
        self._remove_empty()

    def _remove_empty(self) -> None:
        (self.folder / LOCK).unlink(missing_ok=True)
        try:
            self.folder.rmdir()
        except OSError:  # another process has come: to remove it too, or to begin anew
            return


def lines_of(path: str | Path) -> int:
    """How many lines a file has."""
    with opening(Path(path)), Path(path).open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(2**20), b""))


def _read_run(path: Path) -> dict[str, Any] | None:
    """The settings in a folder; None where there are none."""
    if not path.exists():
        return None
    try:
        settings = read_json(path)
    except InputError:
        if not path.exists():  # removed at this moment
            return None
        raise
    if not isinstance(settings, dict) or not all(isinstance(settings.get(it), int) for it in OWN):
        raise InputError.at(path, None, f"expected an object with the numbers {', '.join(OWN)}")
    return settings


def _to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
