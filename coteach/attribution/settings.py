"""What Integrated Gradients are computed with, and where on the path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from coteach.errors import InputError

Quadrature = Literal["gauss_legendre", "right_riemann", "trapezoid"]
Baseline = Literal["padding", "mask", "zero"]
Output = Literal["probability", "logit"]
Aggregation = Literal["norm", "sum"]


@dataclass(frozen=True)
class IntegratedGradients:
    """How much each token adds to an answer (Sundararajan et al. 2017).

    IG_i = (x_i − b_i) ∫₀¹ ∂F/∂x_i (b + α (x − b)) dα over the word embeddings x and a baseline b.
    """

    nodes: int = 4
    """m, points of the path at which the gradient is taken, at least 1. A fine-tuned model is far
    from smooth along the path: four order the tokens roughly right, which is enough to teach with;
    64 leave no gap to speak of (docs/results.md)."""
    quadrature: Quadrature = "gauss_legendre"
    """Which points, and their weights. The importance-transfer thesis (eq. 2.9) takes the right
    Riemann sum: α = k/m, k = 1 … m."""
    baseline: Baseline = "padding"
    """What the tokens are replaced by: [PAD], [MASK] or zeros. Special tokens stay as they are."""
    output: Output = "probability"
    """F: the probability of the answers that are explained, or their logit."""
    aggregation: Aggregation = "norm"
    """A token's score: the L2 norm of its IG over the width (importance-transfer thesis,
    eq. 3.1), or the sum, which keeps the sign."""

    def __post_init__(self) -> None:
        check_nodes("nodes", self.nodes, self.quadrature)
        check_choice("quadrature", self.quadrature, Quadrature)
        check_choice("baseline", self.baseline, Baseline)
        check_choice("output", self.output, Output)
        check_choice("aggregation", self.aggregation, Aggregation)


def check_choice(name: str, value: object, choices: Any) -> None:
    """Refuse what is not one of the choices of a ``Literal``.

    Raises:
        InputError: it is none of them.
    """
    if value not in get_args(choices):
        expected = ", ".join(map(repr, get_args(choices)))
        raise InputError(f"{name}: expected one of {expected}, got {value!r}")


def check_nodes(name: str, nodes: int, method: str) -> None:
    """Refuse a number of nodes that a quadrature cannot have.

    Raises:
        InputError: it is below 1, or below 2 for the trapezoid, whose ends are nodes.
    """
    least = 2 if method == "trapezoid" else 1
    if nodes < least:
        raise InputError(f"{name} of {method} must be at least {least}, got {nodes}")


def quadrature(method: Quadrature, nodes: int) -> tuple[Tensor, Tensor]:
    """The points α of a path from 0 to 1, and their weights.

    Args:
        method: "gauss_legendre", exact for polynomials of degree 2m − 1; "right_riemann", α = k/m
            (importance-transfer thesis, eq. 2.9); "trapezoid", evenly spaced with both ends.
        nodes: m.

    Returns:
        (nodes,) both, float64; the weights sum to 1.

    Raises:
        InputError: too few nodes, or there is no such method.
    """
    check_choice("quadrature", method, Quadrature)
    check_nodes("nodes", nodes, method)
    if method == "gauss_legendre":
        points, masses = np.polynomial.legendre.leggauss(nodes)  # of [−1, 1]
        return torch.from_numpy((1 + points) / 2), torch.from_numpy(masses / 2)
    if method == "right_riemann":
        places = torch.arange(1, nodes + 1, dtype=torch.float64) / nodes
        return places, torch.full((nodes,), 1 / nodes, dtype=torch.float64)
    weights = torch.full((nodes,), 1 / (nodes - 1), dtype=torch.float64)
    weights[[0, -1]] /= 2
    return torch.linspace(0, 1, nodes, dtype=torch.float64), weights
