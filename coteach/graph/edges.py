"""Edges: a loss from a source node to the heads of a student, behind a gate, with a weight."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from coteach.errors import InputError
from coteach.graph.gates import Every, Step, Through
from coteach.graph.questions import Question, Replies
from coteach.losses import ClassBalancedFocal, KnowledgeLoss, LabelLoss, TaggingLoss
from coteach.model.iob2 import IGNORE
from coteach.model.student import StudentOutput


@dataclass(frozen=True)
class Edge:
    """One line of a recipe: who teaches whom, and how."""

    source: str
    """Name of the node that teaches."""
    target: str
    """Name of the student that learns."""
    loss: LabelLoss | KnowledgeLoss = field(default_factory=ClassBalancedFocal)
    """What is compared: labels, from a node that has some, or what a node Teacher knows."""
    gate: Through | Every = field(default_factory=Through)
    """Which units of the loss count, and when."""
    weight: float = 1.0
    """Weight among the edges of the same student, at least 0."""
    layer: int = -1
    """The encoder layer that the edge's heads read: 0 is the embeddings, −1 the last. Losses that
    compare layers name them themselves."""
    smoothing: float = 0.0
    """Share of a member's target that is taken from what all members say of the position, by
    their weights: 0 is the member's own tag alone, as in the paper, 1 the agreement alone."""

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing <= 1:
            raise InputError(
                f"the smoothing of the edge from {self.source!r} must be in [0, 1], got "
                f"{self.smoothing}"
            )
        if not 0 <= self.weight < math.inf:
            raise InputError(
                f"the weight of the edge from {self.source!r} must be at least 0, got {self.weight}"
            )


@dataclass(frozen=True)
class Answer:
    """What of a student's output an edge compares, and with what of a batch.

    Attributes:
        unit: what is labelled: tokens for several attributes each, by a head a source; tokens by
            an auxiliary head with tags of its own; or whole texts, by their classes.
        number: of the auxiliary head.
    """

    unit: Literal["attributes", "tags", "classes"] = "attributes"
    number: int = 0

    def logits(self, output: StudentOutput) -> Tensor:
        """(batch, positions, heads, attributes, classes), float32 at least.

        An auxiliary head is one that tags for one attribute with as many classes as it has tags;
        a class head does so at one position, the text.
        """
        logits = output.logits
        if self.unit == "tags":
            assert output.tags is not None
            logits = output.tags[self.number][:, :, None, None]
        elif self.unit == "classes":
            assert logits is not None
            logits = logits[:, None, None, None]
        assert logits is not None
        return logits if logits.dtype == torch.float64 else logits.float()

    def labels(self, batch: Mapping[str, Tensor]) -> Tensor:
        """(batch, positions, sources, attributes), integer, −100 where nothing is known."""
        if self.unit == "tags":
            return batch["tags"].unsqueeze(-1)
        if self.unit == "classes":
            return batch["classes"][:, None, None, None]
        return batch["labels"]


@dataclass(frozen=True)
class EdgeSums:
    """An edge's losses on a batch, summed over tokens.

    Attributes:
        losses: (batch, members, attributes), gated and weighted by the members' weights.
        counts: (batch, members, attributes), positions there was something to learn from, times
            the same weights. A count of 0 means: this member says nothing about this example.
        beside: figures for the log that are no part of the loss, summed over the same units.
    """

    losses: Tensor
    counts: Tensor
    beside: Mapping[str, Tensor] = field(default_factory=dict)

    def per_example(self) -> tuple[Tensor, Tensor]:
        """Mean over members, tokens and attributes: (batch,) losses, and (batch,) bool present."""
        total = self.counts.sum(dim=(1, 2))
        return self.losses.sum(dim=(1, 2)) / total.clamp(min=1e-12), total > 0


class GraphEdge(Protocol):
    """An edge as the graph uses it: bound to its nodes and its data.

    Attributes:
        edge: the recipe's.
        members: names of its sources.
        names: of what each of them teaches, for people.
        weights: (members, attributes), the members' weights, mean 1 over the members.
        class_weights: (attributes, classes) of its loss; None without any.
        where: the layer or layers that it reads, for people.
        engine: how its gradients are computed where that was chosen by itself, for people.
        module: what it learns itself; None for nothing.
        asks_student: what it reads of the student.
        asks_teacher: what it reads of its source, where that is a teacher; else None.
    """

    edge: Edge
    members: list[str]
    names: list[str]
    weights: Tensor
    class_weights: Tensor | None
    module: nn.Module | None
    engine: str | None
    asks_student: Question
    asks_teacher: Question | None

    @property
    def where(self) -> str: ...

    def to(self, device: torch.device) -> object:
        """Move the edge's own tensors."""

    def counts_of(self, batch: Mapping[str, Tensor]) -> Tensor:
        """``EdgeSums.counts`` of a batch, before any model has read it."""

    def sums_of(self, replies: Replies, batch: Mapping[str, Tensor], step: Step) -> EdgeSums:
        """The edge's losses on a batch."""


