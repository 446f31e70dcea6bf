"""SHINRA's files of values: annotations, the teams' submissions, and our own submission.

They are JSON lines, one value a line::

    {"page_id": "678416", "title": "…", "ENE": "1.6.5.3", "attribute": "別名",
     "text_offset": {"start": {"line_id": 65, "offset": 67}, "end": {"line_id": 65, "offset": 102},
                     "text": "Queen Beatrix International Airport"},
     "html_offset": {…}}

Lines and offsets count from 0, offsets in code points within the line, and the end is exclusive
(the data of the 2019 shared task and its scorer, k141303/shinra_jp_scorer).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coteach.data.defects import Defects, LineError
from coteach.data.files import byte_lines, replacing
from coteach.data.page_folder import read_page_ids
from coteach.data.pages import Annotations, Page
from coteach.data.shinra_lines import (
    Entry,
    Offsets,
    check_order,
    check_place,
    compare_text,
    decoded,
    lines_of,
    parse_entry,
)
from coteach.data.store import hold_values, store_values
from coteach.errors import InputError, quote
from coteach.model.spans import Span

__all__ = [
    "AnnotationFile",
    "read_annotation_file",
    "read_annotations",
    "read_gold",
    "read_submissions",
    "write_submission",
]


@dataclass(frozen=True)
class AnnotationFile:
    """All that a file of annotations says.

    Attributes:
        values: page id → its distinct spans, pages in the order of the file.
        titles: page id → title, where the file gives one.
        entity_types: the distinct ``ENE`` ids, for example {"1.6.5.3"} for airports.
        without_place: number of lines that have no place of the kind asked for. In the data of
            2020 and later these are the "generic term" flags, which mark no characters.
        repeated: number of lines that give a value once more.
    """

    values: Mapping[str, frozenset[Span]]
    titles: Mapping[str, str]
    entity_types: frozenset[str]
    without_place: int
    repeated: int = 0


def read_annotations(
    path: str | Path,
    *,
    name: str,
    pages: Mapping[str, Page] | None = None,
    processed: str | Path | None = None,
    offsets: Offsets = "text",
    check_text: bool = True,
    defects: Defects | None = None,
    cache: Path | None = None,
) -> Annotations:
    """What the source ``name`` says, from its file of annotations.

    A file without any line says that nothing was found.

    Args:
        path: JSON lines, one value a line. Repeated values count once; lines without a place say
            nothing (:func:`read_annotation_file` counts both).
        name: the source's name, for example a team's id.
        pages: the pages; with them, places and texts are checked against the page's own text.
        processed: a file of the ids of the pages that the source processed, one a line. Default:
            it processed every page.
        offsets: which of the two places to read, ``text_offset`` or ``html_offset``. The latter
            is a place in the HTML file and is never checked against ``pages``.
        check_text: whether a value's own ``text`` must be that of its place. The scorer looks at
            places alone, and real submissions are careless with the text: without the check
            such lines are used, and counted.
        defects: counts what is wrong or remarkable and, unless it says otherwise, has the lines
            that cannot be used left out. Default: the first of them is an error.
        cache: a folder to keep the values in, which may be more than memory holds. Default: they
            are held in memory.

    Raises:
        InputError: the file cannot be read, a line is not a valid annotation or its value lies
            on a page that is not among ``processed``, or there are lines and none gives a value.
    """
    processed_ids = None if processed is None else frozenset(read_page_ids(processed))
    file = _read(
        Path(path),
        pages=pages,
        listed=None if processed_ids is None else (processed_ids, str(processed)),
        offsets=offsets,
        check_text=check_text,
        defects=defects,
        cache=cache,
    )
    return Annotations(name, file.values, processed_ids)


def read_annotation_file(
    path: str | Path,
    *,
    pages: Mapping[str, Page] | None = None,
    offsets: Offsets = "text",
    check_text: bool = True,
    defects: Defects | None = None,
) -> AnnotationFile:
    """The values, titles and entity types of a file of annotations.

    Arguments and errors as in :func:`read_annotations`.
    """
    return _read(Path(path), pages=pages, offsets=offsets, check_text=check_text, defects=defects)


def read_gold(
    path: str | Path,
    *,
    pages: Mapping[str, Page] | None = None,
    split: Collection[str] | None = None,
    offsets: Offsets = "text",
    defects: Defects | None = None,
) -> AnnotationFile:
    """A file of annotations that has a value, and whose lines are all of one category.

    Args:
        path: as the other arguments, as in :func:`read_annotations`.
        split: ids of the only pages that may have a value. Default: all pages.

    Raises:
        InputError: as there; the file has no value, or lines name different ``ENE`` ids. Where
            bad lines are left out, these are the lines that do not name the commonest one.
    """
    file = _read(
        Path(path),
        pages=pages,
        listed=None if split is None else (frozenset(split), "the pages of its split"),
        offsets=offsets,
        one_entity_type=True,
        defects=defects,
    )
    if not file.values:
        raise InputError.at(path, None, "no annotation here; expected the gold")
    return file


def read_submissions(
    folder: str | Path,
    category: str,
    pages: Mapping[str, Page] | None = None,
    defects: Defects | None = None,
    cache: Path | None = None,
) -> list[Annotations]:
    """All teams' submissions in a category, sorted by team.

    Args:
        folder: has a folder per team with ``<category>.json`` and, where the team did not process
            every page, ``<category>.processed.txt``. A team without the first did not take part;
            a team whose file is empty found nothing.
        category: for example "Airport".
        pages: as in :func:`read_annotations`.
        defects: as in :func:`read_annotations`.
        cache: as in :func:`read_annotations`.

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
                defects=defects,
                cache=cache,
            )
        )
    if not submissions:
        raise InputError.at(folder, None, f"no submission; expected <team>/{category}.json")
    return submissions


