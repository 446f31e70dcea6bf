"""Checkpoints: safetensors and JSON, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from coteach.errors import InputError, in_one_line


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A new folder to write to, which takes ``folder``'s place once it is complete.

    Whatever happens, what was there before is kept until then. Only a process that is killed
    between two renames leaves no ``folder``; ``recover_folder`` then brings the old one back.

    Raises:
        InputError: something cannot be written.
    """
    temporary, old = folder.with_name(folder.name + ".tmp"), _old(folder)
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        _to_disk(temporary)
        recover_folder(folder)
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
    except BaseException as error:
        recover_folder(folder)
        shutil.rmtree(temporary, ignore_errors=True)
        if not isinstance(error, OSError | SafetensorError):
            raise
        reason = (error.strerror if isinstance(error, OSError) else None) or in_one_line(error)
        raise InputError.at(folder, None, f"cannot be written: {reason}") from None
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(folder: Path) -> None:
    """Bring back what a killed process had put aside to replace it."""
    if not folder.exists() and _old(folder).exists():
        _old(folder).rename(folder)


def _old(folder: Path) -> Path:
    return folder.with_name(folder.name + ".old")


def _to_disk(folder: Path) -> None:
    """Wait until a folder's files outlast a loss of power: a rename may come before them."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def save_checkpoint(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: Optimizer,
    state: dict[str, Any],
    learned: nn.Module | None = None,
) -> None:
    """Write ``folder/step-<step>`` and remove the older ones.

    Args:
        folder: of the run's checkpoints.
        step: optimiser steps done.
        model: its parameters and buffers are kept in their own precision.
        optimizer: tensors of its state go to safetensors, the rest to JSON.
        state: what else is needed to go on; JSON.
        learned: what is trained beside the model, and no part of it.

    Raises:
        InputError: it cannot be written; the older one is whole.
    """
    target = folder / f"step-{step:08d}"
    saved = optimizer.state_dict()
    tensors, scalars = {}, {}
    for number, values in saved["state"].items():
        for key, value in values.items():
            place = f"{number}.{key}"
            if isinstance(value, Tensor):
                tensors[place] = value.contiguous()
            else:
                scalars[place] = value
    with replacing_folder(target) as temporary:
        save_file(
            {k: v.detach().contiguous() for k, v in model.state_dict().items()},
            temporary / "model.safetensors",
        )
        save_file(tensors, temporary / "optimizer.safetensors")
        beside = {} if learned is None else learned.state_dict()
        if beside:
            beside = {k: v.detach().contiguous() for k, v in beside.items()}
            save_file(beside, temporary / "learned.safetensors")
        everything = {
            "step": step,
            "state": state,
            "optimizer": {"scalars": scalars, "param_groups": saved["param_groups"]},
        }
        (temporary / "state.json").write_text(json.dumps(everything), encoding="utf-8")
    for old in folder.glob("step-*"):
        if old != target:
            shutil.rmtree(old, ignore_errors=True)


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of a run, if it has one; an older one may be half removed."""
    return max(folder.glob("step-????????"), default=None)


def load_checkpoint(
    checkpoint: Path, model: nn.Module, optimizer: Optimizer, learned: nn.Module | None = None
) -> tuple[int, dict[str, Any]]:
    """Put a checkpoint back into ``model``, ``optimizer`` and ``learned``.

    Returns:
        The step, and the ``state`` that was saved.

    Raises:
        InputError: the checkpoint is of another model, or a file of it is damaged.
    """
    with _reading(checkpoint / "state.json") as path:
        everything = json.loads(path.read_text(encoding="utf-8"))
        step, given, saved = (everything[key] for key in ("step", "state", "optimizer"))
    with _reading(checkpoint / "model.safetensors") as path:
        weights = load_file(path)
    with _reading(checkpoint / "optimizer.safetensors") as path:
        entries = load_file(path) | saved["scalars"]
    beside = {}
    if learned is not None and learned.state_dict():
        with _reading(checkpoint / "learned.safetensors") as path:
            beside = load_file(path)
    try:
        model.load_state_dict(weights)
        if learned is not None:
            learned.load_state_dict(beside)
    except RuntimeError as error:
        raise InputError.at(
            checkpoint, None, f"is of another student: {in_one_line(error)}"
        ) from None
    state: dict[int, dict[str, Any]] = {}
    for place, value in entries.items():
        number, key = place.split(".", 1)
        state.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": saved["param_groups"]})
    return step, given


@contextmanager
def _reading(path: Path) -> Iterator[Path]:
    """Turn what a damaged file leads to into an error that names it."""
    try:
        yield path
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError.at(
            path,
            None,
            f"this checkpoint is damaged ({in_one_line(error)}); expected it as it was written. "
            f"Without {path.parent} the run begins anew",
        ) from None
