"""What a distillation loss is: knowledge of two encoders, bound to their shapes, then compared.

The losses that a recipe can name are in ``layers`` and ``logits``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from coteach.errors import InputError

Knowledge = Literal["logits", "hidden_states", "attention_scores"]
LayerPairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Shape:
    """What must fit between two encoders.

    Attributes:
        name: the node's, for error messages.
        depth: number of layers.
        width: of the hidden states.
        heads: attention heads of a layer.
    """

    name: str
    depth: int
    width: int
    heads: int


class Comparison(Protocol):
    """What is compared of one layer, or of the logits, on each side."""

    @property
    def knowledge(self) -> Knowledge:
        """What both sides are asked for."""

    def counts(self, mask: Tensor) -> Tensor:
        """The units of every example, as of ``BoundKnowledge.counts``."""

    def compare(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        """The losses of every example, (batch,), summed over its units.

        Args:
            student: (batch, …), as of ``BoundKnowledge.forward``; float32 or float64.
            teacher: the same shape, but for the heads or the width where the loss allows it.
            mask: (batch, units), bool.
        """


class BoundKnowledge(nn.Module):
    """A distillation loss between two encoders whose shapes are known to fit.

    The loss of a batch is Σ ``forward`` / Σ ``counts``, each summed over examples, micro-batches
    and processes. Parameters, if any, belong to the loss and are trained with the student.

    Args:
        comparison: of one layer, or of the logits.
        pairs: (student layer, teacher layer); none for logits.

    Attributes:
        knowledge: what both sides are asked for.
        student_layers: the layers asked for, one of each pair; empty for logits.
        teacher_layers: the same of the teacher.
    """

    def __init__(self, comparison: Comparison, pairs: LayerPairs = ()) -> None:
        super().__init__()
        self.comparison = comparison
        self.knowledge: Knowledge = comparison.knowledge
        self.student_layers = tuple(layer for layer, _ in pairs)
        self.teacher_layers = tuple(layer for _, layer in pairs)

    def counts(self, mask: Tensor) -> Tensor:
        """The units of every example of a micro-batch, from the mask alone.

        Args:
            mask: (batch, units), bool: of hidden states and attention the tokens that are no
                padding, of logits the units that have an answer.

        Returns:
            (batch,), float32; 0 where there is nothing to learn from.
        """
        return self.comparison.counts(mask)

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor) -> Tensor:
        """The losses of every example, summed over its units and over the pairs of layers.

        Half precision is compared in float32. Gradients reach both sides, unless the caller
        detaches one.

        Args:
            student: one tensor for every layer of ``student_layers``: hidden states (batch,
                tokens, width), or attention scores before the softmax (batch, heads, tokens,
                tokens) without the mask of the padding, queries before keys. Of logits one tensor
                (batch, units, classes): a text is one unit, a tag's every token × head × attribute.
            teacher: the same of ``teacher_layers``.
            mask: as of ``counts``.

        Returns:
            (batch,), float32 or float64, finite and differentiable.

        Raises:
            ValueError: the two sides do not have the same number of tensors, or of classes.
        """
        return torch.stack(
            [
                self.comparison.compare(in_full(of_student), in_full(of_teacher), mask)
                for of_student, of_teacher in zip(student, teacher, strict=True)
            ]
        ).sum(dim=0)


def layer_pairs(
    by_hand: LayerPairs, student: Shape, teacher: Shape, first: Literal[0, 1]
) -> LayerPairs:
    """Which layer of the student learns from which of the teacher.

    With M student layers and N teacher layers, student layer i learns from teacher layer i·N/M
    (Jiao et al. 2020, §3.1 and §4.1).

    Args:
        by_hand: the pairs, where the recipe gives them; empty: uniform.
        student: the student's shape.
        teacher: the teacher's shape.
        first: the first layer there is: 0, the embeddings, for hidden states; 1 for attention.

    Raises:
        InputError: N is no multiple of M, or there is no such layer.
    """
    sides = (student, teacher)
    for number, pair in enumerate(by_hand, start=1):
        for layer, side in zip(pair, sides, strict=True):
            if not first <= layer <= side.depth:
                raise InputError(
                    f"pair {number} of layers, {pair}, from {student.name!r} ({student.depth} "
                    f"layers) to {teacher.name!r} ({teacher.depth} layers): expected a layer of "
                    f"{side.name!r} from {first} to {side.depth}, got {layer}"
                )
    if by_hand:
        return by_hand
    if teacher.depth % student.depth:
        raise InputError(
            f"{teacher.name!r} has {teacher.depth} layers, no multiple of the {student.depth} of "
            f"{student.name!r}, so that none can be left out evenly; expected "
            "layers=((student layer, teacher layer), …)"
        )
    step = teacher.depth // student.depth
    return tuple((layer, layer * step) for layer in range(first, student.depth + 1))


def check_temperature(temperature: float) -> None:
    """Raise an InputError unless logits can be divided by it."""
    if not 0 < temperature < math.inf:
        raise InputError(f"temperature must be above 0, got {temperature}")


def in_full(values: Tensor) -> Tensor:
    """Float32 where the precision is lower."""
    return values if values.dtype == torch.float64 else values.float()
