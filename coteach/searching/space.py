"""What a search tries: a grid of values for fields of a recipe, and its cells."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coteach.errors import InputError
from coteach.recipe import Recipe
from coteach.searching.fields import fields_at, parsed, replaced

__all__ = ["Cell", "Grid", "cells_of", "labels_of", "parsed_grid"]

LONGEST_NAME = 150  # file systems allow 255 bytes


@dataclass(frozen=True)
class Grid:
    """All combinations of some values of a recipe's fields; a recipe's ``search_space``."""

    over: Mapping[str, Sequence[Any]]
    """Path of a field → the values it takes; ``*`` in a path stands for every key of a mapping,
    which then share the value: ``edges.*.loss.beta``."""

    def __post_init__(self) -> None:
        if not self.over:
            raise InputError("search: expected at least one field to search over, got none")
        for path, values in self.over.items():
            if path == "seed":
                raise InputError(
                    "search over seed: seeds are repeated, not chosen; give them with --seeds"
                )
            if isinstance(values, str) or not isinstance(values, Sequence) or not values:
                raise InputError(
                    f"search over {path}: expected one value or more, as a tuple, got {values!r}"
                )
            for number, value in enumerate(values):
                if value in values[:number]:
                    raise InputError(f"search over {path}: {value!r} stands there twice")


@dataclass(frozen=True)
class Cell:
    """One run of a search.

    Attributes:
        name: names its folder.
        setting: the same without the seed: runs of one setting differ in the seed only.
        values: path → value.
        recipe: what is run.
    """

    name: str
    setting: str
    values: dict[str, Any]
    recipe: Recipe


def parsed_grid(recipe: Recipe, over: Sequence[Sequence[str]]) -> Grid:
    """The grid that a command line asks for.

    Args:
        recipe: whose fields they are.
        over: of every field, its path, then its values as text.

    Raises:
        InputError: there is no such field, or it cannot hold a value.
    """
    grid: dict[str, list[Any]] = {}
    for words in over:
        if len(words) < 2:
            raise InputError(f"--over {' '.join(words)}: expected a field's path, then its values")
        path, *texts = words
        if path in grid:
            raise InputError(f"--over {path}: given twice; expected all values at once")
        grid[path] = [parsed(recipe, path, text) for text in texts]
    return Grid(grid)


def cells_of(recipe: Recipe, grid: Grid, seeds: Sequence[int] = ()) -> list[Cell]:
    """Every cell of a grid, once a seed.

    Args:
        recipe: what all cells share.
        grid: what they differ in.
        seeds: to repeat every setting with; none: the recipe's alone, which no name mentions.

    Raises:
        InputError: there is no such field, it cannot hold a value, or two paths of the grid name
            the same field.
    """
    _check_disjoint(recipe, grid)
    for number, seed in enumerate(seeds):
        if seed in seeds[:number]:
            raise InputError(f"seeds: {seed} stands there twice")
    labels = labels_of(grid)
    cells = []
    # The seeds turn slowest: every setting has been tried once before one is tried again.
    for seed, values in itertools.product(seeds or (None,), itertools.product(*grid.over.values())):
        changed = recipe
        for path, value in zip(grid.over, values, strict=True):
            changed = replaced(changed, path, value)
        parts = [f"{labels[path]}={value}" for path, value in zip(grid.over, values, strict=True)]
        setting = name = _file_name(",".join(parts))
        if seed is not None:
            changed = replaced(changed, "seed", seed)
            name = f"{setting},seed={seed}"
        changed.check()
        cells.append(Cell(name, setting, dict(zip(grid.over, values, strict=True)), changed))
    return cells


def labels_of(grid: Grid) -> dict[str, str]:
    """Of every path, the last of its keys that tell it from the others."""
    labels = {}
    for path in grid.over:
        keys = path.split(".")
        for length in range(1, len(keys) + 1):
            label = ".".join(keys[-length:])
            if sum(f".{other}".endswith(f".{label}") for other in grid.over) == 1:
                break
        labels[path] = label
    return labels


def _check_disjoint(recipe: Recipe, grid: Grid) -> None:
    taken: dict[str, str] = {}
    for path in grid.over:
        for place in (it.place for it in fields_at(recipe, path)):
            for other, by in taken.items():
                if f"{place}.".startswith(f"{other}.") or f"{other}.".startswith(f"{place}."):
                    raise InputError(f"search over {path}: {by} sets {other} as well")
            taken[place] = path


def _file_name(text: str) -> str:
    """A text as the name of a folder; what had to be changed is told apart by its digest."""
    name = re.sub(r"[^\w.=,+-]+", "-", text)
    if name == text and len(name.encode()) <= LONGEST_NAME:
        return name
    cut = name.encode()[:LONGEST_NAME].decode(errors="ignore")
    return f"{cut}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
