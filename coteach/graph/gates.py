"""Gates: how strongly each unit of an edge's loss counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """What a gate may know of the moment.

    Attributes:
        progress: share of the training that is done, in [0, 1].
    """

    progress: float


class Gate(Protocol):
    """Weights for the units of a loss."""

    def __call__(self, losses: Tensor, step: Step) -> Tensor:
        """Weights in [0, ∞) that broadcast to ``losses``, without gradient."""


@dataclass(frozen=True)
class Through:
    """Every unit counts in full, always (knowledge transfer graph, "through")."""

    def __call__(self, losses: Tensor, step: Step) -> Tensor:
        return torch.ones((), dtype=losses.dtype, device=losses.device)
