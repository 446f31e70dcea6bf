"""What each team brings: coverage, scores, agreement, what it alone finds, and what is in reach.

Only values of the training gold's attributes count; nothing else is ever learnt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from coteach.aggregation.agreement import expected_scores
from coteach.aggregation.dawid_skene import candidates, reliability
from coteach.aggregation.vote import vote
from coteach.data.corpus import Corpus
from coteach.data.pages import Annotations
from coteach.data.sources import Split
from coteach.errors import InputError
from coteach.evaluation.shinra import Counts, attribute_name, page_counts
from coteach.model.spans import Span

__all__ = ["Diagnosis", "Team", "diagnose"]


@dataclass(frozen=True)
class Team:
    """One team. Rates are fractions; None where there is nothing to tell them by.

    Attributes:
        pages: pages that it processed, of all pages.
        pages_with_value: those on which it found something.
        values: what it found there.
        precision, recall, f1: on all pages of the split; one that it did not process is missed.
        f1_processed: F1 on those pages of the split that it processed, as the estimates mean it.
        f1_by_agreement: F1 expected from agreement with the other teams, without gold
            (:func:`coteach.aggregation.agreement.expected_scores`).
        f1_by_dawid_skene: the same by Dawid and Skene's model as crowd-kit fits it.
        alone: values on the split's pages that no other team has.
        alone_right: how many of them are right.
    """

    name: str
    pages: int
    pages_with_value: int
    values: int
    precision: float
    recall: float
    f1: float
    f1_processed: float | None
    f1_by_agreement: float | None
    f1_by_dawid_skene: float | None
    alone: int
    alone_right: int


@dataclass(frozen=True)
class Diagnosis:
    """All teams, on the pages of one split.

    Attributes:
        split: its name; ``split_pages`` how many pages it has, ``gold`` how many values.
        teams: one entry a team.
        agreement: (teams, teams), the F1 of one team with the other as its gold, on the pages that
            both processed; NaN where neither found anything there.
        agreement_on: which pages these are, in words: those of no split, since on the pages that
            they trained on teams agree by memory; where there are none, those of the split.
        combined: what the teams together reach: every number of votes, 1 being the union and the
            last one what all agree on, and ``oracle``, which keeps the right values of the union.
        attributes: attribute → name → score of the teams and of ``combined``; empty unless asked
            for. Names are those of the score (:func:`coteach.evaluation.shinra.attribute_name`).
    """

    split: str
    split_pages: int
    gold: int
    teams: tuple[Team, ...]
    agreement: np.ndarray
    agreement_on: str
    combined: Mapping[str, Counts]
    attributes: Mapping[str, Mapping[str, Counts]]

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """The same as flat tables: name of the table → rows, fractions not rounded."""
        names = [team.name for team in self.teams]
        return {
            "teams": [asdict(team) for team in self.teams],
            "agreement": [
                {"team": name, **dict(zip(names, map(_number, row), strict=True))}
                for name, row in zip(names, self.agreement, strict=True)
            ],
            "combined": [
                {"system": name, **_figures(counts)} for name, counts in self.combined.items()
            ],
            "attributes": [
                {"attribute": attribute, "system": name, **_figures(counts)}
                for attribute, scores in self.attributes.items()
                for name, counts in scores.items()
            ],
        }

    def as_json(self) -> dict[str, Any]:
        """Everything, as fractions."""
        return {
            "split": self.split,
            "pages": self.split_pages,
            "gold": self.gold,
            "agreement_on": self.agreement_on,
            **self.rows(),
        }

    def tables(self) -> list[Table]:
        """The same for people, in percent."""
        tables = [self._teams(), self._reliability(), self._combined()]
        if len(self.teams) > 1:
            tables.insert(2, self._agreement())
        if self.attributes:
            tables.append(self._attributes())
        return tables

    def _teams(self) -> Table:
        table = _table(
            f"Teams on the {self.split_pages} {self.split} pages ({self.gold} gold values)",
            "pages, with value, values: on all pages",
        )
        for heading in ("team", "pages", "with value", "values", "P", "R", "F1"):
            table.add_column(heading, justify="left" if heading == "team" else "right")
        for team in self.teams:
            counts = (team.pages, team.pages_with_value, team.values)
            rates = (team.precision, team.recall, team.f1)
            table.add_row(
                escape(team.name), *(f"{count:,}" for count in counts), *map(_percent, rates)
            )
        return table

    def _reliability(self) -> Table:
        table = _table(
            "How far the teams can be trusted",
            f"F1: on the {self.split} pages that the team processed; beside it\n"
            "the same without gold: by agreement, and Dawid and Skene's model\n"
            "alone: its values that no other team has\n"
            "right: the share of them that is right",
        )
        for heading in ("team", "F1", "by agreement", "Dawid–Skene", "alone", "right"):
            table.add_column(heading, justify="left" if heading == "team" else "right")
        for team in self.teams:
            rates = (team.f1_processed, team.f1_by_agreement, team.f1_by_dawid_skene)
            table.add_row(
                escape(team.name),
                *map(_percent, rates),
                f"{team.alone:,}",
                _percent(team.alone_right / team.alone if team.alone else None),
            )
        return table

    def _agreement(self) -> Table:
        table = _table(
            "Agreement: F1 of one team with the other as gold", f"on {self.agreement_on}"
        )
        table.add_column("team")
        for number in range(1, len(self.teams) + 1):
            table.add_column(f"#{number}", justify="right")
        for number, (team, row) in enumerate(zip(self.teams, self.agreement, strict=True), start=1):
            cells = [_percent(_number(value)) for value in row]
            cells[number - 1] = "·"
            table.add_row(f"#{number} {escape(team.name)}", *cells)
        return table

    def _combined(self) -> Table:
        table = _table(
            "The teams together",
            "vote>=1 is the union\noracle: its right values alone",
        )
        for heading in ("system", "values", "P", "R", "F1"):
            table.add_column(heading, justify="left" if heading == "system" else "right")
        for name, counts in self.combined.items():
            rates = (counts.precision, counts.recall, counts.f1)
            table.add_row(name, f"{counts.predicted:,}", *map(_percent, rates))
        return table

    def _attributes(self) -> Table:
        table = _table("F1 by attribute", "#: teams as numbered above; vote: the best of all votes")
        table.box, table.padding = box.SIMPLE_HEAD, 0  # room for many teams
        for heading in ("attribute", "gold", *(f"#{n + 1}" for n in range(len(self.teams)))):
            table.add_column(heading, justify="left" if heading == "attribute" else "right")
        for heading in ("vote", "oracle"):
            table.add_column(heading, justify="right")
        for attribute, scores in self.attributes.items():
            teams = [scores[team.name].f1 for team in self.teams]
            votes = max(scores[name].f1 for name in self.combined if name != "oracle")
            gold = scores[self.teams[0].name].gold
            cells = map(_percent, [*teams, votes, scores["oracle"].f1])
            table.add_row(escape(attribute), f"{gold:,}", *cells)
        return table


def diagnose(corpus: Corpus, split: Split, by_attribute: bool = False) -> Diagnosis:
    """Look at every team of a corpus.

    Args:
        corpus: the teams, the pages, the attributes.
        split: the gold to compare with.
        by_attribute: whether to score attribute by attribute, too.

    Raises:
        InputError: there is no team.
    """
    if not corpus.teams:
        raise InputError("data.submissions: no team to diagnose; expected at least one")
    attributes = frozenset(corpus.attributes)
    teams = [replace(team, values=_Known(team.values, attributes)) for team in corpus.teams]
    right = _right(split, corpus.attributes)
    combined = _combined(teams, split, right)
    estimates = _estimates(teams, corpus)
    found = candidates(teams, split.page_ids, attributes)
    hits = [span in right.get(page_id, ()) for page_id, span in found.spans]
    by_one = found.found.sum(axis=1) == 1
    alone = found.found[by_one].sum(axis=0)
    alone_right = found.found[by_one & np.array(hits, dtype=bool)].sum(axis=0)
    rows = []
    for number, team in enumerate(teams):
        counts = _counts(split, team)
        seen = [page_id for page_id in split.page_ids if team.on(page_id) is not None]
        with_value = [spans for page_id in corpus.pages if (spans := team.on(page_id))]
        rows.append(
            Team(
                name=team.name,
                pages=sum(team.on(page_id) is not None for page_id in corpus.pages),
                pages_with_value=len(with_value),
                values=sum(map(len, with_value)),
                precision=counts.precision,
                recall=counts.recall,
                f1=counts.f1,
                f1_processed=_counts(split, team, seen).f1 if seen else None,
                f1_by_agreement=estimates[0][number],
                f1_by_dawid_skene=estimates[1][number],
                alone=int(alone[number]),
                alone_right=int(alone_right[number]),
            )
        )
    systems = {team.name: team for team in teams} | combined
    total = {name: _counts(split, system) for name, system in combined.items()}
    return Diagnosis(
        split=split.name,
        split_pages=len(split.page_ids),
        gold=next(iter(total.values())).gold,
        teams=tuple(rows),
        agreement=_agreement(teams, corpus.unlabelled or split.page_ids),
        agreement_on="pages of no split" if corpus.unlabelled else f"the {split.name} pages",
        combined=total,
        attributes=_by_attribute(split, systems, corpus.attributes) if by_attribute else {},
    )


class _Known(Mapping[str, frozenset[Span]]):
    """A team's values of the attributes that can be learnt; none of them is held in memory."""

    def __init__(self, values: Mapping[str, frozenset[Span]], attributes: frozenset[str]) -> None:
        self._values, self._attributes = values, attributes

    def __getitem__(self, page_id: str) -> frozenset[Span]:
        spans = self._values[page_id]
        return frozenset(span for span in spans if span.attribute in self._attributes)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _counts(
    split: Split,
    system: Annotations,
    pages: Collection[str] | None = None,
    attributes: Collection[str] | None = None,
) -> Counts:
    """The score on a split's pages, all or some."""
    counts = page_counts(
        split.gold.values,
        system.values,
        pages=split.page_ids if pages is None else pages,
        attributes=attributes,
        entity_type=split.entity_type,
    )
    return Counts(*map(int, counts.sum(axis=0)))


