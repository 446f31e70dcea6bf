"""The vote of several systems, the simplest ensemble and the baseline of every learnt one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from coteach.data.pages import Annotations

__all__ = ["vote"]


def vote(sources: Sequence[Annotations], minimum: int, pages: Iterable[str]) -> Annotations:
    """Keeps the spans that at least ``minimum`` sources have exactly.

    Args:
        sources: the systems. One that did not process a page has no vote there, which does not
            lower the number of votes needed.
        minimum: votes needed, from 1 (the union) to the number of sources (the intersection).
        pages: ids of the pages to vote on; the vote says nothing about others.

    Returns:
        Annotations named ``vote>=minimum``; pages on which nothing is kept have no entry.

    Raises:
        ValueError: ``minimum`` is out of range.
    """
    if not 1 <= minimum <= len(sources):
        raise ValueError(f"minimum: expected 1 to {len(sources)} (the sources), got {minimum}")
    values = {}
    processed = frozenset(pages)
    for page_id in sorted(processed):
        votes = Counter(span for source in sources for span in source.on(page_id) or ())
        kept = frozenset(span for span, count in votes.items() if count >= minimum)
        if kept:
            values[page_id] = kept
    return Annotations(f"vote>={minimum}", values, processed)
