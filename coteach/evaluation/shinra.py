"""SHINRA's score: exact spans per page and attribute, micro and macro precision, recall and F1.

The definition is that of the shared task's own scorer (k141303/shinra_jp_scorer, 2019 and 2020):

* A value is right when page, attribute, start and end are those of a gold value. The text is
  never compared, and a value given twice counts once.
* The attributes are those of the whole gold; a system's values of others are ignored.
* Unless the pages are given, they are those that have a gold value: what a system says on other
  pages costs nothing. With pages given, every value on them counts.
* The micro-average is taken from the summed counts, the macro-average is the mean of the
  attributes' precision, recall and F1, each on its own.
* Attribute names are compared in their full-width form, after a few renames per entity type.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from coteach.model.spans import Span

__all__ = ["Average", "Counts", "Score", "attribute_name", "page_counts", "score", "total"]

_FULL_WIDTH = {code: code + 0xFEE0 for code in range(ord("!"), ord("~") + 1)}

# Entity type → attribute → its name in the score; None takes the attribute out of the score.
_RENAMES: Mapping[str, Mapping[str, str | None]] = {
    "1.1": {"職業": "地位職業"},
    "1.6.4.2": {"軍備": None},
    "1.6.4.15": {"閉館年": "閉園年"},
    "1.6.6.0": {"停車場名": "停車場"},
}


@dataclass(frozen=True)
class Counts:
    """How many values are right, how many the system gave and how many the gold has."""

    true_positives: int
    predicted: int
    gold: int

    @property
    def precision(self) -> float:
        """The share of the system's values that are right; 0 where it gave none."""
        return self.true_positives / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """The share of the gold values that the system found; 0 where there are none."""
        return self.true_positives / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 0 where there is no value at all."""
        values = self.predicted + self.gold
        return 2 * self.true_positives / values if values else 0.0


def total(counts: Iterable[Counts]) -> Counts:
    """The counts together: those of the micro-average."""
    every = list(counts)
    return Counts(
        sum(it.true_positives for it in every),
        sum(it.predicted for it in every),
        sum(it.gold for it in every),
    )


@dataclass(frozen=True)
class Average:
    """Means of precision, recall and F1, each taken on its own."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Score:
    """A system's score: over all values, over attributes, and attribute by attribute (sorted)."""

    micro: Counts
    macro: Average
    attributes: Mapping[str, Counts]


def score(
    gold: Mapping[str, Collection[Span]],
    system: Mapping[str, Collection[Span]],
    *,
    pages: Collection[str] | None = None,
    attributes: Collection[str] | None = None,
    entity_type: str | None = None,
) -> Score:
    """Scores a system against the gold.

    Args:
        gold: page id → gold spans.
        system: page id → the system's spans.
        pages: ids of the pages to score, with or without gold. Default: those with a gold value,
            the shared task's rule.
        attributes: the attributes to score. Default: all of the gold, on whatever page.
        entity_type: the category's ENE id, which decides the renames. Default: no renames.

    Returns:
        The score. Its attributes have their full-width names.
    """
    names = _scored_attributes(gold, attributes, entity_type)
    true_positives: Counter[str] = Counter()
    predicted: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    for answers, results in _by_page(gold, system, pages, names, entity_type):
        true_positives.update(span.attribute for span in answers & results)
        predicted.update(span.attribute for span in results)
        wanted.update(span.attribute for span in answers)
    by_attribute = {
        name: Counts(true_positives[name], predicted[name], wanted[name]) for name in sorted(names)
    }
    return Score(
        micro=Counts(true_positives.total(), predicted.total(), wanted.total()),
        macro=Average(
            precision=_mean([counts.precision for counts in by_attribute.values()]),
            recall=_mean([counts.recall for counts in by_attribute.values()]),
            f1=_mean([counts.f1 for counts in by_attribute.values()]),
        ),
        attributes=by_attribute,
    )


def page_counts(
    gold: Mapping[str, Collection[Span]],
    system: Mapping[str, Collection[Span]],
    *,
    pages: Collection[str] | None = None,
    attributes: Collection[str] | None = None,
    entity_type: str | None = None,
) -> np.ndarray:
    """The counts behind the micro-average page by page, as the page bootstrap wants them.

    Arguments as in :func:`score`.

    Returns:
        int64, shape (pages, 3): true positives, predicted and gold values of each page, in the
        order of ``pages`` (of the gold's pages where it is None), the same for every system.
    """
    names = _scored_attributes(gold, attributes, entity_type)
    rows = [
        (len(answers & results), len(results), len(answers))
        for answers, results in _by_page(gold, system, pages, names, entity_type)
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


@cache
def attribute_name(name: str, entity_type: str | None = None) -> str | None:
    """The name under which an attribute is scored, None where it is not scored at all."""
    full_width = name.translate(_FULL_WIDTH)
    return _RENAMES.get(entity_type or "", {}).get(full_width, full_width)


def _scored_attributes(
    gold: Mapping[str, Collection[Span]],
    attributes: Collection[str] | None,
    entity_type: str | None,
) -> set[str]:
    if attributes is None:
        attributes = {span.attribute for spans in gold.values() for span in spans}
    names = {attribute_name(attribute, entity_type) for attribute in attributes}
    return {name for name in names if name is not None}


def _by_page(
    gold: Mapping[str, Collection[Span]],
    system: Mapping[str, Collection[Span]],
    pages: Collection[str] | None,
    names: Collection[str],
    entity_type: str | None,
) -> Iterator[tuple[frozenset[Span], frozenset[Span]]]:
    """The gold's and the system's spans of the scored attributes, page by page."""
    if pages is None:
        pages = [page_id for page_id, spans in gold.items() if spans]
    for page_id in dict.fromkeys(pages):
        yield (
            _renamed(gold.get(page_id, ()), names, entity_type),
            _renamed(system.get(page_id, ()), names, entity_type),
        )


def _renamed(
    spans: Collection[Span], names: Collection[str], entity_type: str | None
) -> frozenset[Span]:
    return frozenset(
        span._replace(attribute=name)
        for span in spans
        if (name := attribute_name(span.attribute, entity_type)) in names and name is not None
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
