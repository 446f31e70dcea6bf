"""Objectives: how the edges into one student combine into one loss.

An objective is a sum over examples (or positions) divided by a total. The totals are known from
the labels alone, before any forward pass; they are summed over the micro-batches and processes
of a step first, and each micro-batch's share is divided by them. So accumulation and several
processes give the very loss of one large batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from coteach.errors import InputError
from coteach.graph.edges import BoundEdge, EdgeSums


class Objective(Protocol):
    """How edges combine."""

    def totals(self, counts: Mapping[str, Tensor]) -> Tensor:
        """What a micro-batch adds to the denominators.

        Args:
            counts: edge name → ``EdgeSums.counts`` (batch, members, attributes).

        Returns:
            (n,), float; summable over micro-batches and processes.
        """

    def __call__(
        self, sums: Mapping[str, EdgeSums], edges: Mapping[str, BoundEdge], totals: Tensor
    ) -> Tensor:
        """The micro-batch's share of the loss: a scalar, 0 where there is nothing to learn from.

        Args:
            sums: edge name → its losses on the micro-batch.
            edges: the edges, for their weights.
            totals: the summed ``totals`` of the whole step.
        """


@dataclass(frozen=True)
class WeightedSum:
    """Σ weight × mean loss of each edge, over all positions it says something about."""

    def totals(self, counts: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([count.sum() for count in counts.values()])

    def __call__(
        self, sums: Mapping[str, EdgeSums], edges: Mapping[str, BoundEdge], totals: Tensor
    ) -> Tensor:
        shares = [
            edges[name].edge.weight * edge_sums.losses.sum() / total.clamp(min=1e-12)
            for (name, edge_sums), total in zip(sums.items(), totals, strict=True)
        ]
        return torch.stack(shares).sum()


@dataclass(frozen=True)
class CoTeaching:
    """The paper's rule over two groups of edges, the teams and the gold.

    Per example (co-teaching paper, §3): L = ½(L_t + L_g) where the example has gold, else L_t,
    with L_t the mean over the teams present, in general the mean, by the edges' weights, of the
    edges that say something about the example; then the mean over examples.

    Per batch (the original code): L = ½(L_t + L_g / r) if any example of the batch
    has gold, else L_t (or L_g / r where no team speaks), with means over all positions of the
    batch. r is 1, or with ``gold_scale="inverse_rate"`` the share of training positions that
    have gold.
    """

    teams: str = "teams"
    """Name of the edge from the teams."""
    gold: str = "gold"
    """Name of the edge from the gold."""
    combination: Literal["example", "batch"] = "example"
    """The paper's formula per example, or the original code's per batch."""
    gold_scale: Literal["none", "inverse_rate"] = "none"
    """For the combination per batch: whether L_g is divided by the labelled rate r."""
    labelled_rate: float | None = None
    """r for gold_scale="inverse_rate"; None: counted in the training data."""

    def __post_init__(self) -> None:
        if self.gold_scale != "none" and self.combination != "batch":
            raise InputError(
                f"gold_scale={self.gold_scale!r} belongs to combination='batch', "
                f"got combination={self.combination!r}"
            )
        if self.labelled_rate is not None and not 0 < self.labelled_rate <= 1:
            raise InputError(f"labelled_rate must be in (0, 1], got {self.labelled_rate}")

    def totals(self, counts: Mapping[str, Tensor]) -> Tensor:
        teams, gold = counts[self.teams], counts[self.gold]
        if self.combination == "example":
            present = teams.sum(dim=(1, 2)) + gold.sum(dim=(1, 2)) > 0
            return present.sum().float().unsqueeze(0)
        # One total per team, since L_t is the mean over teams of each team's own mean.
        return torch.cat([teams.sum(dim=(0, 2)), gold.sum().unsqueeze(0)])

    def __call__(
        self, sums: Mapping[str, EdgeSums], edges: Mapping[str, BoundEdge], totals: Tensor
    ) -> Tensor:
        team_weight, gold_weight = edges[self.teams].edge.weight, edges[self.gold].edge.weight
        if self.combination == "example":
            numerator, denominator = torch.zeros_like(totals[0]), torch.zeros_like(totals[0])
            for name, weight in ((self.teams, team_weight), (self.gold, gold_weight)):
                losses, present = sums[name].per_example()
                numerator = numerator + weight * losses
                denominator = denominator + weight * present
            return (numerator / denominator.clamp(min=1e-12)).sum() / totals[0].clamp(min=1)
        team_totals, gold_total = totals[:-1], totals[-1]
        team_weights = edges[self.teams].weights.mean(dim=1) * (team_totals > 0)
        means = sums[self.teams].losses.sum(dim=(0, 2)) / team_totals.clamp(min=1e-12)
        teams = (means * team_weights).sum() / team_weights.sum().clamp(min=1e-12)
        gold = sums[self.gold].losses.sum() / gold_total.clamp(min=1e-12)
        if self.gold_scale == "inverse_rate":
            assert self.labelled_rate is not None
            gold = gold / self.labelled_rate
        # As per example: the mean of the two, or the one of them that says something.
        team_share = team_weight * (team_totals.sum() > 0)
        gold_share = gold_weight * (gold_total > 0)
        combined = team_share * teams + gold_share * gold
        return combined / (team_share + gold_share).clamp(min=1e-12)
