"""Looks at the teams of a recipe before anything is trained: ``python -m coteach.diagnose``."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console

from coteach.command import program
from coteach.errors import InputError

if TYPE_CHECKING:
    from coteach.aggregation.diagnosis import Diagnosis

__all__ = ["Options", "main", "write"]


@dataclass(frozen=True)
class Options:
    """Shows what each team of a recipe brings, and what the teams could reach together.

    Coverage, precision, recall and F1; how well the teams agree; what one team alone finds and how
    much of it is right; the union, every vote, and an oracle; and how reliable each team looks
    without gold, beside how reliable it is.
    """

    recipe: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
    """A Python file or a dotted module name, for example recipes.quickstart."""

    split: Annotated[
        Literal["dev", "report"] | None,
        tyro.conf.arg(help_behavior_hint="(default: report where the recipe has it, else dev)"),
    ] = None
    """The gold to compare with. Who goes on to choose teams or weights should look at dev."""

    by_attribute: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Score attribute by attribute, too."""

    output: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder for diagnosis.json and for a CSV file of each table."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code, 0, or 2 where the input cannot be used."""
    options = tyro.cli(Options, prog=program("diagnose"), args=arguments)
    try:
        # The heavy imports come after --help.
        from coteach.aggregation.diagnosis import diagnose
        from coteach.data.corpus import load_corpus
        from coteach.recipe import load_recipe

        recipe = load_recipe(options.recipe)
        corpus = load_corpus(recipe.task_data(), recipe.seed)
        split = corpus.dev if options.split == "dev" else corpus.report
        if split is None and options.split == "report":
            raise InputError("data.report: expected a file, got None; --split report needs it")
        diagnosis = diagnose(corpus, split or corpus.dev, options.by_attribute)
        console = Console(highlight=False)
        for table in diagnosis.tables():
            console.print(table)
        if options.output is not None:
            write(diagnosis, options.output)
            console.print(f"Written to {options.output}", soft_wrap=True)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def write(diagnosis: Diagnosis, folder: Path) -> None:
    """Write ``diagnosis.json``, and each table that has rows as CSV.

    Raises:
        InputError: a file cannot be written.
    """
    from coteach.data.files import replacing

    for name, rows in diagnosis.rows().items():
        if rows:
            with replacing(folder / f"{name}.csv") as file:
                writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    with replacing(folder / "diagnosis.json") as file:
        json.dump(diagnosis.as_json(), file, ensure_ascii=False, indent=2)


if __name__ == "__main__":
    sys.exit(main())
