"""Where students look: ``python -m coteach.attention STUDENT … --output FOLDER``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from coteach.command import program
from coteach.errors import InputError
from coteach.highlighting.given import read_texts, student_names

if TYPE_CHECKING:
    from coteach.attending.reading import AttentionReader
    from coteach.highlighting.blocks import Block

__all__ = ["Options", "attention", "main"]

DEFAULT_CASES = 3


@dataclass(frozen=True)
class Options:
    """Shows which words of a text students attend to, side by side.

    Of two runs of classification it shows texts that only the first gets right (case 1) and texts
    that only the second gets right (case 2), as in the part-of-speech paper (§4.2): those where
    the true class's probabilities differ most. Or it shows texts of your own, read by any number
    of students.

    The weights are those of one layer, the mean of its heads: from the first token where the
    class head reads that one, else the mean over all tokens.
    """

    students: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="STUDENT [STUDENT ...]", help_behavior_hint="(one or more)"),
    ]
    """Folders of finished runs, or students: the folder "student" of a run, or names on the
    Hub."""

    output: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """Where to write: attention.html, attention_*.png (one a text) and attention.json, the
    numbers; files of those names are replaced."""

    layer: Annotated[
        int | None, tyro.conf.arg(metavar="K", help_behavior_hint="(default: the last one)")
    ] = None
    """Which layer's attention: from 1, or, negative, from the end, -1 being the last. By default
    the layer that the class head reads."""

    cases: Annotated[
        int | None,
        tyro.conf.arg(metavar="N", help_behavior_hint=f"(default: {DEFAULT_CASES}, without texts)"),
    ] = None
    """How many texts of each case, from the report.jsonl of two runs (dev.jsonl where they have
    no report split)."""

    text: Annotated[
        tuple[str, ...], tyro.conf.arg(metavar="TEXT [TEXT ...]", help_behavior_hint="(optional)")
    ] = ()
    """Texts to read instead."""

    file: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="(optional)")] = (
        None
    )
    """A file of texts to read instead, a text a line. For students of pairs: two texts with a tab
    between them."""

    names: Annotated[
        tuple[str, ...],
        tyro.conf.arg(metavar="NAME [NAME ...]", help_behavior_hint="(default: the folders')"),
    ] = ()
    """What the students are called in the pictures, in their order."""


def attention(
    students: Sequence[str | Path],
    output: Path,
    *,
    cases: int = DEFAULT_CASES,
    texts: Sequence[str] = (),
    layer: int | None = None,
    names: Sequence[str] = (),
) -> list[Path]:
    """Write the pictures of some texts, and the numbers behind them.

    Args:
        students: runs or students; for cases, two runs.
        output: the folder; it is made.
        cases: how many texts of each case, where there are no ``texts``.
        texts: to read instead; of a pair, both texts, a line each.
        layer: as of :class:`coteach.attending.reading.AttentionReader`.
        names: of the students; by default the last parts of their folders.

    Returns:
        The files written.

    Raises:
        InputError: a student or a run's report cannot be used, no text would be shown, the folder
            cannot be written to, or the packages that draw are missing.
    """
    from coteach.attending.reading import ATTENTION
    from coteach.highlighting.blocks import numbered
    from coteach.highlighting.writing import write
    from coteach.reporting.figures import check_available

    check_available()
    called = student_names(students, names)
    # Before the students, which take longer to load.
    chosen = numbered(texts) if texts else _cases(students, called, cases)
    readers = [_reader(*it, layer) for it in zip(called, students, strict=True)]
    blocks = [
        replace(block, readings=[reader(block.text, not texts) for reader in readers])
        for block in chosen
    ]
    return write(
        blocks, ATTENTION, output, {"layers": {reader.name: reader.layer for reader in readers}}
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code, 0, or 2 where the input cannot be used."""
    options = tyro.cli(Options, prog=program("attention"), args=arguments)
    try:
        given = [options.cases is not None, bool(options.text), options.file is not None]
        if sum(given) > 1:
            raise InputError("expected only one of --cases, --text and --file")
        texts = options.text if options.file is None else read_texts(options.file)
        # The heavy imports come after --help.
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        written = attention(
            options.students,
            options.output,
            cases=DEFAULT_CASES if options.cases is None else options.cases,
            texts=texts,
            layer=options.layer,
            names=options.names,
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for path in written:
        print(path)
    return 0


def _cases(students: Sequence[str | Path], names: Sequence[str], count: int) -> list[Block]:
    """The texts that only one of two runs gets right."""
    from coteach.attending.cases import choose
    from coteach.highlighting.blocks import Block
    from coteach.reporting.predictions import predictions_file, read_predictions

    if count < 1:
        raise InputError(f"cases: expected at least 1, got {count}")
    if len(students) != 2:
        raise InputError(
            f"cases: expected two runs, got {len(students)}; or give texts with --text or --file"
        )
    paths = [predictions_file(Path(run)) for run in students]
    first, second = ((path, read_predictions(path)) for path in paths)
    blocks = [
        Block(
            f"case{case}_{number}",
            f"Case {case}: only {names[case - 1]} is right",
            chosen.text,
            [],
            chosen.id,
            chosen.gold,
        )
        for case, found in choose(first, second, count).items()
        for number, chosen in enumerate(found, start=1)
    ]
    if not blocks:
        raise InputError(
            "cases: the two runs are right and wrong on the same texts; expected others, such as "
            "those of another fold, or --text"
        )
    return blocks


def _reader(name: str, student: str | Path, layer: int | None) -> AttentionReader:
    from coteach.attending.reading import AttentionReader
    from coteach.training.loading import load_student

    return AttentionReader(name, *load_student(student), layer)


if __name__ == "__main__":
    sys.exit(main())
