"""What must be there before a long work begins: folders to write to, and room on the disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from torch import nn

from coteach.errors import InputError

__all__ = ["check_room", "check_writable", "size_on_disk"]


def check_writable(folder: Path, purpose: str) -> None:
    """Raise InputError where ``folder``, which need not exist yet, could not be written to."""
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise InputError.at(folder, None, f"{purpose}: {existing} is no folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError.at(folder, None, f"{purpose}: {existing} may not be written to")


def check_room(folder: Path, needed: int) -> None:
    """Raise InputError where the disk of ``folder``, which exists, has less than ``needed`` bytes.

    What the folder holds already counts as free: a run that goes on replaces it.
    """
    used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    free = shutil.disk_usage(folder).free + used
    if free < needed:
        raise InputError.at(
            folder,
            None,
            f"the student and its checkpoint need {_shown(needed)} here while they are replaced; "
            f"{_shown(free)} are free",
        )


def size_on_disk(model: nn.Module) -> int:
    """Bytes of a student and its checkpoint, each twice: the new one before the old one goes.

    The student and the checkpoint's model hold every weight, and AdamW's two moments as much
    again each for those that are trained.
    """
    weights = sum(value.nbytes for value in model.state_dict().values())
    trained = sum(value.nbytes for value in model.parameters() if value.requires_grad)
    return 2 * (2 * weights + 2 * trained)


def _shown(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e7 else f"{size / 1e6:.2f} MB"
