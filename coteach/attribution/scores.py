"""How much each token of a text adds to a student's answer, differentiable where asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from coteach.attribution.baselines import SpecialTokens, path_ends
from coteach.attribution.engines import ALL, Engine, Function, integrated_gradients
from coteach.attribution.settings import IntegratedGradients, Output, quadrature
from coteach.attribution.targets import Targets
from coteach.errors import InputError
from coteach.model.iob2 import CLASSES
from coteach.model.student import Student


@dataclass(frozen=True)
class Attributed:
    """The attributions of a batch.

    Attributes:
        scores: (batch, tokens), of each token; 0 for padding, and for every token of an example
            that is not ``present``.
        gap: (batch,), the completeness gap Σ IG − (F(x) − F(baseline)), 0 for an exact integral;
            NaN where it was not asked for.
        value: (batch,), F(x), the sum of the answers that are explained; NaN like the gap.
        present: (batch,), bool: there is something to explain, a target and a token.
    """

    scores: Tensor
    gap: Tensor
    value: Tensor
    present: Tensor


def attribute(
    student: Student,
    input_ids: Tensor,
    attention_mask: Tensor,
    targets: Targets,
    settings: IntegratedGradients,
    tokens: SpecialTokens,
    engine: Engine = "none",
    completeness: bool = True,
) -> Attributed:
    """Integrated Gradients of a batch, by token.

    Dropout is off in every pass, whatever the student's mode, which stays as it is.

    Args:
        student: that classifies or tags.
        input_ids: (batch, tokens), integer, with the special tokens.
        attention_mask: (batch, tokens), 1 for tokens, 0 for padding.
        targets: the answers that are explained.
        settings: of the integral.
        tokens: the special ones of the student's tokenizer.
        engine: "none" gives scores without gradient, the others with that of every parameter of
            the student that learns.
        completeness: whether gap and value are computed, by two more forward passes.

    Raises:
        InputError: targets that are not the batch's, a baseline that the tokenizer does not have,
            or logits of several heads.
    """
    known = attention_mask > 0
    # A row of nothing but padding reads its padding: attention to nothing may be no number.
    read = (known | ~known.any(dim=1, keepdim=True)).to(attention_mask.dtype)
    function = answer_function(student, input_ids, read, targets, settings.output)
    parameters = [it for it in student.parameters() if it.requires_grad]
    with torch.set_grad_enabled(engine != "none"):
        end, start = path_ends(student.get_input_embeddings(), input_ids, tokens, settings.baseline)
        alphas, weights = quadrature(settings.quadrature, settings.nodes)
        values = integrated_gradients(function, end, start, alphas, weights, engine, parameters)
        if settings.aggregation == "norm":
            # Its gradient is 0 where all is 0, as for the tokens that the baseline keeps.
            scores = torch.linalg.vector_norm(values, dim=-1)
        else:
            scores = values.sum(dim=-1)
    present = targets.present & known.any(dim=1)
    scores = torch.where(known & present.unsqueeze(1), scores, 0.0)
    gap = value = torch.full_like(scores[:, 0], math.nan, requires_grad=False)
    if completeness:
        with torch.no_grad(), _without_cache(end.device.type):
            value = torch.where(present, function(end, ALL), 0.0)
            reached = value - function(start, ALL)
            total = (values * known.unsqueeze(-1)).sum(dim=(1, 2))
            gap = torch.where(present, total - reached, 0.0)
    return Attributed(scores, gap, value, present)


def answer_function(
    student: Student, input_ids: Tensor, attention_mask: Tensor, targets: Targets, output: Output
) -> Function:
    """F by the word embeddings of a batch, for ``integrated_gradients``.

    Raises:
        InputError: targets that are not the batch's, or logits of several heads.
    """
    classes, heads = len(student.config.classes), len(student.config.heads)
    attributes = len(student.config.attributes)
    if output == "logit" and heads > 1:
        raise InputError(
            f'output: expected "probability" for a student of {heads} heads, got "logit": its '
            "answer is the mean of their probabilities"
        )
    examples, length = input_ids.shape
    targets.check(examples, classes or length * attributes * CLASSES)

    def function(embeddings: Tensor, rows: slice) -> Tensor:
        with evaluating(student):
            logits = student(input_ids[rows], attention_mask[rows], inputs_embeds=embeddings).logits
        assert logits is not None
        if output == "logit":
            answers = logits
        elif classes:
            exact = logits if logits.dtype == torch.float64 else logits.float()
            answers = exact.softmax(dim=-1)
        else:
            answers = student.probabilities(logits).p
        return targets.sum(answers, rows)

    return function


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; every module's own mode comes back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _without_cache(device: str) -> torch.autocast:
    """The caller's autocast, without its cache: older versions of torch would hand weights that
    were cast under ``no_grad`` to the caller's own forward pass, without a graph."""
    return torch.autocast(
        device,
        dtype=torch.get_autocast_dtype(device),
        enabled=torch.is_autocast_enabled(device),
        cache_enabled=False,
    )
