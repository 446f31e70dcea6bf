"""Importance and attention of words, for the first pages of the reader's view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING

from coteach.highlighting.words import Word, levels
from coteach.reporting.page.content import ReadSet, Shade
from coteach.reporting.page.places import Places

if TYPE_CHECKING:
    from coteach.highlighting.blocks import Reading

__all__ = ["explained"]


def explained(read: ReadSet, count: int) -> ReadSet:
    """The set with two shades more a student: importance, by Integrated Gradients, of the words
    for all that it finds, and its attention in the layer that its head reads.

    Args:
        read: a set without shades.
        count: how many items to explain, the first ones.

    Raises:
        InputError: a student cannot be loaded, or its encoder gives no attention.
    """
    from tqdm.auto import tqdm

    from coteach.attending.reading import AttentionReader
    from coteach.explaining.importance import ImportanceReader
    from coteach.explaining.options import AttributionOptions
    from coteach.training.loading import load_student

    settings = AttributionOptions().settings()
    prepared = read.kind == "classification"  # the texts of a run's report
    darker = "The stronger the shade, the more, up to the heaviest word here. A word without"
    answer = "its class" if prepared else "all values that it finds"
    importance = (
        f"{darker} was not read, or weighs nothing. Integrated Gradients of {answer}, "
        f"{settings.nodes} nodes, baseline {settings.baseline}."
    )
    names = [system.name for system in read.systems if system.kind == "student"]
    texts = [item.text for item in read.items[:count]]
    shades: list[Shade] = []
    found: list[list[list[int] | None]] = [[] for _ in read.items]
    for name, run in zip(names, read.folders, strict=True):
        student, tokenizer = load_student(run)
        # Attention last: its reader changes how the encoder computes.
        reader = ImportanceReader(name, student, tokenizer, settings)
        of_importance = [
            _marks(text, reader(text, reader.answer(text)))
            for text in tqdm(texts, desc=f"importance: {name}", unit="text")
        ]
        attention = AttentionReader(name, student, tokenizer)
        of_attention = [
            _marks(text, attention(text, prepared))
            for text in tqdm(texts, desc=f"attention: {name}", unit="text")
        ]
        shades += [
            Shade(f"importance: {name}", importance),
            Shade(
                f"attention: {name}",
                f"{darker} was not read. Layer {attention.layer}, the mean of its heads.",
            ),
        ]
        for number, row in enumerate(found):
            row += [of[number] if number < count else None for of in (of_importance, of_attention)]
    items = [replace(it, shades=tuple(row)) for it, row in zip(read.items, found, strict=True)]
    total = min(count, len(items))
    note = f"Importance and attention are there for the first {total:,} of these."
    return replace(read, items=tuple(items), shades=tuple(shades), notes=(*read.notes, note))


def _marks(text: str, reading: Reading) -> list[int] | None:
    """Start, end and level of every word with a weight; None where the student read another text,
    which its preprocessing has changed."""
    words: Sequence[Word] = reading.words
    if "".join(word.text for word in words) != text:
        return None
    places = Places(text)
    ends = list(accumulate(len(word.text) for word in words))
    return [
        part
        for word, end, level in zip(words, ends, levels(words), strict=True)
        if level is not None
        for part in (places(end - len(word.text)), places(end), abs(level))
    ]
