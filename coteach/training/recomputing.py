"""Gradient checkpointing: layers that are computed twice instead of being kept."""

from __future__ import annotations

from typing import Any

from coteach.errors import InputError, in_one_line
from coteach.model import Student

__all__ = ["recompute_layers"]


def recompute_layers(student: Student, wanted: bool) -> None:
    """Let a student's encoder keep only what goes into its layers, in training, or all again.

    Args:
        student: its encoder is changed.
        wanted: whether to.

    Raises:
        InputError: its encoder cannot.
    """
    encoder: Any = student.encoder
    # transformers before 5.20 or so knows the older name alone, later ones deprecate it.
    kind = "activation" if hasattr(encoder, "activation_checkpointing_enable") else "gradient"
    if not wanted:
        if getattr(encoder, f"is_{kind}_checkpointing"):
            getattr(encoder, f"{kind}_checkpointing_disable")()
        return
    try:
        # Reentrant checkpoints know neither inputs without a gradient nor hooks.
        getattr(encoder, f"{kind}_checkpointing_enable")({"use_reentrant": False})
    except ValueError as error:
        raise InputError(f"optimisation.gradient_checkpointing: {in_one_line(error)}") from None
