"""SHINRA's files: pages, annotations, the teams' submissions, and our own submission.

Pages are ``<page_id>.txt`` in one folder per category. Annotations and submissions are JSON lines,
one value a line::

    {"page_id": "678416", "title": "…", "ENE": "1.6.5.3", "attribute": "別名",
     "text_offset": {"start": {"line_id": 65, "offset": 67}, "end": {"line_id": 65, "offset": 102},
                     "text": "Queen Beatrix International Airport"},
     "html_offset": {…}}

Lines and offsets count from 0, offsets in code points within the line, and the end is exclusive
(the data of the 2019 shared task and its scorer, k141303/shinra_jp_scorer).
"""

from __future__ import annotations

import codecs
import errno
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TextIO

from coteach.data.pages import Annotations, Page
from coteach.errors import InputError
from coteach.model.spans import Span

__all__ = [
    "AnnotationFile",
    "list_page_ids",
    "read_annotation_file",
    "read_annotations",
    "read_page",
    "read_page_ids",
    "read_pages",
    "read_submissions",
    "replacing",
    "write_submission",
]

Offsets = Literal["text", "html"]


@dataclass(frozen=True)
class AnnotationFile:
    """All that a file of annotations says.

    Attributes:
        values: page id → its distinct spans, pages in the order of the file.
        titles: page id → title, where the file gives one.
        entity_types: the distinct ``ENE`` ids, for example {"1.6.5.3"} for airports.
        without_place: number of lines that have no place of the kind asked for. In the data of
            2020 and later these are the "generic term" flags, which mark no characters.
    """

    values: Mapping[str, frozenset[Span]]
    titles: Mapping[str, str]
    entity_types: frozenset[str]
    without_place: int


# Pages


def list_page_ids(folder: str | Path) -> list[str]:
    """The ids of the pages ``<page_id>.txt`` in a category's folder, sorted as strings.

    Raises:
        InputError: the folder does not exist or has no page.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError.at(folder, None, "no such folder; expected a folder of <page_id>.txt")
    page_ids = sorted(path.stem for path in folder.glob("*.txt"))
    if not page_ids:
        raise InputError.at(folder, None, "no page here; expected files <page_id>.txt")
    return page_ids


def read_page(path: str | Path) -> Page:
    """One page; its id is the file's name without ``.txt``. The text may be empty.

    Raises:
        InputError: the file does not exist or is not UTF-8.
    """
    path = Path(path)
    with _opening(path):
        content = path.read_bytes()
    try:
        # Decoded from bytes: newline translation would move every offset after a carriage return.
        return Page(path.stem, content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError.at(path, None, _not_utf8(error)) from None


def read_pages(folder: str | Path) -> dict[str, Page]:
    """All pages of a category's folder by id, sorted by id; errors as in the two above."""
    folder = Path(folder)
    return {page_id: read_page(folder / f"{page_id}.txt") for page_id in list_page_ids(folder)}


def read_page_ids(path: str | Path) -> list[str]:
    """Page ids from a text file, one a line; blank lines and repeated ids are dropped."""
    return list(dict.fromkeys(line.strip() for _, line in _text_lines(Path(path))))


# Annotations


def read_annotations(
    path: str | Path,
    *,
    name: str,
    pages: Mapping[str, Page] | None = None,
    processed: str | Path | None = None,
    offsets: Offsets = "text",
    check_text: bool = True,
) -> Annotations:
    """What the source ``name`` says, from its file of annotations.

    Args:
        path: JSON lines, one value a line. Repeated values count once; lines without a place are
            skipped (:func:`read_annotation_file` counts them).
        name: the source's name, for example a team's id.
        pages: the pages; with them, places and texts are checked against the page's own text.
        processed: a file of the ids of the pages that the source processed, one a line. Default:
            it processed every page.
        offsets: which of the two places to read, ``text_offset`` or ``html_offset``. The latter
            is a place in the HTML file and is never checked against ``pages``.
        check_text: whether a value's own ``text`` must be that of its place. The scorer looks at
            places alone, and real submissions are careless with the text.

    Raises:
        InputError: a line is not a valid annotation, or its value lies on a page that is not
            among ``processed``.
    """
    file = read_annotation_file(path, pages=pages, offsets=offsets, check_text=check_text)
    values = file.values
    if processed is None:
        return Annotations(name, values)
    processed_ids = frozenset(read_page_ids(processed))
    for page_id in values:
        if page_id not in processed_ids:
            raise InputError.at(path, None, f"value on page {page_id!r}, not among {processed}")
    return Annotations(name, values, processed_ids)


