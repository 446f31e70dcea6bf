from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import pytest
import torch
from torch import Tensor

from coteach.errors import InputError
from coteach.graph.edges import BoundEdge, Edge, EdgeSums
from coteach.graph.gates import Step, Through
from coteach.losses import ClassBalancedFocal, CrossEntropy, class_balanced_weights, focal_loss

BATCH, TOKENS, ATTRIBUTES = 3, 5, 2
START = Step(progress=0.0)
COUNTS = torch.tensor([[90, 4, 6], [80, 5, 15]])


def example() -> tuple[Tensor, Tensor]:
    """Logits of 4 heads, and labels of 4 sources of which the third did not see page 0."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(BATCH, TOKENS, 4, ATTRIBUTES, 3, generator=generator)
    labels = torch.randint(0, 3, (BATCH, TOKENS, 4, ATTRIBUTES), generator=generator)
    labels[:, 0] = -100
    labels[0, :, 2] = -100
    return logits, labels.to(torch.int8)


def bound(
    sources: list[int],
    heads: list[int],
    weights: list[list[float]] | None = None,
    **options: object,
) -> BoundEdge:
    edge = Edge("teams", "student", **{"loss": CrossEntropy(), **options})  # type: ignore[arg-type]
    members = [f"team {source}" for source in sources]
    equal = [[1.0] * ATTRIBUTES] * len(sources)
    return BoundEdge(edge, members, sources, heads, torch.tensor(weights or equal), COUNTS)


@pytest.mark.parametrize(
    ("sources", "heads"), [([0, 1], [2, 3]), ([3, 0], [0, 2]), ([2], [1]), ([1, 2, 3], [2, 1, 0])]
)
def test_each_member_teaches_its_own_head(sources: list[int], heads: list[int]) -> None:
    logits, labels = example()
    sums = bound(sources, heads)(logits, labels, START)
    assert sums.losses.shape == sums.counts.shape == (BATCH, len(sources), ATTRIBUTES)
    for member, (source, head) in enumerate(zip(sources, heads, strict=True)):
        losses = focal_loss(logits[:, :, head], labels[:, :, source], gamma=0.0)
        torch.testing.assert_close(sums.losses[:, member], losses.sum(dim=1))
        known = (labels[:, :, source] != -100).sum(dim=1).float()
        assert torch.equal(sums.counts[:, member], known)


def test_counts_need_no_forward_pass() -> None:
    logits, labels = example()
    edge = bound([0, 2], [0, 1], [[1.5, 0.5], [0.5, 1.5]])
    assert torch.equal(edge.counts(labels), edge(logits, labels, START).counts)


def test_members_weights_stand_in_losses_and_counts() -> None:
    logits, labels = example()
    weights = torch.tensor([[1.5, 0.0], [0.5, 2.0]])
    plain = bound([0, 1], [0, 1])(logits, labels, START)
    weighted = bound([0, 1], [0, 1], weights.tolist())(logits, labels, START)
    torch.testing.assert_close(weighted.losses, plain.losses * weights)
    torch.testing.assert_close(weighted.counts, plain.counts * weights)


def test_a_page_that_a_team_did_not_process_is_left_out() -> None:
    logits, labels = example()
    logits.requires_grad_()
    sums = bound([1, 2], [1, 2])(logits, labels, START)
    assert not sums.losses[0, 1].any()
    assert not sums.counts[0, 1].any()
    losses, present = sums.per_example()
    alone, _ = bound([1], [1])(logits, labels, START).per_example()
    torch.testing.assert_close(losses[0], alone[0])  # the mean is over the teams present
    assert present.tolist() == [True] * 3
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert not gradient[0, :, 2].any()
    assert gradient[1, :, 2].any()


def test_an_example_of_which_nobody_says_anything() -> None:
    sums = EdgeSums(torch.zeros(2, 1, 1), torch.tensor([[[0.0]], [[4.0]]]))
    losses, present = sums.per_example()
    assert losses.tolist() == [0, 0]
    assert present.tolist() == [False, True]


def test_per_example_is_the_mean_over_what_is_known() -> None:
    losses = torch.tensor([[[6.0, 2.0], [1.0, 1.0]]])
    counts = torch.tensor([[[3.0, 2.0], [4.0, 1.0]]])
    mean, _ = EdgeSums(losses, counts).per_example()
    assert mean.item() == pytest.approx(10 / 10)


@dataclass(frozen=True)
class Late:
    """Grows with progress, and counts only what is not yet learnt."""

    def __call__(self, losses: Tensor, step: Step) -> Tensor:
        assert not losses.requires_grad
        return step.progress * (losses > 1)


def test_a_gate_weighs_every_position() -> None:
    logits, labels = example()
    logits.requires_grad_()
    sums = bound([0], [0], gate=Late())(logits, labels, Step(progress=0.25))
    losses = focal_loss(logits[:, :, :1], labels[:, :, :1], gamma=0.0)
    torch.testing.assert_close(sums.losses, (0.25 * losses * (losses > 1)).sum(dim=1))
    # Counts are what there was to learn from; a closed gate makes the loss smaller, not the mean.
    assert torch.equal(sums.counts, bound([0], [0]).counts(labels))


def test_through_is_no_gate() -> None:
    losses = torch.rand(2, 3)
    assert torch.equal(losses * Through()(losses, START), losses)


def test_class_weights_come_from_the_counts() -> None:
    logits, labels = example()
    loss = ClassBalancedFocal(beta=0.9, gamma=1.0)
    weights = class_balanced_weights(COUNTS.sum(dim=0), 0.9).expand(ATTRIBUTES, 3)
    sums = bound([0, 1], [0, 1], loss=loss)(logits, labels, START)
    expected = focal_loss(logits[:, :, :2], labels[:, :, :2], weights, 1.0)
    torch.testing.assert_close(sums.losses, expected.sum(dim=1))


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'teams'.*-0\.5"):
        Edge("teams", "student", weight=-0.5)


def smoothed_by_definition(
    logits: Tensor, labels: Tensor, weights: Tensor, smoothing: float
) -> Tensor:
    """(batch, members, attributes): cross-entropy against the mixed targets, with loops."""
    batch, tokens, members, attributes = labels.shape
    probabilities = logits.softmax(dim=-1)
    result = torch.zeros(batch, members, attributes, dtype=logits.dtype)
    for b, t, m, a in product(range(batch), range(tokens), range(members), range(attributes)):
        if labels[b, t, m, a] == -100:
            continue
        target = torch.zeros(3, dtype=logits.dtype)
        target[labels[b, t, m, a]] = 1 - smoothing
        says = {k: weights[k, a] for k in range(members) if labels[b, t, k, a] != -100}
        for k, weight in says.items():
            target[labels[b, t, k, a]] += smoothing * weight / sum(says.values())
        loss = -(target * probabilities[b, t, m, a].log()).sum()
        result[b, m, a] += loss * weights[m, a]
    return result


@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
def test_smoothing_mixes_a_members_tag_with_what_all_say(smoothing: float) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 4, 3, 2, 3, generator=generator, dtype=torch.float64)
    logits.requires_grad_()
    labels = torch.randint(0, 3, (2, 4, 3, 2), generator=generator).to(torch.int8)
    labels[0, :, 1] = -100
    labels[1, 3] = -100
    weights = torch.tensor([[1.8, 0.5], [0.9, 1.0], [0.3, 1.5]], dtype=torch.float64)
    edge = Edge("teams", "student", CrossEntropy(), smoothing=smoothing)
    teams = BoundEdge(edge, ["a", "b", "c"], [0, 1, 2], [0, 1, 2], weights, torch.ones(2, 3))

    result = teams(logits, labels, Step(0.0))

    expected = smoothed_by_definition(logits, labels.long(), weights, smoothing)
    torch.testing.assert_close(result.losses, expected)
    assert torch.autograd.gradcheck(
        lambda values: teams(values, labels, Step(0.0)).losses, logits.clone()
    )


def test_smoothing_leaves_a_lone_member_as_it_is() -> None:
    logits = torch.randn(1, 4, 1, 2, 3, dtype=torch.float64)
    labels = torch.randint(0, 3, (1, 4, 1, 2)).to(torch.int8)
    one = torch.ones(1, 2, dtype=torch.float64)
    results = [
        BoundEdge(Edge("gold", "student", smoothing=s), ["gold"], [0], [0], one, torch.ones(2, 3))(
            logits, labels, Step(0.0)
        ).losses
        for s in (0.0, 0.5)
    ]
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, float("nan")])
def test_a_smoothing_out_of_range_is_refused(smoothing: float) -> None:
    with pytest.raises(InputError, match="smoothing"):
        Edge("teams", "student", smoothing=smoothing)
