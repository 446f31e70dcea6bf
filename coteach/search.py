"""Searches over a recipe's fields by the dev score: ``python -m coteach.search RECIPE``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from coteach.command import program
from coteach.errors import InputError
from coteach.recipe import Recipe, load_module, load_recipe
from coteach.searching.space import DATABASE, SEED, Cell, Grid, cells_of, parsed_values
from coteach.training.preemption import Stopped

if TYPE_CHECKING:
    from coteach.searching.study import Study

__all__ = ["Options", "main"]

USAGE = """\
usage: {program} RECIPE [OPTIONS]
       {program} RECIPE --help

Runs a recipe with every combination of some values of its fields, and chooses by the score on
the dev pages or texts.

RECIPE is a Python file or a dotted module name. What is searched is its variable search_space, or
what --over names:

    {program} recipes.quickstart --over optimisation.batch_size 8 16 \\
        --over "edges.*.loss.beta" 0.999 0.9999 --seeds 1 2 --workers 2

Every combination may be repeated, with --seeds or with the values of any other field, for example
--repeat data.fold 0 1 2 3 4; the mean decides.

With a recipe, --help lists all its fields, each of which is an option.\
"""


@dataclass(frozen=True)
class Options:
    """The options of ``coteach.search``: those of the command, and every field of the recipe."""

    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    over: Annotated[
        tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]],
        tyro.conf.arg(metavar="PATH VALUE [VALUE ...]"),
    ] = ()
    """A field and the values it takes, for example --over optimisation.batch_size 8 16 32; once
    for every field. A * in the path (quote it) stands for all names: "edges.*.loss.beta". By
    default the recipe's search_space."""
    repeat: Annotated[
        tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]],
        tyro.conf.arg(metavar="PATH VALUE [VALUE ...]"),
    ] = ()
    """A field and the values that every setting is repeated with, for example --repeat data.fold
    0 1 2 3 4; once for every field. The best mean over all repetitions is chosen. By default what
    the recipe's search_space repeats."""
    seeds: tuple[int, ...] = ()
    """Repeat every setting with these seeds, beside what else is repeated; the best mean is
    chosen. By default the recipe's."""
    workers: int = 1
    """Runs at a time, each in a process of its own. The same command may also run on other
    machines that share the output folder: no run is done twice."""
    threads: int | None = None
    """Threads of a run; by default OMP_NUM_THREADS, or the cores divided by the workers."""
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Check and list the runs; start none."""
    output: Path | None = None
    """Folder of the search, by default runs/<recipe>/search. One that was interrupted goes on:
    what is done is left out, what was begun goes on from its last checkpoint, and what failed is
    tried again. Repetitions may be added."""
    run: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Do this one run of the list alone, in this process; for a batch system."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0; 1 where a run failed; 2 where the input cannot be used; 3 where the one
        run asked for is being run by another process; 130 where it was interrupted, 143 where
        SIGTERM stopped the one run.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE.format(program=program("search")))
        return 0 if arguments else 2
    try:
        name = arguments[0]
        options = tyro.cli(
            Options,
            prog=f"{program('search')} {name}",
            description="Searches over this recipe's fields. Every field of it is an option.",
            default=Options(load_recipe(name)),
            args=arguments[1:],
            config=(tyro.conf.AvoidSubcommands,),
        )
        return _search(options, _grid(name, options), arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        print(f"{stopped}; to go on, give the same command", file=sys.stderr)
        return stopped.code
    except KeyboardInterrupt:
        print("interrupted; to go on, give the same command", file=sys.stderr)
        return 130


def _grid(name: str, options: Options) -> Grid:
    """What is searched: what the command line says, else what the recipe's module says."""
    recipe = options.recipe
    space = getattr(load_module(name), "search_space", None)
    space = space if isinstance(space, Grid) else None
    over: Mapping[str, Sequence[Any]]
    repeat: Mapping[str, Sequence[Any]]
    if options.over:
        over = parsed_values(recipe, "--over", options.over)
    elif space is not None:
        over = space.over
    else:
        raise InputError(
            f"recipe {name!r}: nothing to search over; expected --over, or a variable "
            "`search_space`, a coteach.searching.Grid"
        )
    if options.repeat:
        repeat = parsed_values(recipe, "--repeat", options.repeat)
        if options.seeds and SEED in repeat:
            raise InputError("--repeat seed: --seeds gives seeds as well; expected one of the two")
    else:
        repeat = space.repeat if space is not None else {}
    if options.seeds:
        others = {path: values for path, values in repeat.items() if path != SEED}
        repeat = {**others, SEED: options.seeds}
    return Grid(over, repeat)


