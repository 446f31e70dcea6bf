"""brat's stand-off files: a folder of ``<page_id>.txt``, each with its ``<page_id>.ann``.

::

    T1<TAB>城名 0 3<TAB>青葉城
    T2<TAB>築城者 10 12;13 15<TAB>伊達 政宗

Offsets count code points of the whole text. brat cuts a value at its line breaks, and so do we:
fragments that only white space with a line break parts are one value. Other fragments are not:
a value of ours has one start and one end. Only values are held; relations (R, *), events (E),
attributes (A, M), normalisations (N) and notes (#) are counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from coteach.data.formats.documents import (
    Documents,
    Format,
    all_lines,
    file_name,
    new_folder,
    progress,
)
from coteach.data.formats.losses import Losses
from coteach.data.formats.offsets import Offsets
from coteach.data.formats.tokens import one_word
from coteach.data.page_folder import list_page_ids, read_page
from coteach.data.pages import Page
from coteach.errors import InputError, quote
from coteach.model.spans import Span

__all__ = ["Brat"]

_VALUE = re.compile(r"T\S+\t(\S+) (\d+ \d+(?:;\d+ \d+)*)\t(.*)", re.DOTALL)
_OTHER = re.compile(r"[*REAMN#]\S*\t")


@dataclass(frozen=True)
class Brat(Format):
    """A folder of <page_id>.txt and <page_id>.ann, as the annotation tool brat keeps it.

    A page without .ann has no value. About known documents the .ann files alone are enough; a page
    without one was then not looked at.
    """

    def read(self, path: Path, losses: Losses, known: Documents | None = None) -> Documents:
        if not path.is_dir():
            raise InputError.at(path, None, "no such folder; expected <page_id>.txt and .ann")
        annotated = dict.fromkeys(sorted(file.stem for file in path.glob("*.ann")))
        own = {file.stem for file in path.glob("*.txt")}
        page_ids = list(annotated) if known is not None else list_page_ids(path)
        pages, values = {}, {}
        for page_id in progress(page_ids, "read"):
            if page_id in own:
                page = read_page(path / f"{page_id}.txt")
            elif known is not None and page_id in known.pages:
                page = known.pages[page_id]
            else:
                message = f"no text; expected {page_id}.txt beside it"
                raise InputError.at(path / f"{page_id}.ann", None, message)
            pages[page_id] = page
            if page_id in annotated:
                values[page_id] = _read_values(path / f"{page_id}.ann", page, losses)
        for page_id in annotated:
            if page_id not in pages:
                message = f"no text; expected {page_id}.txt beside it"
                raise InputError.at(path / f"{page_id}.ann", None, message)
        return Documents(pages, values)

    def write(self, path: Path, documents: Documents, losses: Losses) -> None:
        with new_folder(path) as folder:
            for page_id, page in progress(documents.pages.items(), "write", len(documents.pages)):
                name = file_name(page_id)
                (folder / f"{name}.txt").write_bytes(page.text.encode())
                lines = _written(page, documents.values, losses)
                (folder / f"{name}.ann").write_bytes("".join(lines).encode())


def _read_values(path: Path, page: Page, losses: Losses) -> frozenset[Span]:
    spans: set[Span] = set()
    offsets = Offsets(page.text)
    for number, line in all_lines(path):
        if not line.strip():
            continue
        match = _VALUE.fullmatch(line)
        if match is None:
            if not _OTHER.match(line):
                expected = "expected T<number>, a tab, a type with its offsets, a tab and the text"
                raise InputError.at(path, number, f"{expected}, got {quote(line)}")
            losses.add("relation, event, attribute or note", f"{path}:{number}: {quote(line, 40)}")
            continue
        attribute, places, text = match.groups()
        try:
            span = _span(attribute, places, text, page.text, offsets)
        except InputError as error:
            raise InputError.at(path, number, str(error)) from None
        if span is None:
            losses.add("discontinuous", f"{path}:{number}: {quote(line, 40)}")
        elif span in spans:
            losses.add("repeated", f"{path}:{number}: {quote(line, 40)}")
        else:
            spans.add(span)
    return frozenset(spans)


def _span(attribute: str, places: str, text: str, whole: str, offsets: Offsets) -> Span | None:
    """A line's value; None if it has a gap."""
    fragments = []
    for place in places.split(";"):
        start, end = map(int, place.split(" "))
        offsets.span(attribute, start, end)
        fragments.append((start, end))
    found = " ".join(whole[start:end] for start, end in fragments).replace("\n", " ")
    # The end of a value may be that of a line "\r\n", and then the end of ours has swallowed it.
    if text not in (found, found.removesuffix("\r")):
        raise InputError(f"text {quote(text)} is {quote(found)} in the page")
    for (_, end), (start, _) in pairwise(fragments):
        if start < end or whole[end:start].strip() or "\n" not in whole[end:start]:
            return None
    return offsets.span(attribute, fragments[0][0], fragments[-1][1])


def _written(page: Page, values: Mapping[str, frozenset[Span]], losses: Losses) -> list[str]:
    """The lines of a page's .ann, in the order of the text."""
    offsets = Offsets(page.text)
    lines: list[str] = []
    placed = [(offsets.bounds(span), span) for span in values.get(page.page_id, ())]
    for (start, end), span in sorted(placed):
        fragments = [
            (start + match.start(), start + match.end())
            for match in re.finditer(r"[^\n]+", page.text[start:end])
        ]
        if not fragments:
            losses.add_value("white space only", page, span)
            continue
        if (fragments[0][0], fragments[-1][1]) != (start, end):
            losses.add_value("trimmed of line breaks", page, span)
        places = ";".join(f"{first} {stop}" for first, stop in fragments)
        text = " ".join(page.text[first:stop] for first, stop in fragments)
        name = one_word(span.attribute, losses)
        lines.append(f"T{len(lines) + 1}\t{name} {places}\t{text}\n")
    return lines
