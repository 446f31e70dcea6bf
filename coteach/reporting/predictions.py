"""The predictions in a finished run of classification: its report.jsonl."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coteach.data.files import byte_lines, not_utf8
from coteach.errors import InputError, quote

__all__ = ["Prediction", "predictions_file", "read_predictions"]

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
