"""Where a source's values are kept: in memory, or on disk where they may outgrow it."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from coteach.data.files import temporary_beside
from coteach.errors import InputError
from coteach.model.spans import Span

__all__ = ["StoredValues", "hold_values", "store_values"]


class StoredValues(Mapping[str, frozenset[Span]]):
    """Spans by page id, in an SQLite file that :func:`store_values` wrote.

    Pages come in the order in which the source first named them. It can be handed to worker
    processes, forked or not.

    Attributes:
        path: of the file.
        digest: differs wherever the values do.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self.digest = digest
        self._connection: sqlite3.Connection | None = None
        self._owner = 0

    def __getitem__(self, page_id: str) -> frozenset[Span]:
        runs = self._ask("SELECT spans FROM runs WHERE page = ?", page_id).fetchall()
        if not runs:
            raise KeyError(page_id)
        return frozenset(Span._make(values) for (run,) in runs for values in json.loads(run))

    def __iter__(self) -> Iterator[str]:
        pages = self._ask("SELECT page FROM runs GROUP BY page ORDER BY MIN(number)")
        return (page for (page,) in pages)

    def __len__(self) -> int:
        return self._ask("SELECT COUNT(DISTINCT page) FROM runs").fetchone()[0]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_connection": None}

    def total(self) -> int:
        """The number of distinct values on all pages."""
        of_one_run = "SELECT page, SUM(size) AS size FROM runs GROUP BY page HAVING COUNT(*) = 1"
        of_several = "SELECT page FROM runs GROUP BY page HAVING COUNT(*) > 1"
        total = self._ask(f"SELECT COALESCE(SUM(size), 0) FROM ({of_one_run})").fetchone()[0]
        return total + sum(len(self[page_id]) for (page_id,) in self._ask(of_several))

    def _ask(self, query: str, *values: str) -> sqlite3.Cursor:
        """Over a connection of this process's own: none may be carried over a fork."""
        if self._connection is None or self._owner != os.getpid():
            place = f"{self.path.absolute().as_uri()}?mode=ro&immutable=1"
            self._connection = sqlite3.connect(place, uri=True)
            self._owner = os.getpid()
        return self._connection.execute(query, values)


def hold_values(entries: Iterable[tuple[str, Span]]) -> tuple[dict[str, frozenset[Span]], int]:
    """A source's values in memory: by page id, pages as first named, and how many differ."""
    values: defaultdict[str, set[Span]] = defaultdict(set)
    for page_id, span in entries:
        values[page_id].add(span)
    held = {page_id: frozenset(spans) for page_id, spans in values.items()}
    return held, sum(map(len, held.values()))


def store_values(
    source: str | Path, entries: Iterable[tuple[str, Span]], cache: Path
) -> tuple[StoredValues, int]:
    """Write a source's values into a file of ``cache``, as many at a time as a page has.

    The file is named after ``source`` and written anew whenever that is read, so it is never out
    of date. It appears only when it is complete; who reads an older one goes on with that.

    Args:
        source: the file that the values come from.
        entries: page id and span, in any order; the spans of a page are best together.
        cache: folder for the file.

    Returns:
        The values, and how many differ, as of :func:`hold_values`.

    Raises:
        InputError: the file cannot be written.
    """
    name = hashlib.sha256(os.fsencode(Path(source).absolute())).hexdigest()[:16]
    path = cache / f"values-{name}.sqlite"
    temporary = temporary_beside(path)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        try:
            temporary.unlink(missing_ok=True)
            with closing(sqlite3.connect(temporary)) as connection:
                digest = _fill(connection, entries)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError.at(path, None, f"cannot be written: {reason}") from None
    values = StoredValues(path, digest)
    return values, values.total()


def _fill(connection: sqlite3.Connection, entries: Iterable[tuple[str, Span]]) -> str:
    """Write all values; returns their digest."""
    # A file that is not complete is thrown away: nothing needs to be undone or to survive.
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(
        "CREATE TABLE runs (number INTEGER PRIMARY KEY, page TEXT, size INTEGER, spans TEXT)"
    )
    digest = hashlib.sha256()

    def runs() -> Iterator[tuple[str, int, str]]:
        for page_id, run in groupby(entries, itemgetter(0)):
            spans = sorted({span for _, span in run})
            text = json.dumps(spans)
            digest.update(json.dumps(page_id).encode() + text.encode())
            yield page_id, len(spans), text

    connection.executemany("INSERT INTO runs (page, size, spans) VALUES (?, ?, ?)", runs())
    connection.execute("CREATE INDEX by_page ON runs (page)")
    connection.commit()
    return digest.hexdigest()
