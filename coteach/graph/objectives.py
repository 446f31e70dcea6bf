"""Objectives: how the edges into one student combine into one loss.

An objective is a sum over examples (or positions) divided by a total. The totals are known from
the labels alone, before any forward pass; they are summed over the micro-batches and processes
of a step first, and each micro-batch's share is divided by them. So accumulation and several
processes give the very loss of one large batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from coteach.errors import InputError
from coteach.graph.edges import EdgeSums, GraphEdge


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
        self, sums: Mapping[str, EdgeSums], edges: Mapping[str, GraphEdge], totals: Tensor
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
        self, sums: Mapping[str, EdgeSums], edges: Mapping[str, GraphEdge], totals: Tensor
    ) -> Tensor:
        return torch.stack(_weighted_means(sums, edges, totals)).sum()


@dataclass(frozen=True)
class UncertaintyWeighting:
    """Σ exp(−s) × weight × mean loss + s / 2, with a learned s = log σ² for each edge (Kendall et
    al. 2018, eq. 10 with cross-entropies; the part-of-speech paper, §3.4, names it as the
    alternative to its fixed weights). Every s starts at 0, where this is ``WeightedSum`` but for
    the constant, and learns at the heads' rate. An edge of weight 0 has no s."""


class LearnedWeighting(nn.Module):
    """``UncertaintyWeighting`` with the parameters that it learns.

    Args:
        names: of the edges that weigh more than 0, each with a parameter.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.log_variances = nn.Parameter(torch.zeros(len(self.names)))

    def totals(self, counts: Mapping[str, Tensor]) -> Tensor:
        """As of ``WeightedSum``."""
        return WeightedSum().totals(counts)

    def forward(
        self, sums: Mapping[str, EdgeSums], edges: Mapping[str, GraphEdge], totals: Tensor
    ) -> Tensor:
        """The micro-batch's share; the terms s / 2 are shared out by what edges have to say."""
        means = dict(zip(sums, _weighted_means(sums, edges, totals), strict=True))
        denominators = dict(zip(sums, totals, strict=True))
        shares = [torch.zeros_like(totals[0])]
        for name, logarithm in zip(self.names, self.log_variances, strict=True):
            said = sums[name].counts.sum() / denominators[name].clamp(min=1e-12)
            shares.append(torch.exp(-logarithm) * means[name] + said * logarithm / 2)
        return torch.stack(shares).sum()

    def figures(self) -> dict[str, float]:
        """What each edge's loss is multiplied by now, for the log."""
        weights = torch.exp(-self.log_variances.detach()).tolist()
        return {f"weight_{name}": w for name, w in zip(self.names, weights, strict=True)}


def _weighted_means(
    sums: Mapping[str, EdgeSums], edges: Mapping[str, GraphEdge], totals: Tensor
) -> list[Tensor]:
    """Weight × the micro-batch's share of the mean loss, of every edge."""
    return [
        edges[name].edge.weight * edge_sums.losses.sum() / total.clamp(min=1e-12)
        for (name, edge_sums), total in zip(sums.items(), totals, strict=True)
    ]


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

    Any other edge, such as one from parts of speech, is added: its weight times its mean loss
    over all positions it says something about.
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
        others = [count.sum() for name, count in counts.items() if not self._is_main(name)]
        main = self._main_totals(counts[self.teams], counts[self.gold])
        return torch.cat([main, torch.stack(others)]) if others else main

    def __call__(
        self, sums: Mapping[str, EdgeSums], edges: Mapping[str, GraphEdge], totals: Tensor
    ) -> Tensor:
        others = {name: of for name, of in sums.items() if not self._is_main(name)}
        main = self._main_share(sums, edges, totals[: len(totals) - len(others)])
        added = _weighted_means(others, edges, totals[len(totals) - len(others) :])
        return torch.stack([main, *added]).sum()

    def _is_main(self, edge: str) -> bool:
        return edge in (self.teams, self.gold)

    def _main_totals(self, teams: Tensor, gold: Tensor) -> Tensor:
        if self.combination == "example":
            present = teams.sum(dim=(1, 2)) + gold.sum(dim=(1, 2)) > 0
            return present.sum().float().unsqueeze(0)
        # One total per team, since L_t is the mean over teams of each team's own mean.
        return torch.cat([teams.sum(dim=(0, 2)), gold.sum().unsqueeze(0)])

    def _main_share(
        self, sums: Mapping[str, EdgeSums], edges: Mapping[str, GraphEdge], totals: Tensor
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
