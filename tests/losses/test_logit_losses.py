"""Distillation losses between logits against their definitions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from coteach.errors import InputError
from coteach.losses import Dist, KullbackLeibler, LogitMeanSquaredError, SoftCrossEntropy
from coteach.testing import CLASSES, LENGTHS, bound, knowledge, mask_of

Logits = SoftCrossEntropy | LogitMeanSquaredError | KullbackLeibler | Dist
TEMPERATURES = [0.5, 1.0, 4.0]


def evaluate(loss: Logits) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """The losses of an invented batch, and the logits of both sides."""
    it, mask = bound(loss), mask_of(*LENGTHS)
    (student,), (teacher,) = knowledge(it, mask)
    losses = it([student], [teacher], mask).detach()
    return losses, student.detach().numpy(), teacher.detach().numpy()


def softmax(logits: np.ndarray, temperature: float) -> list[float]:
    powers = [math.exp(logit / temperature) for logit in logits]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("parity", [False, True])
def test_soft_cross_entropy_is_its_formula(temperature: float, parity: bool) -> None:
    losses, student, teacher = evaluate(SoftCrossEntropy(temperature, parity))
    for example, length in enumerate(LENGTHS):
        expected = 0.0
        for unit in range(length):
            believed = softmax(student[example, unit], temperature)
            target = softmax(teacher[example, unit], temperature)
            expected -= sum(target[c] * math.log(believed[c]) for c in range(CLASSES))
        assert losses[example].item() == pytest.approx(expected / (CLASSES if parity else 1))


def test_the_prediction_loss_in_parity_is_the_mean_over_texts_and_classes() -> None:
    it, mask = bound(SoftCrossEntropy(temperature=2.0, parity=True)), torch.ones(4, 1).bool()
    (student,), (teacher,) = knowledge(it, mask)
    loss = it([student], [teacher], mask).sum() / it.counts(mask).sum()
    terms = -(teacher / 2).softmax(-1) * (student / 2).log_softmax(-1)
    torch.testing.assert_close(loss, terms.mean())


def test_a_certain_teacher_gives_the_cross_entropy_of_its_class() -> None:
    it, mask = bound(SoftCrossEntropy()), torch.ones(3, 1).bool()
    (student,), _ = knowledge(it, mask)
    classes = torch.tensor([2, 0, 1])
    teacher = 1e4 * torch.nn.functional.one_hot(classes, CLASSES).double().unsqueeze(1)
    expected = cross_entropy(student[:, 0], classes, reduction="none")
    torch.testing.assert_close(it([student], [teacher], mask), expected)


def test_logits_are_compared_by_their_squared_differences() -> None:
    losses, student, teacher = evaluate(LogitMeanSquaredError())
    for example, length in enumerate(LENGTHS):
        expected = sum(
            (student[example, unit, c] - teacher[example, unit, c]) ** 2 / CLASSES
            for unit in range(length)
            for c in range(CLASSES)
        )
        assert losses[example].item() == pytest.approx(expected)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_divergence_is_its_formula(temperature: float) -> None:
    losses, student, teacher = evaluate(KullbackLeibler(temperature))
    for example, length in enumerate(LENGTHS):
        expected = 0.0
        for unit in range(length):
            p = softmax(teacher[example, unit], temperature)
            q = softmax(student[example, unit], temperature)
            expected += sum(p[c] * math.log(p[c] / q[c]) for c in range(CLASSES))
        assert losses[example].item() == pytest.approx(temperature**2 * expected)


def test_divergence_is_that_of_torch() -> None:
    losses, student, teacher = evaluate(KullbackLeibler())
    mask = mask_of(*LENGTHS)
    left, right = (torch.from_numpy(side)[mask].log_softmax(-1) for side in (student, teacher))
    expected = kl_div(left, right, reduction="sum", log_target=True)
    torch.testing.assert_close(losses.sum(), expected)


def test_divergence_stays_finite_where_a_class_is_impossible() -> None:
    it, mask = bound(KullbackLeibler()), torch.ones(1, 1).bool()
    student = torch.tensor([[[0.0, 0.0]]], dtype=torch.float64, requires_grad=True)
    teacher = torch.tensor([[[-2e3, 2e3]]], dtype=torch.float64)
    loss = it([student], [teacher], mask)
    assert loss.item() == pytest.approx(math.log(2))
    (gradient,) = torch.autograd.grad(loss.sum(), student)
    torch.testing.assert_close(gradient.flatten(), torch.tensor([0.5, -0.5]).double())


def test_divergence_and_cross_entropy_have_the_same_gradient_but_for_the_squared_t() -> None:
    mask, gradients = torch.ones(2, 1).bool(), []
    for loss in (KullbackLeibler(3.0), SoftCrossEntropy(3.0)):
        it = bound(loss)
        (student,), (teacher,) = knowledge(it, mask)
        gradients += torch.autograd.grad(it([student], [teacher], mask).sum(), student)
    torch.testing.assert_close(gradients[0], 9 * gradients[1])


# Correlations


def naive_dist(loss: Dist, student: np.ndarray, teacher: np.ndarray) -> tuple[list[float], float]:
    """Inter of every unit, and intra, of (units, classes); through NumPy's correlation."""
    believed = np.array([softmax(unit, loss.temperature) for unit in student])
    target = np.array([softmax(unit, loss.temperature) for unit in teacher])
    between = [1 - np.corrcoef(p, q)[0, 1] for p, q in zip(believed, target, strict=True)]
    within = [1 - np.corrcoef(p, q)[0, 1] for p, q in zip(believed.T, target.T, strict=True)]
    return between, float(np.mean(within))


