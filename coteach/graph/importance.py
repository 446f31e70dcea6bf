"""Edges that make a student look at the words that its teacher looks at."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from coteach.attribution import SpecialTokens, Targets, attribute, choose_engine
from coteach.data.answer_store import AnswerStore, Value, content_key
from coteach.errors import InputError
from coteach.graph.edges import Edge, EdgeSums
from coteach.graph.gates import Step
from coteach.graph.questions import Question, Replies, Reply
from coteach.graph.teachers import FrozenTeacher, check_question, check_same_task
from coteach.losses import ImportanceJaccard
from coteach.model import Student
from coteach.model.iob2 import CLASSES, IGNORE

SHUFFLED = "shuffled_teacher"


class ImportanceEdge:
    """An edge that compares Integrated Gradients of a student with a teacher's
    (importance-transfer thesis, §3.2 and §3.3). The unit of its loss is a text.

    Args:
        name: of the edge.
        edge: the recipe's, with the loss ``ImportanceJaccard``.
        student: who learns.
        teacher: who teaches.
        tokenizer: of both.
        gold: for targets from the gold of a student that extracts: where the gold stands on the
            source axis of a batch's labels; None where there is none.
        folder: of the recipe's cache, for the teacher's importances.

    Raises:
        InputError: the two do not fit.
    """

    class_weights: Tensor | None = None
    asks_teacher: Question | None
    module: nn.Module | None = None
    parity = False

    def __init__(
        self,
        name: str,
        edge: Edge,
        student: Student,
        teacher: FrozenTeacher,
        tokenizer: Any,
        gold: int | None,
        folder: Path,
    ) -> None:
        assert isinstance(edge.loss, ImportanceJaccard)
        self.edge = edge
        self.loss = edge.loss
        self.members = [teacher.name]
        self.names = ["importance"]
        self.weights = torch.ones(1, 1)
        self.asks_student = asked = Question(logits=True)
        self.asks_teacher = asked
        check_question(teacher, asked, f"edges.{name}")
        config: Any = student.config
        check_same_task(teacher, config, f"edges.{name}")
        self._student, self._gold = student, gold
        if self.loss.target == "gold" and not student.config.classes and gold is None:
            raise InputError(
                f"edges.{name}.loss.target: 'gold' needs a node Gold that teaches the student; "
                "expected one, or 'teacher'"
            )
        assert teacher.student is not None
        self._special = SpecialTokens.of(tokenizer)
        attribution = self.loss.attribution
        try:
            self._special.replacement(attribution.baseline)
        except InputError as error:
            raise InputError(f"edges.{name}.loss.attribution.{error}") from None
        for model in (config, teacher.student.config):
            if attribution.output == "logit" and len(model.heads) > 1:
                raise InputError(
                    f"edges.{name}.loss.attribution.output: the answer of {len(model.heads)} heads "
                    'is the mean of their probabilities; expected "probability", got "logit"'
                )
        self.importance = TeacherImportance(teacher, self.loss, self._special, folder)
        self._engine: Any = self.loss.engine
        self.engine: str | None = None

    @property
    def where(self) -> str:
        """Layers that it reads: none."""
        return "-"

    def to(self, device: torch.device) -> None:
        """Choose the engine, now that the device is known, and say which."""
        if self.loss.engine == "auto":
            self._engine, reason = choose_engine(self._student, self.loss.attribution, device)
            self.engine = f"{self._engine}: {reason}"

    def counts_of(self, batch: Mapping[str, Tensor]) -> Tensor:
        """One for every text, (batch, 1, 1)."""
        return torch.ones(len(batch["input_ids"]), 1, 1, device=batch["input_ids"].device)

    def sums_of(self, replies: Replies, batch: Mapping[str, Tensor], step: Step) -> EdgeSums:
        """The edge's losses on a batch, and beside them what a shuffled teacher's would be."""
        ids, mask = batch["input_ids"], batch["attention_mask"]
        targets = self._targets(replies.student, replies.teachers, batch)
        teacher = self.importance(ids, mask, targets)
        attributed = attribute(
            self._student,
            ids,
            mask,
            targets,
            self.loss.attribution,
            self._special,
            self._engine if torch.is_grad_enabled() else "none",
            completeness=False,  # two more passes
        )
        known = mask > 0
        present = attributed.present.to(teacher.dtype)
        losses = self.loss(attributed.scores, teacher, known) * present
        losses = losses * self.edge.gate(losses.detach(), step)
        scores = attributed.scores.detach()
        floor = self.loss(scores, shuffled(teacher, known, step.number), known) * present
        return EdgeSums(
            losses.view(-1, 1, 1),
            present.view(-1, 1, 1),
            beside={SHUFFLED: floor.view(-1, 1, 1)},
        )

    def remember(self, teachers: Mapping[str, Reply], batch: Mapping[str, Tensor]) -> None:
        """Ask the teacher about a batch and keep its importances, unless they depend on what the
        student will say."""
        if self.loss.target != "student":
            self.importance.remember(batch, self._targets(None, teachers, batch))

    def _targets(
        self, student: Reply | None, teachers: Mapping[str, Reply], batch: Mapping[str, Tensor]
    ) -> Targets:
        """What is explained, the same for both models."""
        if self.loss.target == "gold":
            if "classes" in batch:
                return Targets.of_classes(batch["classes"])
            assert self._gold is not None
            labels = batch["labels"][:, :, self._gold].long()
            tags = nn.functional.one_hot(labels.clamp(min=0), CLASSES).float()
            known = (labels != IGNORE).any(dim=-1)
            return Targets.of_spans(tags, known)
        is_teacher = self.loss.target == "teacher"
        reply = teachers[self.members[0]] if is_teacher else student
        assert reply is not None
        logits = reply.logits.detach()
        of: Any = self.importance.teacher.student if is_teacher else self._student
        # The special tokens at the ends are no part of the text, and have no tags.
        is_content = self._special.are_content(batch["input_ids"])
        return Targets.of_predictions(of, logits, is_content)


class TeacherImportance:
    """What a teacher finds important, by text and target; kept on disk where it was asked before.

    Args:
        teacher: who is asked; a finished student.
        loss: how its Integrated Gradients are computed.
        special: the special tokens of its tokenizer.
        folder: of the recipe's cache.
    """

    def __init__(
        self, teacher: FrozenTeacher, loss: ImportanceJaccard, special: SpecialTokens, folder: Path
    ) -> None:
        self.teacher = teacher
        nodes = loss.teacher_nodes or loss.attribution.nodes
        self._settings = replace(loss.attribution, nodes=nodes)
        self._special = special
        self._folder = folder
        self._store: AnswerStore | None = None

    def remember(self, batch: Mapping[str, Tensor], targets: Targets) -> None:
        """Ask about the texts of a batch that are not known yet, and write the answers down."""
        if self._store is None:
            name = hashlib.blake2b(repr(self._settings).encode(), digest_size=8).hexdigest()
            place = self._folder / "teachers" / self.teacher.fingerprint / f"importance-{name}"
            self._store = AnswerStore(place, {"scores": Value()})
        keys = self._keys(batch["input_ids"], batch["attention_mask"], targets)
        if missing := self._store.missing(keys):
            ids, mask = batch["input_ids"][missing], batch["attention_mask"][missing]
            scores = self._ask(ids, mask, targets.at(missing)).cpu().numpy()
            lengths = mask.sum(dim=1).tolist()
            rows = [of[:length] for of, length in zip(scores, lengths, strict=True)]
            self._store.add([keys[number] for number in missing], {"scores": rows})

    def flush(self) -> None:
        """Write down what is not yet."""
        if self._store is not None:
            self._store.flush()

    def __call__(self, ids: Tensor, mask: Tensor, targets: Targets) -> Tensor:
        """The scores of a batch's tokens, (batch, tokens), 0 on padding."""
        if self._store is not None:
            keys = self._keys(ids, mask, targets)
            if all(key in self._store for key in keys):
                scores = np.zeros(tuple(ids.shape), dtype=np.float32)
                for row, key in zip(scores, keys, strict=True):
                    found = self._store[key]["scores"]
                    row[: len(found)] = found
                return torch.from_numpy(scores).to(ids.device)
        return self._ask(ids, mask, targets)

    def _ask(self, ids: Tensor, mask: Tensor, targets: Targets) -> Tensor:
        assert self.teacher.student is not None
        with self.teacher.autocast():
            found = attribute(
                self.teacher.student,
                ids,
                mask,
                targets,
                self._settings,
                self._special,
                completeness=False,
            )
        return found.scores.detach().float()

    def _keys(self, ids: Tensor, mask: Tensor, targets: Targets) -> list[bytes]:
        """By the text and by what is explained of it."""
        lengths = mask.sum(dim=1).tolist()
        texts: Iterable[np.ndarray] = ids.cpu().numpy()
        return [
            content_key(np.concatenate([text[1 : length - 1], [-1], np.ravel(target)]))
            for text, length, target in zip(texts, lengths, targets.lists(), strict=True)
        ]


def shuffled(scores: Tensor, mask: Tensor, seed: int) -> Tensor:
    """Scores (batch, tokens) dealt anew among each text's own tokens; drawn from ``seed`` alone."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(scores.shape, generator=generator).to(scores.device)
    # The places of a text's tokens, in order, and the same by chance: padding stays last.
    order = draws.masked_fill(~mask, 2.0).argsort(dim=1)
    places = mask.int().argsort(dim=1, descending=True, stable=True)
    return torch.zeros_like(scores).scatter(1, places, scores.gather(1, order))
