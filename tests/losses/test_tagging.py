from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import cross_entropy

from coteach.losses import (
    ClassBalancedFocal,
    CrossEntropy,
    TaggingLoss,
    class_balanced_weights,
    focal_loss,
)
from coteach.testing import LabelLossSuite

GAMMAS = [0.0, 0.5, 1.0, 2.0]


def example(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (2, 4, 3, 3), labels (2, 4, 3) of which some are unknown, and weights (3, 3)."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 4, 3, 3, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (2, 4, 3), generator=generator, dtype=torch.int8)
    labels[0, 1] = labels[1, :, 2] = -100
    weights = torch.rand(3, 3, generator=generator, dtype=torch.float64) + 0.5
    return logits, labels, weights


def naive_focal(logits: list[float], label: int, weights: list[float], gamma: float) -> float:
    """−α_y (1 − p_y)^γ log p_y of one position, as the formula stands."""
    if label == -100:
        return 0.0
    p = math.exp(logits[label]) / sum(math.exp(logit) for logit in logits)
    return -weights[label] * (1 - p) ** gamma * math.log(p)


class TestEveryLoss(LabelLossSuite):
    @pytest.fixture(
        params=[
            CrossEntropy(),
            ClassBalancedFocal(),
            ClassBalancedFocal(beta=0.0, gamma=0.5, counts="attribute"),
        ],
        ids=repr,
    )
    def loss(self, request: pytest.FixtureRequest) -> TaggingLoss:
        return request.param


# Focal loss


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("is_weighted", [False, True])
def test_focal_loss_is_the_formula_of_every_position(gamma: float, is_weighted: bool) -> None:
    logits, labels, weights = example()
    losses = focal_loss(logits, labels, weights if is_weighted else None, gamma)
    assert losses.shape == labels.shape
    for b, t, a in product(range(2), range(4), range(3)):
        w = weights[a].tolist() if is_weighted else [1.0] * 3
        expected = naive_focal(logits[b, t, a].tolist(), int(labels[b, t, a]), w, gamma)
        assert losses[b, t, a].item() == pytest.approx(expected, rel=1e-10)


def test_without_gamma_it_is_cross_entropy() -> None:
    logits, labels, weights = example()
    target = labels.long()
    expected = cross_entropy(logits.flatten(0, -2), target.flatten(), reduction="none")
    torch.testing.assert_close(focal_loss(logits, labels, gamma=0.0).flatten(), expected)
    torch.testing.assert_close(CrossEntropy()(logits, labels, None).flatten(), expected)
    shared = weights[:1].expand(3, 3)
    weighted = cross_entropy(logits.flatten(0, -2), target.flatten(), shared[0], reduction="none")
    torch.testing.assert_close(focal_loss(logits, labels, shared, 0.0).flatten(), weighted)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_gradients_are_those_of_finite_differences(gamma: float, is_weighted: bool) -> None:
    logits, labels, weights = example(seed=1)
    logits, labels = logits[:, :2].requires_grad_(), labels[:, :2]
    chosen = weights if is_weighted else None
    assert (labels == -100).any()
    assert gradcheck(lambda values: focal_loss(values, labels, chosen, gamma), logits)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_nothing_known_is_a_differentiable_zero(gamma: float) -> None:
    logits, labels, weights = example()
    logits.requires_grad_()
    total = focal_loss(logits, torch.full_like(labels, -100), weights, gamma).sum()
    total.backward()
    assert total.item() == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits_stay_finite(gamma: float, dtype: torch.dtype) -> None:
    rows = list(product([-1e4, 0.0, 1e4], repeat=3))
    logits = torch.tensor(rows, dtype=dtype).repeat(4, 1).requires_grad_()
    labels = torch.tensor([0, 1, 2, -100]).repeat_interleave(len(rows))
    losses = focal_loss(logits, labels, torch.tensor([0.5, 1.5, 1.0]), gamma)
    losses.sum().backward()
    assert logits.grad is not None
    assert losses.isfinite().all()
    assert (losses >= 0).all()
    assert logits.grad.isfinite().all()
    # Certain and wrong: the whole distance of the logits, and log 2 where two of them tie.
    assert losses.max().item() == pytest.approx(1.5 * (2e4 + math.log(2)))


# Class-balanced weights


def test_sanity_values() -> None:
    weights = class_balanced_weights(torch.tensor([1000, 10, 30]), beta=0.999)
    torch.testing.assert_close(weights, torch.tensor([0.0349, 2.2182, 0.7468]), atol=1e-4, rtol=0)


def test_weights_are_the_inverse_of_the_geometric_series() -> None:
    # E_n = (1 − β^n) / (1 − β) = 1 + β + … + β^(n−1), summed here term by term.
    counts, beta = [7, 1, 40], 0.9
    raw = [1 / sum(beta**i for i in range(n)) for n in counts]
    expected = torch.tensor([3 * w / sum(raw) for w in raw])
    torch.testing.assert_close(class_balanced_weights(torch.tensor(counts), beta), expected)


def test_beta_zero_weighs_classes_equally() -> None:
    weights = class_balanced_weights(torch.tensor([10**6, 0, 3]), beta=0.0)
    assert weights.tolist() == [1, 1, 1]


def test_a_beta_near_one_is_inverse_frequency() -> None:
    counts = torch.tensor([1000, 10, 40])
    inverse = 1 / counts.double()
    expected = (3 * inverse / inverse.sum()).float()
    for beta in (1 - 1e-9, 1 - 1e-12, math.nextafter(1, 0)):
        torch.testing.assert_close(
            class_balanced_weights(counts, beta), expected, rtol=1e-4, atol=0
        )


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999999])
def test_a_class_never_seen_counts_as_seen_once(beta: float) -> None:
    weights = class_balanced_weights(torch.tensor([[50, 0, 5], [0, 0, 0]]), beta)
    torch.testing.assert_close(
        weights, class_balanced_weights(torch.tensor([[50, 1, 5], [1, 1, 1]]), beta)
    )
    assert weights.isfinite().all()
    torch.testing.assert_close(weights.sum(dim=-1), torch.tensor([3.0, 3.0]))


def test_counts_are_pooled_over_attributes_or_not() -> None:
    counts = torch.tensor([[100, 5, 5], [200, 1, 9]])
    pooled = ClassBalancedFocal(beta=0.99).class_weights(counts)
    expected = class_balanced_weights(torch.tensor([300, 6, 14]), 0.99)
    torch.testing.assert_close(pooled, expected.expand(2, 3))
    apart = ClassBalancedFocal(beta=0.99, counts="attribute").class_weights(counts)
    torch.testing.assert_close(apart[1], class_balanced_weights(counts[1], 0.99))
    plain: TaggingLoss = CrossEntropy()
    assert plain.class_weights(counts) is None


def test_a_recipe_s_loss_passes_its_gamma_on() -> None:
    logits, labels, weights = example()
    losses = ClassBalancedFocal(gamma=0.5)(logits, labels, weights)
    torch.testing.assert_close(losses, focal_loss(logits, labels, weights, 0.5))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"beta": 1.0}, "beta.*1.0"), ({"beta": -0.1}, "beta"), ({"gamma": -1.0}, "gamma.*-1.0")],
)
def test_values_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClassBalancedFocal(**options)  # type: ignore[arg-type]
