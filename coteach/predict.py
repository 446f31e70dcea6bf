"""Finds values in pages with a trained student: ``python -m coteach.predict STUDENT PAGES``."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tqdm.auto import tqdm

from coteach.command import program
from coteach.data.page_folder import list_page_ids, read_page
from coteach.data.pages import Page
from coteach.data.shinra import write_submission
from coteach.data.shinra_html import HtmlText
from coteach.data.shinra_lines import Offsets
from coteach.errors import InputError
from coteach.sharding import Shards, carry_out, interruptible, lines_of, share

if TYPE_CHECKING:
    from coteach.model.extraction import Extractor

__all__ = ["Options", "main", "predict"]

SUFFIXES = {"text": ".txt", "html": ".html"}
SHARD_PAGES = 1000


@dataclass(frozen=True)
class Options:
    """Writes what a student finds in a folder of plain pages, as a SHINRA submission.

    Every value has a "score": the geometric mean of its tokens' tag probabilities, in (0, 1].

    What is done is kept beside the output, in FILE.parts, until the output is complete: a run
    that was interrupted goes on with the same command. On several GPUs, also of several machines:
    accelerate launch -m coteach.predict STUDENT PAGES --output FILE.
    """

    student: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STUDENT")]
    """The student: its folder or that of its run, that of an export to ONNX, or a name on the
    Hub."""

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

    processes: int = 1
    """Processes on this machine, which share the pages; each has a GPU of its own where there are
    several, and else its share of the cores."""

    shard_pages: int = SHARD_PAGES
    """Pages that are done, and kept, at a time; an interruption loses at most as many a process."""

    worker: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Only help with what the same command without this option has begun, on this machine or on
    another that shares the folder: end when nothing is left to do, or at once where nothing has
    begun."""

    partial: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Predict nothing: write what is done so far, and in <name of FILE>.processed.txt which pages
    that is. The run may go on, meanwhile or later."""


def predict(
    extractor: Extractor,
    pages: str | Path,
    output: str | Path,
    probability: Literal["p", "p_out", "p_mean"] = "p",
    precision: Literal["no", "bf16"] = "no",
    offsets: Offsets = "text",
    shard_pages: int = SHARD_PAGES,
) -> int:
    """Write the submission of a student for a folder of pages, or go on with it.

    Pages are read, tagged and written a few hundred at a time: memory does not grow with them,
    but for their ids. In the processes of a launcher (``accelerate launch``, ``torchrun``) all
    call this and share the pages.

    Returns:
        The number of values found.

    Raises:
        InputError: the pages cannot be read, the output cannot be written, the student has no
            such probability or no such precision, or another run has begun to write this output.
    """
    prediction = Prediction.of(
        extractor, pages, output, probability, precision, offsets, shard_pages
    )
    carry_out(prediction.shards, prediction.write, "page", "predict")
    return lines_of(prediction.shards.output)


@dataclass(frozen=True)
class Prediction:
    """What ``predict`` does, by shards; arguments and errors as there."""

    extractor: Extractor
    folder: Path
    page_ids: Sequence[str]
    shards: Shards
    probability: Literal["p", "p_out", "p_mean"]
    precision: Literal["no", "bf16"]
    offsets: Offsets

    @classmethod
    def of(
        cls,
        extractor: Extractor,
        pages: str | Path,
        output: str | Path,
        probability: Literal["p", "p_out", "p_mean"],
        precision: Literal["no", "bf16"],
        offsets: Offsets,
        shard_pages: int,
    ) -> Prediction:
        from coteach.training.loading import check_precision, reader_fingerprint

        check_precision(extractor.student, precision)
        available = extractor.student.config.probability_names
        if probability not in available:
            raise InputError(
                f"probability {probability!r}: this student has only {', '.join(available)}"
            )
        page_ids = list_page_ids(pages, SUFFIXES[offsets])
        settings = {
            "student_fingerprint": reader_fingerprint(extractor),
            "probability": probability,
            "precision": precision,
            "offsets": offsets,
            "page_ids": digest_of(page_ids),
        }
        shards = Shards(output, settings, len(page_ids), shard_pages)
        return cls(extractor, Path(pages), page_ids, shards, probability, precision, offsets)

    def write(self, items: range, path: Path, bar: tqdm) -> None:
        """Write the submission for some of the pages."""
        import torch

        device = self.extractor.student.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.precision == "bf16"):
            write_submission(path, self._found(items, bar), offsets=self.offsets)

    def _found(self, items: range, bar: tqdm) -> Iterator[tuple[Page, list[tuple]]]:
        suffix, html = SUFFIXES[self.offsets], self.offsets == "html"
        pages = (read_page(self.folder / f"{self.page_ids[item]}{suffix}") for item in items)
        first, second = tee((page, HtmlText(page.text) if html else None) for page in pages)
        texts = (page.text if markup is None else markup.text for page, markup in first)
        results = self.extractor(texts, [self.probability])
        for (page, markup), result in zip(second, results, strict=True):
            found = result[self.probability]
            if markup is not None:
                found = [(it, score) for span, score in found if (it := markup.html_span(span))]
            yield page, found
            bar.update()


def digest_of(page_ids: Sequence[str]) -> str:
    """Tells lists of page ids apart."""
    digest = hashlib.blake2b(digest_size=12)
    for page_id in page_ids:
        digest.update(json.dumps(page_id).encode())
    return digest.hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0; 1 where all processes have died; 2 where the input cannot be used; 130
        or 143 where it was interrupted by Ctrl-C or SIGTERM.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    options = tyro.cli(Options, prog=program("predict"), args=arguments)
    command = [sys.executable, "-m", "coteach.predict", *arguments, "--processes", "1", "--worker"]
    return interruptible(lambda: _run(options, command), silent=options.worker)


def _run(options: Options, command: Sequence[str]) -> int:
    if options.shard_pages < 1:
        raise InputError(f"shard_pages: expected at least 1, got {options.shard_pages}")
    if options.partial:
        return _write_partial(options)
    list_page_ids(options.pages, SUFFIXES[options.offsets])  # before the student, which takes long
    if options.worker and Shards.begun(options.output) is None:
        print(f"{options.output}: nothing has begun here, or it is complete")
        return 0

    # The heavy imports come after --help.
    from transformers.utils.logging import disable_progress_bar

    from coteach.training.loading import load_extractor
    from coteach.training.processes import processes

    disable_progress_bar()

    def load(device: str | None = None) -> Prediction:
        return Prediction.of(
            load_extractor(options.student, options.batch_size, device),
            options.pages,
            options.output,
            options.probability,
            options.precision,
            options.offsets,
            options.shard_pages,
        )

    code = share(load, options.processes, options.worker, command, "page", "predict")
    if code or options.worker:
        return code
    if processes().is_main_process:
        print(f"{lines_of(options.output):,} values written to {options.output}")
    processes().destroy_process_group()
    return 0


def _write_partial(options: Options) -> int:
    shards = Shards.begun(options.output)
    if shards is None:
        raise InputError.at(options.output, None, "nothing has begun here, or it is complete")
    page_ids = list_page_ids(options.pages, SUFFIXES[options.offsets])
    if shards.settings.get("page_ids") != digest_of(page_ids):
        raise InputError.at(options.pages, None, f"other pages than those begun in {shards.folder}")
    listed = options.output.with_name(f"{options.output.stem}.processed.txt")
    count = shards.write_done(listed, page_ids)
    print(
        f"{lines_of(options.output):,} values of {count:,} of {len(page_ids):,} pages written to "
        f"{options.output}, the ids of these pages to {listed}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
