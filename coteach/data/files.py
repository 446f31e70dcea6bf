"""Files as they are: lines in bytes, errors with their place, and nothing half-written."""

from __future__ import annotations

import codecs
import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO
from uuid import uuid4

from coteach.errors import InputError

__all__ = ["byte_lines", "not_utf8", "opening", "read_json", "replacing", "temporary_beside"]


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
        InputError: the file cannot be read.
    """
    with opening(path), path.open("rb") as file:
        for number, line in enumerate(file, start=1):  # a binary file breaks at "\n" only
            content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if content.strip():
                yield number, content


def read_json(path: Path) -> Any:
    """What a file of JSON says.

    Raises:
        InputError: the file cannot be read, or is no JSON.
    """
    with opening(path):
        content = path.read_bytes()
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
