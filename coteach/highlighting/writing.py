"""A page, pictures and their numbers in one folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coteach.data.files import replacing
from coteach.highlighting.blocks import Block, Measure, as_json
from coteach.highlighting.drawing import draw
from coteach.highlighting.page import write_page

__all__ = ["write"]


def write(
    blocks: Sequence[Block], measure: Measure, output: Path, about: Mapping[str, Any]
) -> list[Path]:
    """Write MEASURE.html, MEASURE.json and a MEASURE_BLOCK.png for every text, whole or not at all.

    Args:
        blocks: at least one, all read by the same students.
        measure: what the colours mean; its name in lower case begins the files' names.
        output: the folder; it is made.
        about: what the numbers' file says before the texts.

    Returns:
        The files.

    Raises:
        InputError: one cannot be written, or the packages that draw are missing.
    """
    stem = measure.name.lower()
    written = [output / f"{stem}.html", output / f"{stem}.json"]
    write_page(blocks, measure, written[0])
    with replacing(written[1]) as file:
        json.dump({**about, "texts": as_json(blocks)}, file, ensure_ascii=False, indent=1)
        file.write("\n")
    for block in blocks:
        written.append(output / f"{stem}_{block.name}.png")
        draw(block, measure, written[-1])
    return written
