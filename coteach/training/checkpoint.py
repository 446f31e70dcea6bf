"""Checkpoints: safetensors and JSON, whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from coteach.errors import InputError, in_one_line


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A new folder to write to, which takes ``folder``'s place once it is complete."""
    temporary, old = folder.with_name(folder.name + ".tmp"), folder.with_name(folder.name + ".old")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    yield temporary
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    temporary.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def save_checkpoint(
    folder: Path, step: int, model: nn.Module, optimizer: Optimizer, state: dict[str, Any]
) -> None:
    """Write ``folder/step-<step>`` and remove the older ones.

    Args:
        folder: of the run's checkpoints.
        step: optimiser steps done.
        model: its parameters and buffers are kept in their own precision.
        optimizer: tensors of its state go to safetensors, the rest to JSON.
        state: what else is needed to go on; JSON.
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
    """The newest complete checkpoint of a run, if it has one."""
    complete = [path for path in folder.glob("step-????????") if (path / "state.json").exists()]
    return max(complete, default=None)


def load_checkpoint(
    checkpoint: Path, model: nn.Module, optimizer: Optimizer
) -> tuple[int, dict[str, Any]]:
    """Put a checkpoint back into ``model`` and ``optimizer``.

    Returns:
        The step, and the ``state`` that was saved.

    Raises:
        InputError: the checkpoint is of another model.
    """
    everything = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    try:
        model.load_state_dict(load_file(checkpoint / "model.safetensors"))
    except RuntimeError as error:
        raise InputError.at(
            checkpoint, None, f"is of another student: {in_one_line(error)}"
        ) from None
    state: dict[int, dict[str, Any]] = {}
    entries = load_file(checkpoint / "optimizer.safetensors") | everything["optimizer"]["scalars"]
    for place, value in entries.items():
        number, key = place.split(".", 1)
        state.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict(
        {"state": state, "param_groups": everything["optimizer"]["param_groups"]}
    )
    return everything["step"], everything["state"]
