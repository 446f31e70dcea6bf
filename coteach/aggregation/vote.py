"""The vote of several systems, the simplest ensemble and the baseline of every learnt one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from coteach.data.pages import Annotations
from coteach.data.sources import Split
from coteach.evaluation.shinra import Score, attribute_name, score
from coteach.model.spans import Span

__all__ = ["choose_minimum", "choose_minimums", "vote", "vote_per_attribute"]


def vote(sources: Sequence[Annotations], minimum: int, pages: Iterable[str]) -> Annotations:
    """Keeps the spans that at least ``minimum`` sources have exactly.

    Args:
        sources: the systems. One that did not process a page has no vote there, which does not
            lower the number of votes needed.
        minimum: votes needed, from 1 (the union) to the number of sources (the intersection).
        pages: ids of the pages to vote on; the vote says nothing about others, nor about those
            that no source processed.

    Returns:
        Annotations named ``vote>=minimum``; pages on which nothing is kept have no entry.

    Raises:
        ValueError: ``minimum`` is out of range.
    """
    _check(minimum, sources)
    return _vote(sources, f"vote>={minimum}", lambda span: minimum, pages)


def vote_per_attribute(
    sources: Sequence[Annotations], minimums: Mapping[str, int], pages: Iterable[str]
) -> Annotations:
    """The same with a number of votes for each attribute, for example ``choose_minimums``'.

    Args:
        sources: the systems, as in :func:`vote`.
        minimums: attribute → votes needed; values of other attributes are left out.
        pages: as in :func:`vote`.

    Returns:
        Annotations named ``vote_per_attribute``.

    Raises:
        ValueError: a minimum is out of range.
    """
    for minimum in minimums.values():
        _check(minimum, sources)
    never = len(sources) + 1
    return _vote(
        sources, "vote_per_attribute", lambda span: minimums.get(span.attribute, never), pages
    )


def choose_minimum(sources: Sequence[Annotations], split: Split) -> int:
    """The number of votes with the highest micro-F1 on a split; of equal ones the smallest."""
    scores = _scores(sources, split)
    return max(scores, key=lambda minimum: scores[minimum].micro.f1)


def choose_minimums(
    sources: Sequence[Annotations], split: Split, attributes: Sequence[str]
) -> dict[str, int]:
    """For each attribute the number of votes with the highest F1 on a split.

    Of equal ones it is the smallest. An attribute on which no vote is ever right there, or that
    is not scored, gets the number that is best over all attributes.

    Args:
        sources: the systems.
        split: the gold to choose by, that of dev.
        attributes: the attributes, as the systems spell them.
    """
    scores = _scores(sources, split)
    overall = max(scores, key=lambda minimum: scores[minimum].micro.f1)
    minimums = {}
    for attribute in attributes:
        name = attribute_name(attribute, split.entity_type) or ""
        f1s = {
            minimum: of_all.attributes[name].f1
            for minimum, of_all in scores.items()
            if name in of_all.attributes
        }
        best = max(f1s, key=f1s.__getitem__, default=overall)
        minimums[attribute] = best if f1s.get(best) else overall
    return minimums


def _scores(sources: Sequence[Annotations], split: Split) -> dict[int, Score]:
    """The score of every number of votes on a split."""
    return {
        minimum: score(
            split.gold.values,
            vote(sources, minimum, split.page_ids).values,
            pages=split.page_ids,
            entity_type=split.entity_type,
        )
        for minimum in range(1, len(sources) + 1)
    }


def _check(minimum: int, sources: Sequence[Annotations]) -> None:
    if not 1 <= minimum <= len(sources):
        raise ValueError(f"minimum: expected 1 to {len(sources)} (the sources), got {minimum}")


def _vote(
    sources: Sequence[Annotations],
    name: str,
    needed: Callable[[Span], int],
    pages: Iterable[str],
) -> Annotations:
    values = {}
    processed = set()
    for page_id in sorted(set(pages)):
        said = [spans for source in sources if (spans := source.on(page_id)) is not None]
        if not said:
            continue
        processed.add(page_id)
        votes = Counter(span for spans in said for span in spans)
        kept = frozenset(span for span, count in votes.items() if count >= needed(span))
        if kept:
            values[page_id] = kept
    return Annotations(name, values, frozenset(processed))
