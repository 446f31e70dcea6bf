"""Integrated Gradients, and the gradient of a loss on them by one of three engines.

With D = E − B, X_k = B + α_k D and G_k = ∇_X F(X_k), IG = D ⊙ Σ_k w_k G_k. For an upstream gradient
v, with u_k = w_k v ⊙ D, the gradient is

    by the parameters   Σ_k ∂_θ ⟨u_k, ∇_X F(X_k)⟩
    by E                v ⊙ Σ_k w_k G_k + Σ_k α_k ∂_X ⟨u_k, ∇_X F(X_k)⟩
    by B               −v ⊙ Σ_k w_k G_k + Σ_k (1 − α_k) ∂_X ⟨u_k, ∇_X F(X_k)⟩

"graph" leaves this to autograd, with the graphs of all nodes kept until the backward pass.
"two_pass" keeps none: the forward pass takes first-order gradients only, and the backward pass goes
through the nodes again, one at a time, with a double backward. "finite_difference" replaces that
double backward by a difference of first-order gradients along u_k, which any attention has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from coteach.attribution.settings import check_choice
from coteach.errors import InputError

Engine = Literal["none", "graph", "two_pass", "finite_difference"]
"""How a loss's gradient goes through attributions; "none" for their values alone."""

Function = Callable[[Tensor, slice], Tensor]
"""F of some rows of a batch, from their embeddings: (rows, tokens, width) → (rows,). An example's
answer depends on its own embeddings alone."""

ALL = slice(None)

Path = Sequence[tuple[float, float]]
"""α and weight of every node."""

PARTS = 2
"""Parts of a batch that go through a double backward one after the other."""

STEPS = {torch.float32: 3e-3, torch.float64: 3e-6}
"""Finite differences: how far the token that moves most is moved, in mean lengths of a token.

Measured with e5-small-ja, four layers with a new head and all twelve fine-tuned, baselines padding
and zero, against the double backward in float64: the importance loss's whole gradient has a
relative error of 3e-4 to 2e-3 in float32, and near 1e-9 in float64. Longer steps are better with
four layers, shorter ones with twelve."""


def integrated_gradients(
    function: Function,
    embeddings: Tensor,
    baseline: Tensor,
    alphas: Tensor,
    weights: Tensor,
    engine: Engine,
    parameters: Sequence[Tensor] = (),
) -> Tensor:
    """IG of every element of the embeddings.

    Args:
        function: F, the same at every call: without dropout.
        embeddings: E, (batch, tokens, width), the end of the path.
        baseline: B, of the same shape, its start.
        alphas: (nodes,), of a quadrature on [0, 1].
        weights: (nodes,), theirs.
        engine: "none" gives values without gradient; the others are differentiable, once, by E, B
            and the parameters.
        parameters: what F learns by; "graph" finds it by itself.

    Returns:
        (batch, tokens, width).

    Raises:
        InputError: finite differences in a precision that has too few digits for them, or there
            is no such engine.
    """
    check_choice("engine", engine, Engine)
    path = list(zip(alphas.tolist(), weights.tolist(), strict=True))
    if engine == "none":
        return (embeddings - baseline).detach() * _mean_gradient(
            function, embeddings, baseline, path
        )
    if engine == "graph":
        return (embeddings - baseline) * _mean_gradient_with_graph(
            function, embeddings, baseline, path
        )
    if engine == "two_pass":
        return _Recomputed.apply(double_backward, function, path, embeddings, baseline, *parameters)
    if embeddings.dtype not in STEPS:
        raise InputError(
            f"finite differences need float32 or float64 embeddings, got {embeddings.dtype}"
        )
    # Around the passes backward too: autocast would round their products as well.
    with torch.autocast(embeddings.device.type, enabled=False):
        return _Recomputed.apply(
            central_difference, function, path, embeddings, baseline, *parameters
        )


def _mean_gradient(function: Function, end: Tensor, start: Tensor, path: Path) -> Tensor:
    """Σ_k w_k G_k, without a graph."""
    end, start = end.detach(), start.detach()
    mean = torch.zeros_like(end)
    with torch.enable_grad():
        for alpha, weight in path:
            point = torch.lerp(start, end, alpha).requires_grad_()
            (gradient,) = torch.autograd.grad(function(point, ALL).sum(), point)
            mean.add_(gradient, alpha=weight)
    return mean


def _mean_gradient_with_graph(function: Function, end: Tensor, start: Tensor, path: Path) -> Tensor:
    """The same, differentiable."""
    mean = torch.zeros_like(end)
    with sdpa_kernel(SDPBackend.MATH):
        for alpha, weight in path:
            point = torch.lerp(start, end, alpha)
            if not point.requires_grad:
                point.requires_grad_()
            answers = function(point, ALL).sum()
            (gradient,) = torch.autograd.grad(answers, point, create_graph=True)
            mean = mean + weight * gradient
    return mean


