"""Tagged sentences of a file become values; a tag that the scheme forbids is counted or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from coteach.data.formats.documents import Token
from coteach.data.formats.losses import Losses
from coteach.data.formats.tags import Scheme, check_tag, decode, detect, invalid
from coteach.errors import InputError, quote
from coteach.model.spans import Span

__all__ = ["OnInvalid", "TaggedSentence", "values_of"]

OnInvalid = Literal["repair", "stop"]


class TaggedSentence(NamedTuple):
    """A sentence's tags; all three have one length."""

    tags: Sequence[str]
    tokens: Sequence[Token]
    """Their places in the page."""
    numbers: Sequence[int]
    """Their lines in the file."""


def values_of(
    sentences: Mapping[str, Sequence[TaggedSentence]],
    scheme: Literal["auto"] | Scheme,
    on_invalid: OnInvalid,
    path: Path,
    losses: Losses,
) -> dict[str, frozenset[Span]]:
    """The values of every page.

    Args:
        sentences: page id → its tagged sentences.
        scheme: of the tags; auto: the one that the file agrees with.
        on_invalid: what becomes of tags that the scheme does not allow where they stand: read as
            conlleval does and counted, or an error.
        path: the file, for errors.
        losses: is told of such tags.

    Raises:
        InputError: a tag is none, or not allowed.
    """
    for sentence in (it for of in sentences.values() for it in of):
        for number, tag in zip(sentence.numbers, sentence.tags, strict=True):
            try:
                check_tag(tag)
            except InputError as error:
                raise InputError.at(path, number, str(error)) from None
    if scheme == "auto":
        scheme = detect(sentence.tags for of in sentences.values() for sentence in of)
    values = {}
    for page_id, of in sentences.items():
        spans = set()
        for tags, tokens, numbers in of:
            for position in invalid(tags, scheme):
                found = tags[position] if position < len(tags) else "the sentence's end"
                before = tags[position - 1] if position else "the sentence's start"
                number = numbers[min(position, len(tags) - 1)]
                message = f"{scheme} does not allow {quote(found)} after {quote(before)}"
                if on_invalid == "stop":
                    raise InputError.at(path, number, message)
                losses.add("invalid tag repaired", f"{path}:{number}: {message}")
            for name, start, stop in decode(tags):
                first, last = tokens[start], tokens[stop - 1]
                spans.add(Span(name, first.line, first.start, last.line, last.end))
        values[page_id] = frozenset(spans)
    return values
