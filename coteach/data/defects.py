"""Bad lines in the files people hand in: one clear error, or left out, counted and reported."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from coteach.errors import InputError

if TYPE_CHECKING:
    from coteach.data.formats.losses import Loss

__all__ = ["Defect", "Defects", "LineError", "Note", "OnBadLine"]

OnBadLine = Literal["stop", "skip"]

Defect = Literal[
    "not UTF-8",
    "not JSON",
    "wrong type",
    "key missing",
    "lone surrogate",
    "unknown page",
    "page not listed",
    "outside of the page",
    "start not before end",
    "text not that of the page",
    "another ENE",
]
"""Why a line cannot be used."""

Note = Literal[
    "repeated",
    "without a place",
    "with a text not that of the page",
    "of attributes not in the training gold",
    "attribute that is not to be extracted",
    "read by its html_offset",
    "html_offset without a place in the text",
]
"""What is worth knowing of lines that are as good as any other."""

EXAMPLES = 3


class LineError(InputError):
    """One line cannot be used; ``defect`` says what kind of reason the message gives."""

    def __init__(self, defect: Defect, message: str) -> None:
        super().__init__(message)
        self.defect = defect


@dataclass
class Defects:
    """What was wrong, or remarkable, in the files that were read.

    Every line that is not blank is a new value, a repeated one, without a place, or skipped.

    Attributes:
        on_bad_line: "skip" leaves a line that cannot be used out and counts it; "stop" raises.
        lines: file → number of its lines that are not blank.
        skipped: file → kind of defect → number of lines left out.
        notes: file (or the name of a source) → remark → number of lines that were not left out.
        examples: the first messages of each kind of defect, each with its file and line.
    """

    on_bad_line: OnBadLine = "skip"
    lines: Counter[str] = field(default_factory=Counter)
    skipped: defaultdict[str, Counter[Defect]] = field(default_factory=lambda: defaultdict(Counter))
    notes: defaultdict[str, Counter[Note | Loss]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    examples: defaultdict[Defect, list[str]] = field(default_factory=lambda: defaultdict(list))

    def skip(self, path: str | Path, line: int | None, error: LineError) -> None:
        """Leave a line out, or raise.

        Raises:
            InputError: ``error`` with its place, if bad lines are to stop everything.
        """
        located = InputError.at(path, line, str(error))
        if self.on_bad_line == "stop":
            raise located from None
        self.skipped[str(path)][error.defect] += 1
        if len(self.examples[error.defect]) < EXAMPLES:
            self.examples[error.defect].append(str(located))

    def note(self, where: str | Path, note: Note | Loss, count: int = 1) -> None:
        """Count something harmless; where ``count`` is 0, nothing is noted."""
        if count:
            self.notes[str(where)][note] += count

    def skipped_in_words(self, path: str | Path) -> str:
        """How many lines of a file were skipped, and why."""
        kinds = self.skipped.get(str(path), Counter())
        count = f"{kinds.total():,} of {self.lines[str(path)]:,} lines skipped"
        return f"{count}: {_in_words(kinds)}" if kinds else count

    def report(self) -> list[str]:
        """For people: a line a file of what was skipped, examples of it, and the notes."""
        report = [f"{path}: {self.skipped_in_words(path)}" for path in self.skipped]
        for examples in self.examples.values():
            report += [f"  for example {example}" for example in examples]
        for where, notes in self.notes.items():
            report.append(f"{where}: {_in_words(notes)}")
        return report

    def as_json(self) -> dict[str, Any]:
        """The counts by file, and the examples by kind of defect."""
        return {
            "skipped": {path: dict(kinds) for path, kinds in self.skipped.items()},
            "examples": dict(self.examples),
            "notes": {where: dict(notes) for where, notes in self.notes.items()},
        }


def _in_words(of: Mapping[Any, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in of.items())
