"""Tables as text and Markdown for people and as CSV for programs."""

from __future__ import annotations

import csv
import re
import textwrap
from io import StringIO
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from coteach.data.files import replacing
from coteach.reporting.tables import Cell, Column, Form, Table

__all__ = ["arranged", "as_markdown", "as_text", "shown", "write_csv", "write_text"]

_WIDE = 10_000  # characters: no cell is folded
_NOTE = 100  # characters of a line of the notes


def as_text(table: Table) -> str:
    """A table with its title and notes; scores are turned on their side where that is narrower."""
    columns, rows = arranged(table)
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        grid.add_column(escape(column.name), justify="left" if column.form == "text" else "right")
    for row in rows:
        cells = zip(row, columns, strict=True)
        grid.add_row(*(escape(shown(cell, column.form)) for cell, column in cells))
    console = Console(file=StringIO(), width=_WIDE, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(grid)
    lines = [table.title, *map(str.rstrip, capture.get().splitlines())]
    notes = (textwrap.fill(note, _NOTE) for note in table.notes)
    return "\n".join([*lines, *notes]).rstrip() + "\n"


def as_markdown(table: Table) -> str:
    """A table with its title and notes in GitHub's Markdown, nothing in it read as markup."""
    heads = [_plain(column.name) for column in table.columns]
    marks = ["---" if column.form == "text" else "---:" for column in table.columns]
    rows = [
        [_plain(shown(cell, column.form)) for cell, column in zip(row, table.columns, strict=True)]
        for row in table.rows
    ]
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, marks, *rows)]
    notes = "\n\n".join(map(_plain, table.notes))
    return "\n\n".join([f"## {_plain(table.title)}", "\n".join(lines), notes]).rstrip() + "\n"


def _plain(text: str) -> str:
    """The text with a backslash before what Markdown would read as markup."""
    return re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", text)


def write_text(table: Table, path: Path) -> None:
    """Write a table for people."""
    with replacing(path) as file:
        file.write(as_text(table))


def write_csv(table: Table, path: Path) -> None:
    """Write a table for programs: fractions of 1 and full precision, no cell where no value is."""
    with replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(column.name for column in table.columns)
        writer.writerows(table.rows)


def arranged(table: Table) -> tuple[tuple[Column, ...], tuple[tuple[Cell, ...], ...]]:
    """Columns and rows as they are shown: turned on their side where that is narrower."""
    if len({it.form for it in table.columns[1:]}) != 1 or len(table.rows) >= len(table.columns) - 1:
        return table.columns, table.rows
    form = table.columns[1].form
    columns = (Column("", "text"), *(Column(str(row[0]), form) for row in table.rows))
    rows = tuple(
        (column.name, *(row[number] for row in table.rows))
        for number, column in enumerate(table.columns[1:], start=1)
    )
    return columns, rows


def shown(cell: Cell, form: Form) -> str:
    """A cell for people: shares and differences in percent."""
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    match form:
        case "share":
            return f"{100 * cell:.2f}"
        case "difference":
            return f"{100 * cell:+.2f}"
        case "number":
            return f"{cell:.3g}"
        case _:
            return str(cell)
