"""Losses between tag logits and given tags; the unit is a position (a token and an attribute)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from coteach.errors import InputError
from coteach.model.iob2 import IGNORE


@runtime_checkable
class TaggingLoss(Protocol):
    """A loss as a recipe names it, and what it computes."""

    def class_weights(self, counts: Tensor) -> Tensor | None:
        """Weights of the classes, from the gold's counts.

        Args:
            counts: (attributes, classes), how often each class stands in the training gold.

        Returns:
            (attributes, classes), or None where every class weighs 1.
        """

    def __call__(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """The loss of every position, 0 where there is nothing to learn from.

        Args:
            logits: (…, attributes, classes), float.
            labels: (…, attributes), integer, −100 where nothing is known.
            weights: what ``class_weights`` gave.

        Returns:
            (…, attributes), not negative, differentiable everywhere.
        """


@dataclass(frozen=True)
class ClassBalancedFocal:
    """Class-balanced softmax focal loss, L = −α_y (1 − p_y)^γ log p_y.

    Source: Cui et al. 2019 (weights), Lin et al. 2017 (focal), as the co-teaching paper (§4.2)
    and its code combine them.
    """

    beta: float = 0.99999
    """β of the effective number of samples, in [0, 1): 0 weighs classes equally, towards 1 by
    inverse frequency. The paper searches {0.999, 0.9999, 0.99999} (and calls it γ)."""
    gamma: float = 2.0
    """Focal γ, at least 0; 0 gives weighted cross-entropy. The original code's value is 2."""
    counts: Literal["pooled", "attribute"] = "pooled"
    """Count classes over all attributes together (the original code) or for each attribute."""

    def __post_init__(self) -> None:
        if not 0 <= self.beta < 1:
            raise InputError(f"beta must be in [0, 1), got {self.beta}")
        if not 0 <= self.gamma < math.inf:
            raise InputError(f"gamma must be at least 0, got {self.gamma}")

    def class_weights(self, counts: Tensor) -> Tensor:
        if self.counts == "pooled":
            counts = counts.sum(dim=0, keepdim=True).expand_as(counts)
        return class_balanced_weights(counts, self.beta)

    def __call__(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        return focal_loss(logits, labels, weights, self.gamma)


@dataclass(frozen=True)
class CrossEntropy:
    """Softmax cross-entropy, every class weighing 1."""

    def class_weights(self, counts: Tensor) -> None:
        return None

    def __call__(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        return focal_loss(logits, labels, None, gamma=0.0)


def class_balanced_weights(counts: Tensor, beta: float) -> Tensor:
    """α_c = C · w_c / Σ_k w_k with w_c = (1 − β) / (1 − β^{n_c}) (Cui et al. 2019, §4).

    Args:
        counts: (…, classes), how often each class was seen. A class never seen counts as seen
            once, so that no weight is infinite.
        beta: in [0, 1).

    Returns:
        (…, classes), float32, summing to the number of classes.
    """
    # −expm1(n log β) is 1 − β^n without losing the digits of a β near 1.
    logarithm = torch.log(torch.tensor(beta, dtype=torch.float64))
    seen = counts.to(torch.float64).clamp(min=1)
    weights = (1 - beta) / -torch.expm1(seen * logarithm)
    return (weights / weights.sum(dim=-1, keepdim=True) * counts.shape[-1]).float()


def focal_loss(
    logits: Tensor, labels: Tensor, weights: Tensor | None = None, gamma: float = 2.0
) -> Tensor:
    """Softmax focal loss of every position; see ``TaggingLoss.__call__`` for the shapes."""
    known = labels != IGNORE
    chosen = labels.clamp(min=0).long().unsqueeze(-1)
    log_probability = logits.log_softmax(dim=-1).gather(-1, chosen).squeeze(-1)
    loss = -log_probability
    if gamma:
        # expm1 keeps 1 − p exact near p = 1; the floor keeps a γ below 1 differentiable there.
        loss = loss * (-torch.expm1(log_probability)).clamp(min=1e-12) ** gamma
    if weights is not None:
        weights = weights.to(logits.dtype).expand(*logits.shape)
        loss = loss * weights.gather(-1, chosen).squeeze(-1)
    return torch.where(known, loss, 0.0)
