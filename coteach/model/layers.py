"""An encoder's layers, and which of them a head reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn


def layer_stack(encoder: nn.Module) -> nn.ModuleList:
    """An encoder's layers, the first one first.

    Raises:
        ValueError: it keeps them in no list of that length.
    """
    depth: Any = getattr(encoder.config, "num_hidden_layers", None)
    for module in encoder.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    raise ValueError(f"{type(encoder).__name__}: expected a list of its {depth} layers, found none")


def keep_layers(encoder: nn.Module, layers: Sequence[int]) -> None:
    """Leave an encoder only some of its layers, in the order given.

    Args:
        encoder: it and its configuration are changed.
        layers: counted from 1, the first one; negative ones count from the end.

    Raises:
        ValueError: there is no such layer, or the encoder keeps them in no list.
    """
    stack = layer_stack(encoder)
    places = [absolute(layer, len(stack)) for layer in layers]
    if not places or 0 in places:
        raise ValueError(f"expected layers from 1, the first one, to {len(stack)}, got {layers}")
    path = next(path for path, module in encoder.named_modules() if module is stack)
    owner, _, name = path.rpartition(".")
    setattr(encoder.get_submodule(owner), name, nn.ModuleList(stack[n - 1] for n in places))
    config: Any = encoder.config
    kinds = getattr(config, "layer_types", None)
    if kinds:  # of encoders whose layers are not all alike
        config.layer_types = [kinds[place - 1] for place in places]
    config.num_hidden_layers = len(places)


class HeadError(ValueError):
    """A head that an encoder cannot have; ``head`` is its name."""

    def __init__(self, head: str, message: str) -> None:
        super().__init__(f"head {head!r}: {message}")
        self.head = head
        self.message = message


def layer_of(head: Mapping[str, Any], depth: int) -> int:
    """The layer that a head reads, as of ``absolute``."""
    try:
        return absolute(head["layer"], depth)
    except ValueError as error:
        raise HeadError(head["name"], str(error)) from None


def absolute(layer: int, depth: int) -> int:
    """A layer counted from 0, the embeddings, to ``depth``, the last layer's output."""
    if not -depth - 1 <= layer <= depth:
        raise ValueError(
            f"layer must be in [{-depth - 1}, {depth}] for an encoder of {depth} layers, got "
            f"{layer}"
        )
    return layer if layer >= 0 else depth + 1 + layer
