"""Makes one submission of several teams': ``python -m coteach.aggregate RECIPE --output FILE``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from coteach.command import program
from coteach.errors import InputError

__all__ = ["Options", "main"]


@dataclass(frozen=True)
class Options:
    """Aggregates the teams of a recipe on every page, without training anything.

    Writes what the teams say together as a SHINRA submission, and scores it beside the teams on
    the recipe's report pages, or, where it has none, on its dev pages. No number of votes and no
    label model ever sees the report gold.
    """

    recipe: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
    """A Python file or a dotted module name, for example recipes.quickstart."""

    output: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The submission to write, JSON lines; it appears only when it is complete."""

    method: Literal["vote", "vote_per_attribute", "dawid_skene", "hidden_markov"] = "vote"
    """vote: values that enough teams have exactly. vote_per_attribute: the same with a number for
    each attribute, chosen on dev. dawid_skene: values that are probably right, by a model of the
    teams' errors. hidden_markov: values of the most probable tags. The last two use no gold and
    need pip install coteach[labels]."""

    minimum: Annotated[
        int | None, tyro.conf.arg(metavar="K", help_behavior_hint="(default: the best on dev)")
    ] = None
    """For the method vote: the teams that must have a value."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code, 0, or 2 where the input cannot be used."""
    options = tyro.cli(Options, prog=program("aggregate"), args=arguments)
    try:
        _aggregate(options, Console(highlight=False))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _aggregate(options: Options, console: Console) -> None:
    # The heavy imports come after --help.
    from tqdm.auto import tqdm

    from coteach.aggregation import aggregate, check_installed
    from coteach.data.corpus import load_corpus
    from coteach.data.shinra import write_submission
    from coteach.evaluation.scoreboard import Scoreboard
    from coteach.recipe import load_recipe

    check_installed(options.method)  # before the data, which takes longer
    recipe = load_recipe(options.recipe)
    corpus = load_corpus(recipe.task_data(), recipe.seed)
    page_ids = list(corpus.pages)
    labels = aggregate(options.method, corpus.teams, corpus, page_ids, options.minimum)
    count = sum(map(len, labels.values.values()))
    with tqdm(page_ids, unit="page", desc="write") as bar:
        write_submission(
            options.output,
            (
                (corpus.pages[page_id], [(span, None) for span in sorted(labels.on(page_id) or ())])
                for page_id in bar
            ),
            offsets=corpus.offsets,
        )

    split = corpus.report or corpus.dev
    board = Scoreboard(split)
    for team in corpus.teams:
        board.add(team.name, "team", team.values)
    board.add(labels.name, "baseline", labels.values)
    title = f"{recipe.name}: micro-averaged on the {len(split.page_ids)} {split.name} pages"
    console.print(board.table(title))
    console.print("F1 − best team: with its 95 % interval, paired bootstrap over the pages")
    console.print(f"{count:,} values written to {options.output}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
