"""Invented knowledge of a student and a teacher, for the tests of the distillation losses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from coteach.losses import (
    AttentionScores,
    AttentionTransfer,
    BoundKnowledge,
    Dist,
    HiddenStates,
    KullbackLeibler,
    LogitMeanSquaredError,
    RelationalDistances,
    Shape,
    SoftCrossEntropy,
)

Loss = (
    AttentionScores
    | AttentionTransfer
    | Dist
    | HiddenStates
    | KullbackLeibler
    | LogitMeanSquaredError
    | RelationalDistances
    | SoftCrossEntropy
)

SMALL = Shape("small", depth=2, width=4, heads=2)
LARGE = Shape("large", depth=4, width=6, heads=2)
LENGTHS = (5, 3, 1)
"""Of the examples; 5 is the length of the batch."""
CLASSES = 3

LOGIT_LOSSES: list[Loss] = [
    SoftCrossEntropy(temperature=2.0),
    SoftCrossEntropy(parity=True),
    LogitMeanSquaredError(),
    KullbackLeibler(temperature=3.0),
    Dist(inter=2.0, intra=0.5, temperature=1.5),
]
LAYER_LOSSES: list[Loss] = [
    AttentionScores(),
    HiddenStates(),
    HiddenStates(projection="separate"),
    AttentionTransfer(),
    RelationalDistances(),
    RelationalDistances(layers=((1, 4), (2, 3))),
]
IN_PARITY: list[Loss] = [AttentionScores(parity=True), HiddenStates(parity=True)]
LOSSES = LOGIT_LOSSES + LAYER_LOSSES + IN_PARITY
by_loss = pytest.mark.parametrize("loss", LOSSES, ids=repr)


def mask_of(*lengths: int) -> Tensor:
    """(batch, longest), bool."""
    return torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(-1)


def bound(loss: Loss, student: Shape = SMALL, teacher: Shape = LARGE) -> BoundKnowledge:
    """In float64, with projections that are not small."""
    torch.manual_seed(0)
    result = loss.bind(student, teacher).double()
    for parameter in result.parameters():
        torch.nn.init.normal_(parameter)
    return result


def knowledge(
    loss: BoundKnowledge, mask: Tensor, student: Shape = SMALL, teacher: Shape = LARGE
) -> tuple[list[Tensor], list[Tensor]]:
    """Random tensors of both sides, float64, in the order that the loss asks for."""
    generator = torch.Generator().manual_seed(1)
    batch, length = mask.shape
    sides = []
    for shape, layers in ((student, loss.student_layers), (teacher, loss.teacher_layers)):
        size = {
            "logits": (batch, length, CLASSES),
            "hidden_states": (batch, length, shape.width),
            "attention_scores": (batch, shape.heads, length, length),
        }[loss.knowledge]
        number = 1 if loss.knowledge == "logits" else len(layers)
        values = [torch.randn(size, generator=generator).double() for _ in range(number)]
        sides.append([value.requires_grad_() for value in values])
    return sides[0], sides[1]


def gradients(losses: Tensor, loss: BoundKnowledge, *sides: list[Tensor]) -> list[Tensor]:
    """Of the sum of the losses in everything that could learn."""
    leaves = [*loss.parameters(), *(value for side in sides for value in side)]
    return list(torch.autograd.grad(losses.sum(), leaves))