def _search(options: Options, grid: Grid, arguments: Sequence[str]) -> int:
    recipe = options.recipe
    folder = options.output or Path("runs") / recipe.name / "search"
    cells = cells_of(recipe, grid)
    if options.workers < 1:
        raise InputError(f"workers: expected at least 1, got {options.workers}")
    if options.threads is not None and options.threads < 1:
        raise InputError(f"threads: expected at least 1, got {options.threads}")
    # The heavy imports come after --help.
    from coteach.searching.study import Study

    if options.run is not None:
        if options.run not in {cell.name for cell in cells}:
            raise InputError(
                f"run {options.run!r}: expected one of {', '.join(cell.name for cell in cells)}"
            )
        (cell,) = (cell for cell in cells if cell.name == options.run)
        return _run_one(Study(folder, recipe, grid), cell)

    from coteach.data.corpus import load_corpus
    from coteach.data.sources import TaskData
    from coteach.searching.workers import run_cells

    # What no run could use is said once, before them all.
    if isinstance(recipe.data, TaskData):
        load_corpus(recipe.data, recipe.seed)
    else:
        recipe.data.read(recipe.seed)
    if options.dry_run:
        begun = (folder / DATABASE).exists()
        _list(cells, folder, Study(folder, recipe, grid) if begun else None)
        return 0
    study = Study(folder, recipe, grid)

    def command(cell: Cell) -> list[str]:
        return [sys.executable, "-m", "coteach.search", *arguments, "--run", cell.name]

    # As Ctrl-C: the runs end as well, and go on from their checkpoints.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    run_cells(study, cells, command, options.workers, options.threads)
    return _conclude(study, cells, grid)


def _run_one(study: Study, cell: Cell) -> int:
    """Run one cell in this process."""
    from transformers.utils.logging import disable_progress_bar

    from coteach.searching.study import run_cell
    from coteach.searching.workers import BUSY
    from coteach.training.run import run

    disable_progress_bar()
    outcome = run_cell(study, cell, run)
    if outcome is None:
        print(f"{cell.name}: run by another process", file=sys.stderr)
        return BUSY
    if outcome.error is not None:
        print(f"error: {cell.name}: {outcome.error}", file=sys.stderr)
    return int(outcome.dev is None)


def _list(cells: Sequence[Cell], folder: Path, study: Study | None) -> None:
    """Print the runs, and how those that have ended did."""
    outcomes = study.outcomes() if study is not None else {}
    for cell in cells:
        outcome = outcomes.get(cell.name)
        if outcome is None:
            state = "to run"
        elif outcome.dev is None:
            state = f"to run again, {outcome.shown}"
        else:
            state = f"done, {outcome.shown}"
        print(f"{cell.name}: {state}")
    print(f"{len(cells)} runs in {folder}")


def _conclude(study: Study, cells: Sequence[Cell], grid: Grid) -> int:
    """Write down and print what the search has found."""
    from rich.console import Console

    from coteach.searching.ranking import (
        chosen_of,
        figure_of,
        ranked,
        report_scores,
        report_table,
        table,
        write,
    )

    with study.lock:  # another machine may end at the same moment
        standings = ranked(cells, study.outcomes())
        figure = figure_of(standings)
        chosen = chosen_of(standings)
        scores = report_scores(study.folder, chosen) if chosen is not None else None
        write(study.folder, standings, figure, scores)
    console = Console(highlight=False)
    heading = f"{figure.name} on the dev {figure.unit}:"
    console.print(heading[0].upper() + heading[1:])
    console.print(table(standings, grid, figure))
    ended = [outcome for it in standings for outcome in it.outcomes if outcome is not None]
    failed = [outcome for outcome in ended if outcome.dev is None]
    if len(ended) < len(cells):
        console.print(
            f"{len(cells) - len(ended)} of {len(cells)} runs have not ended; once they have, the "
            "same command chooses."
        )
    if failed:
        logs = study.folder / "logs"
        console.print(f"{len(failed)} of {len(cells)} runs failed, see {logs}", soft_wrap=True)
    if chosen is not None and scores is not None:
        console.print(
            f"[bold]Chosen on the dev {figure.unit}[/bold]: {chosen.setting}", soft_wrap=True
        )
        repeated = "seeds" if grid.repeats_seeds_only else "runs"
        over = f", mean over {len(scores)} {repeated}" if len(scores) > 1 else ""
        (split,) = {entry["split"] for run in scores.values() for entry in run.values()}
        console.print(f"On the {split} {figure.unit}{over}:")
        console.print(report_table(scores))
    console.print(f"All runs: {study.folder / 'search.json'}, search.csv", soft_wrap=True)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
