"""Distillation losses between the layers of two encoders: hidden states and attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import huber_loss, normalize

from coteach.errors import InputError

from .distillation import BoundKnowledge, Knowledge, LayerPairs, Shape, layer_pairs

Projection = Literal["shared", "separate", "none"]


@dataclass(frozen=True)
class AttentionScores:
    """Mean squared error between attention scores before the softmax (Jiao et al. 2020, eq. 7).

    The unit is a query and a key that are no padding; the mean is over heads, the sum over layers.
    """

    knowledge: ClassVar[Knowledge] = "attention_scores"

    layers: LayerPairs = ()
    """(student layer, teacher layer), from 1, the first layer; empty: uniform."""
    parity: bool = False
    """The original code's mean: over all pairs of positions, the keys that are padding counting
    as equal, the queries that are padding compared like any other."""

    def bind(self, student: Shape, teacher: Shape) -> BoundKnowledge:
        """The loss between two encoders.

        Raises:
            InputError: they have different numbers of heads, or the layers do not fit.
        """
        if student.heads != teacher.heads:
            raise InputError(
                "attention scores are compared head by head: expected as many in both, got "
                f"{student.heads} in {student.name!r} and {teacher.heads} in {teacher.name!r} "
                "(AttentionTransfer compares the mean over heads)"
            )
        return BoundKnowledge(self, layer_pairs(self.layers, student, teacher, first=1))

    def counts(self, mask: Tensor) -> Tensor:
        known = torch.ones_like(mask) if self.parity else mask
        return known.sum(dim=1).float().square()

    def compare(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        known = mask[:, None, None, :]
        if not self.parity:
            known = known & mask[:, None, :, None]
        # Masked before the square, whose gradient at an infinite difference is not a number.
        differences = (student - teacher).masked_fill(~known, 0.0)
        return differences.square().mean(dim=1).sum(dim=(1, 2))


@dataclass(frozen=True)
class HiddenStates:
    """Mean squared error between W h_S and h_T (Jiao et al. 2020, eq. 8 and 9).

    The unit is a token; the mean is over the teacher's width, the sum over layers, the embeddings
    among them.
    """

    knowledge: ClassVar[Knowledge] = "hidden_states"

    layers: LayerPairs = ()
    """(student layer, teacher layer), 0 being the embeddings; empty: uniform."""
    projection: Projection = "shared"
    """W: one linear layer for all, even between equal widths (the original code); one for the
    embeddings and one for the layers (the paper); or none, between equal widths."""
    parity: bool = False
    """The original code's mean: over all positions, padding included."""

    def __post_init__(self) -> None:
        if self.projection not in get_args(Projection):
            raise InputError(
                f"projection={self.projection!r}: expected one of {', '.join(get_args(Projection))}"
            )

    def bind(self, student: Shape, teacher: Shape) -> BoundKnowledge:
        """The loss between two encoders, with projections drawn from torch's random numbers.

        Raises:
            InputError: their widths differ and nothing projects, or the layers do not fit.
        """
        pairs = layer_pairs(self.layers, student, teacher, first=0)
        if self.projection != "none":
            return ProjectedStates(self, pairs, student.width, teacher.width)
        if student.width != teacher.width:
            raise InputError(
                'hidden states are compared as they are where projection="none": expected as wide '
                f"ones in both, got {student.width} in {student.name!r} and {teacher.width} in "
                f"{teacher.name!r}"
            )
        return BoundKnowledge(self, pairs)

    def counts(self, mask: Tensor) -> Tensor:
        return (torch.ones_like(mask) if self.parity else mask).sum(dim=1).float()

    def compare(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        differences = student - teacher
        if not self.parity:
            differences = differences.masked_fill(~mask.unsqueeze(-1), 0.0)
        return differences.square().mean(dim=-1).sum(dim=1)


class ProjectedStates(BoundKnowledge):
    """``HiddenStates`` whose student side is projected to the teacher's width first.

    Args:
        loss: with a projection.
        pairs: (student layer, teacher layer).
        width: of the student.
        wanted: the teacher's width.

    Attributes:
        projections: the linear layers by name: "layers" for all; or "embeddings" for pairs with the
            student's layer 0, and "layers" for the others. Only those that some pair needs.
    """

    def __init__(self, loss: HiddenStates, pairs: LayerPairs, width: int, wanted: int) -> None:
        super().__init__(loss, pairs)
        self._parity = loss.parity
        apart = loss.projection == "separate"
        self._names = [
            "embeddings" if apart and not layer else "layers" for layer in self.student_layers
        ]
        self.projections = nn.ModuleDict(
            {name: nn.Linear(width, wanted) for name in sorted(set(self._names))}
        )
        for projection in self.projections.values():
            assert isinstance(projection, nn.Linear)
            # As BERT's layers start.
            nn.init.normal_(projection.weight, std=0.02)
            nn.init.zeros_(projection.bias)

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor) -> Tensor:
        if not self._parity:
            # What stands at padding would reach the projection's gradient, were it no number.
            student = [states.masked_fill(~mask.unsqueeze(-1), 0.0) for states in student]
        projected = [
            self.projections[name](states)
            for name, states in zip(self._names, student, strict=True)
        ]
        return super().forward(projected, teacher, mask)


