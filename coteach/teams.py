"""Shows the teams in a student, and leaves some out: ``python -m coteach.teams STUDENT``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from coteach.command import program
from coteach.errors import InputError

if TYPE_CHECKING:
    from coteach.model import StudentConfig

__all__ = ["Options", "main"]


@dataclass(frozen=True)
class Options:
    """Shows a student's teams with their weights in p_mean, or writes a student without some.

    A team is left out at once, without training: its head goes, the others and the encoder stay.
    To add a team, or to let the encoder forget one, train on from the student: a recipe's
    --nodes.student.encoder takes its folder, and the heads of the same names go on from there.
    """

    student: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STUDENT")]
    """The student: the folder "student" of a run, or a name on the Hub."""

    drop: Annotated[
        tuple[str, ...], tyro.conf.arg(metavar="TEAM …", help_behavior_hint="(default: none)")
    ] = ()
    """The teams to leave out. Thresholds stay as they were chosen with them."""

    output: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder of the smaller student; it must not exist yet."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code, 0, or 2 where the input cannot be used."""
    options = tyro.cli(Options, prog=program("teams"), args=arguments)
    try:
        table = _run(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    console = Console(highlight=False)
    console.print(table)
    if options.output is not None:
        console.print(f"Student: {options.output}", soft_wrap=True)
    return 0


def _run(options: Options) -> Table:
    # The heavy imports come after --help.
    from transformers.utils.logging import disable_progress_bar

    from coteach.model import OnnxStudent
    from coteach.training.checkpoint import replacing_folder
    from coteach.training.loading import load_extractor

    disable_progress_bar()
    if bool(options.drop) != (options.output is not None):
        raise InputError("--drop and --output: expected both or neither")
    if options.output is not None and options.output.exists():
        raise InputError.at(options.output, None, "exists; expected the name of a new folder")
    extractor = load_extractor(options.student)
    student: Any = extractor.student
    if options.output is not None:
        if isinstance(student, OnnxStudent):
            raise InputError("--drop: this student was exported to ONNX; expected the one before")
        try:
            student = student.without(options.drop)
        except ValueError as error:
            raise InputError(f"--drop: {error}") from None
        with replacing_folder(options.output) as folder:
            student.save_pretrained(folder)
            extractor.tokenizer.save_pretrained(folder)
    return _table(student.config)


def _table(config: StudentConfig) -> Table:
    """A column a team; a row an attribute, or one for all of them."""
    teachers = config.teachers
    weights = [row if isinstance(row, list) else [row] for row in config.teacher_weights or []]
    weights = weights or [[1.0] for _ in teachers]
    by_attribute = bool(weights) and len(weights[0]) > 1
    table = Table(title="Weights in p_mean", title_justify="left")
    table.add_column("attribute")
    for name in teachers:
        table.add_column(escape(name), justify="right")
    for number, attribute in enumerate(config.attributes if by_attribute else ["all"]):
        table.add_row(escape(attribute), *[f"{row[number]:.2f}" for row in weights])
    return table


if __name__ == "__main__":
    sys.exit(main())
