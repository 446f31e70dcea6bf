"""Finds values in pages with a trained student: ``python -m coteach.predict STUDENT PAGES``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from coteach.data.pages import Page
from coteach.data.shinra import list_page_ids, read_page, write_submission
from coteach.errors import InputError, in_one_line

if TYPE_CHECKING:
    from coteach.model.extraction import Extractor

__all__ = ["Options", "load_extractor", "main", "predict"]


@dataclass(frozen=True)
class Options:
    """Writes what a student finds in a folder of plain pages, as a SHINRA submission.

    Every value has a "score": the geometric mean of its tokens' tag probabilities, in (0, 1].
    """

    student: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STUDENT")]
    """The student: the folder "student" of a run, or a name on the Hub."""

    pages: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PAGES")]
    """Folder of plain pages, <page_id>.txt."""

    output: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The submission to write, JSON lines; it appears only when it is complete."""

    probability: Literal["p", "p_out", "p_mean"] = "p"
    """Which probability decides: that of the output head (p_out), the teachers' mean (p_mean), or
    the mean of both (p)."""

    batch_size: int = 16
    """Windows a batch."""

    precision: Literal["no", "bf16"] = "no"
    """bf16 is faster on GPUs and on CPUs with AVX512-BF16, and may change values that are near
    the edge."""


def load_extractor(student: str | Path, batch_size: int = 16) -> Extractor:
    """A student from a folder or the Hub, ready to read text, on a GPU where there is one.

    Raises:
        InputError: it cannot be loaded.
    """
    if batch_size < 1:
        raise InputError(f"batch_size: expected at least 1, got {batch_size}")
    import torch
    from safetensors import SafetensorError
    from transformers import AutoTokenizer

    from coteach.model import Student
    from coteach.model.extraction import Extractor

    try:
        model: Any = Student.from_pretrained(student)
        extractor = Extractor(model, AutoTokenizer.from_pretrained(student), batch_size)
    except (OSError, RuntimeError, SafetensorError, ValueError) as error:
        raise InputError(
            f"student {str(student)!r} cannot be loaded: {in_one_line(error)}"
        ) from None
    model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    return extractor


def predict(
    extractor: Extractor,
    pages: str | Path,
    output: str | Path,
    probability: Literal["p", "p_out", "p_mean"] = "p",
    precision: Literal["no", "bf16"] = "no",
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
    page_ids = list_page_ids(pages)
    read = (read_page(Path(pages) / f"{page_id}.txt") for page_id in page_ids)
    count = 0

    def counted(pages: Iterable[Page]) -> Iterator[tuple[Page, list[tuple]]]:
        nonlocal count
        first, second = tee(pages)
        results = extractor(page.text for page in first)
        for page, result in zip(second, results, strict=True):
            count += len(result[probability])
            yield page, result[probability]

    device = extractor.student.device.type
    with (
        torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"),
        tqdm(read, total=len(page_ids), unit="page", desc="predict") as bar,
    ):
        write_submission(output, counted(bar))
    return count


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code, 0, or 2 where the input cannot be used."""
    options = tyro.cli(Options, prog="python -m coteach.predict", args=arguments)
    try:
        # The heavy imports come after --help.
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        list_page_ids(options.pages)  # before the student, which takes longer to load
        extractor = load_extractor(options.student, options.batch_size)
        count = predict(
            extractor, options.pages, options.output, options.probability, options.precision
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{count:,} values written to {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
