"""Teams, baselines and students on the same pages, side by side."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from rich.markup import escape
from rich.table import Table

from coteach.data.sources import Split
from coteach.evaluation.shinra import Counts, page_counts, score
from coteach.evaluation.significance import f1_difference
from coteach.model.spans import Span

Kind = Literal["team", "baseline", "student"]


@dataclass
class Scoreboard:
    """Micro-averaged scores of systems on every page of one split.

    Values on pages without gold count against a system. A team that did not process a page has
    found nothing there.

    Args:
        split: the gold, and the pages.
    """

    split: Split
    _rows: dict[str, tuple[Kind, np.ndarray]] = field(default_factory=dict, init=False)
    _attributes: dict[str, Mapping[str, Counts]] = field(default_factory=dict, init=False)

    def add(self, name: str, kind: Kind, values: Mapping[str, Collection[Span]]) -> float:
        """Score a system's spans, by page; returns its micro-F1."""
        gold, page_ids = self.split.gold.values, self.split.page_ids
        entity_type = self.split.entity_type
        counts = page_counts(gold, values, pages=page_ids, entity_type=entity_type)
        result = score(gold, values, pages=page_ids, entity_type=entity_type)
        self._rows[name] = (kind, counts)
        self._attributes[name] = result.attributes
        return result.micro.f1

    def best(self, kind: Kind) -> str | None:
        """The system of a kind with the highest F1."""
        f1s = {name: _total(counts).f1 for name, (k, counts) in self._rows.items() if k == kind}
        return max(f1s, key=f1s.__getitem__, default=None)

    def as_json(self) -> dict[str, dict[str, Any]]:
        """name → kind, split, average, precision, recall, f1 (fractions), and the difference of
        F1 to the best team with its 95 % interval."""
        return {name: self._entry(name) for name in self._rows}

    def _entry(self, name: str) -> dict[str, Any]:
        kind, counts = self._rows[name]
        total = _total(counts)
        entry: dict[str, Any] = {
            "kind": kind,
            "split": self.split.name,
            "average": "micro",
            "precision": total.precision,
            "recall": total.recall,
            "f1": total.f1,
        }
        best_team = self.best("team")
        if best_team is not None and name != best_team:
            interval = f1_difference(counts, self._rows[best_team][1])
            entry["f1_minus_best_team"] = {
                "best_team": best_team,
                "difference": interval.estimate,
                "low": interval.low,
                "high": interval.high,
            }
        return entry

    def by_attribute(self) -> dict[str, dict[str, Any]]:
        """The counts behind every attribute's F1: attribute → gold values, and system → attribute
        → true positives and predicted values."""
        rows = self._attributes
        first: Mapping[str, Counts] = next(iter(rows.values()), {})
        return {
            "gold": {name: counts.gold for name, counts in first.items()},
            "true_positives": {
                system: {name: counts.true_positives for name, counts in row.items()}
                for system, row in rows.items()
            },
            "predicted": {
                system: {name: counts.predicted for name, counts in row.items()}
                for system, row in rows.items()
            },
        }

    def by_page(self) -> dict[str, Any]:
        """The same page by page, in lists along ``page_ids``: what the page bootstrap needs."""
        rows = {system: counts for system, (_, counts) in self._rows.items()}
        first = next(iter(rows.values()), np.zeros((0, 3), dtype=np.int64))
        return {
            "split": self.split.name,
            "page_ids": list(self.split.page_ids),
            "gold": first[:, 2].tolist(),
            "true_positives": {system: counts[:, 0].tolist() for system, counts in rows.items()},
            "predicted": {system: counts[:, 1].tolist() for system, counts in rows.items()},
        }

    def table(self, title: str) -> Table:
        """The same for people, in percent; teams, baselines and students stand apart."""
        table = Table(title=title, title_justify="left")
        table.add_column("system", no_wrap=True)
        for heading in ("P", "R", "F1"):
            table.add_column(heading, justify="right")
        best_team = self.best("team")
        if best_team is not None:
            table.add_column("F1 − best team", justify="right", no_wrap=True)
        previous: str | None = None
        for name, entry in self.as_json().items():
            if previous not in (None, entry["kind"]):
                table.add_section()
            previous = entry["kind"]
            row = [escape(name)]
            row += [f"{100 * entry[key]:.2f}" for key in ("precision", "recall", "f1")]
            gap = entry.get("f1_minus_best_team")
            if gap is not None:
                bounds = (100 * gap[key] for key in ("difference", "low", "high"))
                row.append("{:+.2f} \\[{:+.2f}, {:+.2f}]".format(*bounds))
            table.add_row(*row)
        return table


def _total(counts: np.ndarray) -> Counts:
    true_positives, predicted, gold = (int(count) for count in counts.sum(axis=0))
    return Counts(true_positives, predicted, gold)
