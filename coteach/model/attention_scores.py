"""Attention scores before the softmax, whichever attention an encoder computes with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from .layers import layer_stack

PROJECTIONS = (("query", "key"), ("q_lin", "k_lin"))
"""What encoders whose scores are QKᵀ/√d of two linear layers call these: BERT, RoBERTa, ELECTRA
and XLM-R; DistilBERT."""

RELATIVE = ("relative_key", "relative_key_query")
OTHERWISE = (
    *("big_bird", "canine", "convbert", "esm", "longformer"),
    *("mra", "nystromformer", "roformer", "yoso"),
)
"""Encoders with such layers whose attention is something else: of turned vectors, of a few keys, or
an approximation."""


def projections(encoder: nn.Module, layer: int) -> tuple[nn.Module, nn.Module]:
    """The linear layers that give the queries and the keys of a layer.

    Args:
        encoder: BERT-like.
        layer: counted from 1, the first one.

    Raises:
        ValueError: there is no such layer, or its scores are not the product of two of its own.
    """
    config: Any = encoder.config
    stack = layer_stack(encoder)
    if not 1 <= layer <= len(stack):
        raise ValueError(
            f"attention scores: expected a layer from 1, the first, to {len(stack)}, got {layer}"
        )
    relative = getattr(config, "position_embedding_type", None) in RELATIVE
    if not relative and config.model_type not in OTHERWISE:
        for names in PROJECTIONS:
            found = [
                part
                for name in names
                for path, part in stack[layer - 1].named_modules()
                if path.rpartition(".")[2] == name and isinstance(part, nn.Linear)
            ]
            if len(found) == 2:
                return found[0], found[1]
    raise ValueError(
        f"{type(encoder).__name__}: the attention scores of layer {layer} cannot be taken from a "
        "query and a key projection; expected an encoder such as BERT, RoBERTa, ELECTRA or "
        "DistilBERT"
    )


@contextmanager
def collecting_scores(encoder: nn.Module, layers: Sequence[int]) -> Iterator[dict[int, Tensor]]:
    """Give a dictionary that is filled when the block ends: layer → its scores.

    They are QKᵀ/√d without the mask of the padding, (batch, heads, tokens, tokens), queries before
    keys; their softmax over the keys that are no padding is the attention. The encoder runs within
    the block, once.

    Args:
        encoder: BERT-like.
        layers: counted from 1, the first one.

    Raises:
        ValueError: as of ``projections``.
    """
    scores: dict[int, Tensor] = {}
    projected: dict[tuple[int, int], Tensor] = {}
    config: Any = encoder.config
    heads = config.num_attention_heads
    handles = []
    try:
        for layer in layers:
            for role, part in enumerate(projections(encoder, layer)):

                def keep(
                    _: nn.Module, __: object, output: Tensor, at: int = layer, role: int = role
                ) -> None:
                    projected[at, role] = output

                handles.append(part.register_forward_hook(keep))
        yield scores
    finally:
        for handle in handles:
            handle.remove()
    # Not in the hooks: what is computed there is computed again by gradient checkpointing.
    for layer in layers:
        queries, keys = (
            projected[layer, role].unflatten(-1, (heads, -1)).transpose(1, 2) for role in (0, 1)
        )
        scores[layer] = queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])
