"""Finds values in pages with a trained student: ``python -m coteach.predict STUDENT PAGES``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from coteach.command import program
from coteach.data.page_folder import PageFolder, list_page_ids
from coteach.data.pages import Page
from coteach.data.shinra import write_submission
from coteach.data.shinra_html import HtmlText
from coteach.data.shinra_lines import Offsets
from coteach.errors import InputError

if TYPE_CHECKING:
    from coteach.model.extraction import Extractor

__all__ = ["Options", "main", "predict"]

SUFFIXES = {"text": ".txt", "html": ".html"}


@dataclass(frozen=True)
class Options:
    """Writes what a student finds in a folder of plain pages, as a SHINRA submission.

    Every value has a "score": the geometric mean of its tokens' tag probabilities, in (0, 1].
    """

    student: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STUDENT")]
    """The student: its folder or that of its run, or a name on the Hub."""

    pages: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PAGES")]
    """Folder of plain pages, <page_id>.txt, or of raw HTML, <page_id>.html."""

    output: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The submission to write, JSON lines; it appears only when it is complete."""

    probability: Literal["p", "p_out", "p_mean"] = "p"
    """Which probability decides: that of the output head (p_out), the teachers' mean (p_mean), or
    the mean of both (p)."""

    offsets: Offsets = "text"
    """html: the pages are raw HTML; the student reads their text, and values are written by their
    html_offset."""

    batch_size: int = 16
    """Windows a batch."""

    precision: Literal["no", "bf16"] = "no"
    """bf16 is faster on GPUs and on CPUs with AVX512-BF16, and may change values that are near
    the edge."""


def predict(
    extractor: Extractor,
    pages: str | Path,
    output: str | Path,
    probability: Literal["p", "p_out", "p_mean"] = "p",
    precision: Literal["no", "bf16"] = "no",
    offsets: Offsets = "text",
) -> int:
    """Write the submission of a student for a folder of pages.

    Pages are read, tagged and written a few hundred at a time: memory does not grow with them.

    Returns:
        The number of values found.

    Raises:
        InputError: the pages cannot be read, the output cannot be written, or the student has
            no such probability.
    """
    import torch
    from tqdm.auto import tqdm

    available = extractor.student.config.probability_names
    if probability not in available:
        raise InputError(
            f"probability {probability!r}: this student has only {', '.join(available)}"
        )
    read = PageFolder(pages, SUFFIXES[offsets])
    count = 0

    def counted(pages: Iterable[Page]) -> Iterator[tuple[Page, list[tuple]]]:
        nonlocal count
        first, second = tee((page, HtmlText(page.text) if html else None) for page in pages)
        texts = (page.text if markup is None else markup.text for page, markup in first)
        for (page, markup), result in zip(second, extractor(texts), strict=True):
            found = result[probability]
            if markup is not None:
                found = [(it, score) for span, score in found if (it := markup.html_span(span))]
            count += len(found)
            yield page, found

    html = offsets == "html"

    device = extractor.student.device.type
    with (
        torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"),
        tqdm(read.values(), total=len(read), unit="page", desc="predict") as bar,
    ):
        write_submission(output, counted(bar), offsets=offsets)
    return count


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code, 0, or 2 where the input cannot be used."""
    options = tyro.cli(Options, prog=program("predict"), args=arguments)
    try:
        # The heavy imports come after --help.
        from transformers.utils.logging import disable_progress_bar

        from coteach.training.loading import load_extractor

        disable_progress_bar()
        # Before the student, which takes longer to load.
        list_page_ids(options.pages, SUFFIXES[options.offsets])
        extractor = load_extractor(options.student, options.batch_size)
        count = predict(
            extractor,
            options.pages,
            options.output,
            options.probability,
            options.precision,
            options.offsets,
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{count:,} values written to {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
