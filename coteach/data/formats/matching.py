"""What one file says about the documents of another: teams' files, whose texts may differ a bit."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

from coteach.data.formats.documents import Documents, Format, Token
from coteach.data.formats.losses import Losses
from coteach.data.formats.offsets import Offsets
from coteach.data.pages import Page
from coteach.errors import InputError, quote
from coteach.model.spans import Span

__all__ = ["Mover", "put_on", "read_known"]


def read_known(format: Format, path: Path, known: Documents, losses: Losses) -> Documents:
    """What a file says about known documents, on their texts.

    Raises:
        InputError: the file cannot be read, or speaks of other documents.
    """
    return put_on(format.read(path, losses, known), known, path, losses)


def put_on(found: Documents, known: Documents, path: Path, losses: Losses) -> Documents:
    """The same values at their places in the known texts.

    Pages are matched by id where ``found`` has ids of its own, otherwise by position. The two
    texts of a page may differ in white space (and so in tokens and lines), in nothing else.

    Args:
        found: what was read.
        known: the documents it speaks of, possibly more.
        path: of what was read, for errors.
        losses: is told of values that are white space only.

    Returns:
        The known pages that ``found`` has, with their known tokens if there are any.

    Raises:
        InputError: a page is not known, the numbers of pages differ, or two texts do.
    """
    if found.named:
        ids = {page_id: page_id for page_id in found.pages}
        unknown = [page_id for page_id in ids if page_id not in known.pages]
        if unknown:
            message = f"unknown page {quote(unknown[0])}; expected the id of one of the pages"
            raise InputError.at(path, None, message)
    elif len(found.pages) != len(known.pages):
        message = f"{len(found.pages)} pages without ids; expected {len(known.pages)}, one a page"
        raise InputError.at(path, None, message)
    else:
        ids = dict(zip(found.pages, known.pages, strict=True))
    pages, values, tokens = {}, {}, {}
    for page_id, known_id in ids.items():
        page = pages[known_id] = known.pages[known_id]
        try:
            move = Mover(found.pages[page_id], page)
        except InputError as error:
            raise InputError.at(path, None, f"page {quote(known_id)}: {error}") from None
        moved = set()
        for span in found.values.get(page_id, ()):
            its_place = move(span)
            if its_place is None:
                losses.add_value("white space only", found.pages[page_id], span)
            else:
                moved.add(its_place)
        values[known_id] = frozenset(moved)
        if known_id in known.tokens:
            tokens[known_id] = known.tokens[known_id]
        elif page_id in found.tokens:
            tokens[known_id] = _moved(found.tokens[page_id], move)
    return Documents(pages, values, tokens)


class Mover:
    """Moves spans from one text of a page to another that differs in white space only."""

    def __init__(self, source: Page, target: Page) -> None:
        """Compare the texts.

        Raises:
            InputError: their other characters differ.
        """
        self._same = source.text == target.text
        if self._same:
            return
        self._source, self._target = Offsets(source.text), Offsets(target.text)
        self._from = [i for i, character in enumerate(source.text) if not character.isspace()]
        self._to = [i for i, character in enumerate(target.text) if not character.isspace()]
        found = "".join(source.text[i] for i in self._from)
        known = "".join(target.text[i] for i in self._to)
        if found != known:
            common = next(
                (i for i, (a, b) in enumerate(zip(found, known, strict=False)) if a != b),
                min(len(found), len(known)),
            )
            raise InputError(
                f"its text is not that of the known page: {quote(found[common : common + 20])} "
                f"in place of {quote(known[common : common + 20])} after "
                f"{quote(known[max(common - 10, 0) : common])}"
            )

    def __call__(self, span: Span) -> Span | None:
        """The span's place in the target, without white space at its ends; None if it has no more.

        Where the two texts are the same, so is the span.
        """
        if self._same:
            return span
        start, end = self._source.bounds(span)
        first, stop = bisect_left(self._from, start), bisect_left(self._from, end)
        if first >= stop:
            return None
        return self._target.span(span.attribute, self._to[first], self._to[stop - 1] + 1)


def _moved(tokens: Sequence[Token], move: Mover) -> list[Token]:
    """Tokens on the other text; one that a line break cuts is left out."""
    spans = (move(Span("", line, start, line, end)) for line, start, end in tokens)
    return [
        Token(span.start_line, span.start_offset, span.end_offset)
        for span in spans
        if span is not None and span.start_line == span.end_line
    ]