@dataclass(frozen=True)
class AttentionTransfer:
    """‖Q_S/‖Q_S‖ − Q_T/‖Q_T‖‖ of attention maps Q (Zagoruyko & Komodakis 2017, eq. 2).

    The paper's maps are of activations; here Q is the attention itself, (tokens × tokens), the mean
    over heads, of which the two sides may have different numbers. The unit is an example; the sum
    is over layers.
    """

    knowledge: ClassVar[Knowledge] = "attention_scores"

    layers: LayerPairs = ()
    """(student layer, teacher layer), from 1, the first layer; empty: uniform."""

    def bind(self, student: Shape, teacher: Shape) -> BoundKnowledge:
        """The loss between two encoders.

        Raises:
            InputError: the layers do not fit.
        """
        return BoundKnowledge(self, layer_pairs(self.layers, student, teacher, first=1))

    def counts(self, mask: Tensor) -> Tensor:
        return mask.any(dim=1).float()

    def compare(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        maps = [normalize(_attention(scores, mask), dim=-1) for scores in (student, teacher)]
        # Unlike the root of a sum of squares, it has a gradient where both are the same.
        return torch.linalg.vector_norm(maps[0] - maps[1], dim=-1)


def _attention(scores: Tensor, mask: Tensor) -> Tensor:
    """The mean over heads of the attention, without padding: (batch, tokens²)."""
    unknown = ~(mask.unsqueeze(-1) & mask.unsqueeze(-2))
    # Not −∞, of which a query that is padding would get what is no number.
    least = torch.finfo(scores.dtype).min
    attention = scores.masked_fill(unknown.unsqueeze(1), least).softmax(dim=-1).mean(dim=1)
    return attention.masked_fill(unknown, 0.0).flatten(1)


@dataclass(frozen=True)
class RelationalDistances:
    """Huber loss (δ = 1) between distances of examples (Park et al. 2019, §3.2.1).

    An example is the mean of its tokens' hidden states; the Euclidean distance of two is divided
    by the mean over the pairs of the micro-batch, so that the widths may differ. The loss is the
    mean over pairs, shared evenly among the examples: it depends on the size of the micro-batch,
    of which one with a single example has nothing to say. The sum is over layers.
    """

    knowledge: ClassVar[Knowledge] = "hidden_states"

    layers: LayerPairs = ()
    """(student layer, teacher layer), 0 being the embeddings; empty: the last one of each."""

    def bind(self, student: Shape, teacher: Shape) -> BoundKnowledge:
        """The loss between two encoders.

        Raises:
            InputError: there is no such layer.
        """
        pairs = self.layers or ((student.depth, teacher.depth),)
        return BoundKnowledge(self, layer_pairs(pairs, student, teacher, first=0))

    def counts(self, mask: Tensor) -> Tensor:
        present = mask.any(dim=1)
        return (present & (present.sum() > 1)).float()

    def compare(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        present = mask.any(dim=1)
        pairs = (present & present.unsqueeze(-1)).triu(diagonal=1)
        relations = [_relations(states, mask, pairs) for states in (student, teacher)]
        loss = huber_loss(relations[0], relations[1], reduction="sum") / pairs.sum().clamp(min=1)
        return torch.where(present, loss, 0.0)


def _relations(states: Tensor, mask: Tensor, pairs: Tensor) -> Tensor:
    """Distances of ``pairs`` divided by their mean, 0 of the others; (batch, batch)."""
    known = mask.unsqueeze(-1)
    totals = states.masked_fill(~known, 0.0).sum(dim=1)
    examples = totals / known.sum(dim=1).clamp(min=1)
    # Exact, and with a gradient (of 0) where two examples are the same.
    distances = torch.cdist(examples, examples, compute_mode="donot_use_mm_for_euclid_dist")
    distances = distances.masked_fill(~pairs, 0.0)
    mean = distances.sum() / pairs.sum().clamp(min=1)
    return distances / mean.clamp(min=1e-12)
