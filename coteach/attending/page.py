"""Attention as one page of HTML, which needs neither the network nor a script."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from coteach.attending.blocks import Block, legend, merged, prediction_line
from coteach.attending.words import levels, shown
from coteach.data.files import replacing

__all__ = ["page", "write_page"]


def page(blocks: Sequence[Block]) -> str:
    """The page's HTML: a part for every text, in it the students side by side.

    Args:
        blocks: at least one, all read by the same students.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = files("coteach.attending").joinpath("page.html").read_text(encoding="utf-8")
    students = [reading.student for reading in blocks[0].readings]
    return environment.from_string(source).render(
        blocks=blocks,
        students=students,
        legend=legend(),
        levels=levels,
        merged=merged,
        prediction_line=prediction_line,
        shown=shown,
        zip=zip,
    )


def write_page(blocks: Sequence[Block], path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(path) as file:
        file.write(page(blocks).lstrip())
