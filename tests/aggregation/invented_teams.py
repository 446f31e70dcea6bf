"""Teams that err independently over invented pages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coteach.data.pages import Annotations
from coteach.model.spans import Span

NAMES = ("人名", "地名")


@dataclass(frozen=True)
class Invented:
    """Pages, what is right on them, and teams of known recall and known false finds."""

    page_ids: list[str]
    gold: dict[str, frozenset[Span]]
    teams: list[Annotations]
    recall: list[float]


def invent() -> Invented:
    """200 pages of 12 places: a third of them hold a value; the last team saw every other page.

    A team finds a right value with its recall, and something of any other place with its rate of
    false finds; of two attributes it then names one by chance.
    """
    generator = np.random.default_rng(0)
    recall, false = [0.8, 0.75, 0.6, 0.65, 0.75], [0.04, 0.03, 0.08, 0.05, 0.03]
    page_ids = [f"{number:03}" for number in range(200)]
    gold: dict[str, frozenset[Span]] = {}
    values: list[dict[str, frozenset[Span]]] = [{} for _ in recall]
    for page_id in page_ids:
        places = [
            Span(NAMES[generator.integers(2)], 0, 10 * place, 0, 10 * place + 4)
            for place in range(12)
        ]
        right = [span for span in places if generator.random() < 1 / 3]
        gold[page_id] = frozenset(right)
        for team, found in enumerate(values):
            found[page_id] = frozenset(
                span if span in right else span._replace(attribute=NAMES[generator.integers(2)])
                for span in places
                if generator.random() < (recall[team] if span in right else false[team])
            )
    teams = [Annotations(f"team{number}", found) for number, found in enumerate(values)]
    seen = frozenset(page_ids[::2])
    partial = {page_id: spans for page_id, spans in teams[-1].values.items() if page_id in seen}
    teams[-1] = Annotations(teams[-1].name, partial, seen)
    return Invented(page_ids, gold, teams, recall)
