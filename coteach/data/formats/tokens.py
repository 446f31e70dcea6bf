"""Values on tokens, for the formats that can say no more than that."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from coteach.data.formats.documents import Documents, Token
from coteach.data.formats.losses import Losses
from coteach.data.formats.tags import Chunk
from coteach.data.pages import Page
from coteach.errors import InputError
from coteach.model.spans import Span

__all__ = [
    "Cut",
    "chunks_by_line",
    "cutter",
    "joined",
    "one_word",
    "tokens_by_line",
    "without_overlaps",
]

Cut = Literal["mecab", "characters", "spaces"]
"""How pages that come without tokens are cut: MeCab's words (unidic-lite), characters, or
whatever stands between white space."""

_WORD = re.compile(r"\S+")
_CHARACTER = re.compile(r"\S")


def cutter(cut: Cut) -> Callable[[str], Iterator[tuple[int, int]]]:
    """A function that gives the start and end of every token of a line."""
    if cut != "mecab":
        pattern = _CHARACTER if cut == "characters" else _WORD
        return lambda line: (match.span() for match in pattern.finditer(line))
    from coteach.model.mecab import MecabWords, bundled_dictionary

    try:
        words = MecabWords(bundled_dictionary("unidic_lite"))
    except ValueError as error:
        raise InputError(str(error)) from None

    def cut_line(line: str) -> Iterator[tuple[int, int]]:
        position = 0
        for word in words(line):
            for match in _WORD.finditer(line, position, position + len(word)):
                yield match.span()
            position += len(word)

    return cut_line


def joined(
    page_id: str, sentences: Iterable[Sequence[str]], spaces: bool
) -> tuple[Page, list[list[Token]]]:
    """A page of sentences, one a line, and where their tokens stand."""
    joiner = " " if spaces else ""
    lines, tokens = [], []
    for number, words in enumerate(sentences):
        places, start = [], 0
        for word in words:
            places.append(Token(number, start, start + len(word)))
            start += len(word) + len(joiner)
        lines.append(joiner.join(words))
        tokens.append(places)
    return Page(page_id, "\n".join(lines)), tokens


def tokens_by_line(
    page: Page, documents: Documents, cut: Callable[[str], Iterator[tuple[int, int]]]
) -> list[list[tuple[int, int]]]:
    """Every line's tokens, each a start and an end: the page's own, or else those of ``cut``.

    Tokens hold no white space; those that do are split there.
    """
    lines = page.lines
    if page.page_id not in documents.tokens:
        return [list(cut(line)) for line in lines]
    tokens: list[list[tuple[int, int]]] = [[] for _ in lines]
    for line, start, end in documents.tokens[page.page_id]:
        tokens[line] += [match.span() for match in _WORD.finditer(lines[line], start, end)]
    return tokens


def chunks_by_line(
    page: Page,
    spans: Iterable[Span],
    tokens: Sequence[Sequence[tuple[int, int]]],
    losses: Losses,
) -> dict[int, list[Chunk]]:
    """The values that one tag a token can say: within a line, on whole tokens, without overlaps.

    Args:
        page: where they stand.
        spans: the values. Of two that share a token the earlier one stays, then the longer one.
        tokens: every line's tokens.
        losses: is told of values that are left out, and of those that grow to whole tokens.

    Returns:
        line → its chunks, whose names are the attributes, in reading order.
    """
    from coteach.model.alignment import Tokens
    from coteach.model.iob2 import Locator

    places = [Token(line, *place) for line, of in enumerate(tokens) for place in of]
    first_of_line = [0]
    for of in tokens:
        first_of_line.append(first_of_line[-1] + len(of))
    locate = Locator(
        Tokens(
            ids=[0] * len(places),
            lines=[token.line for token in places],
            starts=[token.start for token in places],
            ends=[token.end for token in places],
        )
    )
    chunks = defaultdict(list)
    found: list[tuple[Span, int, int, bool]] = []
    for span in spans:
        if span.start_line != span.end_line:
            losses.add_value("runs over several lines", page, span)
        elif (place := locate(span)) is None:
            losses.add_value("of no token", page, span)
        else:
            found.append((span, *place))
    stop_before = 0
    for span, start, stop, exact in sorted(found, key=lambda it: (it[1], -it[2], not it[3], it[0])):
        if start < stop_before:
            losses.add_value("overlaps another value", page, span)
            continue
        stop_before = stop
        if not exact:
            losses.add_value("grown to whole tokens", page, span)
        before = first_of_line[span.start_line]
        chunks[span.start_line].append(Chunk(span.attribute, start - before, stop - before))
    return chunks


def without_overlaps(page: Page, spans: Iterable[Span], losses: Losses) -> Iterator[Span]:
    """Spans within a line that do not overlap: the earlier, then the longer one stays."""
    stop = (0, 0)
    for span in sorted(spans, key=lambda it: (it[1:3], (-it[3], -it[4]), it[0])):
        if span.start_line != span.end_line:
            losses.add_value("runs over several lines", page, span)
        elif (span.start_line, span.start_offset) < stop:
            losses.add_value("overlaps another value", page, span)
        else:
            stop = (span.end_line, span.end_offset)
            yield span


def one_word(attribute: str, losses: Losses, forbidden: str = "") -> str:
    """An attribute without white space and other characters that part fields, each now "_"."""
    name = "".join("_" if it.isspace() or it in forbidden else it for it in attribute)
    if name != attribute:
        losses.add("attribute renamed", f"{attribute!r} → {name!r}")
    return name
