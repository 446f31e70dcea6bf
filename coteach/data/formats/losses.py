"""What a format cannot hold: counted by kind, with examples, and shown to the user."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from coteach.data.pages import Page
from coteach.errors import quote
from coteach.model.spans import Span

__all__ = ["EFFECTS", "Effect", "Loss", "Losses"]

Effect = Literal["value lost", "value changed", "text changed", "left out"]

Loss = Literal[
    "overlaps another value",
    "runs over several lines",
    "of no token",
    "white space only",
    "discontinuous",
    "outside of the known pages",
    "repeated",
    "invalid tag repaired",
    "grown to whole tokens",
    "trimmed of line breaks",
    "attribute renamed",
    "white space of a line",
    "line without a token",
    "page without a value",
    "title",
    "ENE",
    "generic term flag",
    "with a text not that of the page",
    "relation, event, attribute or note",
    "word inside of a multiword token",
    "empty node",
    "lemma, features or syntax",
]
"""Kinds of things that do not go from one format to another."""

EFFECTS: Mapping[Loss, Effect] = {
    "overlaps another value": "value lost",
    "runs over several lines": "value lost",
    "of no token": "value lost",
    "white space only": "value lost",
    "discontinuous": "value lost",
    "outside of the known pages": "value lost",
    "word inside of a multiword token": "value lost",
    "invalid tag repaired": "value changed",
    "grown to whole tokens": "value changed",
    "trimmed of line breaks": "value changed",
    "attribute renamed": "value changed",
    "white space of a line": "text changed",
    "line without a token": "text changed",
    "repeated": "left out",
    "page without a value": "left out",
    "title": "left out",
    "ENE": "left out",
    "generic term flag": "left out",
    "with a text not that of the page": "left out",
    "relation, event, attribute or note": "left out",
    "empty node": "left out",
    "lemma, features or syntax": "left out",
}
"""What each kind means: for values, for the text, or for something that is neither."""

EXAMPLES = 3


@dataclass
class Losses:
    """Counts of what did not fit.

    Attributes:
        counts: kind → how often.
        examples: kind → where, the first few.
    """

    counts: Counter[Loss] = field(default_factory=Counter)
    examples: defaultdict[Loss, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, kind: Loss, example: str = "", count: int = 1) -> None:
        """Count something; where ``count`` is 0, nothing is noted."""
        if count:
            self.counts[kind] += count
            if example and len(self.examples[kind]) < EXAMPLES:
                self.examples[kind].append(example)

    def add_value(self, kind: Loss, page: Page, span: Span) -> None:
        """Count a value, which is its own example."""
        if len(self.examples[kind]) < EXAMPLES:  # splitting a long page has its price
            text = quote(span.text(page.lines), 40)
            self.add(kind, f"page {page.page_id}, line {span.start_line}: {span.attribute} {text}")
        else:
            self.add(kind)

    def total(self, effect: Effect) -> int:
        """How often an effect came about."""
        return sum(count for kind, count in self.counts.items() if EFFECTS[kind] == effect)
