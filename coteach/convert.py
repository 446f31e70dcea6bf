"""Converts files: ``python -m coteach.convert INPUT OUTPUT --from FORMAT --to FORMAT``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from coteach.command import program
from coteach.data.formats import EFFECTS, FORMATS, Documents, Format, Losses, read_known
from coteach.data.page_folder import PageFolder
from coteach.errors import InputError

__all__ = ["Conversion", "convert", "main"]

USAGE = f"""\
usage: {{program}} INPUT OUTPUT --from FORMAT --to FORMAT [OPTIONS]
       {{program}} --from FORMAT --to FORMAT --help

Converts pages and their values from one file format to another, and counts what did not fit.

FORMAT is one of {", ".join(FORMATS)}. With both formats, --help lists their
options, for example --from.spaces or --to.scheme IOBES.\
"""


@dataclass(frozen=True)
class Conversion:
    """What was converted.

    Attributes:
        documents: what was read.
        reading: what of the input cannot be held.
        writing: what of the documents the output cannot hold.
    """

    documents: Documents
    reading: Losses = field(default_factory=Losses)
    writing: Losses = field(default_factory=Losses)


def convert(
    source: Path,
    source_format: Format,
    target: Path,
    target_format: Format,
    *,
    gold: Path | None = None,
    pages: Path | None = None,
) -> Conversion:
    """Converts a file (or folder); the output appears only when it is complete.

    Args:
        source: the file to read.
        source_format: how it is written.
        target: the file to write; see :meth:`Format.write`.
        target_format: how to write it.
        gold: a file of the same format that ``source`` speaks of.
        pages: a folder of plain pages that ``source`` speaks of.

    Raises:
        InputError: the input cannot be read, or the output not be written.
    """
    if gold is not None and pages is not None:
        raise InputError("gold and pages: expected one of them, got both")
    reading, writing = Losses(), Losses()
    if gold is not None:
        known = source_format.read(gold, Losses())
        documents = read_known(source_format, source, known, reading)
    elif pages is not None:
        documents = read_known(source_format, source, Documents(PageFolder(pages), {}), reading)
    else:
        documents = source_format.read(source, reading)
    target_format.write(target, documents, writing)
    return Conversion(documents, reading, writing)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code, 0, or 2 where the input cannot be used."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--from", dest="source")
    parser.add_argument("--to", dest="target")
    formats, others = parser.parse_known_args(arguments)
    if formats.source is None or formats.target is None:
        wants_help = "--help" in others or "-h" in others
        print(
            USAGE.format(program=program("convert")), file=sys.stdout if wants_help else sys.stderr
        )
        return 0 if wants_help else 2
    try:
        options: Any = tyro.cli(
            _options(_format("from", formats.source), _format("to", formats.target)),
            prog=f"{program('convert')} --from {formats.source} --to {formats.target}",
            description=f"Converts {formats.source} to {formats.target}.",
            args=others,
        )
        conversion = convert(
            options.input,
            options.source,
            options.output,
            options.target,
            gold=options.gold,
            pages=options.pages,
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    _print(conversion, options.output, Console(highlight=False))
    return 0


def _format(option: str, name: str) -> type[Format]:
    if name not in FORMATS:
        raise InputError(f"--{option}: expected one of {', '.join(FORMATS)}, got {name!r}")
    return FORMATS[name]


def _options(source: type[Format], target: type[Format]) -> type:
    """The command's options: its own, and the fields of the two formats."""
    positional = tyro.conf.Positional
    input_help = "The file or folder to read; for hub, NAME or NAME:SPLIT."
    output_help = "The file or folder to write; a folder must be new or empty."
    gold_help = (
        "INPUT is a team's file about these pages: a file of INPUT's format with their texts and "
        "tokens, which INPUT may lack."
    )
    pages_help = (
        "INPUT is about these pages, a folder of <page_id>.txt: values are put at their places in "
        "them, whatever white space and line breaks INPUT has lost."
    )
    path, optional = tyro.conf.arg, Path | None
    return make_dataclass(
        "Options",
        [
            ("input", Annotated[Path, positional, path(metavar="INPUT", help=input_help)]),
            ("output", Annotated[Path, positional, path(metavar="OUTPUT", help=output_help)]),
            (
                "gold",
                Annotated[optional, path(metavar="FILE", help=gold_help)],
                field(default=None),
            ),
            (
                "pages",
                Annotated[optional, path(metavar="FOLDER", help=pages_help)],
                field(default=None),
            ),
            ("source", Annotated[source, path(name="from")], field(default_factory=source)),
            ("target", Annotated[target, path(name="to")], field(default_factory=target)),
        ],
    )


def _print(conversion: Conversion, output: Path, console: Console) -> None:
    """What was written, and a row for every kind of thing that did not fit."""
    documents, writing = conversion.documents, conversion.writing
    written = documents.count - writing.total("value lost")
    console.print(
        f"{len(documents.pages):,} pages and {written:,} of {documents.count:,} values written to "
        f"{output}",
        markup=False,
        soft_wrap=True,
    )
    if not (conversion.reading.counts or writing.counts):
        return
    table = Table(title="What did not fit", title_justify="left", box=box.SIMPLE_HEAD, padding=0)
    for heading in ("when", "what", "count", "meaning"):
        table.add_column(heading, justify="right" if heading == "count" else "left", no_wrap=True)
    table.add_column("for example", overflow="fold")
    for when, losses in (("reading", conversion.reading), ("writing", writing)):
        for kind, count in losses.counts.most_common():
            example = next(iter(losses.examples.get(kind, ())), "")
            table.add_row(when, kind, f"{count:,}", EFFECTS[kind], escape(example))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
