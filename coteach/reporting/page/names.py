"""What runs are called on the page."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

__all__ = ["AnyRun", "run_names"]


class AnyRun(Protocol):
    """What runs of every kind have."""

    @property
    def folder(self) -> Path:
        """Where it is."""

    @property
    def recipe(self) -> Mapping[str, Any]:
        """As ``recipe.json`` has it."""


def run_names(runs: Sequence[AnyRun]) -> list[str]:
    """The recipe's name of each, and where several have it, its folder below the common one."""
    counts = Counter(str(run.recipe["name"]) for run in runs)
    folders = [run.folder.resolve() for run in runs]
    shared = Path(os.path.commonpath(folders)) if folders else Path()
    return [
        name if counts[name] == 1 else f"{name}: {folder.relative_to(shared).as_posix()}"
        for name, folder in zip((str(run.recipe["name"]) for run in runs), folders, strict=True)
    ]
