"""Coloured texts as one page of HTML, which needs neither the network nor a script."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from coteach.data.files import replacing
from coteach.highlighting.blocks import Block, Measure, fact_lines, merged, prediction_line
from coteach.highlighting.words import levels, shown

__all__ = ["page", "write_page"]


def page(blocks: Sequence[Block], measure: Measure) -> str:
    """The page's HTML: a part for every text, in it the students side by side.

    Args:
        blocks: at least one, all read by the same students.
        measure: what the colours mean.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = files("coteach.highlighting").joinpath("page.html").read_text(encoding="utf-8")
    students = [reading.student for reading in blocks[0].readings]
    return environment.from_string(source).render(
        blocks=blocks,
        students=students,
        measure=measure,
        levels=levels,
        merged=merged,
        prediction_line=prediction_line,
        fact_lines=fact_lines,
        shown=shown,
        zip=zip,
    )


def write_page(blocks: Sequence[Block], measure: Measure, path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(path) as file:
        file.write(page(blocks, measure).lstrip())
