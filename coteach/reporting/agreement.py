"""Agreement of importance between a teacher and its students: tables and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

import numpy as np

from coteach.evaluation.significance import Interval, t_interval
from coteach.explaining.comparing import (
    ACCURACY,
    SAME,
    TOP_OVER_RANDOM,
    Compared,
    RunFigures,
    fall,
)
from coteach.explaining.faithfulness import FALLS
from coteach.reporting.comparisons import verdict
from coteach.reporting.paired import mean_interval
from coteach.reporting.tables import Cell, Column, Table

__all__ = ["agreement_tables", "as_json", "lines"]

Runs = Sequence[RunFigures]

_FALLS = tuple(map(fall, FALLS))


def agreement_tables(compared: Compared, teacher: str, notes: Sequence[str] = ()) -> list[Table]:
    """Three tables: the models, the students' agreement with the teacher, and differences.

    Args:
        compared: everybody's figures.
        teacher: its name.
        notes: what else a reader of the first table must know.
    """
    tables = [
        _models(compared, teacher, notes),
        _agreement(compared, teacher),
        _differences(compared),
    ]
    return [table for table in tables if table.rows]


def as_json(compared: Compared, teacher: str) -> dict[str, Any]:
    """The means with their intervals, fractions of 1."""
    systems = compared.systems
    first = next(iter(systems.values()))
    return {
        "teacher": {"name": teacher, **_system([compared.teacher])},
        "students": {name: _system(runs) for name, runs in systems.items()},
        "differences": {
            name: {
                figure: {"over_texts": _bounds(over_texts), "over_seeds": _bounds(over_seeds)}
                for figure, over_texts, over_seeds in _compare(runs, first)
            }
            for name, runs in list(systems.items())[1:]
        },
    }


def lines(compared: Compared, teacher: str, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One object for every model, run and text; None where a figure has no meaning."""
    for name, runs in {teacher: [compared.teacher], **compared.systems}.items():
        for run in runs:
            for number, text_id in enumerate(ids):
                yield {
                    "id": text_id,
                    "system": name,
                    "run": run.run,
                    **({} if run.predicted is None else {"predicted": run.predicted[number]}),
                    "figures": _at(run.figures, number),
                    "by_chance": _at(run.chance, number),
                }


def _models(compared: Compared, teacher: str, notes: Sequence[str]) -> Table:
    everybody: dict[str, Runs] = {teacher: [compared.teacher], **compared.systems}
    shown = [
        name
        for name in (ACCURACY, SAME)
        if any(name in runs[0].figures for runs in everybody.values())
    ]
    rows = []
    for name, runs in everybody.items():
        over = _interval(_values(runs, TOP_OVER_RANDOM))
        rows.append(
            (
                name,
                len(runs),
                *(_mean(runs, figure) for figure in shown),
                fmean(run.parameters for run in runs) / 1e6,
                fmean(run.seconds for run in runs),
                *(_mean(runs, figure) for figure in _FALLS),
                *((over.low, over.high) if over else (None, None)),
                fmean(run.gap for run in runs),
            )
        )
    columns = (
        Column("model", "text"),
        Column("runs", "count"),
        *(Column(figure) for figure in shown),
        Column("parameters (M)", "number"),
        Column("s / 1,000 texts", "number"),
        *(Column(figure) for figure in _FALLS),
        *(Column(f"top − random: {bound}", "difference") for bound in ("low", "high")),
        Column("gap", "number"),
    )
    about = (
        "fall: how far the probability of what a model answers falls (points) without its most "
        "important tokens by its own importance, without as many random ones, and without the "
        "least important ones: the mean over the percentages of DeYoung et al. 2020. Deleted "
        "tokens become padding in their places. top − random: 95 % bootstrap interval over texts; "
        "above 0, importance says what the model looks at.",
    )
    title = "Models: right answers (%), size, speed, and whether importance is faithful"
    return Table("agreement_models", title, columns, tuple(rows), (*about, *notes))