@pytest.mark.parametrize(
    "loss", [Dist(), Dist(inter=0.0), Dist(intra=0.0), Dist(2.0, 0.5, 4.0)], ids=repr
)
def test_dist_is_correlation_between_and_within_classes(loss: Dist) -> None:
    losses, student, teacher = evaluate(loss)
    mask = mask_of(*LENGTHS).numpy()
    between, within = naive_dist(loss, student[mask], teacher[mask])
    scale = loss.temperature**2
    start = 0
    for example, length in enumerate(LENGTHS):
        expected = loss.inter * sum(between[start : start + length]) + length * loss.intra * within
        assert losses[example].item() == pytest.approx(scale * expected)
        start += length
    mean = losses.sum() / sum(LENGTHS)
    paper = scale * (loss.inter * float(np.mean(between)) + loss.intra * within)
    assert mean.item() == pytest.approx(paper)


def test_dist_does_not_mind_how_far_the_probabilities_spread() -> None:
    losses, _, _ = evaluate(Dist())
    it, mask = bound(Dist()), mask_of(*LENGTHS)
    (student,), (teacher,) = knowledge(it, mask)
    flatter = (0.25 + 0.1 * teacher.softmax(-1)).log()  # up to a constant that softmax removes
    flatter = (flatter.exp() / flatter.exp().sum(-1, keepdim=True)).log()
    torch.testing.assert_close(it([student], [flatter], mask), losses)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("constant", ["student", "teacher", "both"])
@pytest.mark.parametrize("value", [0.0, 1.7, -300.0])
def test_a_constant_side_costs_nothing(dtype: torch.dtype, constant: str, value: float) -> None:
    it, mask = bound(Dist()), torch.ones(2, 3).bool()
    sides = {
        name: torch.randn(2, 3, 7, dtype=dtype, requires_grad=True)
        for name in ("student", "teacher")
    }
    for name in sides:
        if constant in (name, "both"):
            sides[name] = torch.full((2, 3, 7), value, dtype=dtype, requires_grad=True)
    losses = it([sides["student"]], [sides["teacher"]], mask)
    assert losses.tolist() == [0, 0]
    for gradient in torch.autograd.grad(losses.sum(), list(sides.values())):
        assert not gradient.any()


def test_a_class_that_is_constant_is_left_out_and_the_others_are_not() -> None:
    it, mask = bound(Dist(inter=0.0)), torch.ones(1, 4).bool()
    believed = torch.rand(4, 1, dtype=torch.float64) * 0.4
    # Class 2 has the probability ½ in every unit.
    student = torch.cat([believed, 0.5 - believed, torch.full_like(believed, 0.5)], -1).log()
    teacher = torch.randn(4, 3, dtype=torch.float64)
    p, q = student.softmax(-1).numpy(), teacher.softmax(-1).numpy()
    expected = sum(1 - np.corrcoef(p[:, c], q[:, c])[0, 1] for c in (0, 1)) / 3
    losses = it([student.unsqueeze(0)], [teacher.unsqueeze(0)], mask)
    assert losses.item() == pytest.approx(4 * expected)


# Settings


@pytest.mark.parametrize("loss", [SoftCrossEntropy(), KullbackLeibler(), Dist()])
@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_temperatures_are_above_0(
    loss: SoftCrossEntropy | KullbackLeibler | Dist, temperature: float
) -> None:
    with pytest.raises(InputError, match=f"temperature must be above 0, got {temperature}"):
        replace(loss, temperature=temperature)


@pytest.mark.parametrize("name", ["inter", "intra"])
@pytest.mark.parametrize("value", [-0.1, math.inf, math.nan])
def test_weights_of_dist_are_at_least_0(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{name} must be at least 0, got {value}"):
        Dist(**{name: value})
