"""Each objective against its formula, written with loops over positions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import product

import pytest
import torch
from torch import Tensor

from coteach.graph.edges import BoundEdge, Edge
from coteach.graph.gates import Step
from coteach.graph.objectives import CoTeaching, WeightedSum
from coteach.losses import CrossEntropy

BATCH, TOKENS, TEAMS, ATTRIBUTES = 6, 4, 3, 2
GOLD = TEAMS  # place of the gold among sources, and of its head
EQUAL = torch.ones(TEAMS, ATTRIBUTES)
PER_TEAM = torch.tensor([[1.8, 1.8], [0.9, 0.9], [0.3, 0.3]])
PER_ATTRIBUTE = torch.tensor([[1.8, 0.5], [0.9, 1.0], [0.3, 1.5]])
OBJECTIVES = [
    WeightedSum(),
    CoTeaching(),
    CoTeaching(combination="batch"),
    CoTeaching(combination="batch", gold_scale="inverse_rate", labelled_rate=0.25),
]


def example(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits and labels as the collator makes them.

    Examples 0 to 2 have gold, example 1 and 4 lack a team, example 2 has only gold and example 5
    nothing at all; tokens at the end of examples are padding.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (BATCH, TOKENS, TEAMS + 1, ATTRIBUTES)
    logits = 2 * torch.randn(*shape, 3, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, shape, generator=generator).to(torch.int8)
    labels[3:, :, GOLD] = -100
    labels[1, :, 0] = labels[4, :, 2] = -100
    labels[2, :, :TEAMS] = -100
    labels[5] = -100
    labels[1, 3:] = labels[3, 2:] = -100
    return logits.requires_grad_(), labels


def edges(
    weights: Tensor = EQUAL, team_weight: float = 1.0, gold_weight: float = 1.0
) -> dict[str, BoundEdge]:
    counts = torch.ones(ATTRIBUTES, 3)
    loss = CrossEntropy()
    names = [f"team {number}" for number in range(TEAMS)]
    places = list(range(TEAMS))
    teams = Edge("submissions", "student", loss, weight=team_weight)
    gold = Edge("gold", "student", loss, weight=gold_weight)
    return {
        "teams": BoundEdge(teams, names, places, places, weights.double(), counts),
        "gold": BoundEdge(
            gold, ["gold"], [GOLD], [GOLD], torch.ones(1, ATTRIBUTES).double(), counts
        ),
    }


def share(
    objective: CoTeaching | WeightedSum,
    bound: Mapping[str, BoundEdge],
    logits: Tensor,
    labels: Tensor,
    totals: Tensor | None = None,
) -> Tensor:
    if totals is None:
        totals = totals_of(objective, bound, labels)
    sums = {name: edge(logits, labels, Step(0.0)) for name, edge in bound.items()}
    return objective(sums, bound, totals)


def totals_of(
    objective: CoTeaching | WeightedSum, bound: Mapping[str, BoundEdge], labels: Tensor
) -> Tensor:
    return objective.totals({name: edge.counts(labels) for name, edge in bound.items()})


# The definitions


def position_loss(logits: Tensor, label: int) -> float:
    values = logits.tolist()
    return math.log(sum(math.exp(value) for value in values)) - values[label]


def known_losses(
    logits: Tensor,
    labels: Tensor,
    examples: Iterable[int],
    source: int,
    attributes: Iterable[int] = range(ATTRIBUTES),
) -> list[float]:
    return [
        position_loss(logits[i, t, source, a], int(labels[i, t, source, a]))
        for i, t, a in product(examples, range(TOKENS), attributes)
        if labels[i, t, source, a] != -100
    ]


def mean(values: list[float], weights: list[float] | None = None) -> float | None:
    weights = weights or [1.0] * len(values)
    if not values:
        return None
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)


def naive_example(logits: Tensor, labels: Tensor, weights: Tensor) -> float:
    """Co-teaching paper, §3: the mean over examples of ½(L_t + L_g), or L_t without gold."""
    results = []
    for i in range(len(logits)):
        losses, trust = [], []
        for team in range(TEAMS):
            for attribute in range(ATTRIBUTES):
                loss = mean(known_losses(logits, labels, [i], team, [attribute]))
                if loss is not None:
                    losses.append(loss)
                    trust.append(weights[team, attribute].item())
        from_teams = mean(losses, trust)
        from_gold = mean(known_losses(logits, labels, [i], GOLD))
        parts = [part for part in (from_teams, from_gold) if part is not None]
        if parts:
            results.append(sum(parts) / len(parts))
    return sum(results) / len(results)


def naive_batch(logits: Tensor, labels: Tensor, weights: Tensor, rate: float = 1.0) -> float:
    """The original code: ½(L_t + L_g / r) if the batch has gold, else L_t.

    ``weights`` are per team.
    """
    everything = list(range(len(logits)))
    losses, trust = [], []
    for team in range(TEAMS):
        loss = mean(known_losses(logits, labels, everything, team))
        if loss is not None:
            losses.append(loss)
            trust.append(weights[team, 0].item())
    from_teams = mean(losses, trust)
    from_gold = mean(known_losses(logits, labels, everything, GOLD))
    parts = [p for p in (from_teams, from_gold and from_gold / rate) if p is not None]
    return sum(parts) / len(parts)


# Co-teaching


@pytest.mark.parametrize("weights", [EQUAL, PER_TEAM, PER_ATTRIBUTE])
@pytest.mark.parametrize("seed", [0, 1])
def test_per_example_it_is_the_paper_s_formula(weights: Tensor, seed: int) -> None:
    logits, labels = example(seed)
    loss = share(CoTeaching(), edges(weights), logits, labels)
    assert loss.item() == pytest.approx(naive_example(logits, labels, weights), rel=1e-6)


@pytest.mark.parametrize("weights", [EQUAL, PER_TEAM])
@pytest.mark.parametrize("rate", [1.0, 0.25])
def test_per_batch_it_is_the_original_code_s(weights: Tensor, rate: float) -> None:
    logits, labels = example()
    scaled = CoTeaching(combination="batch", gold_scale="inverse_rate", labelled_rate=rate)
    expected = naive_batch(logits, labels, weights, rate)
    assert share(scaled, edges(weights), logits, labels).item() == pytest.approx(expected, rel=1e-6)
    if rate == 1:
        plain = CoTeaching(combination="batch")
        assert share(plain, edges(weights), logits, labels).item() == pytest.approx(expected)


@pytest.mark.parametrize("objective", OBJECTIVES[1:])
def test_without_gold_the_teams_loss_is_not_halved(objective: CoTeaching) -> None:
    logits, labels = example()
    rows = [3, 4]
    naive = naive_example if objective.combination == "example" else naive_batch
    loss = share(objective, edges(PER_TEAM), logits[rows], labels[rows])
    assert loss.item() == pytest.approx(naive(logits[rows], labels[rows], PER_TEAM), rel=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES[1:])
def test_without_a_team_the_gold_s_loss_is_not_halved(objective: CoTeaching) -> None:
    logits, labels = example()
    rows = [2]
    expected = mean(known_losses(logits, labels, rows, GOLD))
    assert expected is not None
    if objective.gold_scale == "inverse_rate":
        expected /= 0.25
    loss = share(objective, edges(), logits[rows], labels[rows])
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("combination", ["example", "batch"])
def test_edge_weights_take_the_place_of_the_halves(combination: str) -> None:
    logits, labels = example()
    rows = [0]  # every team and the gold speak
    objective = CoTeaching(combination=combination)  # type: ignore[arg-type]

    def loss(team_weight: float, gold_weight: float) -> float:
        bound = edges(EQUAL, team_weight, gold_weight)
        return share(objective, bound, logits[rows], labels[rows]).item()

    teams, gold = loss(1, 0), loss(0, 1)
    assert loss(1, 1) == pytest.approx((teams + gold) / 2)
    assert loss(3, 1) == pytest.approx((3 * teams + gold) / 4)
    assert loss(6, 2) == pytest.approx(loss(3, 1))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_team_of_weight_zero_teaches_nothing(objective: CoTeaching | WeightedSum) -> None:
    logits, labels = example()
    weights = torch.tensor([[0.0, 0.0], [2.0, 2.0], [1.0, 1.0]])
    loss = share(objective, edges(weights), logits, labels)
    without = labels.clone()
    without[:, :, 0] = -100
    torch.testing.assert_close(loss, share(objective, edges(weights), logits, without))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert not gradient[:, :, 0].any()
    assert gradient[:, :, 1].any()


def test_the_rate_belongs_to_the_combination_per_batch() -> None:
    with pytest.raises(ValueError, match=r"inverse_rate.*got combination='example'"):
        CoTeaching(gold_scale="inverse_rate")


# The weighted sum


def test_weighted_sum_adds_the_edges_means() -> None:
    logits, labels = example()
    losses, trust = [], []
    for team, attribute in product(range(TEAMS), range(ATTRIBUTES)):
        found = known_losses(logits, labels, range(BATCH), team, [attribute])
        losses += found
        trust += [PER_ATTRIBUTE[team, attribute].item()] * len(found)
    teams, gold = mean(losses, trust), mean(known_losses(logits, labels, range(BATCH), GOLD))
    assert teams is not None
    assert gold is not None
    loss = share(WeightedSum(), edges(PER_ATTRIBUTE, 0.5, 2.0), logits, labels)
    assert loss.item() == pytest.approx(0.5 * teams + 2 * gold, rel=1e-6)


# What holds of all


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("weights", [EQUAL, PER_ATTRIBUTE])
@pytest.mark.parametrize("cuts", [[1] * 6, [2, 4], [5, 1]])
def test_shares_of_micro_batches_sum_to_the_whole(
    objective: CoTeaching | WeightedSum, weights: Tensor, cuts: list[int]
) -> None:
    logits, labels = example()
    bound = edges(weights)
    pieces = list(zip(logits.split(cuts), labels.split(cuts), strict=True))
    totals = torch.stack([totals_of(objective, bound, piece) for _, piece in pieces]).sum(dim=0)
    torch.testing.assert_close(totals, totals_of(objective, bound, labels), rtol=1e-6, atol=0)
    if weights is EQUAL:
        assert torch.equal(totals, totals_of(objective, bound, labels))  # whole numbers: exact

    whole = share(objective, bound, logits, labels)
    shares = [share(objective, bound, *piece, totals) for piece in pieces]
    torch.testing.assert_close(torch.stack(shares).sum(), whole)
    (expected,) = torch.autograd.grad(whole, logits)
    (gradient,) = torch.autograd.grad(sum(shares), logits)  # type: ignore[arg-type]
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("silent", ["teams", "gold", "both"])
def test_nothing_to_learn_from_is_a_differentiable_zero(
    objective: CoTeaching | WeightedSum, silent: str
) -> None:
    logits, labels = example()
    if silent != "gold":
        labels[:, :, :TEAMS] = -100
    if silent != "teams":
        labels[:, :, GOLD] = -100
    loss = share(objective, edges(), logits, labels)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    taught = [bool(logits.grad[:, :, head].any()) for head in range(TEAMS + 1)]
    assert taught == [silent == "gold"] * TEAMS + [silent == "teams"]
    if silent == "both":
        assert loss.item() == 0


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_silent_example_changes_nothing(objective: CoTeaching | WeightedSum) -> None:
    logits, labels = example()
    with_it = share(objective, edges(), logits, labels)
    torch.testing.assert_close(with_it, share(objective, edges(), logits[:5], labels[:5]))
