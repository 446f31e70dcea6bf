"""Dawid and Skene's model of who is right when several systems disagree, over whole spans.

Every span is right or wrong, unseen by us; a team finds a right one with one probability and a
wrong one with another (Dawid & Skene, Applied Statistics 1979, with two classes). Both are
estimated without gold, by crowd-kit's expectation maximisation.

The spans that we know of are those that somebody found. A model of these alone takes every team
for better than it is: nobody ever misses what nobody found. So for each span found there is one
imagined span, on a page of the same teams, that nobody found. On the dev pages of a shared task
with eight teams F1 is 75.1 with them and 67.1 without; with two for each it is 75.2, and with the
likelihood of what was found given that somebody did, which needs no such number, 75.1. (All before
overlapping spans are dropped, which takes 0.3.) One model for all attributes did better there than
one for each, by 0.5: there is more to learn from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from coteach.data.pages import Annotations
from coteach.model.spans import Span

__all__ = ["Candidates", "Reliability", "candidates", "dawid_skene", "reliability"]

_FOUND = 1  # the label of a find; a miss is 0. The same two stand for right and wrong.
_STEPS = 50  # of expectation maximisation; on eight teams' 32,000 spans 17 would do
_SMALLEST = 1e-6  # rates are kept away from 0 and 1: no single vote is proof


@dataclass(frozen=True)
class Candidates:
    """All spans that some source found.

    Attributes:
        spans: (page id, span), in the order of the pages, then of the spans.
        found: (spans, sources), 1 where the source found the span.
        processed: (spans, sources), 1 where the source processed the span's page.
    """

    spans: list[tuple[str, Span]]
    found: np.ndarray
    processed: np.ndarray


def candidates(
    sources: Sequence[Annotations], page_ids: Iterable[str], attributes: Collection[str]
) -> Candidates:
    """The candidates on some pages, of some attributes."""
    spans, found, processed = [], [], []
    for page_id in page_ids:
        said = [source.on(page_id) for source in sources]
        able = [values is not None for values in said]
        union = {s for values in said for s in values or () if s.attribute in attributes}
        for span in sorted(union):
            spans.append((page_id, span))
            found.append([span in (values or ()) for values in said])
            processed.append(able)
    shape = (-1, len(sources))
    return Candidates(
        spans,
        np.array(found, dtype=float).reshape(shape),
        np.array(processed, float).reshape(shape),
    )


@dataclass(frozen=True)
class Reliability:
    """How far each source is to be believed.

    Attributes:
        prior: the share of right ones among spans, found or imagined.
        recall: (sources,), how probable it is that a source finds a right span.
        false_rate: (sources,), how probable it is that it finds a wrong one.
    """

    prior: float
    recall: np.ndarray
    false_rate: np.ndarray

    def posterior(self, found: np.ndarray, processed: np.ndarray) -> np.ndarray:
        """The probability that each span is right, (spans,); arguments as in ``Candidates``."""
        logit = np.log(self.prior / (1 - self.prior)) + found @ np.log(
            self.recall / self.false_rate
        )
        missed = processed - found
        logit = logit + missed @ np.log((1 - self.recall) / (1 - self.false_rate))
        return 1 / (1 + np.exp(-np.clip(logit, -50, 50)))

    def expected_f1(self, known: Candidates) -> np.ndarray:
        """The F1 that each source would have if the model were right, (sources,)."""
        right = self.posterior(known.found, known.processed)
        unseen = self.posterior(np.zeros_like(known.found), known.processed)
        hits = right @ known.found
        possible = (right + unseen) @ known.processed
        return 2 * hits / np.maximum(known.found.sum(axis=0) + possible, _SMALLEST)


def reliability(known: Candidates) -> Reliability:
    """Fit the model to who found what.

    Raises:
        ModuleNotFoundError: crowd-kit is not installed.
        ValueError: nobody found anything.
    """
    import pandas as pd
    from crowdkit.aggregation import DawidSkene

    if not known.spans:
        raise ValueError("expected at least one span that some source found, got none")
    task, worker = np.nonzero(known.processed)
    label = known.found[task, worker].astype(int)
    seen = pd.DataFrame({"task": task, "worker": worker, "label": label})
    unseen = seen.assign(task=task + len(known.spans), label=1 - _FOUND)
    # crowd-kit's bound counts the prior once a vote: it may fall, and stop the steps at the second.
    model: Any = DawidSkene(_STEPS, tol=-np.inf).fit(pd.concat([seen, unseen], ignore_index=True))
    every = pd.MultiIndex.from_product([range(known.found.shape[1]), [_FOUND]])
    # A team that never found anything has no such row.
    rates = model.errors_.reindex(every, fill_value=0.0)
    return Reliability(
        float(_inside(model.priors_[_FOUND])),
        _inside(rates[_FOUND].to_numpy()),
        _inside(rates[1 - _FOUND].to_numpy()),
    )


def dawid_skene(
    sources: Sequence[Annotations],
    page_ids: Sequence[str],
    fit_on: Sequence[str],
    attributes: Collection[str],
) -> Annotations:
    """Keeps the spans that are more probably right than wrong.

    Of two spans of one attribute that overlap, the more probable stays (of equals, the earlier
    and shorter): a sequence of tags could not say both.

    Args:
        sources: the systems.
        page_ids: the pages to speak of; the result says nothing about others, nor about those
            that no source processed.
        fit_on: the pages whose finds the model is fitted to.
        attributes: the attributes to keep.

    Returns:
        Annotations named ``dawid_skene``.

    Raises:
        ModuleNotFoundError: crowd-kit is not installed.
    """
    bar = tqdm(fit_on, desc="dawid_skene: candidates", unit="page", leave=False, delay=2)
    fitted_to = candidates(sources, bar, attributes)
    processed = frozenset(
        page_id for page_id in page_ids if any(source.on(page_id) is not None for source in sources)
    )
    known = candidates(sources, page_ids, attributes)
    values: dict[str, frozenset[Span]] = {}
    if fitted_to.spans and known.spans:
        right = reliability(fitted_to).posterior(known.found, known.processed)
        by_page: dict[str, list[tuple[float, Span]]] = {}
        for (page_id, span), probability in zip(known.spans, right.tolist(), strict=True):
            if probability > 0.5:
                by_page.setdefault(page_id, []).append((probability, span))
        values = {page_id: without_overlaps(scored) for page_id, scored in by_page.items()}
    return Annotations("dawid_skene", values, processed)


def without_overlaps(scored: Iterable[tuple[float, Span]]) -> frozenset[Span]:
    """The spans of one page, less those that overlap a more probable one of their attribute."""
    kept: list[Span] = []
    for _, span in sorted(scored, key=lambda it: (-it[0], it[1])):
        if not any(span.attribute == other.attribute and _overlap(span, other) for other in kept):
            kept.append(span)
    return frozenset(kept)


def _overlap(one: Span, other: Span) -> bool:
    return one[1:3] < other[3:5] and other[1:3] < one[3:5]


def _inside(rates: np.ndarray | float) -> np.ndarray:
    return np.clip(rates, _SMALLEST, 1 - _SMALLEST)
