"""The error that every command prints without a traceback, and how it quotes."""

from __future__ import annotations

import json
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


def quote(value: object, length: int = 80) -> str:
    """The value as written in JSON, cut to a readable length, without what cannot be printed."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "a value that is nested too deeply to be shown"
    text = text if len(text) <= length else text[: length - 1] + "…"
    # A lone surrogate could not be written, a line or paragraph separator would break the line.
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