def _read(
    path: Path,
    *,
    pages: Mapping[str, Page] | None = None,
    listed: tuple[Collection[str], str] | None = None,
    offsets: Offsets = "text",
    check_text: bool = True,
    one_entity_type: bool = False,
    defects: Defects | None = None,
    cache: Path | None = None,
) -> AnnotationFile:
    defects = defects or Defects("stop")
    entries = _entries(path, pages, listed, offsets, check_text, defects)
    if one_entity_type:
        entries = _of_one_entity_type(path, entries, defects)
    titles: dict[str, str] = {}
    entity_types = set()
    without_place = placed = 0

    def spans() -> Iterator[tuple[str, Span]]:
        nonlocal without_place, placed
        for _, entry in entries:
            if entry.title is not None and cache is None:
                titles[entry.page_id] = entry.title
            if entry.entity_type is not None:
                entity_types.add(entry.entity_type)
            if entry.span is None:
                without_place += 1
            else:
                placed += 1
                yield entry.page_id, entry.span

    values, distinct = hold_values(spans()) if cache is None else store_values(path, spans(), cache)
    repeated = placed - distinct
    defects.note(path, "repeated", repeated)
    defects.note(path, "without a place", without_place)
    if not values and defects.lines[str(path)]:
        message = f"no line gives a value: {without_place} without {offsets}_offset"
        raise InputError.at(path, None, f"{message}, {defects.skipped_in_words(path)}")
    return AnnotationFile(
        values=values,
        titles=titles,
        entity_types=frozenset(entity_types),
        without_place=without_place,
        repeated=repeated,
    )


def _entries(
    path: Path,
    pages: Mapping[str, Page] | None,
    listed: tuple[Collection[str], str] | None,
    offsets: Offsets,
    check_text: bool,
    defects: Defects,
) -> Iterator[tuple[int, Entry]]:
    """The lines that can be used, with their numbers.

    ``listed`` are the only pages that may have a value, and the words for them.
    """

    page_lines = None if pages is None or offsets == "html" else lines_of(pages)
    for number, line in byte_lines(path):
        defects.lines[str(path)] += 1
        try:
            entry = parse_entry(decoded(line), offsets)
            if entry.span is not None:
                if listed is not None and entry.page_id not in listed[0]:
                    message = f"value on page {quote(entry.page_id)}, not among {listed[1]}"
                    raise LineError("page not listed", message)
                if page_lines is not None:
                    lines = page_lines(entry.page_id)
                    check_place(entry.span, lines)
                    if check_text:
                        compare_text(entry.span, lines, entry.text)
                    elif entry.text not in (None, entry.span.text(lines)):
                        defects.note(path, "with a text not that of the page")
        except LineError as error:
            defects.skip(path, number, error)
        else:
            yield number, entry


def _of_one_entity_type(
    path: Path, entries: Iterable[tuple[int, Entry]], defects: Defects
) -> Iterator[tuple[int, Entry]]:
    """The lines of the commonest entity type, and those that name none."""
    entries = list(entries)
    counts = Counter(entry.entity_type for _, entry in entries if entry.entity_type is not None)
    commonest = counts.most_common(1)[0][0] if counts else None
    for number, entry in entries:
        if entry.entity_type in (None, commonest):
            yield number, entry
        else:
            found = f"{quote(entry.entity_type)}, elsewhere {quote(commonest)}"
            message = f"expected one ENE, that of the category, got {found}"
            defects.skip(path, number, LineError("another ENE", message))


def write_submission(
    path: str | Path,
    values: Iterable[tuple[Page, Iterable[tuple[Span, float | None]]]],
    *,
    titles: Mapping[str, str] | None = None,
    offsets: Offsets = "text",
) -> None:
    """Writes a system's values as a submission; the file appears only when it is complete.

    Args:
        path: the JSON lines to write. An existing file is replaced, missing folders are made.
        values: page after page, the page and its spans, each with its score or None. Only one
            page at a time is held in memory.
        titles: page id → title, for example from :func:`read_annotation_file`. A page that is
            not there has its id as its title.
        offsets: what the pages are, and so which place is written: plain text with
            ``text_offset``, or raw HTML with ``html_offset``.

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
                    check_order(span)
                    check_place(span, lines)
                except LineError as error:
                    raise ValueError(f"page {page.page_id!r}, {span}: {error}") from None
                entry: dict[str, Any] = {
                    "page_id": page.page_id,
                    "title": titles.get(page.page_id, page.page_id),
                    "attribute": span.attribute,
                    f"{offsets}_offset": {
                        "start": {"line_id": span.start_line, "offset": span.start_offset},
                        "end": {"line_id": span.end_line, "offset": span.end_offset},
                        "text": span.text(lines),
                    },
                }
                if score is not None:
                    entry["score"] = round(float(score), 6)
                file.write(json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n")
