"""Writes a trained student in another form: ``python -m coteach.export STUDENT --to FORM``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from coteach.command import program
from coteach.errors import InputError

if TYPE_CHECKING:
    from coteach.model import Student
    from coteach.model.extraction import Predictor

__all__ = ["Form", "Options", "export", "main"]

Form = Literal["onnx", "int8", "answer", "token_classification", "sequence_classification"]


@dataclass(frozen=True)
class Options:
    """Writes a student in another form.

    onnx: a graph for ONNX Runtime, in float32. int8: the same with 8-bit weights. Both folders
    are used as a student's is: coteach.predict, coteach.classify, the pipelines. answer: a student
    with the output head alone. token_classification, sequence_classification: a model of
    transformers' own classes, which needs no coteach.
    """

    student: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STUDENT")]
    """The student: its folder or that of its run, or a name on the Hub."""

    to: Form
    """The form."""

    output: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """The folder to write, which must not exist yet; it appears only when it is complete."""

    check: Annotated[Path | None, tyro.conf.arg(metavar="TEXTS")] = None
    """Texts on which to say how often student and export agree: a folder of plain pages,
    <page_id>.txt, or a text file with a text a line."""


def export(student: str, form: Form, output: Path, check: Path | None = None) -> list[str]:
    """Write a student in another form.

    Args:
        student: a folder, or a name on the Hub.
        form: which.
        output: the folder.
        check: texts to compare student and export on.

    Returns:
        What to tell about it: what was left out, and how often both agree.

    Raises:
        InputError: the student cannot be loaded or has no such form, packages are missing, the
            texts cannot be read, or the folder exists or cannot be written.
    """
    from coteach.exporting.check import read_texts
    from coteach.training.checkpoint import replacing_folder
    from coteach.training.loading import load_student

    if output.exists():
        raise InputError.at(output, None, "exists; expected the name of a new folder")
    texts = None if check is None else read_texts(check)
    model, tokenizer = load_student(student)
    if texts is not None and model.config.pair_separator is not None:
        raise InputError("--check: this student reads pairs of texts; expected no --check")
    with replacing_folder(output) as folder:
        exported, notes = _write(model, tokenizer, form, folder)
        if texts is not None:
            notes += _compared(model, exported, tokenizer, texts, form)
    return notes


def _write(
    student: Student, tokenizer: Any, form: Form, folder: Path
) -> tuple[Predictor, list[str]]:
    """Write one form; returns the export, to be asked, and what was left out."""
    from coteach.exporting.check import PlainModel
    from coteach.exporting.onnx import export_onnx
    from coteach.exporting.plain import plain_tokenizer, sequence_classifier, token_classifier
    from coteach.model import OnnxStudent
    from coteach.model.configuration import OUTPUT_HEAD

    if form in ("onnx", "int8"):
        export_onnx(student, tokenizer, folder, quantize=form == "int8")
        return OnnxStudent.from_pretrained(folder), []
    notes = _left_out(student)
    if form == "answer":
        if not notes:
            raise InputError("answer: this student has one head; expected more to leave out")
        if not student.config.classes and OUTPUT_HEAD not in student.config.head_names:
            raise InputError(
                "answer: this student has no output head; its answer is the mean of its teachers' "
                "probabilities, which no single head gives"
            )
        smaller = student.without(student.config.teachers, auxiliary=False)
        smaller.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return smaller, notes
    make = token_classifier if form == "token_classification" else sequence_classifier
    plain = make(student, tokenizer)
    plain.save_pretrained(folder)
    plain_tokenizer(student, tokenizer).save_pretrained(folder)
    if form == "token_classification" and not tokenizer.is_fast:
        notes.append(
            f"{type(tokenizer).__name__} tells no offsets: the pipeline of transformers gives "
            "tokens by their index, without start and end"
        )
    return PlainModel(plain, student.config), notes


def _left_out(student: Student) -> list[str]:
    """What no form but ONNX keeps."""
    from coteach.model.configuration import OUTPUT_HEAD

    config = student.config
    heads = [head["name"] for head in config.auxiliary_heads]
    if OUTPUT_HEAD in config.head_names:
        heads = [*config.teachers, *heads]
    notes = [f"left out: the heads {', '.join(heads)}"] if heads else []
    if config.thresholds:
        notes.append("left out: the thresholds, which are for p with all heads")
    return notes


def _compared(
    student: Student, exported: Predictor, tokenizer: Any, texts: list[str], form: Form
) -> list[str]:
    """How often student and export agree."""
    from coteach.exporting.check import check_classes, check_values

    if student.config.classes:
        return [str(check_classes(student, exported, tokenizer, texts))]
    output_alone = form not in ("onnx", "int8") and "p_out" in student.config.probability_names
    view = "p_out" if output_alone else "p"
    found = check_values(student, exported, tokenizer, texts, (view, "p"))
    notes = [f"{view}: {found}"]
    if form == "token_classification" and found.overlapping:
        notes.append(
            f"warning: {found.overlapping:,} of {found.both + found.lost:,} values of the student "
            "share characters with a value of another attribute; one sequence of labels has room "
            "for one of them"
        )
    return notes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code, 0, or 2 where the input cannot be used."""
    options = tyro.cli(Options, prog=program("export"), args=arguments)
    try:
        # The heavy imports come after --help.
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        notes = export(options.student, options.to, options.output, options.check)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for note in notes:
        print(note)
    print(f"{options.to} written to {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
