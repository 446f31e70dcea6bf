"""Distillation losses between logits; the unit is an answer: a text's class, or a token's tag."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from coteach.errors import InputError

from .distillation import BoundKnowledge, Knowledge, Shape, check_temperature


class _LogitLoss:
    """What the losses between logits have in common; each says what a unit's loss is."""

    knowledge: ClassVar[Knowledge] = "logits"

    def bind(self, student: Shape, teacher: Shape) -> BoundKnowledge:
        """The loss between two nodes; any two encoders fit."""
        return BoundKnowledge(self)

    def counts(self, mask: Tensor) -> Tensor:
        return mask.sum(dim=1).float()

    def compare(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        if student.shape != teacher.shape:
            raise ValueError(
                "logits: expected the same units and classes on both sides, got "
                f"{tuple(student.shape)} of the student and {tuple(teacher.shape)} of the teacher"
            )
        # What is not compared must not turn a gradient into NaN, whatever it is.
        unknown = ~mask.unsqueeze(-1)
        losses = self.losses(
            student.masked_fill(unknown, 0.0), teacher.masked_fill(unknown, 0.0), mask
        )
        return losses.masked_fill(~mask, 0.0).sum(dim=1)

    def losses(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        """(batch, units) of two (batch, units, classes); anything outside the mask."""
        raise NotImplementedError


@dataclass(frozen=True)
class SoftCrossEntropy(_LogitLoss):
    """−Σ_c softmax(z_T / t)_c log softmax(z_S / t)_c (Jiao et al. 2020, eq. 10), without t²."""

    temperature: float = 1.0
    """t, above 0; the paper's and the original code's is 1."""
    parity: bool = False
    """The original code's mean, over texts × classes instead of texts."""

    def __post_init__(self) -> None:
        check_temperature(self.temperature)

    def losses(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        target = (teacher / self.temperature).softmax(dim=-1)
        products = target * (student / self.temperature).log_softmax(dim=-1)
        return -(products.mean(dim=-1) if self.parity else products.sum(dim=-1))


@dataclass(frozen=True)
class LogitMeanSquaredError(_LogitLoss):
    """(z_S − z_T)², the mean over classes (Ba & Caruana 2014, eq. 1, but for its ½ and its sum)."""

    def losses(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        return (student - teacher).square().mean(dim=-1)


@dataclass(frozen=True)
class KullbackLeibler(_LogitLoss):
    """t² · KL(softmax(z_T / t) ‖ softmax(z_S / t)) (Hinton et al. 2015, §2).

    The factor keeps the size of the gradient, whatever the temperature.
    """

    temperature: float = 1.0
    """t, above 0; 1 compares the probabilities as they are."""

    def __post_init__(self) -> None:
        check_temperature(self.temperature)

    def losses(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        believed = (student / self.temperature).log_softmax(dim=-1)
        target = (teacher / self.temperature).log_softmax(dim=-1)
        divergence = kl_div(believed, target, reduction="none", log_target=True)
        return self.temperature**2 * divergence.sum(dim=-1)


@dataclass(frozen=True)
class Dist(_LogitLoss):
    """β · inter + γ · intra, 1 − Pearson's correlations of probabilities (Huang et al. 2022, §3).

    Inter compares the classes of a unit; intra, a class's probabilities over the units of the
    micro-batch, the mean over classes, shared evenly among the units: it depends on the size of
    the micro-batch. Both are times t², as in the authors' code. A correlation with a constant is
    none and costs 0: a unit whose classes are equally probable, a class in a micro-batch with one
    unit. Between two classes inter knows only which is the more probable, and has no gradient.
    """

    inter: float = 1.0
    """β, the weight between the classes of a unit, at least 0. The authors' for a classifier."""
    intra: float = 1.0
    """γ, the weight between the units of a class, at least 0. The authors' for a classifier."""
    temperature: float = 1.0
    """t, above 0. The authors' for a classifier."""

    def __post_init__(self) -> None:
        check_temperature(self.temperature)
        for name in ("inter", "intra"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise InputError(f"{name} must be at least 0, got {value}")

    def losses(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        believed = (student / self.temperature).softmax(dim=-1)
        target = (teacher / self.temperature).softmax(dim=-1)
        between = uncorrelated(believed, target, torch.ones_like(target))
        known = mask.flatten().to(target.dtype).expand(target.shape[-1], -1)
        # (classes, units of the micro-batch)
        within = uncorrelated(believed.flatten(0, 1).T, target.flatten(0, 1).T, known).mean()
        return self.temperature**2 * (self.inter * between + self.intra * within)


def uncorrelated(left: Tensor, right: Tensor, known: Tensor) -> Tensor:
    """1 − Pearson's correlation over the last axis; 0 where a side is constant.

    Args:
        left: (…, values), float.
        right: (…, values).
        known: (…, values), 1 for values that count, 0 for the others.

    Returns:
        (…), in [0, 2], differentiable everywhere.
    """
    count = known.sum(dim=-1, keepdim=True).clamp(min=1)
    varies = torch.ones_like(count, dtype=torch.bool)
    sides = []
    for values in (left * known, right * known):
        centred = (values - values.sum(dim=-1, keepdim=True) / count) * known
        # Of what is constant rounding leaves a trace, which must not be scaled up to 1.
        trace = 8 * torch.finfo(values.dtype).eps * values.detach().norm(dim=-1, keepdim=True)
        varies = varies & (centred.detach().norm(dim=-1, keepdim=True) > trace)
        sides.append(centred)
    # The replacement's norm has a gradient, which a zero's has not.
    left, right = (torch.where(varies, side, 1.0) for side in sides)
    correlation = (left * right).sum(-1) / (left.norm(dim=-1) * right.norm(dim=-1))
    return torch.where(varies.squeeze(-1), 1 - correlation, 0.0)
