"""``recipe.json``: what was run, with what, so that a run can be repeated or gone on with."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from coteach import __version__
from coteach.data.files import replacing
from coteach.errors import InputError
from coteach.recipe import Recipe

# What a run may go on with in another way: no weight depends on it.
FREE = ("processes", "cache", "selection.checkpoint_every")
PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "datasets", "fugashi", "numpy")


def as_json(value: Any) -> Any:
    """A recipe as JSON: every field, and the type of every part."""
    if is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: as_json(getattr(value, f.name)) for f in fields(value)}
        return {"type": type(value).__name__, **parts}
    if isinstance(value, Mapping):
        return {key: as_json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def write_recipe(recipe: Recipe, folder: Path) -> None:
    """Write ``folder/recipe.json``; where there is one, it must say the same but for FREE.

    Raises:
        InputError: the folder holds a run of another recipe (every difference is named), or
            cannot be written to.
    """
    path = folder / "recipe.json"
    described = {
        "recipe": as_json(recipe),
        "seed": recipe.seed,
        "versions": {
            "coteach": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
    }
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))["recipe"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError.at(path, None, f"expected a run's recipe: {error}") from None
        different = list(_differences(before, json.loads(json.dumps(described["recipe"])), ""))
        if different:
            raise InputError.at(
                path, None, "this run was begun with another recipe: " + "; ".join(different)
            )
        return
    with replacing(path) as file:
        json.dump(described, file, ensure_ascii=False, indent=2)


def _differences(before: Any, now: Any, place: str) -> Iterator[str]:
    if place in FREE:
        return
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            yield from _differences(before.get(key), now.get(key), f"{place}.{key}".lstrip("."))
    elif before != now:
        yield f"{place} was {before!r}, now {now!r}"
