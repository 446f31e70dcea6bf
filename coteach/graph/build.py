"""A student and all that teaches it: from a recipe's edges to what is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from coteach.data.windowed import Windowed
from coteach.graph.bundles import Bundle
from coteach.graph.edges import Answer, BoundEdge, Edge, EdgeSums, GraphEdge
from coteach.graph.gates import Step
from coteach.graph.importance import ImportanceEdge
from coteach.graph.knowledge import KnowledgeEdge
from coteach.graph.objectives import (
    CoTeaching,
    LearnedWeighting,
    UncertaintyWeighting,
    WeightedSum,
)
from coteach.graph.questions import Question, Replies, Reply
from coteach.graph.teachers import FrozenTeacher, TeacherAnswers, check_same_tokens
from coteach.losses import ImportanceJaccard
from coteach.model import Student
from coteach.model.configuration import OUTPUT_HEAD
from coteach.model.iob2 import CLASSES
from coteach.model.student import StudentOutput


class StudentGraph:
    """A student and all that teaches it.

    Args:
        student: with a head for every member of every edge.
        edges: the recipe's, all into this student. One from a teacher with weight 0 is left out.
        objective: how they combine.
        sources: the bundle behind each source node.
        windowed: the training data, for the place of each source and the class counts.
        teachers: the frozen models among the source nodes, by name.
        tokenizer: of the student and its teachers; needed where there are any.
        cache: the recipe's, for the teachers' answers.

    Raises:
        InputError: a teacher and the student do not fit, or an edge's loss is not for its source.
    """

    def __init__(
        self,
        student: Student,
        edges: Mapping[str, Edge],
        objective: CoTeaching | WeightedSum | UncertaintyWeighting,
        sources: Mapping[str, Bundle],
        windowed: Windowed,
        teachers: Mapping[str, FrozenTeacher] | None = None,
        tokenizer: Any = None,
        cache: Path = Path(".cache/coteach"),
    ) -> None:
        self.student = student
        self._tokenizer, self._cache = tokenizer, cache
        gold = [
            (bundle.counted or bundle.sources[0]).name
            for bundle in sources.values()
            if OUTPUT_HEAD in bundle.heads and bundle.sources
        ]
        if gold:
            counts = windowed.class_counts(gold[0])
        else:  # nothing to balance by: every class counts as seen once
            counts = torch.ones(len(windowed.attributes), CLASSES, dtype=torch.int64)
        self.edges: dict[str, GraphEdge] = {}
        auxiliary = [head["name"] for head in student.config.auxiliary_heads]
        for name, edge in edges.items():
            if teachers and edge.source in teachers:
                if not edge.weight:  # asking a teacher costs much, and would teach nothing
                    continue
                place = windowed.sources.index(gold[0]) if gold else None
                self.edges[name] = self._taught(name, edge, teachers[edge.source], place)
                continue
            bundle = sources[edge.source]
            weights = torch.from_numpy(bundle.weights).float()
            if bundle.tags is not None:
                source = bundle.tags.annotations.name
                place = list(windowed.tag_sources).index(source)
                self.edges[name] = BoundEdge(
                    edge,
                    members=[source],
                    sources=[place],
                    heads=[0],
                    weights=weights,
                    class_counts=windowed.tag_counts(source),
                    answer=Answer("tags", auxiliary.index(name)),
                    names=[name],
                )
            elif windowed.classes:
                self.edges[name] = BoundEdge(
                    edge,
                    members=[edge.source],
                    sources=[0],
                    heads=[0],
                    weights=weights,
                    class_counts=windowed.label_counts(),
                    answer=Answer("classes"),
                    names=bundle.heads,
                )
            else:
                self.edges[name] = BoundEdge(
                    edge,
                    members=[source.name for source in bundle.sources],
                    sources=[windowed.sources.index(source.name) for source in bundle.sources],
                    heads=[student.config.head_names.index(head) for head in bundle.heads],
                    weights=weights,
                    class_counts=counts,
                    names=bundle.heads,
                )
        self.objective = _bound(objective, self.edges, windowed)
        of_edges = {name: edge.module for name, edge in self.edges.items() if edge.module}
        self.learned = nn.ModuleDict({f"edge {name}": it for name, it in of_edges.items()})
        """What the graph itself learns: projections, weights of edges. No part of the student."""
        if isinstance(self.objective, nn.Module):
            self.learned["objective"] = self.objective
        asked = [edge.asks_student for edge in self.edges.values()]
        # An auxiliary head answers whenever there is one: its parameters need a gradient.
        self.question = reduce(or_, asked, Question(tags=bool(auxiliary)))
        """What the student is asked."""
        self.teachers: dict[str, TeacherAnswers] = {}
        for name, teacher in (teachers or {}).items():
            of = [edge for edge in self.edges.values() if edge.edge.source == name]
            asks = [edge.asks_teacher for edge in of if edge.asks_teacher is not None]
            if asks:
                keep = not any(isinstance(it, KnowledgeEdge) and it.parity for it in of)
                self.teachers[name] = TeacherAnswers(
                    teacher, reduce(or_, asks, Question()), cache, keep
                )

    def _taught(
        self, name: str, edge: Edge, teacher: FrozenTeacher, gold: int | None
    ) -> KnowledgeEdge | ImportanceEdge:
        """An edge from a teacher."""
        config: Any = self.student.config
        check_same_tokens(teacher, self._tokenizer, config)
        if isinstance(edge.loss, ImportanceJaccard):
            return ImportanceEdge(
                name, edge, self.student, teacher, self._tokenizer, gold, self._cache
            )
        return KnowledgeEdge(name, edge, self.student, teacher)

    def parameters(self) -> list[nn.Parameter]:
        """Those of ``learned``."""
        return list(self.learned.parameters())

    def to(self, device: torch.device) -> None:
        """Move the student, the teachers and the edges' own tensors, and let edges choose by what
        the student can do there."""
        student: Any = self.student
        student.to(device)
        for edge in self.edges.values():
            edge.to(device)
        for answers in self.teachers.values():
            answers.teacher.model.to(device)
        self.learned.to(device)

    def remember(
        self, windowed: Windowed, batches: Iterable[Mapping[str, Tensor]], device: torch.device
    ) -> list[str]:
        """Let the teachers answer once about all texts, where nothing random touches them.

        Args:
            windowed: the texts.
            batches: of them, in any order; read once.
            device: to compute on.

        Returns:
            What to tell about it.
        """
        told = [answers.plan(windowed.lengths + 2) for answers in self.teachers.values()]
        edges: Iterable[Any] = self.edges.values()
        of_importance = [edge for edge in edges if isinstance(edge, ImportanceEdge)]
        if not of_importance and not any(it.is_kept for it in self.teachers.values()):
            return [line for line in told if line]
        for batch in batches:
            moved = {name: tensor.to(device) for name, tensor in batch.items()}
            replies = {}
            for name, answers in self.teachers.items():
                answers.remember(moved)
                if any(edge.edge.source == name for edge in of_importance):
                    replies[name] = answers(moved)
            for edge in of_importance:
                edge.remember(replies, moved)
        for answers in self.teachers.values():
            answers.flush()
        for edge in of_importance:
            edge.importance.flush()
        return [line for line in told if line]

    def figures(self) -> dict[str, float]:
        """What of that is worth logging."""
        return self.objective.figures() if isinstance(self.objective, LearnedWeighting) else {}

    def totals(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The objective's denominators of a micro-batch, from its labels alone."""
        return self.objective.totals(
            {name: edge.counts_of(batch) for name, edge in self.edges.items()}
        )

    def ask(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Any:
        """The student's output on a micro-batch, with all that the edges read.

        Args:
            model: the student, or what wraps it to share it among processes.
            batch: on its device.
        """
        return model(
            batch["input_ids"],
            batch["attention_mask"],
            tags=self.question.tags,
            hidden_states=self.question.hidden_states,
            attention_scores=self.question.attention_scores,
        )

    def losses(
        self, output: StudentOutput, batch: Mapping[str, Tensor], step: Step
    ) -> dict[str, EdgeSums]:
        """Every edge's losses on a micro-batch; nothing, from an edge whose gate is shut."""
        is_open = {name: edge.edge.gate.is_open(step) for name, edge in self.edges.items()}
        asked = {edge.edge.source for name, edge in self.edges.items() if is_open[name]}
        teachers = {name: of(batch) for name, of in self.teachers.items() if name in asked}
        replies = Replies(Reply(output, self.question), teachers)
        result = {}
        for name, edge in self.edges.items():
            if is_open[name]:
                result[name] = edge.sums_of(replies, batch, step)
            else:
                nothing = torch.zeros_like(edge.counts_of(batch))
                result[name] = EdgeSums(nothing, nothing)
        return result

    def combine(self, sums: Mapping[str, EdgeSums], totals: Tensor) -> Tensor:
        """The micro-batch's share of the student's loss, a scalar."""
        return self.objective(sums, self.edges, totals)


def _bound(
    objective: CoTeaching | WeightedSum | UncertaintyWeighting,
    edges: Mapping[str, GraphEdge],
    windowed: Windowed,
) -> CoTeaching | WeightedSum | LearnedWeighting:
    """The objective with what it learns, or counts in the data: the original code's labelled
    rate, where it is asked for."""
    if isinstance(objective, UncertaintyWeighting):
        return LearnedWeighting([name for name, bound in edges.items() if bound.edge.weight > 0])
    if not isinstance(objective, CoTeaching) or objective.gold_scale == "none":
        return objective
    if objective.labelled_rate is not None:
        return objective
    rate = windowed.labelled_rate(edges[objective.gold].members[0])
    return replace(objective, labelled_rate=rate or 1.0)  # without gold, no loss to scale