def read_annotation_file(
    path: str | Path,
    *,
    pages: Mapping[str, Page] | None = None,
    offsets: Offsets = "text",
    check_text: bool = True,
) -> AnnotationFile:
    """The values, titles and entity types of a file of annotations.

    Arguments and errors as in :func:`read_annotations`.
    """
    path = Path(path)
    values: defaultdict[str, set[Span]] = defaultdict(set)
    titles: dict[str, str] = {}
    entity_types = set()
    without_place = 0

    # A file keeps a page's values together, so a few split pages are enough.
    @lru_cache(maxsize=16)
    def lines_of(page_id: str) -> list[str]:
        if pages is None or page_id not in pages:
            raise InputError(f"unknown page {page_id!r}; expected the id of one of the pages")
        return pages[page_id].lines

    for number, line in _text_lines(path):
        try:
            entry = _json_object(line)
            page_id = _page_id(entry)
            attribute = _text_of(entry, "attribute")
            if entry.get("title") is not None:
                titles[page_id] = str(entry["title"])
            if entry.get("ENE") is not None:
                entity_types.add(str(entry["ENE"]))
            place = entry.get(f"{offsets}_offset")
            if place is None:
                without_place += 1
                continue
            span = _span(attribute, place)
            if pages is not None and offsets == "text":
                text = place.get("text") if check_text else None
                _check_place(span, lines_of(page_id), text)
        except InputError as error:
            raise InputError.at(path, number, str(error)) from None
        values[page_id].add(span)
    return AnnotationFile(
        values={page_id: frozenset(spans) for page_id, spans in values.items()},
        titles=titles,
        entity_types=frozenset(entity_types),
        without_place=without_place,
    )


def read_submissions(
    folder: str | Path, category: str, pages: Mapping[str, Page] | None = None
) -> list[Annotations]:
    """All teams' submissions in a category, sorted by team.

    Args:
        folder: has a folder per team with ``<category>.json`` and, where the team did not process
            every page, ``<category>.processed.txt``. A team without the first did not take part.
        category: for example "Airport".
        pages: as in :func:`read_annotations`.

    Raises:
        InputError: no team took part, or a file cannot be read.
    """
    folder = Path(folder)
    submissions = []
    for path in sorted(folder.glob(f"*/{category}.json")):
        processed = path.with_name(f"{category}.processed.txt")
        submissions.append(
            read_annotations(
                path,
                name=path.parent.name,
                pages=pages,
                processed=processed if processed.exists() else None,
                check_text=False,
            )
        )
    if not submissions:
        raise InputError.at(folder, None, f"no submission; expected <team>/{category}.json")
    return submissions


# Submission


