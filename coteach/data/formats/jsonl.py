"""Texts with their values as JSON lines: what doccano, Prodigy and spaCy write and read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from coteach.data.files import replacing
from coteach.data.formats.documents import Documents, Format, all_lines, progress
from coteach.data.formats.losses import Losses
from coteach.data.formats.records import Record, parse_record, record_of
from coteach.data.pages import Page
from coteach.errors import InputError, quote

__all__ = ["JsonLines", "documents_of"]


@dataclass(frozen=True)
class JsonLines(Format):
    """A text with its values a line, {"id", "text", "spans": [{"start", "end", "label"}]}.

    The values may also be in "entities", "labels" or "label", and may be [start, end, label] or as
    doccano and Stockmark's data set have them. A file *.json may be one list of such objects.
    About known documents an id without a text is enough.
    """

    id: str = "id"
    """The key of a page's id. Where no record has it, pages are numbered from 1."""
    text: str = "text"
    """The key of the text."""

    def read(self, path: Path, losses: Losses, known: Documents | None = None) -> Documents:
        def records() -> Iterator[Record]:
            for number, (line, entry) in enumerate(_entries(path), start=1):
                try:
                    yield parse_record(
                        entry, losses, id_key=self.id, text_key=self.text, known=known
                    )
                except InputError as error:
                    message = str(error) if line else f"record {number}: {error}"
                    raise InputError.at(path, line, message) from None

        return documents_of(records(), path)

    def write(self, path: Path, documents: Documents, losses: Losses) -> None:
        with replacing(path) as file:
            for page_id, page in progress(documents.pages.items(), "write", len(documents.pages)):
                record = record_of(page, documents.values.get(page_id, ()))
                record = {self.id: record.pop("id"), self.text: record.pop("text"), **record}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")


def documents_of(records: Iterable[Record], path: Path) -> Documents:
    """Records as documents, numbered from 1 where they have no ids.

    Raises:
        InputError: there is no record, an id stands twice, or only some have one.
    """
    pages, values = {}, {}
    named = True
    for number, (own_id, text, spans) in enumerate(records, start=1):
        named = own_id is not None if number == 1 else named
        if (own_id is not None) != named:
            message = f"record {number}: expected an id in every record or in none"
            raise InputError.at(path, None, message)
        page_id = own_id or str(number)
        if page_id in pages:
            message = f"record {number}: id {quote(page_id)} stands here a second time"
            raise InputError.at(path, None, message)
        pages[page_id] = Page(page_id, text)
        values[page_id] = spans
    if not pages:
        raise InputError.at(path, None, "no record here; expected at least one")
    return Documents(pages, values, named=named)


def _entries(path: Path) -> Iterator[tuple[int | None, object]]:
    """The records with their lines; None in a file that is one list."""
    lines = [(number, line) for number, line in all_lines(path) if line.strip()]
    if path.suffix == ".json" and lines and lines[0][1].lstrip().startswith("["):
        try:
            entries = json.loads("\n".join(line for _, line in lines))
        except (ValueError, RecursionError) as error:
            raise InputError.at(path, None, f"not JSON: {error}") from None
        yield from ((None, entry) for entry in entries)
        return
    for number, line in lines:
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            message = f"not JSON: {error}, in {quote(line.strip())}"
            raise InputError.at(path, number, message) from None
