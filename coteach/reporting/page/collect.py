"""Gathers what the page shows of finished runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from coteach.aggregation.diagnosis import diagnose
from coteach.errors import InputError
from coteach.reporting.classification_runs import ClassificationRun
from coteach.reporting.graph_of_run import graph_of_run
from coteach.reporting.page.content import Chart, Content, ReadSet, Section
from coteach.reporting.page.curves import curves
from coteach.reporting.page.data_of_run import read_corpus
from coteach.reporting.page.diagnoses import diagnosis_tables
from coteach.reporting.page.explanations import explained
from coteach.reporting.page.graph import drawings
from coteach.reporting.page.names import AnyRun, run_names
from coteach.reporting.page.reading import Room, classified_sets, extracted_set
from coteach.reporting.page.scores import run_table, score_tables
from coteach.reporting.page.writing import render_graph
from coteach.reporting.runs import Run
from coteach.reporting.tables import Table

__all__ = ["collect"]

_OVERVIEW = ("table1", "table2", "attributes_", "classification")
"""How the names of the tables begin that stand in the overview; the others have their own tab."""


def collect(
    runs: Sequence[Run],
    classified: Sequence[ClassificationRun],
    tables: Sequence[Table],
    pages: int,
    explain: int,
) -> Content:
    """Everything on the page but the figures, which are not drawn yet.

    Args:
        runs: of extraction.
        classified: of classification.
        tables: that the report writes.
        pages: the most pages or texts of each set in the reader's view; 0: the data is not read.
        explain: how many of them have importance and attention.

    Raises:
        InputError: a student whose answers are to be explained cannot be loaded, or the packages
            that draw are missing.
    """
    everybody: list[AnyRun] = [*runs, *classified]
    names = run_names(everybody)
    called = {str(run.folder): name for run, name in zip(everybody, names, strict=True)}
    sets: list[ReadSet] = []
    teams: list[Section] = []
    unread: list[str] = []
    if pages:
        room = Room(pages)
        for task in _tasks(runs):
            read, section = _read_task(task, [called[str(run.folder)] for run in task], room)
            teams += [section] if section.tables or section.notes else []
            unread += section.notes
            if read is not None:
                sets.append(read)
        try:
            found = classified_sets(classified, names[len(runs) :], room) if classified else []
        except InputError as error:
            found = []
            unread.append(str(error))
        sets += found
    else:
        unread.append("Pages and texts are left out, as --pages 0 asks.")
    return Content(
        title=", ".join(dict.fromkeys(str(run.recipe["name"]) for run in everybody)),
        overview=(
            *score_tables(runs, called),
            *(it for it in tables if it.name.startswith(_OVERVIEW)),
            run_table(everybody, names),
        ),
        curves=curves(everybody, names),
        graphs=list(_graphs(everybody, names)),
        teams=teams,
        tables=[it for it in tables if not it.name.startswith(_OVERVIEW)],
        sets=[explained(it, explain) for it in sets] if explain else sets,
        unread=unread,
    )


def _tasks(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs whose pages, gold and teams are the same, so that they are read once."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        data = {k: it for k, it in run.recipe["data"].items() if k not in ("max_pages", "teach_on")}
        groups.setdefault(json.dumps([data, run.page_ids], sort_keys=True), []).append(run)
    return list(groups.values())


def _read_task(
    task: Sequence[Run], names: Sequence[str], room: Room
) -> tuple[ReadSet | None, Section]:
    """The pages and the teams of runs on the same data; why not, where it cannot be read."""
    category = task[0].category
    try:
        corpus, split = read_corpus(task[0])
    except InputError as error:
        note = f"{category}: the data of {', '.join(names)} cannot be read again. {error}"
        return None, Section(category, notes=(note,))
    section = Section(category)
    if corpus.teams:
        section = replace(section, tables=tuple(diagnosis_tables(diagnose(corpus, split, True))))
    shown = names if len(names) > 1 else ["student"]
    try:
        return extracted_set(category, corpus, split, task, shown, room), section
    except InputError as error:
        return None, replace(section, notes=(f"{category}: {error}",))


def _graphs(runs: Sequence[AnyRun], names: Sequence[str]) -> Iterator[Section]:
    """Every graph once; runs that differ in other things share it."""
    seen: dict[str, list[str]] = {}
    sections: dict[str, Section] = {}
    for run, name in zip(runs, names, strict=True):
        kinds = getattr(run, "kinds", {})
        try:
            drawn = drawings(graph_of_run(run.folder), [*kinds.values()].count("team"))
        except InputError as error:
            yield Section(name, notes=(f"No graph: {error}",))
            continue
        key = repr(drawn)
        seen.setdefault(key, []).append(name)
        charts = tuple(Chart(it.title, render_graph(it)) for it in drawn)
        sections.setdefault(key, Section("", charts))
    for key, section in sections.items():
        yield replace(section, title=", ".join(seen[key]))
