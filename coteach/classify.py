"""Classifies texts with a trained student: ``python -m coteach.classify STUDENT TEXTS``."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tqdm.auto import tqdm

from coteach.command import program
from coteach.data.files import opening
from coteach.data.labelled_rows import ColumnNames, LabelledRow, read_rows
from coteach.errors import InputError
from coteach.sharding import Shards, carry_out, interruptible, share

if TYPE_CHECKING:
    from coteach.model.classification import Classifier

__all__ = ["Options", "classify", "main"]

SHARD_TEXTS = 1000


@dataclass(frozen=True)
class Options:
    """Writes the class of every text of a file, with the probability of each class.

    A text is preprocessed as the student's training texts were. The output is JSON lines:
    {"row", "text" (and "second_text"), "predicted", "probabilities": {class: probability}}.

    What is done is kept beside the output, in FILE.parts, until the output is complete: a run
    that was interrupted goes on with the same command. On several GPUs, also of several machines:
    accelerate launch -m coteach.classify STUDENT TEXTS --output FILE.
    """

    student: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STUDENT")]
    """The student: its folder or that of its run, that of an export to ONNX, or a name on the
    Hub."""

    texts: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TEXTS")]
    """A file .csv, .tsv or .jsonl, or a data set of the Hub, NAME or NAME:SPLIT."""

    output: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The file to write; it appears only when it is complete."""

    config: str | None = None
    """The configuration of a data set that has several."""

    text: str = "text"
    """The column of the text."""

    second_text: str | None = None
    """The column of the second text, for a student of pairs."""

    batch_size: int = 32
    """Texts a batch."""

    precision: Literal["no", "bf16"] = "no"
    """bf16 is faster on GPUs and on CPUs with AVX512-BF16, and may change texts that are near the
    edge between two classes."""

    processes: int = 1
    """Processes on this machine, which share the texts; each has a GPU of its own where there are
    several, and else its share of the cores."""

    shard_texts: int = SHARD_TEXTS
    """Texts that are done, and kept, at a time; an interruption loses at most as many a process."""

    worker: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Only help with what the same command without this option has begun, on this machine or on
    another that shares the folder: end when nothing is left to do, or at once where nothing has
    begun."""


def classify(
    classifier: Classifier,
    rows: Sequence[LabelledRow],
    output: str | Path,
    precision: Literal["no", "bf16"] = "no",
    shard_texts: int = SHARD_TEXTS,
) -> int:
    """Write the class of every row, or go on with it.

    In the processes of a launcher (``accelerate launch``, ``torchrun``) all call this and share
    the rows.

    Returns:
        The number of texts.

    Raises:
        InputError: the output cannot be written, another run has begun to write it, the student
            has no such precision, or it reads pairs and the rows are none, or the other way round.
    """
    classification = Classification.of(classifier, rows, output, precision, shard_texts)
    carry_out(classification.shards, classification.write, "text", "classify")
    return len(rows)


@dataclass(frozen=True)
class Classification:
    """What ``classify`` does, by shards; arguments and errors as there."""

    classifier: Classifier
    rows: Sequence[LabelledRow]
    shards: Shards
    precision: Literal["no", "bf16"]

    @classmethod
    def of(
        cls,
        classifier: Classifier,
        rows: Sequence[LabelledRow],
        output: str | Path,
        precision: Literal["no", "bf16"],
        shard_texts: int,
    ) -> Classification:
        from coteach.training.loading import check_precision, reader_fingerprint

        check_precision(classifier.student, precision)
        config = classifier.student.config
        if (config.pair_separator is not None) != (rows[0].second_text is not None):
            raise InputError(
                "second_text: this student reads single texts; expected none"
                if config.pair_separator is None
                else "second_text: this student reads pairs; expected the column of the second text"
            )
        digest = hashlib.blake2b(digest_size=12)
        for row in rows:
            digest.update(json.dumps([row.number, row.text, row.second_text]).encode())
        settings = {
            "student_fingerprint": reader_fingerprint(classifier),
            "precision": precision,
            "texts": digest.hexdigest(),
        }
        return cls(classifier, rows, Shards(output, settings, len(rows), shard_texts), precision)

    def write(self, items: range, path: Path, bar: tqdm) -> None:
        """Write the classes of some of the rows."""
        import torch

        classes = self.classifier.student.config.classes
        device = self.classifier.student.device.type
        rows = [self.rows[item] for item in items]
        texts = (
            row.text if row.second_text is None else (row.text, row.second_text) for row in rows
        )
        with (
            opening(path, "written"),
            path.open("w", encoding="utf-8", newline="\n") as file,
            torch.autocast(device, torch.bfloat16, enabled=self.precision == "bf16"),
        ):
            for row, probabilities in zip(rows, self.classifier(texts), strict=True):
                second = {} if row.second_text is None else {"second_text": row.second_text}
                line = {
                    "row": row.number,
                    "text": row.text,
                    **second,
                    "predicted": classes[int(probabilities.argmax())],
                    "probabilities": {
                        name: round(float(probability), 6)
                        for name, probability in zip(classes, probabilities, strict=True)
                    },
                }
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                bar.update()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0; 1 where all processes have died; 2 where the input cannot be used; 130
        or 143 where it was interrupted by Ctrl-C or SIGTERM.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    options = tyro.cli(Options, prog=program("classify"), args=arguments)
    command = [sys.executable, "-m", "coteach.classify", *arguments, "--processes", "1", "--worker"]
    return interruptible(lambda: _run(options, command), silent=options.worker)


def _run(options: Options, command: Sequence[str]) -> int:
    if options.shard_texts < 1:
        raise InputError(f"shard_texts: expected at least 1, got {options.shard_texts}")
    if options.worker and Shards.begun(options.output) is None:
        print(f"{options.output}: nothing has begun here, or it is complete")
        return 0
    # Before the student, which takes longer to load.
    columns = ColumnNames(options.text, options.second_text, label=None)
    rows = read_rows(options.texts, columns, options.config)

    # The heavy imports come after --help.
    from transformers.utils.logging import disable_progress_bar

    from coteach.training.loading import load_classifier
    from coteach.training.processes import processes

    disable_progress_bar()

    def load(device: str | None = None) -> Classification:
        return Classification.of(
            load_classifier(options.student, options.batch_size, device),
            rows,
            options.output,
            options.precision,
            options.shard_texts,
        )

    code = share(load, options.processes, options.worker, command, "text", "classify")
    if code or options.worker:
        return code
    if processes().is_main_process:
        print(f"{len(rows):,} texts classified in {options.output}")
    processes().destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
