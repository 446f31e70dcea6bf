"""Trains a recipe: ``python -m coteach.train RECIPE``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import tyro

from coteach.command import program
from coteach.errors import InputError
from coteach.recipe import Recipe, load_recipe
from coteach.training.preemption import Stopped

USAGE = """\
usage: {program} RECIPE [OPTIONS]
       {program} RECIPE --help

Trains a student from the outputs of several systems.

RECIPE is a Python file or a dotted module name, for example recipes.quickstart. With a recipe,
--help lists all its fields, each of which is an option. On several GPUs:
accelerate launch -m coteach.train RECIPE [OPTIONS].

Where the recipe's data is of several categories, each has a run of its own, one after another, in
a folder of its name; those that are finished are not run again.\
"""


@dataclass(frozen=True)
class Options:
    """The options of ``coteach.train``: those of the command, and every field of the recipe."""

    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Check everything, show the graph and the data, estimate time and memory; train nothing."""
    output: Path | None = None
    """Folder of the run; by default runs/<recipe>/<time>. A run that was interrupted there goes
    on from its last checkpoint."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0, or 1 where one of several categories failed, or 2 where the input cannot
        be used, or 143 or 130 where SIGTERM or Ctrl-C stopped it.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE.format(program=program("train")))
        return 0 if arguments else 2
    folder: Path | None = None
    try:
        recipe = load_recipe(arguments[0])
        options = tyro.cli(
            Options,
            prog=f"{program('train')} {arguments[0]}",
            description="Trains this recipe. Every field of it is an option.",
            default=Options(recipe),
            args=arguments[1:],
            config=(tyro.conf.AvoidSubcommands,),
        )
        # The heavy imports come after --help.
        from transformers.utils.logging import disable_progress_bar

        from coteach.training.categories import (
            categories_of,
            describe_categories,
            run_categories,
        )
        from coteach.training.describe import dry_run
        from coteach.training.processes import processes
        from coteach.training.run import run

        disable_progress_bar()
        categories = categories_of(options.recipe)
        if options.dry_run:
            if categories:
                return int(bool(describe_categories(categories)))
            dry_run(options.recipe)
            return 0
        folder = options.output or _default_folder(options.recipe.name)
        failed = False
        if categories:
            summary = run_categories(categories, folder)
            failed = any("error" in row for row in summary["categories"].values())
        else:
            run(options.recipe, folder)
        processes().destroy_process_group()
        return int(failed)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        world = processes()
        if world.is_main_process:
            within = "" if stopped.folder == folder else f" ({stopped.folder})"
            print(
                f"{stopped}{within}; the same command with --output {folder} goes on",
                file=sys.stderr,
            )
        world.destroy_process_group()
        return stopped.code
    except KeyboardInterrupt:
        hint = f"; to go on, give the same options and --output {folder}" if folder else ""
        print(f"interrupted{hint}", file=sys.stderr)
        return 130


def _default_folder(name: str) -> Path:
    """``runs/<recipe>/<time>``: the time of the first process, so that all write to one folder."""
    from accelerate.utils import broadcast_object_list

    from coteach.training.processes import processes

    processes()
    (now,) = broadcast_object_list([datetime.now().strftime("%Y-%m-%d_%H-%M-%S")])
    return Path("runs") / name / now


if __name__ == "__main__":
    sys.exit(main())
