"""Tag sequences in IOB1, IOB2 and IOBES: read as conlleval reads them, written as they should be.

A tag is "O" or a prefix and a name, "B-人名". In IOB1 a chunk opens with I, and with B only where
it directly follows one of the same name (Ramshaw and Marcus, 1995); in IOB2 every chunk opens with
B; in IOBES (also called BIOES) its last token is E, and a chunk of one token is S.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from coteach.errors import InputError, quote

__all__ = ["Chunk", "Scheme", "check_tag", "decode", "detect", "encode", "invalid"]

Scheme = Literal["IOB1", "IOB2", "IOBES"]


class Chunk(NamedTuple):
    """Tokens of one value: ``stop`` is exclusive."""

    name: str
    start: int
    stop: int


def check_tag(tag: str) -> str:
    """Return ``tag``; raise InputError unless it is "O" or one of B, I, E, S with a name."""
    if tag != "O" and (tag[:2] not in ("B-", "I-", "E-", "S-") or len(tag) < 3):
        raise InputError(f"expected a tag such as O, B-人名 or I-人名, got {quote(tag)}")
    return tag


def decode(tags: Iterable[str]) -> list[Chunk]:
    """The chunks of a sentence in any of the schemes, valid or not, as conlleval counts them.

    A chunk goes on while I or E follow B or I of the same name; anything else ends it, and any
    tag but O that does not go on opens one (conlleval.pl of the CoNLL-2000 shared task).
    """
    chunks = []
    start, previous, name = 0, "O", ""
    for position, tag in enumerate([*tags, "O"]):
        prefix, its_name = tag[:1], tag[2:]
        if previous in "BI" and prefix in "IE" and its_name == name:
            previous = prefix
            continue
        if previous != "O":
            chunks.append(Chunk(name, start, position))
        start, previous, name = position, prefix, its_name
    return chunks


def encode(chunks: Iterable[Chunk], length: int, scheme: Scheme) -> list[str]:
    """The tags of a sentence of ``length`` tokens; no two chunks may overlap."""
    tags = ["O"] * length
    for name, start, stop in sorted(chunks, key=lambda chunk: chunk.start):
        prefixes = ["B"] + ["I"] * (stop - start - 1)
        if scheme == "IOBES":
            prefixes[-1] = "S" if len(prefixes) == 1 else "E"
        elif scheme == "IOB1" and (start == 0 or tags[start - 1][2:] != name):
            prefixes[0] = "I"
        tags[start:stop] = [f"{prefix}-{name}" for prefix in prefixes]
    return tags


def invalid(tags: Sequence[str], scheme: Scheme) -> list[int]:
    """Positions whose tag the scheme does not allow after the one before, or not at the end."""
    return [
        position
        for position, (before, tag) in enumerate(_pairs(tags))
        if not _allowed(before, tag, scheme)
    ]


def detect(sentences: Iterable[Sequence[str]]) -> Scheme:
    """The scheme of a file's sentences.

    E or S: IOBES. Otherwise what opens the chunks decides: I more often than B, IOB1.
    """
    balance = 0
    for tags in sentences:
        for before, tag in _pairs(tags):
            if tag[0] in "ES":
                return "IOBES"
            if before[2:] != tag[2:]:
                balance += {"B": 1, "I": -1}.get(tag[0], 0)
    return "IOB1" if balance < 0 else "IOB2"


def _pairs(tags: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Each tag with the one before it, and a last O after all of them."""
    return zip(["O", *tags], [*tags, "O"], strict=True)


def _allowed(before: str, tag: str, scheme: Scheme) -> bool:
    same = before[2:] == tag[2:]
    if scheme == "IOBES":
        # A chunk that B or I leaves open must go on; nothing else can.
        return same and tag[0] in "IE" if before[0] in "BI" else tag[0] in "OBS"
    if tag[0] == "O" or tag[0] in "ES":
        return tag[0] == "O"
    return tag[0] == "I" or (same and before != "O") if scheme == "IOB1" else tag[0] == "B" or same
