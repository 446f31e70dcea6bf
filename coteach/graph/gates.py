"""Gates: how strongly each unit of an edge's loss counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from coteach.errors import InputError


@dataclass(frozen=True)
class Step:
    """What a gate may know of the moment.

    Attributes:
        progress: share of the training that is done, in [0, 1].
        number: optimiser steps done.
    """

    progress: float
    number: int = 0


class Gate(Protocol):
    """Weights for the units of a loss."""

    def is_open(self, step: Step) -> bool:
        """Whether anything passes at this step; where not, the loss need not be computed."""

    def __call__(self, losses: Tensor, step: Step) -> Tensor:
        """Weights in [0, ∞) that broadcast to ``losses``, without gradient."""


@dataclass(frozen=True)
class Through:
    """Every unit counts in full, always (knowledge transfer graph, "through")."""

    def is_open(self, step: Step) -> bool:
        return True

    def __call__(self, losses: Tensor, step: Step) -> Tensor:
        return torch.ones((), dtype=losses.dtype, device=losses.device)


@dataclass(frozen=True)
class Every:
    """Every unit counts in full at each so many steps, and between them nothing does: for losses
    that cost much, such as those of importance. The edge's weight is not raised to make up for
    it."""

    steps: int = 1
    """1 is always."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"the steps of a gate Every must be at least 1, got {self.steps}")

    def is_open(self, step: Step) -> bool:
        return step.number % self.steps == 0

    def __call__(self, losses: Tensor, step: Step) -> Tensor:
        return torch.full((), float(self.is_open(step)), dtype=losses.dtype, device=losses.device)
