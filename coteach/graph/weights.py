"""How far each team is trusted: weights in the teams' loss and in p_mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from coteach.aggregation.agreement import expected_scores
from coteach.data.corpus import Corpus
from coteach.data.pages import Annotations
from coteach.errors import InputError
from coteach.evaluation.shinra import attribute_name, score


@dataclass(frozen=True)
class Equal:
    """Every team weighs the same (co-teaching paper, §3)."""


@dataclass(frozen=True)
class Given:
    """Weights by hand."""

    weights: dict[str, float] = field(default_factory=dict)
    """Team → weight, at least 0, for every team."""


@dataclass(frozen=True)
class DevScore:
    """A team weighs by its micro-F1 on the dev pages that it processed."""

    by: Literal["team", "attribute"] = "team"
    """One weight per team, or one per team and attribute."""
    power: float = 1.0
    """The weight is F1 to this power: 0 is equal weights, large values trust the best alone."""

    def __post_init__(self) -> None:
        _check_power(self.power)


@dataclass(frozen=True)
class Agreement:
    """A team weighs by the F1 that its agreement with the other teams lets expect.

    Needs no gold, and looks only at pages without gold: on the pages they trained on, teams
    agree with the gold, and so with each other, by memory. See ``coteach.aggregation.agreement``.
    """

    by: Literal["team", "attribute"] = "team"
    """One weight per team, or one per team and attribute."""
    power: float = 1.0
    """The weight is the expected F1 to this power."""

    def __post_init__(self) -> None:
        _check_power(self.power)


def _check_power(power: float) -> None:
    if not 0 <= power < np.inf:
        raise InputError(f"power of the teams' weights must be at least 0, got {power}")


TeamWeights = Equal | Given | DevScore | Agreement


def team_weights(
    rule: TeamWeights, teams: Sequence[Annotations], attributes: Sequence[str], corpus: Corpus
) -> np.ndarray:
    """The weights of a rule: (teams, attributes), mean 1 over the teams of each attribute."""
    shape = (len(teams), len(attributes))
    if isinstance(rule, Equal):
        weights = np.ones(shape)
    elif isinstance(rule, Given):
        names = [team.name for team in teams]
        if set(rule.weights) != set(names) or not all(
            0 <= weight < np.inf for weight in rule.weights.values()
        ):
            raise InputError(
                f"nodes: given team weights {rule.weights}; expected one of at least 0 for each "
                f"of {names}"
            )
        weights = np.ones(shape) * [[rule.weights[name]] for name in names]
    else:
        estimate = dev_scores if isinstance(rule, DevScore) else expected_scores
        scores = estimate(teams, attributes, corpus, rule.by)
        weights = np.broadcast_to(scores, shape) ** rule.power
    total = weights.sum(axis=0, keepdims=True)
    # An attribute on which every team scores 0 says nothing about whom to trust.
    return np.where(total > 0, weights * len(teams) / np.where(total > 0, total, 1), 1.0)


def dev_scores(
    teams: Sequence[Annotations], attributes: Sequence[str], corpus: Corpus, by: str
) -> np.ndarray:
    """F1 on dev: (teams, 1), micro over attributes, or (teams, attributes)."""
    rows = []
    for team in teams:
        pages = [page_id for page_id in corpus.dev.page_ids if team.on(page_id) is not None]
        if not pages:
            raise InputError(
                f"nodes: team {team.name!r} processed no dev page and cannot be weighed by its dev "
                "score; expected another rule of weights, or teams without it"
            )
        entity_type = corpus.dev.entity_type
        result = score(
            corpus.dev.gold.values,
            team.values,
            pages=pages,
            attributes=attributes,
            entity_type=entity_type,
        )
        if by == "team":
            rows.append([result.micro.f1])
        else:
            scored = {name: counts.f1 for name, counts in result.attributes.items()}
            # The scorer renames attributes; one that it leaves out gives no reason for trust.
            rows.append(
                [scored.get(attribute_name(name, entity_type) or "", 0.0) for name in attributes]
            )
    return np.array(rows)
