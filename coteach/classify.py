"""Classifies texts with a trained student: ``python -m coteach.classify STUDENT TEXTS``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from coteach.command import program
from coteach.data.files import replacing
from coteach.data.labelled_rows import ColumnNames, LabelledRow, read_rows
from coteach.errors import InputError

if TYPE_CHECKING:
    from coteach.model.classification import Classifier

__all__ = ["Options", "classify", "main"]


@dataclass(frozen=True)
class Options:
    """Writes the class of every text of a file, with the probability of each class.

    A text is preprocessed as the student's training texts were. The output is JSON lines:
    {"row", "text" (and "second_text"), "predicted", "probabilities": {class: probability}}.
    """

    student: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STUDENT")]
    """The student: its folder or that of its run, or a name on the Hub."""

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


def classify(
    classifier: Classifier,
    rows: Sequence[LabelledRow],
    output: str | Path,
    precision: Literal["no", "bf16"] = "no",
) -> int:
    """Write the class of every row.

    Returns:
        The number of texts.

    Raises:
        InputError: the output cannot be written, or the student reads pairs and the rows are none,
            or the other way round.
    """
    import torch
    from tqdm.auto import tqdm

    config = classifier.student.config
    if (config.pair_separator is not None) != (rows[0].second_text is not None):
        raise InputError(
            "second_text: this student reads single texts; expected none"
            if config.pair_separator is None
            else "second_text: this student reads pairs; expected the column of the second text"
        )
    device = classifier.student.device.type
    texts = (row.text if row.second_text is None else (row.text, row.second_text) for row in rows)
    with (
        replacing(output) as file,
        torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"),
        tqdm(rows, unit="text", desc="classify") as bar,
    ):
        for row, probabilities in zip(bar, classifier(texts), strict=True):
            second = {} if row.second_text is None else {"second_text": row.second_text}
            line = {
                "row": row.number,
                "text": row.text,
                **second,
                "predicted": config.classes[int(probabilities.argmax())],
                "probabilities": {
                    name: round(float(probability), 6)
                    for name, probability in zip(config.classes, probabilities, strict=True)
                },
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return len(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code, 0, or 2 where the input cannot be used."""
    options = tyro.cli(Options, prog=program("classify"), args=arguments)
    try:
        # The heavy imports come after --help.
        from transformers.utils.logging import disable_progress_bar

        from coteach.training.loading import load_classifier

        disable_progress_bar()
        # Before the student, which takes longer to load.
        columns = ColumnNames(options.text, options.second_text, label=None)
        rows = read_rows(options.texts, columns, options.config)
        classifier = load_classifier(options.student, options.batch_size)
        count = classify(classifier, rows, options.output, options.precision)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{count:,} texts classified in {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
