"""Which of a student's answers an attribution explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from coteach.errors import InputError
from coteach.model.iob2 import CLASSES
from coteach.model.student import Student

NONE = -1  # fills up the rows of examples with fewer targets


@dataclass(frozen=True)
class Targets:
    """The answers that are explained, per example; F is their sum.

    An answer's number is its place in the example's answers: of a classifying student the class,
    of a tagging one (token · attributes + attribute) · 3 + tag, tokens counted with the special
    ones. It does not depend on padding.

    Attributes:
        indices: (batch, most), int64, −1 where an example has fewer than the most.
    """

    indices: Tensor

    @classmethod
    def of_classes(cls, classes: Tensor) -> Targets:
        """One class an example.

        Args:
            classes: (batch,), integer; negative where there is none to explain.
        """
        return cls(classes.long().clamp(min=NONE).unsqueeze(1))

    @classmethod
    def of_spans(cls, probabilities: Tensor, mask: Tensor, chosen: Tensor | None = None) -> Targets:
        """The tags of all spans that a student finds, or of those chosen.

        They are the tokens whose most probable tag is B or I, each with that tag.

        Args:
            probabilities: (batch, tokens, attributes, 3), of the tags.
            mask: (batch, tokens), above 0 for the tokens that may be tagged: neither padding nor
                special tokens.
            chosen: (batch, tokens, attributes), bool, the tokens of the spans to explain; None
                for all spans.
        """
        best = probabilities.argmax(dim=-1)
        tagged = (best > 0) & (mask > 0).unsqueeze(-1)
        if chosen is not None:
            tagged = tagged & chosen
        best, tagged = best.flatten(1), tagged.flatten(1)
        most = max(int(tagged.sum(dim=1).max()), 1)
        places = tagged.int().argsort(dim=1, descending=True, stable=True)[:, :most]
        numbers = places * CLASSES + best.gather(1, places)
        return cls(numbers.masked_fill(~tagged.gather(1, places), NONE))

    @classmethod
    def of_predictions(cls, student: Student, logits: Tensor, is_content: Tensor) -> Targets:
        """What a student says itself: the most probable class, or all spans that it finds.

        Args:
            student: whose logits they are.
            logits: of its ``forward``.
            is_content: (batch, tokens), the tokens that are neither padding nor special.
        """
        if student.config.classes:
            return cls.of_classes(logits.argmax(dim=-1))
        return cls.of_spans(student.probabilities(logits).p, is_content)

    @classmethod
    def from_lists(
        cls, lists: Sequence[Sequence[int] | np.ndarray], device: torch.device | str = "cpu"
    ) -> Targets:
        """Of the answers' numbers, example by example."""
        most = max([1, *map(len, lists)])
        indices = torch.full((len(lists), most), NONE)
        for row, numbers in enumerate(lists):
            indices[row, : len(numbers)] = torch.as_tensor(np.asarray(numbers, dtype=np.int64))
        return cls(indices.to(device))

    def lists(self) -> list[np.ndarray]:
        """The answers' numbers, example by example, int32."""
        rows = self.indices.cpu().numpy().astype(np.int32)
        return [row[row != NONE] for row in rows]

    def at(self, examples: Sequence[int]) -> Targets:
        """Those of some examples, by their numbers."""
        return Targets(self.indices[list(examples)])

    @property
    def present(self) -> Tensor:
        """(batch,), bool: whether an example has anything to explain."""
        return (self.indices != NONE).any(dim=1)

    def check(self, examples: int, answers: int) -> None:
        """Refuse targets that are not a batch's.

        Raises:
            InputError: they are of another number of examples, or name an answer there is not.
        """
        if len(self.indices) != examples:
            raise InputError(f"targets: expected {examples} examples, got {len(self.indices)}")
        highest = int(self.indices.max()) if self.indices.numel() else NONE
        if highest >= answers:
            raise InputError(
                f"targets: there is no answer {highest}, the student has {answers} of an example"
            )

    def sum(self, answers: Tensor, rows: slice) -> Tensor:
        """F, the sum of the answers that are explained.

        Args:
            answers: (rows, …), what the student says of some examples.
            rows: which they are.

        Returns:
            (rows,); 0 for an example without targets.
        """
        indices = self.indices[rows]
        chosen = answers.flatten(1).gather(1, indices.clamp(min=0))
        return torch.where(indices != NONE, chosen, 0.0).sum(dim=1)
