"""What a page of coloured words shows: texts, each read by every student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from coteach.highlighting.words import Special, Word

__all__ = [
    "Block",
    "Measure",
    "Reading",
    "as_json",
    "fact_lines",
    "merged",
    "numbered",
    "prediction_line",
]

Facts = Mapping[str, str | float | None]
"""What else is said of a reading: name → value."""


@dataclass(frozen=True)
class Measure:
    """What the colours of a page mean.

    Attributes:
        name: its heading, such as "Attention".
        legend: how to read the colours, a sentence or two.
        signed: whether weights may be below 0: blue, where others are red.
    """

    name: str
    legend: str
    signed: bool = False


@dataclass(frozen=True)
class Reading:
    """What one student makes of one text.

    Attributes:
        student: its name.
        words: what it read, in order; joined, they are the text after the student's
            preprocessing.
        specials: tokens without text, in order: [CLS], separators, [SEP].
        predicted: the most probable class; None for a student that extracts.
        probability: of that class.
        facts: what else is to be said, shown below the name.
    """

    student: str
    words: list[Word]
    specials: list[Special]
    predicted: str | None
    probability: float | None
    facts: Facts = field(default_factory=dict)


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
        about: what of the text is shown, such as one span of several; None for all of it.
    """

    name: str
    section: str
    text: str
    readings: list[Reading]
    id: str | None = None
    gold: str | None = None
    about: str | None = None

    @property
    def title(self) -> str:
        """The text's number, with its id, its true class and what is shown, as far as known."""
        number = f"Text {self.name.rpartition('_')[2]}"
        return " · ".join(
            part
            for part in (
                number if self.id is None else f"{number}: {self.id}",
                None if self.gold is None else f"gold: {self.gold}",
                self.about,
            )
            if part is not None
        )


def numbered(texts: Sequence[str]) -> list[Block]:
    """Texts that were only given, each with its number from 1, still to be read."""
    return [Block(str(number), "Texts", text, []) for number, text in enumerate(texts, start=1)]


def prediction_line(reading: Reading) -> str:
    """The predicted class and its probability; nothing for a student that extracts."""
    if reading.predicted is None or reading.probability is None:
        return ""
    return f"{reading.predicted} ({reading.probability:.3f})"


def fact_lines(reading: Reading) -> list[str]:
    """The facts that there are, a line each."""
    return [
        f"{name}: {value if isinstance(value, str) else format(value, '.3g')}"
        for name, value in reading.facts.items()
        if value is not None
    ]


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
            **({} if block.about is None else {"about": block.about}),
            "students": [_student(reading) for reading in block.readings],
        }
        for block in blocks
    ]


def _student(reading: Reading) -> dict[str, Any]:
    return {
        "student": reading.student,
        "predicted": reading.predicted,
        "probability": reading.probability,
        **reading.facts,
        "words": [
            {"text": it.text, "weight": it.weight, **({"marked": True} if it.marked else {})}
            for it in reading.words
        ],
        "specials": [{"token": it.token, "weight": it.weight} for it in reading.specials],
    }