def _right(split: Split, attributes: Sequence[str]) -> dict[str, frozenset[Span]]:
    """The right values of every page, under each name that a team may give their attribute."""
    scored = {name: attribute_name(name, split.entity_type) for name in attributes}
    result = {}
    for page_id, spans in split.gold.values.items():
        gold = {
            (attribute_name(span.attribute, split.entity_type), *span[1:]): None for span in spans
        }
        result[page_id] = frozenset(
            Span(name, *place)
            for name, scored_name in scored.items()
            for (gold_name, *place) in gold
            if gold_name is not None and gold_name == scored_name
        )
    return result


def _combined(
    teams: Sequence[Annotations], split: Split, right: Mapping[str, frozenset[Span]]
) -> dict[str, Annotations]:
    """Every vote, and the right values of the union."""
    votes = [vote(teams, minimum, split.page_ids) for minimum in range(1, len(teams) + 1)]
    union = votes[0]
    oracle = {
        page_id: spans & right.get(page_id, frozenset()) for page_id, spans in union.values.items()
    }
    return {it.name: it for it in [*votes, Annotations("oracle", oracle, union.processed)]}


def _by_attribute(
    split: Split, systems: Mapping[str, Annotations], attributes: Sequence[str]
) -> dict[str, dict[str, Counts]]:
    names = [name for it in attributes if (name := attribute_name(it, split.entity_type))]
    return {
        attribute: {
            name: _counts(split, system, attributes=[attribute]) for name, system in systems.items()
        }
        for attribute in dict.fromkeys(names)
    }


