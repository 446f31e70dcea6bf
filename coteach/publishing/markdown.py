"""Markdown in which no name can do anything: every value that is filled in is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

__all__ = ["Markdown", "escaped", "filled", "render", "table"]

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}
_PUNCTUATION = re.compile(r"([\\`*\[\]~$#])|((?<![^\W_])_|_(?![^\W_]))")
_ITEM = re.compile(r"^(\d*)([-+=.)])(?=\s|$|[-=])")
_LINK = re.compile(r"(?<=\w):(?=//)|(?<=www)\.", re.IGNORECASE)


class Markdown(str):
    """Text that is Markdown already, made by this package."""

    __slots__ = ()


def escaped(value: object) -> str:
    """A value as one line of text: no markup, table cell, HTML or link comes of it."""
    text = " ".join(str(value).split())
    text = "".join(letter for letter in text if letter.isprintable())
    text = _PUNCTUATION.sub(r"\\\g<0>", "".join(_ENTITIES.get(it, it) for it in text))
    text = text.replace("&\\#", "&#")  # the "#" of an entity is none of the text's
    text = _ITEM.sub(r"\g<1>\\\g<2>", text)
    return _LINK.sub(lambda found: f"&#{ord(found.group())};", text)


def filled(value: object) -> str:
    """A value as it is written: escaped, unless it is Markdown already."""
    return value if isinstance(value, Markdown) else escaped(value)


def render(template: str, **values: Any) -> str:
    """Fill in a template of this folder; all but :class:`Markdown` is escaped."""
    environment = Environment(
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=filled,
    )
    source = files("coteach.publishing").joinpath(template).read_text(encoding="utf-8")
    return environment.from_string(source).render(**values)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], numbers: int = 0) -> Markdown:
    """A table; the last ``numbers`` columns are aligned to the right. Cells are escaped."""
    left = len(headings) - numbers
    lines = [[filled(it) for it in headings], ["---"] * left + ["---:"] * numbers]
    shown = [[filled(cell) for cell in row] for row in rows]
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in [*lines, *shown]))
