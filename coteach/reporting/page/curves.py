"""A run's losses and dev figures over its steps, drawn from its logs."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from coteach.data.files import byte_lines
from coteach.errors import InputError
from coteach.reporting.figures import style
from coteach.reporting.page.content import Chart, Section
from coteach.reporting.page.names import AnyRun

__all__ = ["curves", "read_log"]

Series = Mapping[str, Sequence[tuple[float, float]]]
"""Name → (step, value), by step."""

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # Okabe and Ito
_STYLES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_INK = "#010203"  # what the page's own colour of letters takes the place of
_POINTS = 400  # of a line; more cannot be seen
_RUNS = 40  # whose curves are drawn: each takes about half a second
_NOT_FIGURES = ("step", "epoch", "seconds", "learning_rate")


def curves(runs: Sequence[AnyRun], names: Sequence[str]) -> list[Section]:
    """The curves of every run, stages before the main one first; the first 40 runs.

    Args:
        runs: of both kinds.
        names: theirs on the page.

    Raises:
        InputError: the packages that draw are missing.
    """
    sections = []
    for run, name in list(zip(runs, names, strict=True))[:_RUNS]:
        charts: list[Chart] = []
        notes = []
        for title, path in _logs(run):
            try:
                train, dev = read_log(path)
            except InputError as error:
                notes.append(f"{title}: no curves. {error}")
                continue
            losses = {it: of for it, of in dev.items() if it.startswith("loss")}
            figures = {it: of for it, of in dev.items() if it not in losses}
            drawn = [
                (f"{title}: loss, training", train, False),
                (f"{title}: loss, dev", losses, False),
                (f"{title}: figures on dev (%)", figures, True),
            ]
            charts += [
                Chart(heading, _draw(heading, series, percent, f"{run.folder} {heading}"))
                for heading, series, percent in drawn
                if series
            ]
        sections.append(Section(name, tuple(charts), notes=tuple(notes)))
    if len(runs) > _RUNS:
        note = f"Curves of {len(runs) - _RUNS} more run(s) are left out; the first {_RUNS} stand."
        sections.append(Section("Further runs", notes=(note,)))
    return sections


def read_log(path: Path) -> tuple[dict[str, list[tuple[float, float]]], dict[str, Any]]:
    """The losses of training and the figures on dev, in the log's order.

    A run that was killed and went on wrote some steps twice: the later lines count.

    Raises:
        InputError: the file cannot be read, or a line is none of a log.
    """
    found: dict[str, dict[str, dict[float, float]]] = {"train": defaultdict(dict), "dev": {}}
    found["dev"] = defaultdict(dict)
    for number, line in byte_lines(path):
        try:
            entry = json.loads(line)
            series, step = found.get(entry["event"]), float(entry["step"])
            values = {it: of for it, of in entry.items() if it not in _NOT_FIGURES}
        except (AttributeError, KeyError, TypeError, ValueError):
            raise InputError.at(
                path, number, 'expected a line of a log, {"event": …, "step": …, …}'
            ) from None
        if series is None:
            continue
        for name, value in values.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if is_number and math.isfinite(value):
                series[name][step] = float(value)
    train, dev = (
        {name: sorted(points.items()) for name, points in found[event].items()}
        for event in ("train", "dev")
    )
    return train, dev


def _logs(run: AnyRun) -> list[tuple[str, Path]]:
    stages = run.recipe.get("stages") or {}
    before = [(f"stage {name}", run.folder / "stages" / name / "log.jsonl") for name in stages]
    gold_only = run.folder / "gold_only" / "log.jsonl"
    others = [("gold_only", gold_only)] if gold_only.exists() else []
    return [*before, ("main stage" if stages else "student", run.folder / "log.jsonl"), *others]


def _draw(title: str, series: Series, percent: bool, salt: str) -> str:
    """An SVG element whose letters are text in the page's font and colour."""
    with style():
        from matplotlib import rcParams
        from matplotlib.figure import Figure

        rcParams["svg.fonttype"] = "none"
        rcParams["svg.hashsalt"] = salt  # ids that no other drawing has, and the same every time
        for name in ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color"):
            rcParams[name] = _INK
        rcParams["ytick.color"] = _INK
        figure = Figure(figsize=(4.6, 3.1), layout="constrained")
        axes = figure.add_subplot()
        for number, (name, points) in enumerate(series.items()):
            kept = _thinned(points)
            axes.plot(
                [step for step, _ in kept],
                [value * (100 if percent else 1) for _, value in kept],
                label=f" {name}",  # matplotlib leaves names out that begin with "_"
                color=_COLOURS[number % len(_COLOURS)],
                linestyle=_STYLES[number // len(_COLOURS) % len(_STYLES)],
                marker=_MARKERS[number % len(_MARKERS)],
                markevery=max(1, len(kept) // 8),
                markersize=4,
                linewidth=1.5,
            )
        axes.set_xlabel("step")
        axes.grid(color="#808080", alpha=0.3)
        figure.legend(
            loc="outside lower center", ncols=min(3, len(series)), frameon=False, fontsize=8
        )
        file = StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    drawing = file.getvalue()
    return drawing[drawing.index("<svg") :].replace(_INK, "currentColor")


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most so many points as can be seen: means of as many neighbours each."""
    size = math.ceil(len(points) / _POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), max(size, 1))]
    return [
        (group[-1][0], sum(value for _, value in group) / len(group)) for group in groups if group
    ]
