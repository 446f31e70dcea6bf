"""The part-of-speech auxiliary experiment: multi-task runs and their single-task twins, by layer.

A twin has the same recipe, fold and seed, but weight 0 on the auxiliary edge: the same layers are
trained, without the auxiliary loss (part-of-speech auxiliary paper, §4.1).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from coteach.errors import InputError
from coteach.reporting.classification_runs import ClassificationRun, without
from coteach.reporting.observations import NOT_THE_RECIPE, differing, setting_name

__all__ = ["Experiment", "Layer", "data_of", "experiments", "mean_and_spread"]

_NODE = "PartOfSpeech"  # the type of the auxiliary edge's source
_TRAIN = ("data", "train")

ByRepetition = dict[tuple[int, int], ClassificationRun]
"""Fold and seed → run."""


@dataclass(frozen=True)
class Layer:
    """The runs whose auxiliary edge stands at one layer.

    Attributes:
        number: of the layer.
        multi_task: of the multi-task runs.
        single_task: of their twins.
    """

    number: int
    multi_task: ByRepetition
    single_task: ByRepetition

    @property
    def pairs(self) -> list[tuple[ClassificationRun, ClassificationRun]]:
        """Multi-task and single-task run of every fold and seed that both have, sorted by these."""
        common = sorted(self.multi_task.keys() & self.single_task.keys())
        return [(self.multi_task[it], self.single_task[it]) for it in common]

    @property
    def unpaired(self) -> list[ClassificationRun]:
        """The runs without a twin, or without a multi-task run."""
        alone = self.multi_task.keys() ^ self.single_task.keys()
        return [
            runs[it]
            for runs in (self.multi_task, self.single_task)
            for it in sorted(runs)
            if it in alone
        ]

    @property
    def accuracies(self) -> tuple[list[float], list[float]]:
        """Of multi-task and single-task, in pairs; where there is no pair, of all runs."""
        if self.pairs:
            multi, single = zip(*self.pairs, strict=True)
        else:
            multi, single = tuple(self.multi_task.values()), tuple(self.single_task.values())
        return [run.accuracy for run in multi], [run.accuracy for run in single]

    @property
    def differences(self) -> list[float]:
        """Multi-task minus single-task accuracy of every pair."""
        return [
            float((one.correct.astype(int) - other.correct).mean()) for one, other in self.pairs
        ]

    @property
    def text_differences(self) -> list[float]:
        """Multi-task minus single-task correctness of every text in all pairs, mean over seeds."""
        by_text: dict[str, list[float]] = defaultdict(list)
        for multi, single in self.pairs:
            differences = multi.correct.astype(float) - single.correct
            for text_id, difference in zip(multi.text_ids, differences, strict=True):
                by_text[text_id].append(float(difference))
        return [fmean(of) for of in by_text.values()]


@dataclass(frozen=True)
class Experiment:
    """Runs that differ in the auxiliary edge's layer, in whether it weighs, in fold and in seed.

    Attributes:
        label: the recipe's name and, where there are several experiments of that name, what they
            differ in.
        data: what was classified, as :func:`data_of` has it.
        layers: ascending.
    """

    label: str
    data: str
    layers: tuple[Layer, ...]


def experiments(runs: Sequence[ClassificationRun]) -> list[Experiment]:
    """The experiments among some runs; runs without exactly one auxiliary edge are in none.

    Raises:
        InputError: two runs are the same but for their name, or the two of a pair were scored on
            different texts.
    """
    by_setting: dict[str, dict[float, list[ClassificationRun]]] = {}
    edges: dict[Path, tuple[str, Mapping[str, Any]]] = {}
    for run in runs:
        found = _auxiliary_edge(run.recipe)
        if found is None:
            continue
        edges[run.folder] = found
        setting = json.dumps(run.setting(*_changing(found[0])), sort_keys=True)
        by_weight = by_setting.setdefault(setting, {})
        by_weight.setdefault(float(found[1]["weight"]), []).append(run)
    grouped = [
        (by_weight.get(weight, []), by_weight.get(0.0, []))
        for by_weight in by_setting.values()
        for weight in sorted(by_weight.keys() - {0.0}) or [0.0]
    ]
    grouped = [(multi if multi is not single else [], single) for multi, single in grouped]
    labels = _labels([(multi or single)[0] for multi, single in grouped], edges)
    return [
        Experiment(
            label,
            data_of((multi or single)[0].recipe),
            tuple(_layers(multi, single, {it: edge["layer"] for it, (_, edge) in edges.items()})),
        )
        for label, (multi, single) in zip(labels, grouped, strict=True)
    ]


def data_of(recipe: Mapping[str, Any]) -> str:
    """The names of a recipe's training texts, of paths the last folder and the file."""
    train = recipe["data"]["train"]
    sources = [train] if isinstance(train, str) else train
    return ", ".join("/".join(Path(source).parts[-2:]) for source in sources)


def mean_and_spread(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and standard deviation (n − 1), None where there are too few values."""
    return (
        fmean(values) if values else None,
        stdev(values) if len(values) > 1 else None,
    )


def _auxiliary_edge(recipe: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    found = [
        (name, edge)
        for name, edge in recipe["edges"].items()
        if recipe["nodes"][edge["source"]]["type"] == _NODE
    ]
    return found[0] if len(found) == 1 else None


def _changing(edge: str) -> tuple[str, str]:
    """What differs between the runs of an experiment, beside fold and seed."""
    return f"edges.{edge}.layer", f"edges.{edge}.weight"


def _labels(
    runs: Sequence[ClassificationRun], edges: Mapping[Path, tuple[str, Mapping[str, Any]]]
) -> list[str]:
    """The experiments' labels, by a run of each."""
    ignored = ("data.fold", *(it for it in NOT_THE_RECIPE if it != "name"))
    recipes = [
        without(run.recipe, (*ignored, f"edges.{edges[run.folder][0]}.layer")) for run in runs
    ]
    labels = []
    for recipe in recipes:
        places = list(differing([it for it in recipes if it["name"] == recipe["name"]]))
        label = setting_name(recipe, [place for place in places if place != _TRAIN])
        labels.append(f"{label} on {data_of(recipe)}" if _TRAIN in places else label)
    return labels


def _layers(
    multi: Sequence[ClassificationRun],
    single: Sequence[ClassificationRun],
    layer_of: Mapping[Path, int],
) -> list[Layer]:
    result = []
    for number in sorted({layer_of[run.folder] for run in (*multi, *single)}):
        layer = Layer(
            number,
            *(
                _by_repetition([run for run in runs if layer_of[run.folder] == number])
                for runs in (multi, single)
            ),
        )
        for one, other in layer.pairs:
            _check_same_texts(one, other)
        result.append(layer)
    return result


def _by_repetition(runs: Sequence[ClassificationRun]) -> ByRepetition:
    result: ByRepetition = {}
    for run in runs:
        same = result.setdefault((run.fold, run.seed), run)
        if same is not run:
            raise InputError(
                f"{run.folder} and {same.folder} are the same recipe with the same fold "
                f"({run.fold}) and seed ({run.seed}); expected one of them"
            )
    return result


def _check_same_texts(one: ClassificationRun, other: ClassificationRun) -> None:
    if (one.text_ids, one.gold) != (other.text_ids, other.gold):
        raise InputError(
            f"{one.folder} and {other.folder}: other texts or another gold; expected a multi-task "
            f"run and its single-task twin (fold {one.fold}, seed {one.seed}) to share them"
        )