def _agreement(teams: Sequence[Annotations], page_ids: Sequence[str]) -> np.ndarray:
    """F1 of every two teams against each other, on the pages that both processed."""
    result = np.full((len(teams), len(teams)), np.nan)
    for row, team in enumerate(teams):
        for column, other in enumerate(teams[: row + 1]):
            pairs = [
                (mine, theirs)
                for page_id in page_ids
                if (mine := team.on(page_id)) is not None
                and (theirs := other.on(page_id)) is not None
            ]
            values = sum(len(mine) + len(theirs) for mine, theirs in pairs)
            if values:
                shared = sum(len(mine & theirs) for mine, theirs in pairs)
                result[row, column] = result[column, row] = 2 * shared / values
    return result


def _estimates(
    teams: Sequence[Annotations], corpus: Corpus
) -> tuple[list[float | None], list[float | None]]:
    """F1 expected without gold: by agreement, and by Dawid and Skene where crowd-kit is there."""
    nothing: list[float | None] = [None] * len(teams)
    known = candidates(teams, corpus.unlabelled, frozenset(corpus.attributes))
    if len(teams) < 2 or not known.spans:
        return nothing, nothing
    able = [bool(column.any()) for column in known.processed.T]

    def where_able(scores: np.ndarray) -> list[float | None]:
        return [float(score) if ok else None for score, ok in zip(scores, able, strict=True)]

    by_agreement = where_able(expected_scores(teams, corpus.attributes, corpus, "team")[:, 0])
    if find_spec("crowdkit") is None:
        return by_agreement, nothing
    return by_agreement, where_able(reliability(known).expected_f1(known))


def _figures(counts: Counts) -> dict[str, float]:
    return {
        **asdict(counts),
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
    }


def _table(title: str, caption: str) -> Table:
    return Table(title=title, title_justify="left", caption=caption, caption_justify="left")


def _number(value: float) -> float | None:
    """NaN has no place in JSON."""
    return None if np.isnan(value) else float(value)


def _percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:.1f}"
