"""Rows of labelled texts, as they stand in CSV, TSV and JSON lines and in data sets of the Hub."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from coteach.data.formats.documents import all_lines
from coteach.data.formats.hub import Hub
from coteach.data.shinra_lines import has_lone_surrogate
from coteach.errors import InputError, quote

__all__ = [
    "ColumnNames",
    "LabelledRow",
    "Remarks",
    "SourceName",
    "data_set_rows",
    "is_file",
    "json_rows",
    "read_rows",
    "source_names",
    "text_of",
]

SUFFIXES = (".csv", ".tsv", ".jsonl")

Numbered = Iterator[tuple[int | None, Mapping[str, Any]]]
"""Rows by column with their lines in the file, from 1; None where there are no lines."""


@dataclass(frozen=True)
class ColumnNames:
    """Where the parts of a row stand; None: there is no such part."""

    text: str
    second_text: str | None
    label: str | None
    group: str | None = None

    def all(self) -> list[str]:
        names = (self.text, self.second_text, self.label, self.group)
        return [name for name in names if name is not None]


class LabelledRow(NamedTuple):
    """A text, or a pair of them, with its class.

    ``source`` is the file or data set as it was named, ``number`` that of the row there, from 1
    and without the header, ``line`` that of the file's line where the row starts, if it has lines.
    ``label`` is empty where no column of labels was asked for.
    """

    source: str
    number: int
    line: int | None
    text: str
    second_text: str | None
    label: str
    group: str | None


@dataclass(frozen=True)
class SourceName:
    """How a file or data set is called: in remarks, and in the ids of its texts."""

    shown: str
    stem: str


class Remarks:
    """Counts what happened to the texts of each source.

    Args:
        names: source → its name.
        noun: what a row is, for example "text".
    """

    def __init__(self, names: Mapping[str, SourceName], noun: str) -> None:
        self._names = names
        self._noun = noun
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, row: LabelledRow, what: str) -> None:
        """Count a row of which ``what`` is to be said."""
        self._counts[row.source, what] += 1

    def sentences(self) -> tuple[str, ...]:
        """A sentence for each source and thing that happened."""
        return tuple(
            f"{self._names[source].shown}: {count:,} {self._noun}{'s' * (count > 1)} {what}"
            for (source, what), count in self._counts.items()
        )


def is_file(source: str, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    """Whether ``source`` names a file; otherwise it is a data set of the Hub or a folder of one."""
    return Path(source).is_file() or source.lower().endswith(suffixes)


def source_names(
    sources: Sequence[str], suffixes: tuple[str, ...] = SUFFIXES
) -> dict[str, SourceName]:
    """Short names of the sources, or the whole ones where the short ones are not unique."""

    def stem(source: str) -> str:
        name = Path(source).name
        if not is_file(source, suffixes):
            return name
        return Path(name.removesuffix(".gz")).stem

    names = {source: SourceName(Path(source).name, stem(source)) for source in sources}
    stems = [name.stem for name in names.values()]
    if len(set(stems)) == len(stems):
        return names
    return {source: SourceName(source, source) for source in sources}


def read_rows(source: str, columns: ColumnNames, config: str | None = None) -> list[LabelledRow]:
    """All rows of a file or data set, in its order.

    A file is UTF-8 and ends in .csv (fields quoted with "), .tsv (no quoting: a tab always ends a
    field, a line break a row) or .jsonl (an object a line). The first row of .csv and .tsv names
    the columns. Blank lines are skipped.

    Args:
        source: path of a file, or a data set as NAME or NAME:SPLIT, where NAME may be a folder;
            the split is train where none is named.
        columns: the names of the columns to read; others are ignored.
        config: the configuration of a data set that has several.

    Raises:
        InputError: there is no such file, data set or column, or a row cannot be used.
    """
    if is_file(source):
        suffix = Path(source).suffix.lower()
        if suffix not in SUFFIXES:
            raise InputError.at(source, None, f"expected a file {', '.join(SUFFIXES)}")
        path = Path(source)
        if suffix == ".jsonl":
            numbered = json_rows(path, all_lines(path), columns)
        else:
            numbered = _table(path, columns)
    else:
        numbered = data_set_rows(source, columns, config)
    rows = []
    for number, (line, entry) in enumerate(numbered, start=1):
        try:
            row = LabelledRow(
                source,
                number,
                line,
                text_of(entry, columns.text),
                text_of(entry, columns.second_text) if columns.second_text is not None else None,
                _name(entry, columns.label, "label") if columns.label is not None else "",
                _name(entry, columns.group, "group") if columns.group is not None else None,
            )
        except InputError as error:
            message = str(error) if line is not None else f"row {number}: {error}"
            raise InputError.at(source, line, message) from None
        rows.append(row)
    if not rows:
        raise InputError.at(source, None, "no row here; expected at least one")
    return rows


def _table(path: Path, columns: ColumnNames) -> Numbered:
    """Rows of .csv or .tsv, by the names in the first one."""
    rows = _quoted_rows(path) if path.suffix.lower() == ".csv" else _plain_rows(path)
    names: list[str] | None = None
    for line, row in rows:
        if names is None:
            names = row
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                message = f"the column {quote(repeated[0])} stands here twice; expected it once"
                raise InputError.at(path, line, message)
            _check_columns(path, line, names, columns)
        elif len(row) != len(names):
            message = f"expected {len(names)} fields as in the first row, got {len(row)}"
            raise InputError.at(path, line, f"{message}: {quote(row)}")
        else:
            yield line, dict(zip(names, row, strict=True))


def _plain_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    for line, content in all_lines(path):
        if content:
            yield line, content.split("\t")


def _quoted_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader((f"{content}\n" for _, content in all_lines(path)), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise InputError.at(path, line, f"not CSV: {error}, in the row from here on") from None
        if row is None:
            return
        if row:
            yield line, row


def json_rows(path: Path, lines: Iterable[tuple[int, str]], columns: ColumnNames) -> Numbered:
    """Rows of a file of JSON lines.

    Args:
        path: named in errors.
        lines: of the file, with their numbers; blank ones are skipped.
        columns: what each row must have.

    Raises:
        InputError: a line is no JSON object, or lacks a column.
    """
    for line, content in lines:
        if not content.strip():
            continue
        try:
            entry = json.loads(content)
        except (ValueError, RecursionError) as error:
            message = f"not JSON: {error}, in {quote(content.strip())}"
            raise InputError.at(path, line, message) from None
        if not isinstance(entry, dict):
            raise InputError.at(path, line, f"expected an object, got {quote(entry)}")
        _check_columns(path, line, list(entry), columns)
        yield line, entry


def data_set_rows(source: str, columns: ColumnNames, config: str | None) -> Numbered:
    """Rows of a data set, with the names of class labels.

    Raises:
        InputError: it cannot be loaded, or a column is not there or of another type.
    """
    rows = Hub(config=config).load(Path(source))
    _check_columns(source, None, rows.column_names, columns)
    rows = rows.select_columns(columns.all())
    for column in columns.all():
        of_texts = column in (columns.text, columns.second_text)
        kind = str(getattr(rows.features[column], "dtype", rows.features[column]))
        if "string" not in kind and (of_texts or not kind.startswith(("int", "uint", "bool"))):
            expected = "texts" if of_texts else "texts, whole numbers, truth values or class labels"
            message = f"the column {quote(column)} is of {kind}; expected {expected}"
            raise InputError.at(source, None, message)
    names = {
        column: feature.names
        for column, feature in rows.features.items()
        if hasattr(feature, "names")
    }
    for row in rows:
        for column, of in names.items():
            number = row[column]  # -1 is a data set's way of saying that there is no label
            row[column] = of[number] if number is not None and number >= 0 else None
        yield None, row


def _check_columns(
    source: str | Path, line: int | None, names: Sequence[str], columns: ColumnNames
) -> None:
    for column in columns.all():
        if column not in names:
            message = f"no column {quote(column)}; there are {quote(list(names), 300)}"
            raise InputError.at(source, line, message)


def text_of(entry: Mapping[str, Any], column: str) -> str:
    """The text in a column of a row.

    Raises:
        InputError: there is something else.
    """
    value = entry[column]
    if not isinstance(value, str):
        raise InputError(f"{column}: expected a text, got {quote(value)}")
    if has_lone_surrogate(value):
        raise InputError(f"{column}: half of a surrogate pair is no character, in {quote(value)}")
    return value


def _name(entry: Mapping[str, Any], column: str, what: str) -> str:
    """A label or a group as a text."""
    value = entry[column]
    if value is None or (isinstance(value, str) and not value.strip()):
        raise InputError(f"{column}: no {what}; expected one in every row")
    if not isinstance(value, str | int):
        expected = "a text, a whole number, true or false"
        raise InputError(f"{column}: expected {expected} as a {what}, got {quote(value)}")
    if has_lone_surrogate(str(value)):
        raise InputError(f"{column}: half of a surrogate pair is no character, in {quote(value)}")
    return str(value)
