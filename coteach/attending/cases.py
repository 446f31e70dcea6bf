"""Texts that one of two students gets right and the other wrong (part-of-speech paper, §4.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coteach.data.files import byte_lines, not_utf8
from coteach.errors import InputError, quote

__all__ = ["Prediction", "choose", "predictions_file", "read_predictions"]

_FILES = ("report.jsonl", "dev.jsonl")


@dataclass(frozen=True)
class Prediction:
    """One text of a run's report.

    Attributes:
        text: of a pair, both texts, a line each.
        gold: the true class.
        predicted: the class that the student chose.
        of_gold: the probability that it gave the true class.
    """

    id: str
    text: str
    gold: str
    predicted: str
    of_gold: float

    @property
    def right(self) -> bool:
        """Whether the student chose the true class."""
        return self.predicted == self.gold


def predictions_file(run: Path) -> Path:
    """Where a run's predictions are: on its report split, or on dev where it has no such split.

    Raises:
        InputError: the folder has neither.
    """
    for name in _FILES:
        if (run / name).is_file():
            return run / name
    raise InputError.at(
        run, None, f"no {' or '.join(_FILES)} here; expected a finished run of classification"
    )


def read_predictions(path: Path) -> dict[str, Prediction]:
    """The predictions of a finished run of classification, by id, in the file's order.

    Raises:
        InputError: the file cannot be read, a line is no prediction, or an id stands twice.
    """
    result: dict[str, Prediction] = {}
    for number, line in byte_lines(path):
        try:
            prediction = _parse(line)
        except InputError as error:
            raise InputError.at(path, number, str(error)) from None
        if prediction.id in result:
            raise InputError.at(path, number, f"id {quote(prediction.id)} stands twice")
        result[prediction.id] = prediction
    return result


def choose(
    first: tuple[Path, Mapping[str, Prediction]],
    second: tuple[Path, Mapping[str, Prediction]],
    count: int,
) -> dict[int, list[Prediction]]:
    """The texts that only one of two runs gets right.

    Args:
        first: a run's file and its predictions, and ``second`` likewise, of the same texts.
        count: how many texts of each case.

    Returns:
        1 → texts that only the first gets right, 2 → those that only the second does: those with
        the largest lead in the true class's probability first, then by id.

    Raises:
        InputError: the runs' ids, texts or true classes are not the same.
    """
    _check_same(first, second)
    pairs = [(one, second[1][name]) for name, one in first[1].items()]
    cases: dict[int, list[tuple[float, Prediction]]] = {1: [], 2: []}
    for one, other in pairs:
        if one.right != other.right:
            lead = one.of_gold - other.of_gold
            cases[1 if one.right else 2].append((lead if one.right else -lead, one))
    return {
        case: [text for _, text in sorted(found, key=lambda it: (-it[0], it[1].id))[:count]]
        for case, found in cases.items()
    }


def _check_same(
    first: tuple[Path, Mapping[str, Prediction]], second: tuple[Path, Mapping[str, Prediction]]
) -> None:
    for (here, mine), (there, theirs) in ((first, second), (second, first)):
        for name in mine:
            if name not in theirs:
                raise InputError.at(
                    there,
                    None,
                    f"id {quote(name)} of {here} is missing; expected the same texts",
                )
    for name, one in first[1].items():
        other = second[1][name]
        for field in ("text", "gold"):
            mine_, theirs_ = getattr(one, field), getattr(other, field)
            if mine_ != theirs_:
                raise InputError.at(
                    second[0],
                    None,
                    f"id {quote(name)}: {field} {quote(theirs_)}; expected {quote(mine_)}, "
                    f"as in {first[0]}",
                )


def _parse(line: bytes) -> Prediction:
    try:
        entry = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(not_utf8(error)) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"expected JSON: {error}") from None
    if not isinstance(entry, dict):
        raise InputError(f"expected an object, got {quote(entry)}")
    name, gold, predicted = (_string(entry, key) for key in ("id", "gold", "predicted"))
    probabilities = entry.get("probabilities")
    of_gold = probabilities.get(gold) if isinstance(probabilities, dict) else None
    if isinstance(of_gold, bool) or not isinstance(of_gold, (int, float)) or not 0 <= of_gold <= 1:
        raise InputError(
            f"probabilities {quote(probabilities)}: expected an object with a number in [0, 1] "
            f"for the class {quote(gold)}"
        )
    return Prediction(name, _string(entry, "text"), gold, predicted, float(of_gold))


def _string(entry: dict[str, Any], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str):
        raise InputError(f"{key} {quote(value)}: expected a string")
    return value
