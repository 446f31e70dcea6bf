"""What the report's page shows, as plain data: written by the template, read by its script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from coteach.reporting.tables import Table

__all__ = [
    "Chart",
    "Content",
    "Figure",
    "Item",
    "ReadSet",
    "Section",
    "Shade",
    "System",
    "item_json",
]


@dataclass(frozen=True)
class Chart:
    """One drawing of one run.

    Attributes:
        title: what it shows, a line.
        svg: the drawing, an element of HTML.
    """

    title: str
    svg: str


@dataclass(frozen=True)
class Section:
    """What a tab shows of one run, or of the runs on one task.

    Attributes:
        title: whose it is.
        charts: its drawings.
        tables: its tables.
        notes: what a reader must know, such as what is left out and why.
    """

    title: str
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """A picture that the report writes as a file of its own, too.

    Attributes:
        title: what it shows.
        png: its bytes.
    """

    title: str
    png: bytes


@dataclass(frozen=True)
class System:
    """The gold, or somebody who answered.

    Attributes:
        name: shown.
        kind: what it is.
    """

    name: str
    kind: Literal["gold", "team", "student"]


@dataclass(frozen=True)
class Shade:
    """A weight for every word of some texts, shown behind them.

    Attributes:
        name: what it is, and whose.
        legend: how to read it.
    """

    name: str
    legend: str


@dataclass(frozen=True)
class Item:
    """A page or a text. Places are UTF-16 units of ``text``, as a script counts.

    Attributes:
        id: of the page or text.
        text: as the data has it.
        answers: one a system, the gold first. Of a page: attribute's number, start, end, the next
            one's number, …, or None where the system did not process it. Of a text: the class's
            number and the probability of the gold's class; of the gold, its number alone.
        shades: one a shade of the set: start, end, level (0 to 255), start, …; None without one.
    """

    id: str
    text: str
    answers: tuple[list[Any] | None, ...]
    shades: tuple[list[int] | None, ...] = ()


@dataclass(frozen=True)
class ReadSet:
    """Pages or texts that the same systems answered.

    Attributes:
        name: shown where there are several.
        kind: whether values are extracted or texts are classified.
        split: that the texts are of.
        labels: the attributes or classes, by number.
        systems: the gold, teams, then students.
        items: in the data's order.
        total: how many the split has.
        folders: of the students' runs; they do not stand on the page.
        shades: of the first items, where they were asked for.
        notes: what is left out, and why.
    """

    name: str
    kind: Literal["extraction", "classification"]
    split: str
    labels: tuple[str, ...]
    systems: tuple[System, ...]
    items: tuple[Item, ...]
    total: int
    folders: tuple[Path, ...]
    shades: tuple[Shade, ...] = ()
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For the page's script."""
        return {
            "name": self.name,
            "kind": self.kind,
            "split": self.split,
            "labels": self.labels,
            "systems": [[it.name, it.kind] for it in self.systems],
            "shades": [[it.name, it.legend] for it in self.shades],
            "total": self.total,
            "notes": self.notes,
            "items": [item_json(it) for it in self.items],
        }


def item_json(item: Item) -> list[Any]:
    """An item for the page's script: id, text, answers and, where there are any, shades."""
    shades = [list(item.shades)] if item.shades else []
    return [item.id, item.text, list(item.answers), *shades]


@dataclass(frozen=True)
class Content:
    """Everything on the page.

    Attributes:
        title: of the page.
        overview: scores, and tables of scores by group, category and attribute.
        curves: of every run.
        graphs: of every run.
        teams: the diagnosis of every task.
        tables: the other tables that the report writes.
        figures: the figures that it writes.
        sets: what the reader's view shows.
        unread: why tasks or runs are missing there.
    """

    title: str
    overview: Sequence[Table]
    curves: Sequence[Section] = ()
    graphs: Sequence[Section] = ()
    teams: Sequence[Section] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    sets: Sequence[ReadSet] = ()
    unread: Sequence[str] = field(default_factory=tuple)
