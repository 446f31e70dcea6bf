"""What a command is called in its own help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["called_as", "program"]

_prefix = ContextVar("prefix", default="python -m coteach.")


def program(verb: str) -> str:
    """What a verb is called in usage lines: ``python -m coteach.VERB``, or as it was called."""
    return f"{_prefix.get()}{verb}"


@contextmanager
def called_as(prefix: str) -> Iterator[None]:
    """Within this context verbs are called ``prefix`` + their name, for example "coteach "."""
    token = _prefix.set(prefix)
    try:
        yield
    finally:
        _prefix.reset(token)
