from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from coteach.attribution.settings import IntegratedGradients
from coteach.losses.importance import ImportanceJaccard, distribution, soft_jaccard

NORMALISATIONS = ["none", "maximum", "mean"]


def example(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of student and teacher, (4, 6), and their mask: a full row to one of two tokens."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.rand(2, 4, 6, generator=generator, dtype=torch.float64) / 2
    lengths = torch.tensor([6, 4, 3, 2])
    return student, teacher, torch.arange(6) < lengths[:, None]


def naive_distribution(
    scores: list[float], known: list[bool], temperature: float, normalisation: str
) -> list[float]:
    """softmax(S / τ) over the tokens that are known, as it stands in eq. 3.2 to 3.4."""
    valid = [score for score, is_known in zip(scores, known, strict=True) if is_known]
    divisor = 1.0
    if normalisation == "maximum":
        divisor = max(abs(score) for score in valid) or 1.0
    if normalisation == "mean":
        divisor = sum(abs(score) for score in valid) / len(valid) or 1.0
    powers = [
        math.exp(score / divisor / temperature) if is_known else 0.0
        for score, is_known in zip(scores, known, strict=True)
    ]
    return [power / sum(powers) for power in powers]


def naive_jaccard(p: list[float], q: list[float]) -> float:
    """eq. 3.6, as it stands."""
    common = sum(a * b for a, b in zip(p, q, strict=True))
    return common / (sum(a * a for a in p) + sum(b * b for b in q) - common)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("temperature", [0.05, 1.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_loss_is_its_definition(normalisation: Any, temperature: float, sign: int) -> None:
    student, teacher, mask = example()
    student = sign * student  # sums have a sign
    loss = ImportanceJaccard(temperature=temperature, normalisation=normalisation)
    losses = loss(student, teacher, mask)
    assert losses.shape == (4,)
    for row in range(4):
        known = mask[row].tolist()
        p, q = (
            naive_distribution(scores[row].tolist(), known, temperature, normalisation)
            for scores in (student, teacher)
        )
        found = distribution(
            student[row : row + 1], mask[row : row + 1], temperature, normalisation
        )
        assert found[0].tolist() == pytest.approx(p, rel=1e-12)
        assert losses[row].item() == pytest.approx(1 - naive_jaccard(p, q), rel=1e-9)


def test_what_stands_at_padding_is_not_read() -> None:
    student, teacher, mask = example()
    loss = ImportanceJaccard(temperature=0.05, normalisation="none")
    expected = loss(student, teacher, mask)
    for filler in (100.0, math.inf, math.nan):
        spoilt = student.masked_fill(~mask, filler).requires_grad_()
        losses = loss(spoilt, teacher, mask)
        torch.testing.assert_close(losses, expected)
        (gradient,) = torch.autograd.grad(losses.sum(), spoilt)
        assert gradient.isfinite().all()
        assert not gradient[~mask].any()
    assert not distribution(student, mask, 0.05)[~mask].any()


def test_it_is_one_only_for_equal_distributions() -> None:
    student, teacher, mask = example()
    p, q = (distribution(scores, mask, 0.1) for scores in (student, teacher))
    torch.testing.assert_close(soft_jaccard(p, p), torch.ones(4, dtype=p.dtype), rtol=0, atol=0)
    assert (soft_jaccard(p, q) < 1).all()
    assert (soft_jaccard(p, q) > 0).all()
    torch.testing.assert_close(soft_jaccard(p, q), soft_jaccard(q, p))
    apart = torch.eye(4)
    assert soft_jaccard(apart[0], apart[1]).item() == 0
    # A difference of which the sums of squares in float32 would keep no digit.
    near = torch.full((1, 100), 0.01)
    moved = near + 1e-6 * torch.tensor([1.0, -1.0]).repeat(50)
    assert soft_jaccard(near, moved).item() == pytest.approx(1 - 1e-8, abs=6e-8)
    assert soft_jaccard(near.double(), moved.double()).item() < 1


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_gradients_are_those_of_finite_differences(normalisation: Any) -> None:
    student, teacher, mask = example(seed=1)
    loss = ImportanceJaccard(temperature=0.2, normalisation=normalisation)
    student, teacher = student.requires_grad_(), teacher.requires_grad_()
    assert gradcheck(lambda *scores: loss(*scores, mask), (student, teacher))


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [1e-3, 0.05, 100.0])
def test_nothing_to_compare_is_finite_and_differentiable(
    normalisation: Any, dtype: torch.dtype, temperature: float
) -> None:
    loss = ImportanceJaccard(temperature=temperature, normalisation=normalisation)
    mask = torch.tensor([[0, 0, 0], [1, 0, 0], [1, 1, 1], [1, 1, 1]]) > 0
    student = torch.tensor([[0, 0, 0], [0.3, 0, 0], [0, 0, 0], [1e3, 0, 0]], dtype=dtype)
    teacher = torch.tensor([[0, 0, 0], [0.1, 0, 0], [0, 0, 0], [0, 1e3, 0]], dtype=dtype)
    student.requires_grad_()
    with torch.autograd.set_detect_anomaly(True):  # nor is anything on the way no number
        losses = loss(student, teacher, mask)
        losses.sum().backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    # Without a token, with one alone, and with nothing that matters the two agree.
    assert losses[:3].tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert not student.grad[:2].any()
    assert 0 <= losses[3].item() <= 1


def test_a_low_temperature_is_what_makes_the_loss_steep() -> None:
    student, teacher, mask = example()
    low, high = (
        ImportanceJaccard(temperature=t, normalisation="none")(student, teacher, mask)
        for t in (0.05, 1.0)
    )
    assert (low[:3] > 10 * high[:3]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature.*above 0.*0.0"),
        ({"temperature": -1.0}, "temperature.*-1.0"),
        ({"temperature": math.nan}, "temperature.*nan"),
        ({"temperature": math.inf}, "temperature.*inf"),
        ({"teacher_nodes": 0}, "teacher_nodes.*at least 1.*0"),
        (
            {"teacher_nodes": 1, "attribution": IntegratedGradients(quadrature="trapezoid")},
            "teacher_nodes of trapezoid.*at least 2.*1",
        ),
        ({"target": "parent"}, "target.*'teacher'.*'parent'"),
        ({"normalisation": "sum"}, "normalisation.*'maximum'.*'sum'"),
        ({"engine": "none"}, "engine.*'auto'.*'none'"),
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImportanceJaccard(**options)


def test_the_distribution_refuses_what_the_loss_refuses() -> None:
    student, _, mask = example()
    with pytest.raises(ValueError, match=r"temperature.*0"):
        distribution(student, mask, 0)
    with pytest.raises(ValueError, match=r"normalisation.*'sum'"):
        distribution(student, mask, 1.0, "sum")  # type: ignore[arg-type]