class BoundEdge:
    """An edge from labels that knows its members, its heads and its data.

    A bundle of sources (the teams) is one edge with several members, computed at once.

    Args:
        edge: the recipe's.
        members: names of its sources, each teaching the head at the same place of ``heads``.
        sources: where the members stand on the source axis of a batch's labels.
        heads: where their heads stand on the head axis of the student's logits.
        weights: (members, attributes), the members' weights, mean 1 over the members.
        class_counts: (attributes, classes) of the training gold.
        answer: which of the student's logits, and which labels.
        names: of the heads, for people; None: those of the members.
    """

    module: nn.Module | None = None
    engine: str | None = None
    asks_teacher: Question | None = None

    def __init__(
        self,
        edge: Edge,
        members: list[str],
        sources: list[int],
        heads: list[int],
        weights: Tensor,
        class_counts: Tensor,
        answer: Answer | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        self.edge = edge
        self.members = members
        self.names = list(members if names is None else names)
        self.answer = answer or Answer()
        self.heads = heads
        self.weights = weights
        if not isinstance(edge.loss, TaggingLoss):
            raise InputError(
                f"the loss of the edge from {edge.source!r} is {type(edge.loss).__name__}, which "
                "needs a teacher; expected CrossEntropy or ClassBalancedFocal"
            )
        self._loss = edge.loss
        self.class_weights = self._loss.class_weights(class_counts)
        self._sources = sources
        self.asks_student = Question(logits=True, tags=self.answer.unit == "tags")

    @property
    def where(self) -> str:
        """The layer that its heads read, as the recipe counts it."""
        return str(self.edge.layer)

    def to(self, device: torch.device) -> BoundEdge:
        """Move the edge's own tensors."""
        self.weights = self.weights.to(device)
        if self.class_weights is not None:
            self.class_weights = self.class_weights.to(device)
        return self

    def counts_of(self, batch: Mapping[str, Tensor]) -> Tensor:
        """``EdgeSums.counts`` of a batch."""
        return self.counts(self.answer.labels(batch))

    def sums_of(self, replies: Replies, batch: Mapping[str, Tensor], step: Step) -> EdgeSums:
        """The edge's losses on a batch."""
        return self(self.answer.logits(replies.student.output), self.answer.labels(batch), step)

    def counts(self, labels: Tensor) -> Tensor:
        """``EdgeSums.counts`` of labels (batch, tokens, sources, attributes)."""
        known = labels[:, :, self._sources] != IGNORE
        return known.sum(dim=1) * self.weights.to(labels.device)

    def __call__(self, logits: Tensor, labels: Tensor, step: Step) -> EdgeSums:
        """Compare the student's heads with what the sources say.

        Args:
            logits: (batch, tokens, heads, attributes, classes), every head, of ``answer``.
            labels: (batch, tokens, sources, attributes), every source, of ``answer``.
            step: the moment, for the gate.
        """
        logits, labels_of_members = _select(logits, self.heads), _select(labels, self._sources)
        losses = self._loss(logits, labels_of_members, self.class_weights)
        if self.edge.smoothing:
            agreed = self._agreed_loss(logits, labels_of_members)
            losses = (1 - self.edge.smoothing) * losses + self.edge.smoothing * agreed
        losses = losses * self.edge.gate(losses.detach(), step)
        return EdgeSums(losses.sum(dim=1) * self.weights, self.counts(labels))

    def _agreed_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Each head's loss against the weighted share of the members behind every tag.

        The losses are linear in the target, so that it is Σ_c share_c · loss(c).

        Args:
            logits: (batch, tokens, members, attributes, classes).
            labels: (batch, tokens, members, attributes); members that do not know a position
                have no say in it, and no loss.
        """
        known = labels != IGNORE
        says = known * self.weights
        # Where all who know a position weigh nothing, nothing is agreed on.
        total = says.sum(dim=2, keepdim=True).clamp(min=1e-12)
        agreed = torch.zeros_like(logits[..., 0])
        for tag in range(logits.shape[-1]):
            share = (says * (labels == tag)).sum(dim=2, keepdim=True) / total
            target = torch.where(known, tag, IGNORE)
            agreed = agreed + share * self._loss(logits, target, self.class_weights)
        return agreed


def _select(values: Tensor, places: list[int]) -> Tensor:
    """Places of axis 2; a view, without a copy, where they are consecutive."""
    first = places[0]
    if places == list(range(first, first + len(places))):
        return values.narrow(2, first, len(places))
    return values[:, :, places]
