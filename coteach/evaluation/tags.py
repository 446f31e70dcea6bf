"""Figures on tags instead of spans: seqeval's strict IOB2, for tags kept per attribute."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from coteach.evaluation.shinra import Counts
from coteach.model.alignment import Tokens
from coteach.model.iob2 import BEGIN, INSIDE, OUTSIDE, Locator, encode, fill
from coteach.model.spans import Span

__all__ = ["tag_counts", "tags_of"]


def tags_of(spans: Iterable[Span], tokens: Tokens, attributes: Sequence[str]) -> np.ndarray:
    """The tags that spans give the tokens of a page: (tokens, attributes), O=0, B=1, I=2."""
    tags = np.zeros((len(tokens), len(attributes)), dtype=np.int8)
    fill(tags, encode(spans, Locator(tokens), attributes)[0])
    return tags


def tag_counts(gold: Sequence[np.ndarray], predicted: Sequence[np.ndarray]) -> Counts:
    """Counts the entities of tag sequences as seqeval's ``mode="strict", scheme=IOB2`` does.

    An entity is a B and the I that follow it, of one attribute; an I that follows no B or I is no
    entity. Two entities are the same when page, attribute, first and last token agree. Precision,
    recall and F1 of the counts are seqeval's micro-averages with the attributes as types.

    Args:
        gold: an array per page, integers, shape (tokens, attributes), O=0, B=1, I=2.
        predicted: the same pages in the same order and shapes.

    Raises:
        ValueError: the shapes differ, or a tag is none of the three.
    """
    true_positives = in_prediction = in_gold = 0
    for number, (answers, results) in enumerate(zip(gold, predicted, strict=True)):
        if answers.shape != results.shape or answers.ndim != 2:
            raise ValueError(
                f"page {number}: expected gold and predicted tags of one shape (tokens, "
                f"attributes), got {answers.shape} and {results.shape}"
            )
        gold_starts, gold_ends = _entities(answers)
        starts, ends = _entities(results)
        _, in_both, also = np.intersect1d(
            gold_starts, starts, assume_unique=True, return_indices=True
        )
        true_positives += int(np.count_nonzero(gold_ends[in_both] == ends[also]))
        in_prediction += len(starts)
        in_gold += len(gold_starts)
    return Counts(true_positives, in_prediction, in_gold)


def _entities(tags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and one past the last token of each entity, as positions in one long sequence.

    The attributes' sequences stand one after the other, an O after each, so that no entity runs
    from one attribute into the next.
    """
    if tags.size and not np.isin(tags, (OUTSIDE, BEGIN, INSIDE)).all():
        raise ValueError(f"expected tags O=0, B=1, I=2, got {sorted(set(tags.flat))}")
    sequence = np.pad(tags, ((0, 1), (0, 0)), constant_values=OUTSIDE).T.ravel()
    starts = np.flatnonzero(sequence == BEGIN)
    boundaries = np.flatnonzero(sequence != INSIDE)
    return starts, boundaries[np.searchsorted(boundaries, starts, side="right")]
