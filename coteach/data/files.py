"""Files as they are: lines in bytes, errors with their place, and nothing half-written."""

from __future__ import annotations

import codecs
import errno
import gzip
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO
from uuid import uuid4

from coteach.errors import InputError

__all__ = [
    "byte_lines",
    "lines_in",
    "not_utf8",
    "opening",
    "read_json",
    "replacing",
    "temporary_beside",
    "whole",
]

LONGEST_LINE = 2**26
"""64 MiB: the longest page of a wiki is about 2 MB, and a line of it, with every value that a team
may have found, is not thirty times that. A longer one is no line, but a file without line breaks
that would fill the memory."""

LARGEST_FILE = 2**30
"""1 GiB: of what is read as a whole, which takes several times its size as Python's objects. Larger
collections are JSON lines, which are read line by line, whatever their number."""


@contextmanager
def opening(path: Path, purpose: Literal["read", "written"] = "read") -> Iterator[None]:
    """Turn the system's error into an InputError that names the file."""
    try:
        yield
    except OSError as error:
        raise InputError.at(path, None, f"cannot be {purpose}: {error.strerror}") from None


def byte_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers from 1; a byte order mark is dropped.

    Raises:
        InputError: the file cannot be read, or a line is longer than ``LONGEST_LINE``.
    """
    with opening(path), path.open("rb") as file:
        for number, line in lines_in(path, file):
            content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if content.strip():
                yield number, content


def lines_in(path: Path, file: BinaryIO | gzip.GzipFile) -> Iterator[tuple[int, bytes]]:
    """The lines of an open binary file, which end in "\\n" only, with their numbers from 1.

    Raises:
        InputError: a line is longer than ``LONGEST_LINE``; no more than that is read of it.
    """
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            limit = f"{LONGEST_LINE / 2**20:g} MiB"
            raise InputError.at(path, number, f"a line of more than {limit}; expected shorter ones")
        yield number, line


def whole(path: Path) -> bytes:
    """All of a file.

    Raises:
        InputError: the file cannot be read, or is larger than ``LARGEST_FILE``.
    """
    with opening(path), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_FILE:
            limit = f"{LARGEST_FILE / 2**30:g} GiB"
            message = f"{size / 2**30:.1f} GiB; expected at most {limit} in a file read as a whole"
            raise InputError.at(path, None, message)
        return file.read()


def read_json(path: Path) -> Any:
    """What a file of JSON says.

    Raises:
        InputError: the file cannot be read, is too large or nested too deeply, or is no JSON.
    """
    content = whole(path)
    try:
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError.at(path, None, f"expected JSON: {error}") from None


def not_utf8(error: UnicodeDecodeError) -> str:
    """Which byte is to blame."""
    byte = error.object[error.start]
    return f"not UTF-8: byte 0x{byte:02x} at position {error.start}"


def temporary_beside(path: Path) -> Path:
    """A name for what takes the place of ``path`` once it is complete; nobody else has it, not
    even another machine that writes to the same folder."""
    return path.with_name(f".{path.name}.{uuid4().hex[:12]}.tmp")


@contextmanager
def replacing(path: str | Path) -> Iterator[TextIO]:
    """A text file that takes the place of ``path`` when the block ends without an error.

    Raises:
        InputError: there can be no such file.
    """
    path = Path(path)
    temporary = temporary_beside(path)
    with opening(path, "written"):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        file = temporary.open("w", encoding="utf-8", newline="\n")
    try:
        with opening(path, "written"):
            with file:
                yield file
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
