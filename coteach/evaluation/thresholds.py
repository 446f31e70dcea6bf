"""The confidence from which on a student's values are kept, per attribute, chosen on dev."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.markup import escape
from rich.table import Table

from coteach.evaluation.shinra import Counts, total
from coteach.model.spans import Span

__all__ = ["Chosen", "choose_thresholds", "threshold_table"]

Found = Mapping[str, Sequence[tuple[Span, float]]]
"""Page id → (span, confidence in (0, 1]); every span once."""


@dataclass(frozen=True)
class Chosen:
    """The threshold of one attribute.

    Attributes:
        threshold: values of at least this confidence are kept: 0 keeps all.
        before: the counts of all values.
        after: the counts of those that are kept.
        reached: whether the precision wanted was reached; True where F1 was wanted.
    """

    threshold: float
    before: Counts
    after: Counts
    reached: bool = True


def choose_thresholds(
    gold: Mapping[str, Collection[Span]],
    found: Found,
    attributes: Sequence[str],
    precision: float | None = None,
) -> dict[str, Chosen]:
    """Choose each attribute's threshold on pages with gold.

    A threshold lies half-way between the least confident value that is kept and the next one.
    Pages chosen on say too good things of the thresholds: report on others.

    Args:
        gold: page id → gold spans, of the pages that ``found`` speaks of.
        found: what the student found, without any threshold.
        attributes: the student's.
        precision: the precision wanted, in (0, 1]: the lowest threshold that reaches it, so with
            the most values. None: the highest F1, and of equal ones the lowest threshold.

    Returns:
        Attribute → what was chosen. Where no threshold reaches the precision wanted, nothing is
        kept: the threshold is just above the highest confidence.

    Raises:
        ValueError: the precision is out of range.
    """
    if precision is not None and not 0 < precision <= 1:
        raise ValueError(f"precision: expected a share in (0, 1], got {precision}")
    right: dict[str, list[bool]] = {name: [] for name in attributes}
    scores: dict[str, list[float]] = {name: [] for name in attributes}
    for page_id, values in found.items():
        answers = gold.get(page_id, ())
        for span, confidence in values:
            right[span.attribute].append(span in answers)
            scores[span.attribute].append(confidence)
    wanted = dict.fromkeys(attributes, 0)
    for page_id in found:
        for span in gold.get(page_id, ()):
            if span.attribute in wanted:
                wanted[span.attribute] += 1
    return {
        name: _choose(np.array(right[name], bool), np.array(scores[name]), wanted[name], precision)
        for name in attributes
    }


def _choose(right: np.ndarray, scores: np.ndarray, wanted: int, precision: float | None) -> Chosen:
    order = np.argsort(-scores, kind="stable")
    right, scores = right[order], scores[order]
    hits = np.concatenate([[0], np.cumsum(right)])
    kept = np.arange(len(right) + 1)
    # Values of one confidence are kept or dropped together.
    possible = np.concatenate([[True], scores[1:] < scores[:-1], [True]])[: len(kept)]
    possible[-1] = True
    if precision is None:
        f1 = 2 * hits / np.maximum(kept + wanted, 1)
        goal = np.where(possible, f1, -1.0)
        count = int(kept[goal == goal.max()].max())
        reached = True
    else:
        # Divided, not multiplied: 0.55 * 100 is more than 55.
        enough = possible & (kept > 0) & (hits / np.maximum(kept, 1) >= precision)
        reached = bool(enough.any()) or len(right) == 0
        count = int(kept[enough].max()) if enough.any() else 0
    before = Counts(int(hits[-1]), len(right), wanted)
    after = Counts(int(hits[count]), count, wanted)
    return Chosen(_between(scores, count), before, after, reached)


def _between(scores: np.ndarray, count: int) -> float:
    """A threshold that keeps the ``count`` highest of the falling scores."""
    if count == len(scores):
        return 0.0
    if count == 0:
        return math.nextafter(float(scores[0]), math.inf)
    return float(scores[count - 1] + scores[count]) / 2


def threshold_table(chosen: Mapping[str, Chosen]) -> Table:
    """The thresholds for people, with precision, recall and F1 in percent, before and after."""
    table = Table(title="Values of p kept, on the pages chosen on", title_justify="left")
    table.add_column("attribute")
    table.add_column("confidence ≥", justify="right")
    for heading in ("P", "R", "F1"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, choice in chosen.items():
        threshold = f"{choice.threshold:.3f}" if choice.reached else "(none reaches it)"
        table.add_row(escape(name), threshold, *_before_and_after(choice.before, choice.after))
    before = total(choice.before for choice in chosen.values())
    after = total(choice.after for choice in chosen.values())
    table.add_section()
    table.add_row("micro", "", *_before_and_after(before, after))
    return table


def _before_and_after(before: Counts, after: Counts) -> list[str]:
    return [
        f"{100 * getattr(before, name):.1f} → {100 * getattr(after, name):.1f}"
        for name in ("precision", "recall", "f1")
    ]
