"""What a student believes: from the logits of its heads to the probabilities of tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .configuration import OUTPUT_HEAD


@dataclass
class TagProbabilities:
    """Tag probabilities, the last axis being O, B, I (co-teaching paper, §3).

    Attributes:
        teachers: (…, teachers, attributes, 3), the softmax of each teacher head.
        p_out: (…, attributes, 3), the softmax of the output head; None without one.
        p_mean: (…, attributes, 3), the mean of ``teachers``, weighted where the configuration
            says so; None without teachers.
        p: (…, attributes, 3), ½(p_mean + p_out), or the one of them that there is.
    """

    teachers: Tensor
    p_out: Tensor | None
    p_mean: Tensor | None

    @property
    def p(self) -> Tensor:
        if self.p_mean is None or self.p_out is None:
            only = self.p_out if self.p_mean is None else self.p_mean
            assert only is not None
            return only
        return (self.p_mean + self.p_out) / 2


def tag_probabilities(logits: Tensor, config: Any) -> TagProbabilities:
    """Every view of what a student believes.

    Args:
        logits: (…, heads, attributes, 3), of the student.
        config: the student's.
    """
    exact = logits if logits.dtype == torch.float64 else logits.float()
    every = exact.softmax(dim=-1)
    names = config.head_names
    output = names.index(OUTPUT_HEAD) if OUTPUT_HEAD in names else None
    teachers = every[..., [i for i in range(len(names)) if i != output], :, :]
    return TagProbabilities(
        teachers=teachers,
        p_out=None if output is None else every[..., output, :, :],
        p_mean=_mean(teachers, config) if teachers.shape[-3] else None,
    )


def _mean(teachers: Tensor, config: Any) -> Tensor:
    if config.teacher_weights is None:
        return teachers.mean(dim=-3)
    weights = torch.tensor(config.teacher_weights, device=teachers.device)
    weights = weights.reshape(len(weights), -1, 1)  # (teachers, attributes or 1, 1)
    return (teachers * weights).sum(dim=-3) / weights.sum(dim=0)
