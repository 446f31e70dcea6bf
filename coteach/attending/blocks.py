"""What a page of attention shows: texts, each read by every student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coteach.attending.reading import Reading
from coteach.attending.words import LEVELS, Special

__all__ = ["Block", "as_json", "legend", "merged", "prediction_line"]


@dataclass(frozen=True)
class Block:
    """One text.

    Attributes:
        name: where it stands, such as "case1_2"; part of a file's name.
        section: the heading that it stands under, such as its case.
        text: as it was given.
        readings: one a student.
        id: of the text in the runs' reports; None for a text that was only given.
        gold: its true class; None where it is not known.
    """

    name: str
    section: str
    text: str
    readings: list[Reading]
    id: str | None = None
    gold: str | None = None

    @property
    def title(self) -> str:
        """The text's number, with its id and its true class where it has them."""
        number = f"Text {self.name.rpartition('_')[2]}"
        parts = [number] if self.id is None else [f"{number}: {self.id}"]
        return " · ".join(parts if self.gold is None else [*parts, f"gold: {self.gold}"])


def legend() -> str:
    """How to read the colours."""
    return (
        f"{LEVELS} levels of red, from weight 0 to the largest weight of a word in each picture; "
        "special tokens stand apart and do not count for that scale. Grey: not read."
    )


def prediction_line(reading: Reading) -> str:
    """The predicted class and its probability; nothing for a student that extracts."""
    if reading.predicted is None or reading.probability is None:
        return ""
    return f"{reading.predicted} ({reading.probability:.3f})"


def merged(specials: Sequence[Special]) -> list[tuple[str, float]]:
    """Special tokens by name, with the sum of their weights: many lines, one "[SEP] ×9"."""
    names = [special.token for special in specials]
    return [
        (
            name if names.count(name) == 1 else f"{name} ×{names.count(name)}",
            sum(special.weight for special in specials if special.token == name),
        )
        for name in dict.fromkeys(names)
    ]


def as_json(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    """The numbers behind the pictures."""
    return [
        {
            "name": block.name,
            "id": block.id,
            "text": block.text,
            "gold": block.gold,
            "students": [
                {
                    "student": reading.student,
                    "predicted": reading.predicted,
                    "probability": reading.probability,
                    "words": [{"text": it.text, "weight": it.weight} for it in reading.words],
                    "specials": [
                        {"token": it.token, "weight": it.weight} for it in reading.specials
                    ],
                }
                for reading in block.readings
            ],
        }
        for block in blocks
    ]
