"""Accuracy of every setting, and the part-of-speech auxiliary paper's tables 1 to 3."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from coteach.reporting.auxiliary import Experiment, Layer, data_of, experiments, mean_and_spread
from coteach.reporting.classification_runs import ClassificationRun, Score
from coteach.reporting.comparisons import UNDECIDED, verdict
from coteach.reporting.observations import NOT_THE_RECIPE, differing, setting_name
from coteach.reporting.paired import ALPHA, POWER, PairedTest, holm, mean_interval
from coteach.reporting.tables import Cell, Column, Table

__all__ = ["auxiliary_tables", "classification_table", "classification_tables"]

GAIN = "* higher"
"""What is said of a gain with p < 0.05, which the paper prints in bold."""
LOSS = "lower"
NO_SPREAD = "same difference in every pair"
ONE_PAIR = "one pair only"
NO_TWIN = "no single-task twin"
NO_MULTI_TASK = "no multi-task run"
_ABOUT_TESTS = (
    "p, Holm: the one-sided p, corrected for the number of layers tested. pairs: low, high: 95 % t "
    "interval of the mean difference over folds and seeds, which goes with the two-sided p. Folds "
    "share most of their training texts, so that tests over them find too much rather than too "
    "little.",
    "texts: 95 % paired bootstrap over all texts of all folds (2,000 draws), for these very runs: "
    "other folds and seeds may differ from them, which the test over pairs allows for.",
    "detectable: the true mean difference that the one-sided test over so many pairs would find "
    f"with a probability of {POWER}, by the noncentral t distribution and the standard deviation "
    "of these differences.",
)
_LONGEST = 60  # characters of a file's name; file systems allow 255 bytes


def classification_tables(runs: Sequence[ClassificationRun]) -> list[Table]:
    """Every table that runs of classification allow."""
    made = [classification_table(runs)] if runs else []
    taken: Counter[str] = Counter()
    for experiment in experiments(runs):
        label = re.sub(r"[^\w.=,+-]+", "-", experiment.label).strip("-")
        name = f"auxiliary_{label[:_LONGEST]}"
        taken[name] += 1
        number = f"-{taken[name]}" if taken[name] > 1 else ""
        made += auxiliary_tables(experiment, name + number)
    return made


def classification_table(runs: Sequence[ClassificationRun]) -> Table:
    """Accuracy and macro-F1 of every setting over its folds and seeds, and of the baselines."""
    rows = [
        (system, data, len(scores), *mean_and_spread([it.accuracy for it in scores]), *macro)
        for system, data, scores in [*_baselines(runs), *_students(runs)]
        for macro in [mean_and_spread([it.macro_f1 for it in scores])]
    ]
    columns = (
        *(Column(name, "text") for name in ("system", "data")),
        Column("runs", "count"),
        *(Column(name) for name in ("accuracy", "accuracy: s.d.", "macro-F1", "macro-F1: s.d.")),
    )
    note = "s.d.: standard deviation over the runs, which are folds and seeds."
    title = "Accuracy and macro-F1 (%) of classification"
    return Table("classification", title, columns, tuple(rows), (note,))


def auxiliary_tables(experiment: Experiment, name: str = "auxiliary") -> list[Table]:
    """The paper's table of an experiment, multi-task against single-task for every layer, and one
    of everything else that can be said of the differences.

    Args:
        experiment: whose layers are compared.
        name: of the first table's files; the second's end in "_tests".
    """
    tests = {
        layer.number: PairedTest.of(*layer.accuracies) for layer in experiment.layers if layer.pairs
    }
    tested = {number: test for number, test in tests.items() if test is not None}
    corrected = dict(zip(tested, holm([it.greater for it in tested.values()]), strict=True))
    of = experiment.label
    if experiment.data not in of:
        of += f", {experiment.data}"
    scores = Table(
        name,
        f"Accuracy (%) with and without the auxiliary part-of-speech task, by its layer: {of}",
        (
            Column("layer", "count"),
            *map(Column, ("multi-task", "multi-task: s.d.", "single-task", "single-task: s.d.")),
            Column("difference", "difference"),
            Column("p, one-sided", "number"),
            Column("over pairs", "text"),
            Column("pairs", "count"),
        ),
        tuple(_scores(layer, tests.get(layer.number)) for layer in experiment.layers),
        tuple(_notes(experiment, corrected)),
    )
    more = Table(
        f"{name}_tests",
        f"What the differences say, by layer (points of accuracy): {of}",
        (
            Column("layer", "count"),
            *(Column(f"p, {form}", "number") for form in ("two-sided", "Holm")),
            *(Column(f"pairs: {bound}", "difference") for bound in ("low", "high")),
            *(Column(f"texts: {bound}", "difference") for bound in ("low", "high")),
            Column("over texts", "text"),
            Column("detectable", "difference"),
        ),
        tuple(
            _tests(layer, tests.get(layer.number), corrected.get(layer.number))
            for layer in experiment.layers
        ),
        _ABOUT_TESTS,
    )
    return [scores, more]


def _scores(layer: Layer, test: PairedTest | None) -> tuple[Cell, ...]:
    multi, single = layer.accuracies
    count = len(layer.pairs)
    return (
        layer.number,
        *mean_and_spread(multi),
        *mean_and_spread(single),
        fmean(layer.differences) if count else None,
        test.greater if test is not None else None,
        _over_pairs(layer, test),
        count,
    )


def _tests(layer: Layer, test: PairedTest | None, corrected: float | None) -> tuple[Cell, ...]:
    texts = mean_interval(layer.text_differences) if layer.pairs else None
    tested: tuple[Cell, ...] = (None, None, None, None)
    if test is not None:
        tested = (test.two_sided, corrected, test.difference.low, test.difference.high)
    return (
        layer.number,
        *tested,
        *((texts.low, texts.high, verdict(texts)) if texts else (None, None, None)),
        test.detectable if test is not None else None,
    )


def _over_pairs(layer: Layer, test: PairedTest | None) -> str:
    if not layer.pairs:
        return NO_TWIN if layer.multi_task else NO_MULTI_TASK
    if test is None:
        return ONE_PAIR if len(layer.pairs) == 1 else NO_SPREAD
    if test.greater < ALPHA:
        return GAIN
    lost = test.two_sided < ALPHA and test.difference.estimate < 0
    return LOSS if lost else UNDECIDED


def _notes(experiment: Experiment, corrected: dict[int, float]) -> Iterator[str]:
    differences = {it.number: fmean(it.differences) for it in experiment.layers if it.pairs}
    if differences:
        accuracies = {
            layer.number: mean
            for layer in experiment.layers
            if (mean := mean_and_spread(layer.accuracies[0])[0]) is not None
        }
        gain, best = max(differences.values()), max(accuracies.values())
        yield (
            f"Highest mean difference: {_layers(differences, gain)} ({100 * gain:+.2f} points). "
            f"Highest accuracy of multi-task: {_layers(accuracies, best)} ({100 * best:.2f} %)."
        )
    if corrected:
        kept = [number for number, p in corrected.items() if p < ALPHA]
        yield (
            f"With Holm's correction for the {len(corrected)} layers tested, gains at {ALPHA}: "
            + (f"{_listed(kept)}." if kept else "none.")
        )
    yield (
        f"{GAIN!r}: p < {ALPHA} by the paired t test over folds and seeds, one-sided as in the "
        f"paper, not corrected; the paper prints such gains in bold. {UNDECIDED!r}: neither a gain "
        "nor a loss is shown."
    )
    yield (
        "The paper's gains, with the auxiliary task at layer 2: +1.756 points on news, +0.383 on "
        "tweets; on reviews none was significant."
    )
    unpaired = [run.folder.name for layer in experiment.layers for run in layer.unpaired]
    if unpaired:
        shown = ", ".join(unpaired[:5]) + (", …" if len(unpaired) > 5 else "")
        yield f"Runs without the other of their pair: {len(unpaired)} ({shown})."


def _layers(values: dict[int, float], best: float) -> str:
    return _listed([number for number, value in values.items() if value == best])


def _listed(numbers: Sequence[int]) -> str:
    return ("layer " if len(numbers) == 1 else "layers ") + ", ".join(map(str, numbers))


def _students(runs: Sequence[ClassificationRun]) -> Iterator[tuple[str, str, list[Score]]]:
    """Name, data and scores of every setting."""
    ignored = {"data.fold", "data.train", *NOT_THE_RECIPE}
    by_name: dict[str, list[ClassificationRun]] = defaultdict(list)
    for run in runs:
        by_name[run.recipe["name"]].append(run)
    for group in by_name.values():
        places = [
            place
            for place in differing([run.recipe for run in group])
            if ".".join(place) not in ignored
        ]
        settings: dict[str, list[ClassificationRun]] = defaultdict(list)
        for run in group:
            settings[json.dumps(run.setting(), sort_keys=True)].append(run)
        found = [(_order(members[0], places), members) for members in settings.values()]
        for _, members in sorted(found, key=lambda it: it[0]):
            recipe = members[0].recipe
            yield (
                setting_name(recipe, places),
                data_of(recipe),
                [run.student for run in members],
            )


def _baselines(runs: Sequence[ClassificationRun]) -> Iterator[tuple[str, str, list[Score]]]:
    """The same of every baseline, from the first run of each fold and seed of its data."""
    found: dict[tuple[str, str, str], dict[tuple[int, int], Score]] = defaultdict(dict)
    for run in runs:
        data = json.dumps(run.setting()["data"], sort_keys=True)
        for name, score in run.scores.items():
            if score.kind == "baseline":
                by_repetition = found[name, data_of(run.recipe), data]
                by_repetition.setdefault((run.fold, run.seed), score)
    for (name, shown, _), scores in found.items():
        yield name, shown, list(scores.values())


def _order(run: ClassificationRun, places: Sequence[Sequence[str]]) -> tuple[Any, ...]:
    """By data, then by what stands at some places, numbers as numbers."""
    values = []
    for place in places:
        value: Any = run.recipe
        for key in place:
            value = value.get(key) if isinstance(value, dict) else None
        number = float(value) if isinstance(value, int | float) else 0.0
        values.append((number, str(value)))
    return data_of(run.recipe), values
