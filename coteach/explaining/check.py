"""Importance against captum's (the extra ``explain``)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from coteach.errors import InputError
from coteach.explaining.importance import Explained, ImportanceReader
from coteach.model.alignment import Tokens
from coteach.model.extraction import assemble

__all__ = ["captum_scores", "check_captum", "largest_difference"]

_METHODS = {
    "gauss_legendre": "gausslegendre",
    "right_riemann": "riemann_right",
    "trapezoid": "riemann_trapezoid",
}


def check_captum(baseline: str) -> None:
    """Raise InputError where captum is missing, or has no such baseline."""
    try:
        import captum  # noqa: F401
    except ImportError:
        raise InputError("check: needs captum: pip install coteach[explain]") from None
    if baseline == "zero":
        raise InputError(
            "check: captum's LayerIntegratedGradients begins at tokens; expected --baseline "
            "padding or mask, got zero"
        )


def largest_difference(
    reader: ImportanceReader, text: str, explained: Explained
) -> tuple[float, float]:
    """How far importance and captum's are apart, at most, for a token of a text.

    Args:
        reader: of the student.
        text: as of :meth:`ImportanceReader.tokens`.
        explained: the answers.

    Returns:
        The largest absolute difference, and the largest absolute importance of a token.
    """
    _, tokens = reader.tokens(text)
    ours = torch.from_numpy(reader.scores(tokens, explained).scores)
    theirs = captum_scores(reader, tokens, explained)
    return float((ours - theirs).abs().max()), float(ours.abs().max())


def captum_scores(reader: ImportanceReader, tokens: Tokens, explained: Explained) -> Tensor:
    """Importance by captum's LayerIntegratedGradients with the same settings, (tokens + 2,)."""
    from captum.attr import LayerIntegratedGradients

    student, settings = reader.student, reader.attributor.settings
    special = reader.attributor.tokens
    if not explained.answers:
        return torch.zeros(len(tokens) + 2)
    ids, mask = (it.to(student.device) for it in assemble([tokens.ids], reader.tokenizer, 1))
    chosen = list(explained.answers)

    def answer(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Any = student(input_ids, attention_mask).logits
        if settings.output == "probability":
            if student.config.classes:
                logits = logits.softmax(dim=-1)
            else:
                logits = student.probabilities(logits).p
        return logits.flatten(1)[:, chosen].sum(dim=1)

    replacement = special.replacement(settings.baseline)
    assert replacement is not None
    values = LayerIntegratedGradients(answer, student.get_input_embeddings()).attribute(
        inputs=ids,
        baselines=torch.where(special.are_content(ids), replacement, ids),
        additional_forward_args=(mask,),
        n_steps=settings.nodes,
        method=_METHODS[settings.quadrature],
    )[0]
    if settings.quadrature == "trapezoid":  # captum's weights sum to (nodes − 1) / nodes
        values = values * settings.nodes / (settings.nodes - 1)
    if settings.aggregation == "norm":
        return torch.linalg.vector_norm(values, dim=-1).detach().cpu()
    return values.sum(dim=-1).detach().cpu()
