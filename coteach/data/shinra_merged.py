"""The organisers' merged form of a category: what all systems found, page by page.

``<Category>.json`` has one page a line, equal values of several systems being one::

    {"page_id": "678416", "result": {"別名": [
        {"text_offset": {"start": {"line_id": 65, "offset": 67}, …}, "html_offset": {…},
         "system": ["01", "07"]}, …]}}

Also read: one JSON document with a list of such pages, or an object page id → such a page.
"""

from __future__ import annotations

import codecs
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from coteach.data.defects import Defects, LineError
from coteach.data.files import whole
from coteach.data.pages import Page
from coteach.data.shinra_lines import (
    Offsets,
    check_place,
    decoded,
    entry_of,
    json_object,
    lines_of,
)
from coteach.errors import InputError, quote
from coteach.model.spans import Span

__all__ = ["read_merged"]


def read_merged(
    path: str | Path,
    *,
    pages: Mapping[str, Page] | None = None,
    offsets: Offsets = "text",
    defects: Defects | None = None,
) -> dict[str, dict[str, frozenset[Span]]]:
    """What every system found, sorted by system.

    Args:
        path: the merged file.
        pages: those that the places are compared with; by default none.
        offsets: which of the two places to read.
        defects: counts what is wrong, value by value, and may have such values left out. Default:
            the first of them is an error.

    Returns:
        System → page id → its distinct spans.

    Raises:
        InputError: the file cannot be read, a value is wrong, or no system has a value.
    """
    path = Path(path)
    defects = defects or Defects("stop")
    page_lines = None if pages is None else lines_of(pages)
    found: defaultdict[str, defaultdict[str, set[Span]]] = defaultdict(lambda: defaultdict(set))
    without_place = 0
    for number, values in _pages(path, defects):
        for value in values:
            defects.lines[str(path)] += 1
            try:
                entry = entry_of(value, offsets)
                systems = _systems(value.get("system"))
                if entry.span is None:
                    without_place += 1
                    continue
                if page_lines is not None:
                    check_place(entry.span, page_lines(entry.page_id))
            except LineError as error:
                defects.skip(path, number, error)
                continue
            for system in systems:
                found[system][entry.page_id].add(entry.span)
    defects.note(path, "without a place", without_place)
    if not found:
        raise InputError.at(
            path,
            None,
            f'no value; expected {{"page_id": …, "result": {{attribute: [{{"{offsets}_offset": …, '
            '"system": […]}]}}, one page a line',
        )
    return {
        system: {page_id: frozenset(spans) for page_id, spans in by_page.items()}
        for system, by_page in sorted(found.items())
    }


def _systems(value: object) -> list[str]:
    """The ids of the systems that gave a value; some files have them as numbers."""
    if isinstance(value, list) and value and all(isinstance(it, str | int) and it for it in value):
        return [str(system) for system in value]
    raise LineError(
        "wrong type", f"system: expected a list of the systems' ids, got {quote(value)}"
    )


def _pages(path: Path, defects: Defects) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """The values of each page, each as a line of annotations would have it, and the page's line."""
    lines = whole(path).removeprefix(codecs.BOM_UTF8).split(b"\n")
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    document = _document(b"\n".join(lines)) if len(numbered) else None
    for number, line in numbered if document is None else ():
        try:
            yield number, _values(json_object(decoded(line)))
        except LineError as error:
            defects.lines[str(path)] += 1
            defects.skip(path, number, error)
    for page in document or ():
        try:
            yield 1, _values(page)
        except LineError as error:
            defects.lines[str(path)] += 1
            defects.skip(path, 1, error)


def _document(content: bytes) -> list[Any] | None:
    """The pages of a file that is one JSON document; None where it has one page a line."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):  # a second line is "extra data"
        return None
    if isinstance(document, list):
        return document
    if isinstance(document, dict) and "result" not in document:
        return [
            {"page_id": page_id, **page} if isinstance(page, dict) else page
            for page_id, page in document.items()
        ]
    return [document]


def _values(page: Any) -> list[dict[str, Any]]:
    if not isinstance(page, dict) or not isinstance(page.get("result"), dict):
        message = f'expected an object with page_id and "result", got {quote(page)}'
        raise LineError("wrong type", message)
    owner = {key: page[key] for key in ("page_id", "pageid") if key in page}
    values = []
    for attribute, given in page["result"].items():
        if not isinstance(given, list) or not all(isinstance(value, dict) for value in given):
            message = f"{quote(attribute)}: expected a list of values, got {quote(given)}"
            raise LineError("wrong type", message)
        values += [{**value, **owner, "attribute": attribute} for value in given]
    return values