def _agreement(compared: Compared, teacher: str) -> Table:
    rows = []
    for figure in _agreement_names(compared):
        for name, runs in compared.systems.items():
            values = _values(runs, figure)
            interval = _interval(values)
            means = [_known_mean(run.figures[figure]) for run in runs]
            spread = float(np.std(means, ddof=1)) if len(means) > 1 else np.nan
            rows.append(
                (
                    figure,
                    name,
                    _mean(runs, figure),
                    *((interval.low, interval.high) if interval else (None, None)),
                    _mean(runs, figure, chance=True),
                    _number(spread),
                    int((~np.isnan(values)).sum()),
                )
            )
    columns = (
        Column("figure", "text"),
        Column("student", "text"),
        *map(Column, ("mean", "low", "high", "by chance", "seeds: s.d.")),
        Column("texts", "count"),
    )
    note = (
        "low, high: 95 % bootstrap interval over texts (2,000 draws), for these very runs. by "
        "chance: the mean when the teacher's scores are shuffled among the tokens of each text. "
        "Equal scores: the earlier token ranks higher; scores that are all equal have correlation "
        "0; texts without the figure, such as correlations of one token, are left out."
    )
    title = f"Importance of tokens: agreement with {teacher} (× 100)"
    return Table("agreement", title, columns, tuple(rows), (note,))


def _differences(compared: Compared) -> Table:
    names = list(compared.systems)
    first = compared.systems[names[0]]
    rows: list[tuple[Cell, ...]] = []
    for name in names[1:]:
        for figure, over_texts, over_seeds in _compare(compared.systems[name], first):
            if over_texts is None:
                continue
            texts = (over_texts.estimate, over_texts.low, over_texts.high, verdict(over_texts))
            seeds: tuple[Cell, ...] = (None, None, None)
            if over_seeds is not None:
                seeds = (over_seeds.low, over_seeds.high, verdict(over_seeds))
            rows.append((figure, name, names[0], *texts, *seeds))
    columns = (
        *(Column(name, "text") for name in ("figure", "student", "minus")),
        *(Column(name, "difference") for name in ("difference", "texts: low", "texts: high")),
        Column("over texts", "text"),
        *(Column(name, "difference") for name in ("seeds: low", "seeds: high")),
        Column("over seeds", "text"),
    )
    note = (
        "texts: 95 % paired bootstrap interval over texts (2,000 draws), for these very runs. "
        "seeds: 95 % paired t interval over the runs, paired in the order given; none where a "
        "student has one run, or the two not as many. Not corrected for how many there are."
    )
    title = f"Differences to {names[0]} (points)"
    return Table("agreement_differences", title, columns, tuple(rows), (note,))


def _compare(runs: Runs, others: Runs) -> Iterator[tuple[str, Interval | None, Interval | None]]:
    """The difference over texts and over seeds of every figure of which more is better."""
    for figure in runs[0].figures:
        if figure in _FALLS:
            continue
        over_texts = _interval(_values(runs, figure) - _values(others, figure))
        over_seeds = None
        if len(runs) == len(others) > 1:
            pairs = zip(runs, others, strict=True)
            differences = [
                _known_mean(one.figures[figure] - other.figures[figure]) for one, other in pairs
            ]
            over_seeds = None if np.isnan(differences).any() else t_interval(differences)
        yield figure, over_texts, over_seeds


def _agreement_names(compared: Compared) -> list[str]:
    first = next(iter(compared.systems.values()))
    return list(first[0].chance)


def _values(runs: Runs, figure: str, chance: bool = False) -> np.ndarray:
    """A figure of every text, the mean over runs."""
    return np.mean([(run.chance if chance else run.figures)[figure] for run in runs], axis=0)


def _mean(runs: Runs, figure: str, chance: bool = False) -> float | None:
    if figure not in (runs[0].chance if chance else runs[0].figures):
        return None
    mean = _known_mean(_values(runs, figure, chance))
    return None if np.isnan(mean) else mean


def _known_mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _interval(values: np.ndarray) -> Interval | None:
    return mean_interval(values[~np.isnan(values)].tolist())


def _system(runs: Runs) -> dict[str, Any]:
    result: dict[str, Any] = {
        "runs": [run.run for run in runs],
        "parameters": fmean(run.parameters for run in runs),
        "seconds_per_1000_texts": [run.seconds for run in runs],
        "completeness_gap": _number(fmean(run.gap for run in runs)),
        "figures": {},
    }
    for figure in runs[0].figures:
        values = _values(runs, figure)
        entry = {
            "mean": _mean(runs, figure),
            "interval": _bounds(_interval(values)),
            "texts": int((~np.isnan(values)).sum()),
            "runs": [_number(_known_mean(run.figures[figure])) for run in runs],
        }
        if figure in runs[0].chance:
            entry["by_chance"] = _mean(runs, figure, chance=True)
        result["figures"][figure] = entry
    return result


def _bounds(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else asdict(interval)


def _at(figures: Mapping[str, np.ndarray], number: int) -> dict[str, float | None]:
    return {name: _number(float(values[number])) for name, values in figures.items()}


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else value
