"""Records of a text with its values, as annotation tools and data sets write them in JSON.

A value is an object or a list; each of these is understood::

    {"start": 0, "end": 3, "label": "城名"}                  Prodigy, spaCy
    {"start_offset": 0, "end_offset": 3, "label": "城名"}    doccano
    {"span": [0, 3], "type": "城名", "name": "青葉城"}       Stockmark's data set
    [0, 3, "城名"]                                           doccano, spaCy

Offsets count code points of the whole text, and the end is exclusive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from coteach.data.formats.documents import Documents
from coteach.data.formats.losses import Losses
from coteach.data.formats.offsets import Offsets
from coteach.data.pages import Page
from coteach.data.shinra_lines import has_lone_surrogate
from coteach.errors import InputError, quote
from coteach.model.spans import Span

__all__ = ["VALUE_KEYS", "Record", "parse_record", "record_of"]

VALUE_KEYS = ("spans", "entities", "labels", "label")
"""Where a record's values may be; the first that is there counts."""


class Record(NamedTuple):
    """A text with its values."""

    page_id: str | None
    text: str
    spans: frozenset[Span]


def parse_record(
    entry: object,
    losses: Losses,
    *,
    id_key: str = "id",
    text_key: str = "text",
    known: Documents | None = None,
) -> Record:
    """A record as it stands in a file.

    Args:
        entry: an object, or spaCy's pair of a text and an object.
        losses: is told of relations and repeated values.
        id_key: of the page's id, a text or a number; it may be missing.
        text_key: of the text; a record about a known page may be without.
        known: the pages that records may speak of.

    Raises:
        InputError: a key is missing or has a wrong value, or a value is not within the text.
    """
    if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], Mapping):
        entry = {text_key: entry[0], **entry[1]}
    if not isinstance(entry, Mapping):
        raise InputError(f"expected an object with {text_key!r}, got {quote(entry)}")
    page_id = entry.get(id_key)
    if isinstance(page_id, int) and not isinstance(page_id, bool):
        page_id = str(page_id)
    if page_id is not None and (not isinstance(page_id, str) or not page_id or "\n" in page_id):
        raise InputError(f"{id_key}: expected a number or a text, got {quote(page_id)}")
    text = entry.get(text_key)
    if text is None and known is not None and page_id is not None and page_id in known.pages:
        text = known.pages[page_id].text
    if not isinstance(text, str):
        raise InputError(f"{text_key}: expected a text, got {quote(text)}")
    if has_lone_surrogate(text) or has_lone_surrogate(page_id or ""):
        raise InputError(f"half of a surrogate pair is no character, in {quote(text)}")
    if entry.get("relations"):
        shown = f"{len(entry['relations'])} in {quote(text, 30)}"
        losses.add("relation, event, attribute or note", shown, len(entry["relations"]))
    offsets = Offsets(text)
    spans: set[Span] = set()
    for value in _values(entry):
        span = _span(value, text, offsets)
        if span in spans:
            losses.add("repeated", quote(value, 40))
        spans.add(span)
    return Record(page_id, text, frozenset(spans))


def record_of(page: Page, spans: Iterable[Span]) -> dict[str, Any]:
    """A page as a record, in the form of Prodigy and spaCy; values in the order of the text."""
    offsets = Offsets(page.text)
    places = sorted((*offsets.bounds(span), span.attribute) for span in spans)
    values = [{"start": start, "end": end, "label": label} for start, end, label in places]
    return {"id": page.page_id, "text": page.text, "spans": values}


def _values(entry: Mapping[str, Any]) -> list[Any]:
    key = next((key for key in VALUE_KEYS if entry.get(key) is not None), None)
    if key is None:
        return []
    if not isinstance(entry[key], list):
        raise InputError(f"{key}: expected a list of values, got {quote(entry[key])}")
    return entry[key]


def _span(value: object, text: str, offsets: Offsets) -> Span:
    if isinstance(value, Mapping):
        start = value.get("start", value.get("start_offset"))
        end = value.get("end", value.get("end_offset"))
        if isinstance(value.get("span"), list) and len(value["span"]) == 2:
            start, end = value["span"]
        label = value.get("label", value.get("type"))
        its_text = value.get("text", value.get("name"))
    elif isinstance(value, list) and len(value) == 3:
        start, end, label = value
        its_text = None
    else:
        raise InputError(f"expected a value such as [0, 3, label], got {quote(value)}")
    for number in (start, end):
        if not isinstance(number, int) or isinstance(number, bool):
            raise InputError(f"expected whole numbers as start and end in {quote(value)}")
    if not isinstance(label, str) or not label or has_lone_surrogate(label):
        raise InputError(f"expected a label that is a text in {quote(value)}")
    span = offsets.span(label, start, end)
    if its_text not in (None, text[start:end]):
        raise InputError(f"text {quote(its_text)} is {quote(text[start:end])} in the page")
    return span
