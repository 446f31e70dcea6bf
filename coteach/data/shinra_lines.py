"""One line of SHINRA's files: what it must hold, and every way in which it may not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from coteach.data.defects import LineError
from coteach.data.files import not_utf8
from coteach.data.pages import Page
from coteach.errors import quote
from coteach.model.spans import Span

__all__ = [
    "Entry",
    "Offsets",
    "check_order",
    "check_place",
    "compare_text",
    "decoded",
    "entry_of",
    "has_lone_surrogate",
    "json_object",
    "lines_of",
    "parse_entry",
]

Offsets = Literal["text", "html"]

LIMIT = 2**31
"""No page has so many lines or characters; larger numbers are a mistake."""


class Entry(NamedTuple):
    """What a line says."""

    page_id: str
    title: str | None
    entity_type: str | None
    span: Span | None
    """None where the line has no place of the kind asked for."""
    text: object = None
    """What the line says stands at its place; None where it does not say."""


def decoded(line: bytes) -> str:
    """A line's characters; raise LineError where it is not UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LineError("not UTF-8", f"{not_utf8(error)} of the line") from None


def parse_entry(line: str, offsets: Offsets) -> Entry:
    """A line's value by its ``text_offset`` or ``html_offset``, not yet compared with the page.

    Raises:
        LineError: it is not JSON, lacks a key, or has a value of another type than expected.
    """
    return entry_of(json_object(line), offsets)


def entry_of(entry: Mapping[str, Any], offsets: Offsets) -> Entry:
    """The same of a line that is already parsed.

    Raises:
        LineError: it lacks a key, or has a value of another type than expected.
    """
    either = "pageid" if "pageid" in entry and "page_id" not in entry else "page_id"  # as in 2022
    page_id = _text_or_number(entry, either)
    attribute = _text(entry, "attribute")
    title = _text_or_number(entry, "title") if entry.get("title") not in (None, "") else None
    entity_type = _text_or_number(entry, "ENE") if entry.get("ENE") not in (None, "") else None
    place = entry.get(f"{offsets}_offset")
    if place is None:
        return Entry(page_id, title, entity_type, None)
    start_line, start_offset = _point(place, "start")
    end_line, end_offset = _point(place, "end")
    span = Span(attribute, start_line, start_offset, end_line, end_offset)
    check_order(span)
    return Entry(page_id, title, entity_type, span, place.get("text"))


def lines_of(pages: Mapping[str, Page]) -> Callable[[str], list[str]]:
    """A function that gives a page's lines by its id, and raises LineError for an unknown page.

    A file keeps a page's values together, so that a few pages are kept split.
    """

    @lru_cache(maxsize=16)
    def lines(page_id: str) -> list[str]:
        if page_id not in pages:
            message = f"unknown page {quote(page_id)}; expected the id of one of the pages"
            raise LineError("unknown page", message)
        return pages[page_id].lines

    return lines


def check_order(span: Span) -> None:
    """Raise LineError unless a span starts before it ends."""
    if (span.start_line, span.start_offset) >= (span.end_line, span.end_offset):
        raise LineError(
            "start not before end",
            f"expected the start before the end, got line {span.start_line} offset "
            f"{span.start_offset} to line {span.end_line} offset {span.end_offset}",
        )


def check_place(span: Span, lines: list[str]) -> None:
    """Raise LineError unless a span lies in a page's lines."""
    for side, line, offset in (
        ("start", span.start_line, span.start_offset),
        ("end", span.end_line, span.end_offset),
    ):
        if line >= len(lines):
            message = f"{side} line_id: the page has {len(lines)} lines, got {line}"
            raise LineError("outside of the page", message)
        if offset > len(lines[line]):
            length = len(lines[line])
            message = f"{side} offset: line {line} has {length} characters, got {offset}"
            raise LineError("outside of the page", message)


def compare_text(span: Span, lines: list[str], text: object) -> None:
    """Raise LineError unless ``text`` is what the page says at a span, or None."""
    if text is not None and text != span.text(lines):
        message = f"text {quote(text)} is {quote(span.text(lines))} in the page"
        raise LineError("text not that of the page", message)


def has_lone_surrogate(text: str) -> bool:
    """Whether a text holds half of a surrogate pair, which no file of UTF-8 can say."""
    return not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)


def json_object(line: str) -> dict[str, Any]:
    """A line's keys and values; raise LineError where it is no JSON object."""
    try:
        entry = _DECODER.decode(line)
    except LineError:
        raise
    except json.JSONDecodeError as error:
        reason = f"{error.msg.removesuffix(' at')} at character {error.pos + 1}"
        raise _not_json(reason, line) from None
    except ValueError:  # Python reads no whole number of more than some thousands of digits
        raise _not_json("a number of too many digits", line) from None
    except RecursionError:
        raise _not_json("nested too deeply", line) from None
    if not isinstance(entry, dict):
        message = f"expected an object with page_id and attribute, got {quote(entry)}"
        raise LineError("wrong type", message)
    return entry


def _not_json(reason: str, line: str) -> LineError:
    return LineError("not JSON", f"not JSON: {reason}, in {quote(line.strip())}")


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry = dict(pairs)
    if len(entry) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise LineError("not JSON", f"not JSON: key {quote(repeated)} stands twice in one object")
    return entry


def _no_constant(name: str) -> None:
    raise LineError("not JSON", f"not JSON: {name} is no value of JSON")


# Python's own reader would take NaN and Infinity, and the last of several values of one key.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_without_repeated_keys, parse_constant=_no_constant, strict=True
)


def _text_or_number(entry: Mapping[str, Any], key: str) -> str:
    value = _required(entry, key)
    # Some systems write page ids as numbers; they are compared as strings everywhere.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text(entry, key)


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = _required(entry, key)
    if not isinstance(value, str) or not value:
        message = f"{key}: expected a text that is not empty, got {quote(value)}"
        raise LineError("wrong type", message)
    if has_lone_surrogate(value):
        message = f"{key}: half of a surrogate pair is no character, in {quote(value)}"
        raise LineError("lone surrogate", message)
    return value


def _point(place: object, side: str) -> tuple[int, int]:
    point = _required(place, side)
    line, offset = _required(point, "line_id"), _required(point, "offset")
    for key, value in (("line_id", line), ("offset", offset)):
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < LIMIT:
            message = f"{side} {key}: expected a whole number from 0, got {quote(value)}"
            raise LineError("wrong type", message)
    return line, offset


def _required(entry: object, key: str) -> Any:
    if not isinstance(entry, Mapping):
        raise LineError("wrong type", f"expected an object with {key!r}, got {quote(entry)}")
    if key not in entry:
        raise LineError("key missing", f"key {key!r} is missing in {quote(entry)}")
    return entry[key]
