"""Texts that one of two students gets right and the other wrong (part-of-speech paper, §4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from coteach.errors import InputError, quote
from coteach.reporting.predictions import Prediction

__all__ = ["choose"]


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
