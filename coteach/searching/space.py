"""What a search tries: a grid of values for fields of a recipe, and its cells."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from coteach.errors import InputError
from coteach.recipe import Recipe
from coteach.searching.fields import fields_at, parsed, replaced

__all__ = ["DATABASE", "SEED", "Cell", "Grid", "cells_of", "labels_of", "parsed_values"]

SEED = "seed"
DATABASE = "study.db"
"""The file of a search's folder that holds its study."""
LONGEST_NAME = 150  # file systems allow 255 bytes
LONGEST_REPETITION = 60


@dataclass(frozen=True)
class Grid:
    """All combinations of some values of a recipe's fields; a recipe's ``search_space``."""

    over: Mapping[str, Sequence[Any]]
    """Path of a field → the values it takes; ``*`` in a path stands for every key of a mapping,
    which then share the value: ``edges.*.loss.beta``."""
    repeat: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Path of a field → the values that every combination is repeated with, such as the folds
    ``data.fold`` or ``seed``. These are not chosen: the mean over all of them decides."""

    def __post_init__(self) -> None:
        if not self.over:
            raise InputError("search: expected at least one field to search over, got none")
        if SEED in self.over:
            raise InputError(
                "search over seed: seeds are repeated, not chosen; give them with --seeds"
            )
        _check_values("search over", self.over)
        _check_values("repeat", self.repeat)

    @property
    def repeats_seeds_only(self) -> bool:
        """Whether runs of a setting differ in nothing but the seed."""
        return self.repeat.keys() <= {SEED}


@dataclass(frozen=True)
class Cell:
    """One run of a search.

    Attributes:
        name: names its folder.
        setting: the same without the repetition: runs of one setting differ in that only.
        values: path → value, of the grid's ``over``.
        repetition: path → value, of the grid's ``repeat``.
        recipe: what is run.
    """

    name: str
    setting: str
    values: dict[str, Any]
    repetition: dict[str, Any]
    recipe: Recipe


def parsed_values(
    recipe: Recipe, option: str, fields: Sequence[Sequence[str]]
) -> dict[str, list[Any]]:
    """What a command line gives for ``--over`` or ``--repeat``: path → values.

    Args:
        recipe: whose fields they are.
        option: its name, for errors.
        fields: of every field, its path, then its values as text.

    Raises:
        InputError: there is no such field, or it cannot hold a value.
    """
    result: dict[str, list[Any]] = {}
    for words in fields:
        if len(words) < 2:
            raise InputError(
                f"{option} {' '.join(words)}: expected a field's path, then its values"
            )
        path, *texts = words
        if path in result:
            raise InputError(f"{option} {path}: given twice; expected all values at once")
        result[path] = [parsed(recipe, path, text) for text in texts]
    return result


def cells_of(recipe: Recipe, grid: Grid) -> list[Cell]:
    """Every cell of a grid, once for every repetition.

    Args:
        recipe: what all cells share.
        grid: what they differ in. What it does not repeat is the recipe's, and in no name.

    Raises:
        InputError: there is no such field, it cannot hold a value, or two paths of the grid name
            the same field.
    """
    _check_disjoint(recipe, grid)
    labels = labels_of(grid)

    def name(values: Mapping[str, Any], longest: int) -> str:
        return _file_name(",".join(f"{labels[path]}={it}" for path, it in values.items()), longest)

    cells = []
    # Repetitions turn slowest: every setting has been tried once before one is tried again.
    for repetition in _combinations(grid.repeat):
        for values in _combinations(grid.over):
            changed = recipe
            for path, value in {**values, **repetition}.items():
                changed = replaced(changed, path, value)
            changed.check()
            setting = name(values, LONGEST_NAME)
            repeated = [name(repetition, LONGEST_REPETITION)] if repetition else []
            full = ",".join([setting, *repeated])
            cells.append(Cell(full, setting, values, repetition, changed))
    return cells


def labels_of(grid: Grid) -> dict[str, str]:
    """Of every path, repeated ones included, the last of its keys that tell it from the others."""
    labels = {}
    paths = [*grid.over, *grid.repeat]
    for path in paths:
        keys = path.split(".")
        for length in range(1, len(keys) + 1):
            label = ".".join(keys[-length:])
            if sum(f".{other}".endswith(f".{label}") for other in paths) == 1:
                break
        labels[path] = label
    return labels


def _combinations(fields: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Path → value for every combination of values; the last path turns fastest."""
    return [
        dict(zip(fields, values, strict=True)) for values in itertools.product(*fields.values())
    ]


def _check_values(what: str, fields: Mapping[str, Sequence[Any]]) -> None:
    for path, values in fields.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise InputError(
                f"{what} {path}: expected one value or more, as a tuple, got {values!r}"
            )
        for number, value in enumerate(values):
            if value in values[:number]:
                raise InputError(f"{what} {path}: {value!r} stands there twice")


def _check_disjoint(recipe: Recipe, grid: Grid) -> None:
    taken: dict[str, str] = {}
    paths = [("search over", path) for path in grid.over]
    paths += [("repeat", path) for path in grid.repeat]
    for what, path in paths:
        for place in (it.place for it in fields_at(recipe, path)):
            for other, by in taken.items():
                if f"{place}.".startswith(f"{other}.") or f"{other}.".startswith(f"{place}."):
                    raise InputError(f"{what} {path}: {by} sets {other} as well")
            taken[place] = path


def _file_name(text: str, longest: int) -> str:
    """A text as the name of a folder; what had to be changed is told apart by its digest."""
    name = re.sub(r"[^\w.=,+-]+", "-", text)
    if name == text and len(name.encode()) <= longest:
        return name
    cut = name.encode()[:longest].decode(errors="ignore")
    return f"{cut}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
