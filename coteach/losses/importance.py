"""Importance transfer: a student's tokens should matter as much as a teacher's."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from coteach.attribution.settings import IntegratedGradients, check_choice, check_nodes
from coteach.errors import InputError

Normalisation = Literal["none", "maximum", "mean"]
Explained = Literal["teacher", "gold", "student"]
EngineChoice = Literal["auto", "graph", "two_pass", "finite_difference"]


@dataclass(frozen=True)
class ImportanceJaccard:
    """1 − the soft Jaccard of two models' token importances (importance-transfer thesis, ch. 3)."""

    attribution: IntegratedGradients = field(default_factory=IntegratedGradients)
    """The attributions of student and teacher."""
    teacher_nodes: int | None = None
    """Nodes of the teacher's integral, which is computed once a text and, the teacher being large
    and sure, needs more for the same accuracy; None: as many."""
    target: Explained = "teacher"
    """The answer that both explain: the class, or the spans, that the teacher predicts, the gold's,
    or the student's own."""
    temperature: float = 0.2
    """τ of the softmax over a text's tokens, above 0; the thesis leaves it open. Without
    normalisation and at 1 the distribution is nearly the same whatever the scores are, and the
    loss flat. At 0.2 of the largest score a shuffled teacher's J is 0.20 on short reviews, so that
    there is much to gain, and three or four tokens have most of the mass (docs/results.md)."""
    normalisation: Normalisation = "maximum"
    """What a text's scores are divided by before: the largest or mean absolute one, or nothing, as
    in the thesis. A trained model's scores differ by a factor of 100 between texts, and no τ fits
    all."""
    engine: EngineChoice = "auto"
    """How the gradient goes through the attributions (``coteach.attribution.engines``)."""

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise InputError(f"temperature must be above 0, got {self.temperature}")
        if self.teacher_nodes is not None:
            check_nodes("teacher_nodes", self.teacher_nodes, self.attribution.quadrature)
        check_choice("target", self.target, Explained)
        check_choice("normalisation", self.normalisation, Normalisation)
        check_choice("engine", self.engine, EngineChoice)

    def __call__(self, student_scores: Tensor, teacher_scores: Tensor, mask: Tensor) -> Tensor:
        """The loss of every example.

        Args:
            student_scores: (batch, tokens), float.
            teacher_scores: (batch, tokens), float.
            mask: (batch, tokens), bool, the tokens that are no padding.

        Returns:
            (batch,), in [0, 1], differentiable everywhere; 0 for an example without tokens.
        """
        student, teacher = (
            distribution(scores, mask, self.temperature, self.normalisation)
            for scores in (student_scores, teacher_scores)
        )
        return 1 - soft_jaccard(student, teacher)


def distribution(
    scores: Tensor, mask: Tensor, temperature: float, normalisation: Normalisation = "none"
) -> Tensor:
    """How a text's importance is distributed over its tokens: softmax(scores / τ).

    Args:
        scores: (batch, tokens), float.
        mask: (batch, tokens), bool, the tokens that are no padding.
        temperature: τ, above 0.
        normalisation: divide a text's scores by their largest or mean absolute value; scores that
            are all 0 stay so.

    Returns:
        (batch, tokens), summing to 1; 0 for padding.

    Source: importance-transfer thesis, §3.2.2, eq. 3.2 to 3.4; the normalisation is ours.

    Raises:
        InputError: τ is not above 0, or there is no such normalisation.
    """
    if not 0 < temperature < math.inf:
        raise InputError(f"temperature must be above 0, got {temperature}")
    check_choice("normalisation", normalisation, Normalisation)
    scores = torch.where(mask, scores, 0.0)
    if normalisation != "none":
        sizes = scores.abs()
        if normalisation == "maximum":
            size = sizes.amax(dim=1, keepdim=True)
        else:
            size = sizes.sum(dim=1, keepdim=True) / mask.sum(dim=1, keepdim=True).clamp(min=1)
        scores = scores / torch.where(size > 0, size, 1.0)
    # The lowest number, not −∞: the softmax of a row without tokens must be a number too.
    lowest = torch.finfo(scores.dtype).min
    return (scores / temperature).masked_fill(~mask, lowest).softmax(dim=1) * mask


def soft_jaccard(p: Tensor, q: Tensor) -> Tensor:
    """J = Σpq / (Σp² + Σq² − Σpq), 1 only where p = q (importance-transfer thesis, eq. 3.6).

    Args:
        p: (batch, tokens), not negative.
        q: (batch, tokens), not negative.

    Returns:
        (batch,), in [0, 1]; 1 where both are all 0.
    """
    common = (p * q).sum(dim=-1)
    # Σp² + Σq² − Σpq without its loss of digits where p is near q.
    union = common + (p - q).square().sum(dim=-1)
    return torch.where(union > 0, common / torch.where(union > 0, union, 1.0), 1.0)