Totals = list[Tensor | None]
"""A gradient for each parameter, summed up; None where there has been none."""

SecondOrder = Callable[[Function, Tensor, Tensor, Sequence[Tensor], Totals], Tensor]
"""∂⟨u, ∇_X F(X)⟩ by X, from F, X, u and the parameters; that by the parameters is added to their
totals."""


def double_backward(
    function: Function,
    point: Tensor,
    direction: Tensor,
    parameters: Sequence[Tensor],
    totals: Totals,
) -> Tensor:
    """By autograd."""
    by_points = []
    # A part of the batch at a time: the graphs of a forward and a backward pass are alive
    # together, which would be twice what a plain step keeps.
    size = -(-len(point) // PARTS)
    for first in range(0, len(point), size):
        rows = slice(first, first + size)
        part = point[rows].requires_grad_()
        with sdpa_kernel(SDPBackend.MATH):
            answers = function(part, rows).sum()
            (gradient,) = torch.autograd.grad(answers, part, create_graph=True)
            by_point, *by_parameters = torch.autograd.grad(
                gradient, [part, *parameters], grad_outputs=direction[rows], allow_unused=True
            )
        by_points.append(torch.zeros_like(part) if by_point is None else by_point)
        _add(totals, by_parameters)
    return torch.cat(by_points)


def central_difference(
    function: Function,
    point: Tensor,
    direction: Tensor,
    parameters: Sequence[Tensor],
    totals: Totals,
) -> Tensor:
    """[∇F(X + εu) − ∇F(X − εu)] / 2ε, with an ε for every example."""
    lengths = torch.linalg.vector_norm(direction, dim=-1).amax(dim=1)
    norms = torch.linalg.vector_norm(point, dim=-1)
    scales = norms.sum(dim=1) / (norms > 0).sum(dim=1).clamp(min=1)
    # ε · the largest ‖u_t‖
    moves = STEPS[point.dtype] * torch.where(scales > 0, scales, 1.0)
    units = direction / torch.where(lengths > 0, lengths, 1.0)[:, None, None]
    rates = lengths / (2 * moves)
    total = torch.zeros_like(point)
    for sign in (1, -1):
        moved = (point + sign * moves[:, None, None] * units).requires_grad_()
        answers = (sign * rates * function(moved, ALL)).sum()
        by_point, *by_parameters = torch.autograd.grad(
            answers, [moved, *parameters], allow_unused=True
        )
        assert by_point is not None
        total.add_(by_point)
        _add(totals, by_parameters)
    return total


def _add(totals: Totals, gradients: Sequence[Tensor | None]) -> None:
    """Add in place, parameter by parameter."""
    for number, gradient in enumerate(gradients):
        total = totals[number]
        if gradient is None:
            continue
        if total is None:
            totals[number] = gradient.clone()  # autograd may give two parameters the same tensor
        else:
            total.add_(gradient)


class _Recomputed(torch.autograd.Function):
    """IG whose backward pass goes through the nodes again, one at a time."""

    @staticmethod
    def forward(
        ctx: Any,
        second_order: SecondOrder,
        function: Function,
        path: Path,
        end: Tensor,
        start: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        mean = _mean_gradient(function, end, start, path)
        # With the parameters, autograd notices when one was changed before the backward pass.
        ctx.save_for_backward(end, start, mean, *parameters)
        ctx.second_order, ctx.function, ctx.path = second_order, function, path
        kind = end.device.type
        ctx.autocast = {
            "device_type": kind,
            "enabled": torch.is_autocast_enabled(kind),
            "dtype": torch.get_autocast_dtype(kind),
        }
        return (end - start) * mean

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # by create_graph; once_differentiable might stay silent
            raise RuntimeError("attributions by this engine are differentiable once, not twice")
        end, start, mean, *parameters = ctx.saved_tensors
        needed = ctx.needs_input_grad[3:]
        learning = [it for it, is_needed in zip(parameters, needed[2:], strict=True) if is_needed]
        direct = upstream * mean
        by_end, by_start = direct.clone(), -direct
        totals: Totals = [None] * len(learning)
        direction = upstream * (end - start)
        for alpha, weight in ctx.path:
            point = torch.lerp(start, end, alpha)
            # No cache: it would hand a node the casts of weights that an earlier one has freed.
            with torch.enable_grad(), torch.autocast(**ctx.autocast, cache_enabled=False):
                by_point = ctx.second_order(
                    ctx.function, point, weight * direction, learning, totals
                )
            by_end.add_(by_point, alpha=alpha)
            by_start.add_(by_point, alpha=1 - alpha)
        found = iter(totals)
        by_parameters = [next(found) if is_needed else None for is_needed in needed[2:]]
        return None, None, None, by_end, by_start, *by_parameters