def write_submission(
    path: str | Path,
    values: Iterable[tuple[Page, Iterable[tuple[Span, float | None]]]],
    *,
    titles: Mapping[str, str] | None = None,
) -> None:
    """Writes a system's values as a submission; the file appears only when it is complete.

    Args:
        path: the JSON lines to write. An existing file is replaced, missing folders are made.
        values: page after page, the page and its spans, each with its score or None. Only one
            page at a time is held in memory.
        titles: page id → title, for example from :func:`read_annotation_file`. A page that is
            not there has its id as its title.

    Raises:
        InputError: the file cannot be written.
        ValueError: a span is empty or does not lie in its page, or a score is not finite.
    """
    titles = titles or {}
    with replacing(path) as file:
        for page, spans in values:
            lines = page.lines
            for span, score in spans:
                try:
                    _check_order(span)
                    _check_place(span, lines, None)
                except InputError as error:
                    raise ValueError(f"page {page.page_id!r}, {span}: {error}") from None
                entry: dict[str, Any] = {
                    "page_id": page.page_id,
                    "title": titles.get(page.page_id, page.page_id),
                    "attribute": span.attribute,
                    "text_offset": {
                        "start": {"line_id": span.start_line, "offset": span.start_offset},
                        "end": {"line_id": span.end_line, "offset": span.end_offset},
                        "text": span.text(lines),
                    },
                }
                if score is not None:
                    entry["score"] = round(float(score), 6)
                file.write(json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def replacing(path: str | Path) -> Iterator[TextIO]:
    """A text file that takes the place of ``path`` when the block ends without an error.

    Raises:
        InputError: there can be no such file.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _opening(path, "written"):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        file = temporary.open("w", encoding="utf-8", newline="\n")
    try:
        with file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


# One line of a file


@contextmanager
def _opening(path: Path, purpose: Literal["read", "written"] = "read") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError.at(path, None, f"cannot be {purpose}: {error.strerror}") from None


def _not_utf8(error: UnicodeDecodeError) -> str:
    byte = error.object[error.start]
    return f"not UTF-8: byte 0x{byte:02x} at position {error.start}"


def _text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1; a byte order mark is dropped."""
    with _opening(path):
        file = path.open("rb")
    with file:
        for number, line in enumerate(file, start=1):  # a binary file breaks at "\n" only
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise InputError.at(path, number, f"{_not_utf8(error)} of the line") from None
            if text.strip():
                yield number, text


def _json_object(text: str) -> dict[str, Any]:
    try:
        entry = json.loads(text)
    except ValueError as error:
        raise InputError(f"not JSON: {error}, in {_quote(text.strip())}") from None
    if not isinstance(entry, dict):
        raise InputError(f"expected an object with page_id and attribute, got {_quote(entry)}")
    return entry


def _page_id(entry: Mapping[str, Any]) -> str:
    value = _required(entry, "page_id")
    # Some systems write numbers; ids are compared as strings everywhere.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text_of(entry, "page_id")


def _text_of(entry: Mapping[str, Any], key: str) -> str:
    value = _required(entry, key)
    if not isinstance(value, str) or not value:
        raise InputError(f"{key}: expected a text that is not empty, got {_quote(value)}")
    return value


def _span(attribute: str, place: object) -> Span:
    """The span of an offset object; its start comes before its end."""
    start_line, start_offset = _point(place, "start")
    end_line, end_offset = _point(place, "end")
    span = Span(attribute, start_line, start_offset, end_line, end_offset)
    _check_order(span)
    return span


def _point(place: object, side: str) -> tuple[int, int]:
    point = _required(place, side)
    line, offset = _required(point, "line_id"), _required(point, "offset")
    for key, value in (("line_id", line), ("offset", offset)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise InputError(f"{side} {key}: expected a whole number from 0, got {_quote(value)}")
    return line, offset


def _check_order(span: Span) -> None:
    if (span.start_line, span.start_offset) >= (span.end_line, span.end_offset):
        raise InputError(
            f"expected the start before the end, got line {span.start_line} offset "
            f"{span.start_offset} to line {span.end_line} offset {span.end_offset}"
        )


def _check_place(span: Span, lines: list[str], text: object) -> None:
    """Checks that a span lies in a page's lines and, unless it is None, that it reads ``text``."""
    for side, line, offset in (
        ("start", span.start_line, span.start_offset),
        ("end", span.end_line, span.end_offset),
    ):
        if line >= len(lines):
            raise InputError(f"{side} line_id: the page has {len(lines)} lines, got {line}")
        if offset > len(lines[line]):
            length = len(lines[line])
            raise InputError(f"{side} offset: line {line} has {length} characters, got {offset}")
    if text is not None and text != span.text(lines):
        raise InputError(f"text {_quote(text)} is {_quote(span.text(lines))} in the page")


def _required(entry: object, key: str) -> Any:
    if not isinstance(entry, Mapping):
        raise InputError(f"expected an object with {key!r}, got {_quote(entry)}")
    if key not in entry:
        raise InputError(f"key {key!r} is missing in {_quote(entry)}")
    return entry[key]


def _quote(value: object, length: int = 80) -> str:
    """The value as written in JSON, cut to a readable length."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= length else text[: length - 1] + "…"
