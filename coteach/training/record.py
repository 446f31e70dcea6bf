"""``recipe.json``: what was run, with what, so that a run can be repeated or gone on with."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

from coteach import __version__
from coteach.data.files import replacing
from coteach.errors import InputError
from coteach.recipe import Recipe

# What a run, or a stage of it, may go on with in another way: no weight depends on it.
FREE = (
    *("processes", "cache", "trackers"),
    *("selection.checkpoint_every", "optimisation.gradient_checkpointing"),
)
# These may change together with the number of processes, as long as a step reads as many windows.
SIZES = ("optimisation.batch_size", "optimisation.accumulation")
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


def write_recipe(
    recipe: Recipe, folder: Path, processes: int = 1, *, is_main_process: bool = True
) -> None:
    """Write ``folder/recipe.json``; where there is one, it must say the same but for FREE.

    The number of processes may be another one where a step reads as many windows as before: then
    the sums over a step, and with them the course of the training, are the same.

    Args:
        recipe: what is run.
        folder: of the run.
        processes: that share the training.
        is_main_process: whether this one writes; the others only compare.

    Raises:
        InputError: the folder holds a run of another recipe (every difference is named), or one
            with steps of another size, or cannot be written to.
    """
    path = folder / "recipe.json"
    described = {
        "id": uuid4().hex[:12],  # one run, however often it goes on
        "recipe": as_json(recipe),
        "seed": recipe.seed,
        "processes": processes,
        "versions": {
            "coteach": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
    }
    if path.exists():
        try:
            written = json.loads(path.read_text(encoding="utf-8"))
            before, begun = written["recipe"], written.get("processes", 1)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError.at(path, None, f"expected a run's recipe: {error}") from None
        now = json.loads(json.dumps(described["recipe"]))
        different = list(_differences(before, now, ""))
        if different:
            raise InputError.at(
                path, None, "this run was begun with another recipe: " + "; ".join(different)
            )
        for place in ("", *(f"stages.{name}." for name in recipe.stages)):
            if message := _other_steps(before, begun, now, processes, f"{place}optimisation"):
                raise InputError.at(path, None, message)
    elif is_main_process:
        with replacing(path) as file:
            json.dump(described, file, ensure_ascii=False, indent=2)


def counted(processes: int) -> str:
    """For example "1 process"."""
    return f"{processes} process{'es' if processes != 1 else ''}"


def id_of(folder: Path) -> str:
    """What tells a run from all others, also from one of the same recipe in a folder of the same
    name; "" of a run that an older version began."""
    written = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
    return written.get("id", "")


def _other_steps(
    before: Mapping[str, Any], begun: int, now: Mapping[str, Any], processes: int, place: str
) -> str | None:
    """Why a training cannot go on where its steps would be of another size; None if they are not.

    Args:
        before: the recipe that was begun.
        begun: with so many processes.
        now: the recipe that is to go on.
        processes: with so many.
        place: of the ``Optimisation`` in both.
    """
    for part in place.split("."):
        before, now = before[part], now[part]

    def size(of: Mapping[str, Any], number: int) -> tuple[int, str]:
        windows = of["batch_size"] * of["accumulation"] * number
        factors = f"batch_size {of['batch_size']} × accumulation {of['accumulation']}"
        return windows, f"{windows} ({factors} × {counted(number)})"

    (wanted, of_before), (found, of_now) = size(before, begun), size(now, processes)
    if wanted == found:
        return None
    advice = f"start {counted(begun)} with {place} as it was"
    for name, other in (("accumulation", "batch_size"), ("batch_size", "accumulation")):
        share, rest = divmod(wanted, now[other] * processes)
        if share and not rest:
            advice = f"set {place}.{name} to {share}"
            break
    return (
        f"this run was begun with steps of {of_before} windows, now of {of_now}; expected as many, "
        f"or the training would be another one: {advice}"
    )


def _differences(before: Any, now: Any, place: str) -> Iterator[str]:
    if re.sub(r"^stages\.[^.]+\.", "", place) in FREE + SIZES:
        return
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            yield from _differences(before.get(key), now.get(key), f"{place}.{key}".lstrip("."))
    elif before != now:
        yield f"{place} was {before!r}, now {now!r}"
