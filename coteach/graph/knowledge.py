"""Edges from a frozen teacher's answers, hidden states and attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from coteach.errors import InputError
from coteach.graph.edges import Edge, EdgeSums
from coteach.graph.gates import Step
from coteach.graph.questions import Question, Replies, Reply
from coteach.graph.teachers import (
    FrozenTeacher,
    check_question,
    check_same_task,
    check_scores,
    shape_of,
)
from coteach.model import Student


class KnowledgeEdge:
    """An edge that compares a student's logits, hidden states or attention with a teacher's.

    Args:
        name: of the edge.
        edge: the recipe's.
        student: who learns.
        teacher: who teaches.

    Raises:
        InputError: the two do not fit: other depths, widths, heads or classes.
    """

    class_weights: Tensor | None = None
    asks_teacher: Question | None
    engine: str | None = None

    def __init__(self, name: str, edge: Edge, student: Student, teacher: FrozenTeacher) -> None:
        self.edge = edge
        self.members = [teacher.name]
        self.weights = torch.ones(1, 1)
        config: Any = student.config
        self._config = config
        shape = shape_of(f"the student {edge.target!r}", student.encoder)
        loss: Any = edge.loss
        try:
            self.module: nn.Module | None = loss.bind(shape, teacher.shape)
        except InputError as error:
            raise InputError(f"edges.{name}.loss: {error}") from None
        self._bound: Any = self.module
        kind = self._bound.knowledge
        # Of what padding is compared as well.
        self.parity = kind != "logits" and bool(getattr(loss, "parity", False))
        self.names = [kind.replace("_", " ")]
        if kind == "logits":
            self.asks_student = asked = Question(logits=True)
        else:
            self.asks_student = Question(**{kind: self._bound.student_layers})
            asked = Question(**{kind: self._bound.teacher_layers})
        self.asks_teacher = asked
        check_question(teacher, asked, f"edges.{name}")
        layers = self.asks_student.attention_scores
        check_scores(student.encoder, layers, f"edges.{name}: {shape.name}")
        self._heads: list[tuple[int, int]] = []
        if kind == "logits":
            assert teacher.student is not None
            check_same_task(teacher, config, f"edges.{name}")
            theirs = teacher.student.config.head_names
            mine = self._config.head_names
            self._heads = [
                (mine.index(head), theirs.index(head)) for head in mine if head in theirs
            ]
            if not self._config.classes and not self._heads:
                raise InputError(
                    f"edges.{name}: the teacher {teacher.name!r} has none of the student's heads "
                    f"{mine}; it has {theirs}"
                )

    @property
    def where(self) -> str:
        """The student's layers and, in brackets, the teacher's, for people."""
        pairs = zip(self._bound.student_layers, self._bound.teacher_layers, strict=True)
        return ", ".join(f"{mine} ({theirs})" for mine, theirs in pairs) or "-"

    def to(self, device: torch.device) -> None:
        """Nothing of its own beside what the graph moves."""

    def counts_of(self, batch: Mapping[str, Tensor]) -> Tensor:
        """``EdgeSums.counts`` of a batch, (batch, 1, 1)."""
        return self._bound.counts(self._mask(batch)).view(-1, 1, 1)

    def sums_of(self, replies: Replies, batch: Mapping[str, Tensor], step: Step) -> EdgeSums:
        """The edge's losses on a batch."""
        mask = self._mask(batch)
        losses = self._bound(
            self._read(replies.student, 0),
            self._read(replies.teachers[self.members[0]], 1),
            mask,
        )
        losses = losses * self.edge.gate(losses.detach(), step)
        return EdgeSums(losses.view(-1, 1, 1), self.counts_of(batch))

    def _mask(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Which units there are, (batch, units), bool."""
        known = batch["attention_mask"] > 0
        if self._bound.knowledge != "logits":
            return known
        if self._config.classes:
            return known[:, :1]
        # The special tokens at the ends are no part of the text.
        content = known.clone()
        content[:, 0] = False
        content[:, :-1] &= known[:, 1:]
        content[:, -1] = False
        units = len(self._heads) * len(self._config.attributes)
        return content.unsqueeze(-1).expand(-1, -1, units).flatten(1)

    def _read(self, reply: Reply, side: int) -> list[Tensor]:
        """The tensors to compare, of the student (side 0) or the teacher (1)."""
        if self._bound.knowledge == "logits":
            if self._config.classes:
                return [reply.logits[:, None]]
            return [reply.logits[:, :, [pair[side] for pair in self._heads]].flatten(1, 3)]
        layers = self._bound.teacher_layers if side else self._bound.student_layers
        read = reply.hidden_state
        if self._bound.knowledge == "attention_scores":
            read = reply.attention_scores
        return [read(layer) for layer in layers]
