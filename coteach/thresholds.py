"""Chooses from which confidence on a student's values count: ``python -m coteach.thresholds``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from coteach.command import program
from coteach.data.page_folder import page_path, read_page, read_page_ids
from coteach.data.shinra import read_annotation_file
from coteach.errors import InputError
from coteach.evaluation.thresholds import Chosen, choose_thresholds, threshold_table

__all__ = ["Options", "main"]


@dataclass(frozen=True)
class Options:
    """Chooses, for every attribute, the confidence from which on a student's values are kept.

    Chosen on pages with gold: the highest F1, or the most values at a wanted precision. The copy
    of the student that is written applies the thresholds wherever it is used.
    """

    student: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="STUDENT")]
    """The student: the folder "student" of a run."""

    pages: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PAGES")]
    """Folder of plain pages, <page_id>.txt."""

    gold: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="GOLD")]
    """The gold of some of these pages, JSON lines: neither the training gold, which the student
    knows by heart, nor that which scores are reported on."""

    output: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """Folder of the copy of the student; it must not exist yet."""

    page_ids: Annotated[
        Path | None,
        tyro.conf.arg(metavar="IDS", help_behavior_hint="(default: the pages with a gold value)"),
    ] = None
    """Text file of the pages to choose on, one id a line, with or without a gold value."""

    precision: Annotated[
        float | None,
        tyro.conf.arg(metavar="SHARE", help_behavior_hint="(default: the highest F1)"),
    ] = None
    """The precision wanted of every attribute, in (0, 1]."""

    batch_size: int = 16
    """Windows a batch."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code, 0, or 2 where the input cannot be used."""
    options = tyro.cli(Options, prog=program("thresholds"), args=arguments)
    try:
        chosen = _run(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    console = Console(highlight=False)
    console.print(threshold_table(chosen))
    console.print(f"Student: {options.output}", soft_wrap=True)
    return 0


def _run(options: Options) -> dict[str, Chosen]:
    # The heavy imports come after --help.
    from tqdm.auto import tqdm
    from transformers.utils.logging import disable_progress_bar

    from coteach.training.checkpoint import replacing_folder
    from coteach.training.loading import load_extractor

    disable_progress_bar()
    if options.output.exists():
        raise InputError.at(options.output, None, "exists; expected the name of a new folder")
    if options.precision is not None and not 0 < options.precision <= 1:
        raise InputError(f"--precision: expected a share in (0, 1], got {options.precision}")
    page_ids = read_page_ids(options.page_ids) if options.page_ids else []
    with_gold = read_annotation_file(options.gold).values
    if not with_gold:
        raise InputError.at(options.gold, None, "the gold has no value; expected at least one")
    pages = {
        page_id: read_page(page_path(options.pages, page_id))
        for page_id in dict.fromkeys([*page_ids, *with_gold])
    }
    gold = read_annotation_file(options.gold, pages=pages).values
    page_ids = page_ids or list(gold)
    extractor = load_extractor(options.student, options.batch_size)
    texts = tqdm([pages[page_id].text for page_id in page_ids], desc="dev", unit="page")
    results = extractor(texts, views=["p"], threshold=0.0)
    found = {page_id: result["p"] for page_id, result in zip(page_ids, results, strict=True)}
    config = extractor.student.config
    chosen = choose_thresholds(gold, found, config.attributes, options.precision)
    config.thresholds = {name: choice.threshold for name, choice in chosen.items()}
    with replacing_folder(options.output) as folder:
        shutil.copytree(options.student, folder, dirs_exist_ok=True)
        config.save_pretrained(folder)
    return chosen


if __name__ == "__main__":
    sys.exit(main())
