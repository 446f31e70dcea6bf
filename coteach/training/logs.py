"""What a run writes down as it goes: JSON lines always, and Accelerate's trackers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import (
    LOGGER_TYPE_TO_CLASS,
    GeneralTracker,
    TensorBoardTracker,
    get_available_trackers,
)
from accelerate.utils import LoggerType

from coteach.data.files import opening, replacing
from coteach.errors import InputError, in_one_line
from coteach.recipe import Recipe
from coteach.training.checkpoint import latest_checkpoint
from coteach.training.record import as_json, id_of

__all__ = ["Log", "Tracking", "check_trackers"]


class Log:
    """Appends to ``log.jsonl`` on the main process and tells the trackers.

    Args:
        path: of the file; lines of an earlier part of the same run stay.
        accelerator: whose trackers are told.
    """

    def __init__(self, path: Path, accelerator: Accelerator) -> None:
        self.path = path
        self.accelerator = accelerator

    def __call__(self, event: str, step: int, **values: float | str | Mapping[str, float]) -> None:
        """One line: the event's name, the step, and its figures.

        Raises:
            InputError: it cannot be written.
        """
        numbers = {f"{event}/{k}": v for k, v in values.items() if isinstance(v, int | float)}
        with opening(self.path, "written"):
            if numbers:
                self.accelerator.log(numbers, step=step)
        self.note(event, step, **values)

    def note(self, event: str, step: int, **values: float | str | Mapping[str, float]) -> None:
        """One line of which the trackers are not told: it is no figure of the training.

        Raises:
            InputError: it cannot be written.
        """
        if self.accelerator.is_main_process:
            line = json.dumps({"event": event, "step": step, **values}, ensure_ascii=False)
            with opening(self.path, "written"), self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def keep_until(self, step: int) -> None:
        """Drop what a run that is resumed at ``step`` wrote after it."""
        if not self.accelerator.is_main_process or not self.path.exists():
            return
        with opening(self.path):
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        kept = [line for line in lines if _step(line) <= step]
        with replacing(self.path) as file:
            file.writelines(line + "\n" for line in kept)


def _step(line: str) -> float:
    """A line's step; a line cut short by a kill comes after everything."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):
        return float("inf")


def check_trackers(names: Sequence[str]) -> None:
    """Raise InputError where a tracker is unknown, or its package is not installed."""
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise InputError(
                f"trackers: expected some of {sorted(LOGGER_TYPE_TO_CLASS)}, got {name!r}"
            )
        # A class that was registered with Accelerate has no package of its own.
        known = {str(it) for it in LoggerType} - {str(it) for it in get_available_trackers()}
        if name in known:
            raise InputError(
                f"trackers: {name!r} is not installed; expected its package: pip install "
                f"{name.replace('_', '-')}"
            )


class Tracking:
    """The trackers of a run: its project is the recipe's name, and each of its trainings (the
    main one, a stage, a baseline) is a run of its own in it, named by its folder.

    Args:
        recipe: of the run; its values are the trackers' hyperparameters.
        folder: of the run.
    """

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.recipe, self.folder = recipe, folder

    def accelerator(self, place: Path) -> Accelerator:
        """For the training in the folder ``place``."""
        trackers: list[str | GeneralTracker] = [
            TensorBoardTracker(name, place) if name == "tensorboard" else name
            for name in self.recipe.trackers
        ]
        return Accelerator(
            mixed_precision=self.recipe.optimisation.precision,
            log_with=trackers,
            project_dir=place,
        )

    @contextmanager
    def __call__(self, accelerator: Accelerator, place: Path) -> Iterator[None]:
        """Trackers are told within the block. One that goes on adds to what it told before, where
        the tracker's library can.

        Raises:
            InputError: a tracker does not begin.
        """
        goes_on = latest_checkpoint(place / "checkpoints") is not None
        within = place.relative_to(self.folder).as_posix()
        run = self.folder.absolute().name + ("" if within == "." else f"/{within}")
        values = dict(_flat(as_json(self.recipe), ""))
        options: dict[str, dict[str, Any]] = {
            "mlflow": {"run_name": run},
            # It keeps the values that it begins or goes on with, not those it is told later.
            "trackio": {"name": run, "resume": "allow" if goes_on else "never", "config": values},
            "wandb": {"name": run, "resume": "allow"},
        }
        if accelerator.is_main_process and "wandb" in self.recipe.trackers:
            # It alone tells runs of the same name apart.
            identity = f"{id_of(self.folder)}-{within}"
            options["wandb"]["id"] = identity.removesuffix("-.").replace("/", "-")
        try:
            # Several categories are one project.
            accelerator.init_trackers(
                self.recipe.name.split("/")[0], None if goes_on else values, options
            )
        except Exception as error:  # whatever its library raises
            raise InputError(
                f"trackers: {', '.join(self.recipe.trackers)}: cannot begin: {in_one_line(error)}"
            ) from error
        try:
            yield
        finally:
            for tracker in accelerator.trackers:
                tracker.finish()  # end_training would also part the processes, which still score


def _flat(value: Any, place: str) -> Iterator[tuple[str, bool | int | float | str]]:
    """A recipe's values by their paths, as trackers take them."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(part, f"{place}.{key}".lstrip("."))
    elif isinstance(value, bool | int | float | str):
        yield place, value
    else:
        yield place, json.dumps(value, ensure_ascii=False)
