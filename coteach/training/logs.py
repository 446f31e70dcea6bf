"""What a run writes down as it goes: JSON lines always, and Accelerate's trackers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from accelerate import Accelerator

from coteach.data.files import opening, replacing


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
            if self.accelerator.is_main_process:
                line = json.dumps({"event": event, "step": step, **values}, ensure_ascii=False)
                with self.path.open("a", encoding="utf-8") as file:
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
