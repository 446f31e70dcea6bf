"""Tables, figures and a page of runs: ``python -m coteach.report RUN … --output FOLDER``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.cells import cell_len, set_cell_size

from coteach.command import program
from coteach.data.files import read_json
from coteach.errors import InputError

if TYPE_CHECKING:
    from coteach.reporting.observations import Observation
    from coteach.reporting.tables import Table

__all__ = ["Options", "main", "report", "tables"]

DEFAULT_PAGES = 1000


@dataclass(frozen=True)
class Options:
    """Writes the papers' tables and figures from finished runs, and a page of everything.

    report.html is one file that needs no network: scores, curves, who taught whom, what each team
    brings, the tables and figures, and pages to read with everybody's values.

    Runs of several categories, recipes and seeds are put side by side: scores by group, category
    and attribute (the paper's tables 1 and 2), over seeds, and differences with their intervals;
    what the student gains where one team leads (figure 2), and, where runs differ in
    data.max_pages, F1 against the number of training pages (figure 3).

    Runs that classify texts have a table of accuracies and, where some have an auxiliary
    part-of-speech task and others are the same but for its weight of 0, the part-of-speech paper's
    tables 1 to 3 and a figure: both by the task's layer, with paired tests over folds and seeds.
    """

    runs: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="RUN [RUN ...]", help_behavior_hint="(one or more)"),
    ]
    """Folders of finished runs, or folders that hold such folders."""

    output: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """Where to write: report.html, and every table as .txt (percent) and .csv (fractions of 1),
    every figure as .png; files of those names are replaced."""

    groups: Annotated[
        Path | None,
        tyro.conf.arg(metavar="JSON", help_behavior_hint="(default: all categories as one group)"),
    ] = None
    """The groups of table 1, the shared task's sub-tasks: {"group": ["category", …], …}. A
    category is the name of its folder of pages."""

    pages: int = DEFAULT_PAGES
    """The most pages of a task (or texts) that report.html has to read, with everybody's values;
    where there are more, first of all those where a student and the gold differ. 0: none, and the
    runs' data is not read again."""

    explain: int = 0
    """Of how many of these pages report.html shows how important each word is for what a student
    finds, and where it attends: some seconds each."""


def tables(
    observations: Sequence[Observation], groups: Mapping[str, Sequence[str]] | None = None
) -> list[Table]:
    """Every table that these observations allow; of one category, only its attributes' scores.

    Args:
        observations: everybody who was scored (:func:`coteach.reporting.observations.observe`).
        groups: group → categories, for table 1.
    """
    from coteach.reporting.comparisons import comparison_table, seed_table
    from coteach.reporting.figure_data import (
        correlation_table,
        lead_table,
        leads,
        sweep_table,
        sweeps,
    )
    from coteach.reporting.tables import attribute_table, category_table, group_table

    categories = list(dict.fromkeys(it.category for it in observations))
    points, panels = leads(observations), sweeps(observations)
    several = len(categories) > 1
    made = [
        *([group_table(observations, groups), category_table(observations)] if several else []),
        *(attribute_table(observations, category) for category in categories),
        seed_table(observations),
        comparison_table(observations),
        lead_table(points),
        correlation_table(points),
        sweep_table(panels),
    ]
    return [table for table in made if table.rows]


def report(
    runs: Sequence[Path],
    output: Path,
    groups: Mapping[str, Sequence[str]] | None = None,
    *,
    pages: int = DEFAULT_PAGES,
    explain: int = 0,
) -> dict[str, str]:
    """Write tables and figures into a folder, and a page of everything.

    Args:
        runs: folders of finished runs, or folders that hold such folders.
        output: the folder; it is made.
        groups: group → categories, for table 1.
        pages: the most pages or texts of a task that can be read on the page; 0: none, and the
            runs' data is not read.
        explain: of how many of them the importance and attention of words are computed.

    Returns:
        name of a file → what it shows.

    Raises:
        InputError: a run or a number cannot be used, a group names an unknown category, the folder
            cannot be written to, or the packages that draw are missing.
    """
    from coteach.reporting.auxiliary import experiments
    from coteach.reporting.classification_runs import read_classification_runs
    from coteach.reporting.classification_tables import classification_tables
    from coteach.reporting.figure_data import leads, sweeps
    from coteach.reporting.figures import (
        check_available,
        draw_auxiliary,
        draw_leads,
        draw_sweeps,
    )
    from coteach.reporting.observations import observe
    from coteach.reporting.page.collect import collect
    from coteach.reporting.page.content import Figure
    from coteach.reporting.page.writing import write_page
    from coteach.reporting.render import write_csv, write_text
    from coteach.reporting.runs import read_runs

    for name, number in (("pages", pages), ("explain", explain)):
        if number < 0:
            raise InputError(f"{name}: expected 0 or more, got {number}")
    check_available()
    extracted = read_runs(runs)
    observations = observe(extracted)
    _check_groups(groups or {}, {it.category for it in observations})
    classified = read_classification_runs(runs)
    made = classification_tables(classified)
    if observations:
        made = [*tables(observations, groups), *made]
    content = collect(extracted, classified, made, pages, explain)
    written = {}
    for table in made:
        write_text(table, output / f"{table.name}.txt")
        write_csv(table, output / f"{table.name}.csv")
        written[f"{table.name}.txt, .csv"] = table.title
    drawn = {}
    points, panels = leads(observations), sweeps(observations)
    if points:
        draw_leads(points, output / "figure2.png")
        drawn["figure2.png"] = "Figure 2: gain on the best team, against its lead"
    if panels:
        draw_sweeps(panels, output / "figure3.png")
        drawn["figure3.png"] = "Figure 3: F1 against the number of training pages"
    if found := experiments(classified):
        draw_auxiliary(found, output / "auxiliary.png")
        drawn["auxiliary.png"] = "Accuracy against the layer of the auxiliary task"
    figures = [Figure(title, (output / name).read_bytes()) for name, title in drawn.items()]
    write_page(replace(content, figures=figures), output / "report.html")
    return {"report.html": "Everything on one page", **written, **drawn}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code, 0, or 2 where the input cannot be used."""
    options = tyro.cli(Options, prog=program("report"), args=arguments)
    from coteach.reporting.runs import unfinished_cells

    try:
        if not options.runs:
            raise InputError("no run given; expected at least one folder")
        groups = None if options.groups is None else _read_groups(options.groups)
        written = report(
            options.runs, options.output, groups, pages=options.pages, explain=options.explain
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    waiting = unfinished_cells(options.runs)
    width = max(map(cell_len, written))  # Japanese characters are two columns wide
    for name, title in written.items():
        print(f"{set_cell_size(name, width)}  {title}")
    if waiting:
        print(f"{len(waiting)} run(s) of a search are not finished and left out: {waiting[0]}, …")
    print(f"Written to {options.output}")
    return 0


def _read_groups(path: Path) -> dict[str, list[str]]:
    groups = read_json(path)
    if not isinstance(groups, dict) or not all(
        isinstance(names, list) and names for names in groups.values()
    ):
        raise InputError.at(path, None, 'expected {"group": ["category", …], …}')
    return groups


def _check_groups(groups: Mapping[str, Sequence[str]], categories: set[str]) -> None:
    for group, names in groups.items():
        unknown = [name for name in names if name not in categories]
        if unknown:
            raise InputError(
                f"groups: no run of category {unknown[0]!r} (group {group!r}); expected some of "
                f"{sorted(categories)}"
            )


if __name__ == "__main__":
    sys.exit(main())
