"""The error that every command prints without a traceback."""

from __future__ import annotations

from pathlib import Path


class InputError(ValueError):
    """What the user gave cannot be used: the message says where, quotes it, says what was due."""

    @classmethod
    def at(cls, path: str | Path, line: int | None, message: str) -> InputError:
        """An error in a file, ``path:line: message``; lines from 1, None the whole file."""
        return cls(f"{path}:{line}: {message}" if line is not None else f"{path}: {message}")


def in_one_line(error: Exception) -> str:
    """The message of another library's error, without its line breaks."""
    return " ".join(str(error).split())
