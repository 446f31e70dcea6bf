"""Objectives with an edge from an auxiliary task."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from coteach.graph import CoTeaching, Edge, WeightedSum
from coteach.graph.edges import Answer, BoundEdge, EdgeSums
from coteach.graph.gates import Step
from coteach.graph.objectives import LearnedWeighting
from coteach.losses import CrossEntropy
from coteach.model.student import StudentOutput

EDGES = {
    name: BoundEdge(
        Edge(name, "student", CrossEntropy(), weight=weight),
        [name],
        [0],
        [0],
        torch.ones(1, 1).double(),
        torch.ones(1, 3, dtype=torch.int64),
    )
    for name, weight in (("teams", 1.0), ("gold", 1.0), ("spoken", 0.5))
}


def sums(**values: tuple[list[float], list[float]]) -> dict[str, EdgeSums]:
    """Edges' losses and counts, one a text."""
    return {
        name: EdgeSums(*(torch.tensor(it).double().reshape(-1, 1, 1) for it in both))
        for name, both in values.items()
    }


def total(objective: object, of: Mapping[str, EdgeSums]) -> Tensor:
    totals = objective.totals({name: it.counts for name, it in of.items()})  # type: ignore[attr-defined]
    return objective(of, EDGES, totals)  # type: ignore[operator]


@pytest.mark.parametrize("combination", ["example", "batch"])
def test_another_edge_is_added_to_co_teaching(combination: str) -> None:
    objective = CoTeaching(combination=combination)  # type: ignore[arg-type]
    both = sums(teams=([3.0, 4.0], [2.0, 2.0]), gold=([5.0, 0.0], [1.0, 0.0]))
    spoken = sums(spoken=([6.0, 2.0], [3.0, 1.0]))
    main = total(objective, both)
    assert total(objective, {**both, **spoken}) == main + 0.5 * 8 / 4
    assert total(objective, {**spoken, **both}) == main + 0.5 * 8 / 4  # in any order


@pytest.mark.parametrize(
    "objective", [CoTeaching(), CoTeaching(combination="batch"), WeightedSum(), "learned"]
)
def test_shares_of_micro_batches_sum_to_the_whole(objective: object) -> None:
    if objective == "learned":
        objective = LearnedWeighting(list(EDGES)).double()
        with torch.no_grad():
            objective.log_variances.copy_(torch.tensor([0.3, -0.2, 1.0]))
    every = {
        "teams": ([3.0, 4.0, 0.0, 1.0], [2.0, 2.0, 0.0, 3.0]),
        "gold": ([5.0, 0.0, 0.0, 2.0], [1.0, 0.0, 0.0, 2.0]),
        "spoken": ([6.0, 2.0, 1.0, 3.0], [3.0, 1.0, 2.0, 2.0]),
    }
    whole = sums(**every)
    totals = objective.totals({name: it.counts for name, it in whole.items()})  # type: ignore[attr-defined]
    shares = []
    for rows in (slice(0, 1), slice(1, 3), slice(3, 4)):
        part = sums(**{name: (a[rows], b[rows]) for name, (a, b) in every.items()})
        shares.append(objective(part, EDGES, totals))  # type: ignore[operator]
    torch.testing.assert_close(sum(shares), objective(whole, EDGES, totals))  # type: ignore[operator]


def test_learned_weights_are_kendalls() -> None:
    """Σ L / σ² + log σ, with s = log σ² (Kendall et al. 2018, eq. 10)."""
    objective = LearnedWeighting(["gold", "spoken"]).double()
    sigma = {"gold": 0.7, "spoken": 1.9}
    with torch.no_grad():
        objective.log_variances.copy_(torch.tensor([2 * math.log(it) for it in sigma.values()]))
    found = total(objective, sums(gold=([2.0, 4.0], [1.0, 1.0]), spoken=([6.0, 2.0], [3.0, 1.0])))
    means = {"gold": 3.0, "spoken": 0.5 * 2.0}
    expected = sum(means[it] / sigma[it] ** 2 + math.log(sigma[it]) for it in sigma)
    assert found.item() == pytest.approx(expected)
    assert objective.figures() == pytest.approx(
        {f"weight_{name}": 1 / it**2 for name, it in sigma.items()}, rel=1e-6
    )


def test_learned_weights_start_as_the_weighted_sum() -> None:
    of = sums(gold=([2.0, 4.0], [1.0, 1.0]), spoken=([6.0, 2.0], [3.0, 1.0]))
    objective = LearnedWeighting(["gold", "spoken"]).double()
    assert total(objective, of) == total(WeightedSum(), of)


def test_the_gradient_of_learned_weights() -> None:
    objective = LearnedWeighting(["gold", "spoken"]).double()
    losses = torch.tensor([2.0, 4.0]).double().requires_grad_()

    def loss(losses: Tensor, log_variances: Tensor) -> Tensor:
        of = {
            name: EdgeSums(part.reshape(1, 1, 1), torch.ones(1, 1, 1).double())
            for name, part in zip(("gold", "spoken"), losses, strict=True)
        }
        parameters = {"log_variances": log_variances}
        arguments = (of, EDGES, torch.ones(2).double())
        return torch.func.functional_call(objective, parameters, arguments)

    start = torch.tensor([0.4, -0.3]).double().requires_grad_()
    assert torch.autograd.gradcheck(loss, (losses, start))


def test_nothing_to_learn_from_leaves_the_weights_alone() -> None:
    objective = LearnedWeighting(["gold", "spoken"]).double()
    found = total(objective, sums(gold=([0.0], [0.0]), spoken=([1.0], [1.0])))
    found.backward()
    assert objective.log_variances.grad is not None
    assert objective.log_variances.grad.tolist() == [0.0, -0.5 * 1.0 + 0.5]


def test_answers_find_their_logits_and_labels() -> None:
    output = StudentOutput(
        logits=torch.arange(6.0).reshape(2, 3), tags=(torch.zeros(2, 4, 7), torch.ones(2, 4, 5))
    )
    batch = {
        "classes": torch.tensor([1, 2]),
        "tags": torch.arange(16, dtype=torch.int16).reshape(2, 4, 2),
    }
    of_classes, of_tags = Answer("classes"), Answer("tags", 1)
    assert of_classes.logits(output).shape == (2, 1, 1, 1, 3)
    assert of_classes.labels(batch).flatten().tolist() == [1, 2]
    assert of_tags.logits(output).shape == (2, 4, 1, 1, 5)
    assert of_tags.labels(batch).shape == (2, 4, 2, 1)
    edge = BoundEdge(
        Edge("spoken", "student", CrossEntropy()),
        ["spoken"],
        [1],
        [0],
        torch.ones(1, 1),
        torch.ones(1, 5, dtype=torch.int64),
        of_tags,
    )
    labels = torch.tensor([[[0, 4], [0, -100]]]).unsqueeze(-1)  # of two sources; ours the second
    logits = torch.randn(1, 2, 1, 1, 5, generator=torch.Generator().manual_seed(0))
    found = edge(logits, labels, Step(0.0))
    expected = torch.nn.functional.cross_entropy(logits.reshape(2, 5)[:1], torch.tensor([4]))
    torch.testing.assert_close(found.losses.sum(), expected)
    assert found.counts.sum() == 1
