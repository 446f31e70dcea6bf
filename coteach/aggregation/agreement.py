"""How reliable each of several systems is, from nothing but how they agree with each other.

It needs no package; ``coteach.aggregation.dawid_skene`` asks crowd-kit for much the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coteach.aggregation.dawid_skene import candidates
from coteach.data.corpus import Corpus
from coteach.data.pages import Annotations

__all__ = ["expected_scores"]


def expected_scores(
    teams: Sequence[Annotations], attributes: Sequence[str], corpus: Corpus, by: str
) -> np.ndarray:
    """F1 expected from agreement on pages without gold: (teams, 1) or (teams, attributes).

    Every span that some team found is right or wrong, unseen by us. A latent-class model (Dawid
    & Skene 1979, with one recall and one rate of false finds per team) is fitted to who found it,
    given that somebody did; a team's expected F1 follows from the spans' probability of being
    right. Teams are taken to err independently: teams that share a method look better than they
    are.
    """
    groups = [tuple(attributes)] if by == "team" else [(name,) for name in attributes]
    columns = []
    for group in groups:
        known = candidates(teams, corpus.unlabelled, frozenset(group))
        right, unseen = _posterior(known.found, known.processed)
        hits = right @ known.found
        possible = (right + unseen) @ known.processed
        columns.append(2 * hits / np.maximum(known.found.sum(axis=0) + possible, 1e-12))
    return np.stack(columns, axis=1)


def _posterior(
    found: np.ndarray, processed: np.ndarray, iterations: int = 200
) -> tuple[np.ndarray, np.ndarray]:
    """Probability that each span is right, by expectation maximisation.

    Args:
        found: (spans, teams), 1 where the team found the span.
        processed: (spans, teams), 1 where the team processed the span's page.

    Returns:
        The probability, (spans,), and how many right spans that nobody found each span stands
        for, (spans,): without them a team's recall would be that among the spans found.
    """
    missed = processed - found
    right = found.sum(axis=1) / np.maximum(processed.sum(axis=1), 1)
    unseen_right, unseen_wrong = np.zeros_like(right), np.zeros_like(right)
    for _ in range(iterations):
        rights, wrongs = right + unseen_right, 1 - right + unseen_wrong
        prior = (rights.sum() + 1) / (rights.sum() + wrongs.sum() + 2)
        # One imagined find and one miss keep every rate inside (0, 1).
        recall = (right @ found + 1) / (rights @ processed + 2)
        false_rate = ((1 - right) @ found + 1) / (wrongs @ processed + 2)
        logit = np.log(prior / (1 - prior)) + found @ np.log(recall / false_rate)
        logit = logit + missed @ np.log((1 - recall) / (1 - false_rate))
        right = 1 / (1 + np.exp(-np.clip(logit, -50, 50)))
        right_and_unseen = prior * np.exp(processed @ np.log(1 - recall))
        wrong_and_unseen = (1 - prior) * np.exp(processed @ np.log(1 - false_rate))
        seen = 1 - right_and_unseen - wrong_and_unseen
        unseen_right, unseen_wrong = right_and_unseen / seen, wrong_and_unseen / seen
    return right, unseen_right
