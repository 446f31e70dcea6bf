from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from tiny_batches import TOKENS, batch, make_student, targets_of
from torch import Tensor, nn
from torch.autograd import gradcheck
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from coteach.attribution import (
    IntegratedGradients,
    attribute,
    choose_engine,
    integrated_gradients,
    quadrature,
)
from coteach.attribution.choice import GRAPH_NODES
from coteach.losses.importance import ImportanceJaccard
from coteach.model import Student

ENGINES = ["graph", "two_pass", "finite_difference"]
DIFFERENCE = 1e-5  # of a parameter, for the numerical gradient
Gradients = dict[str, Tensor | None]


def importance_loss(
    student: Student, kind: str, engine: Any, settings: IntegratedGradients | None = None
) -> Tensor:
    """A mean over the batch, against a teacher with scores of its own."""
    ids, mask = batch()
    settings = settings or IntegratedGradients(nodes=2)
    found = attribute(
        student, ids, mask, targets_of(kind), settings, TOKENS, engine, completeness=False
    )
    teacher = torch.rand(ids.shape, generator=torch.Generator().manual_seed(5)) / 5
    loss = ImportanceJaccard(temperature=0.05, normalisation="none")
    # Of one token there is nothing to learn; a weight for each text.
    weights = torch.tensor([1.0, 0.5, 2.0], dtype=found.scores.dtype)
    return (loss(found.scores, teacher.to(found.scores), mask > 0) * weights).mean()


def gradients_of(student: Student, loss: Tensor) -> Gradients:
    student.zero_grad()
    loss.backward()
    return {name: it.grad for name, it in student.named_parameters()}


def relative_error(found: Gradients, expected: Gradients) -> float:
    """Of all the parameters' gradients together."""
    assert [name for name, it in found.items() if it is None] == [
        name for name, it in expected.items() if it is None
    ]
    pairs = [(found[name].double(), it.double()) for name, it in expected.items() if it is not None]
    wrong = sum((one - other).square().sum() for one, other in pairs)
    return float((wrong / sum(other.square().sum() for _, other in pairs)) ** 0.5)


# A function that is no student


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("method", "rows"), [("gauss_legendre", 3), ("right_riemann", 1)])
def test_gradients_by_embeddings_baseline_and_parameters(
    engine: Any, method: Any, rows: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    end, start = torch.randn(2, rows, 2, 3, generator=generator, dtype=torch.float64)
    weight = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    offset, other = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    alphas, weights = quadrature(method, 3)

    def attributions(end: Tensor, start: Tensor, *parameters: Tensor) -> Tensor:
        weight, offset, other = parameters

        def function(point: Tensor, rows: slice) -> Tensor:
            # autograd gives the two offsets the same tensor.
            return (point @ weight + (offset + other)).tanh().prod(dim=-1).sum(dim=1).exp()

        return integrated_gradients(function, end, start, alphas, weights, engine, parameters)

    inputs = [it.requires_grad_() for it in (end, start, weight, offset, other)]
    assert gradcheck(attributions, inputs, atol=1e-6)
    # The same for some of them alone.
    for frozen in range(4):
        some = [it.detach().requires_grad_(n != frozen) for n, it in enumerate(inputs)]
        assert gradcheck(attributions, some, atol=1e-6)


def test_engines_that_are_none_and_precisions_without_digits_are_refused() -> None:
    half = torch.ones(1, 2, 3, dtype=torch.bfloat16)
    alphas, weights = quadrature("gauss_legendre", 1)
    arguments: Any = (lambda point, rows: point.sum(dim=(1, 2)), half, 0 * half, alphas, weights)
    with pytest.raises(ValueError, match=r"float32 or float64.*bfloat16"):
        integrated_gradients(*arguments, "finite_difference")
    with pytest.raises(ValueError, match=r"engine.*'two_pass'.*'auto'"):
        integrated_gradients(*arguments, "auto")  # type: ignore[arg-type]


# The loss of a student


@cache
def numerical(kind: str, baseline: Any, aggregation: Any) -> dict[str, tuple[Tensor, float]]:
    """For every parameter a random direction, and the loss's derivative along it."""
    student = make_student(kind)
    settings = IntegratedGradients(nodes=2, baseline=baseline, aggregation=aggregation)
    generator = torch.Generator().manual_seed(1)
    result = {}
    for name, parameter in student.named_parameters():
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        losses = []
        with torch.no_grad():
            for step in (DIFFERENCE, -2 * DIFFERENCE):
                parameter.add_(step * direction)
                losses.append(importance_loss(student, kind, "none", settings).item())
            parameter.add_(DIFFERENCE * direction)
        result[name] = (direction, (losses[0] - losses[1]) / (2 * DIFFERENCE))
    return result


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("kind", "baseline", "aggregation"),
    [
        ("texts", "padding", "norm"),
        ("pairs", "mask", "norm"),
        ("texts", "zero", "sum"),
        ("tags", "padding", "norm"),
        ("tags of one head", "mask", "sum"),
    ],
)
def test_every_parameter_gets_its_gradient(
    engine: Any, kind: str, baseline: Any, aggregation: Any
) -> None:
    """Of the whole importance loss, against differences of its values, in float64."""
    student = make_student(kind).train()
    settings = IntegratedGradients(nodes=2, baseline=baseline, aggregation=aggregation)
    found = gradients_of(student, importance_loss(student, kind, engine, settings))
    reached = 0
    for name, (direction, expected) in numerical(kind, baseline, aggregation).items():
        gradient = found[name]
        assert gradient is not None, name
        along = (gradient * direction).sum().item()
        assert along == pytest.approx(expected, rel=1e-5, abs=1e-8), name
        reached += abs(expected) > 1e-5
    # All but the keys' biases, on which attention does not depend, and single rows.
    assert reached >= len(found) - 2 - 2


@pytest.mark.parametrize("engine", ENGINES)
def test_frozen_parameters_get_none_and_change_no_other(engine: Any) -> None:
    student = make_student("tags")
    expected = gradients_of(student, importance_loss(student, "tags", engine))
    student.encoder.embeddings.requires_grad_(False)
    student.encoder.encoder.layer[0].requires_grad_(False)
    found = gradients_of(student, importance_loss(student, "tags", engine))
    for name, it in found.items():
        if ".embeddings." in name or ".layer.0." in name:
            assert it is None
        else:
            torch.testing.assert_close(it, expected[name], rtol=1e-6, atol=1e-12)
    student.requires_grad_(False)
    assert not importance_loss(student, "tags", "two_pass").requires_grad


@pytest.mark.parametrize("kind", ["pairs", "tags"])
def test_finite_differences_are_near_enough_in_float32(kind: str) -> None:
    exact = make_student(kind)
    expected = gradients_of(exact, importance_loss(exact, kind, "graph"))
    student = make_student(kind, torch.float32)
    for engine, limit in [("graph", 1e-4), ("two_pass", 1e-4), ("finite_difference", 1e-2)]:
        found = gradients_of(student, importance_loss(student, kind, engine))
        assert relative_error(found, expected) < limit


def test_a_loss_that_does_not_depend_on_some_text() -> None:
    student = make_student("texts")
    ids, mask = batch()
    settings = IntegratedGradients(nodes=2)
    arguments = (student, ids, mask, targets_of("texts"), settings, TOKENS)
    expected = gradients_of(student, attribute(*arguments, "graph").scores[0].sum())
    found = gradients_of(student, attribute(*arguments, "finite_difference").scores[0].sum())
    assert relative_error(found, expected) < 1e-6


@pytest.mark.parametrize("engine", ["two_pass", "finite_difference"])
def test_weights_that_changed_before_the_backward_pass_are_noticed(engine: Any) -> None:
    student = make_student("texts")
    loss = importance_loss(student, "texts", engine)
    with torch.no_grad():
        student.classifier.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("engine", ["two_pass", "finite_difference"])
def test_a_third_derivative_is_refused(engine: Any) -> None:
    student = make_student("texts")
    loss = importance_loss(student, "texts", engine)
    with pytest.raises(RuntimeError, match="once, not twice"):
        torch.autograd.grad(loss, student.classifier.weight, create_graph=True)


@pytest.mark.parametrize("engine", ENGINES)
def test_losses_add_up_over_micro_batches(engine: Any) -> None:
    student = make_student("texts")
    ids, mask = batch()
    settings, targets = IntegratedGradients(nodes=2), targets_of("texts")
    whole = attribute(student, ids, mask, targets, settings, TOKENS, engine).scores.sum()
    expected = gradients_of(student, whole)
    student.zero_grad()
    for row in range(3):
        part = (ids[row : row + 1], mask[row : row + 1], targets.at([row]))
        attribute(student, *part, settings, TOKENS, engine).scores.sum().backward()
    found = {name: it.grad for name, it in student.named_parameters()}
    assert relative_error(found, expected) < 1e-7


# Autocast


@pytest.mark.parametrize(
    ("engine", "dtype"),
    [("graph", torch.bfloat16), ("two_pass", torch.bfloat16), ("finite_difference", torch.float32)],
)
def test_passes_run_in_the_caller_s_autocast(engine: Any, dtype: torch.dtype) -> None:
    student = make_student("texts", torch.float32)
    seen: list[torch.dtype] = []
    layer = student.encoder.encoder.layer[0].attention.self.query
    layer.register_forward_hook(lambda *given: seen.append(given[2].dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = importance_loss(student, "texts", engine)
    before = len(seen)
    loss.backward()  # outside of it
    assert set(seen[:2]) == {dtype}
    assert set(seen[before:]) <= {dtype}
    assert (len(seen) > before) == (engine != "graph")


def test_the_backward_pass_under_autocast_is_that_of_the_graphs() -> None:
    gradients = []
    for engine in ("graph", "two_pass"):
        student = make_student("texts", torch.float32)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = importance_loss(student, "texts", engine)
        gradients.append(gradients_of(student, loss))
    assert relative_error(gradients[1], gradients[0]) < 5e-2


def test_finite_differences_are_exact_whatever_the_caller_s_autocast() -> None:
    gradients = []
    for enabled in (False, True):
        student = make_student("texts", torch.float32)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = importance_loss(student, "texts", "finite_difference")
        gradients.append(gradients_of(student, loss))
    # The passes backward must be out of it as well, or their products are rounded.
    assert relative_error(gradients[1], gradients[0]) < 1e-6


@pytest.mark.parametrize("engine", ["none", *ENGINES])
def test_a_forward_pass_in_the_same_autocast_keeps_its_gradient(engine: Any) -> None:
    student = make_student("texts", torch.float32)
    ids, mask = batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = gradients_of(student, student(ids, mask).logits.sum())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        attribute(student, ids, mask, targets_of("texts"), IntegratedGradients(), TOKENS, engine)
        found = gradients_of(student, student(ids, mask).logits.sum())
    assert relative_error(found, expected) == 0


# The choice


class FusedAttention(torch.autograd.Function):
    """Attention without a double backward, as the fused kernels of GPUs have it."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, is_silent: bool
    ) -> Tensor:
        ctx.save_for_backward(query, key, value, mask)
        ctx.is_silent = is_silent
        return nn.functional.scaled_dot_product_attention(query, key, value, mask)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled() and not ctx.is_silent:
            raise NotImplementedError("derivative for the fused attention is not implemented")
        query, key, value, mask = ctx.saved_tensors
        inputs = [it.detach().requires_grad_() for it in (query, key, value)]
        with torch.enable_grad():
            found = nn.functional.scaled_dot_product_attention(*inputs, mask)
            return (*torch.autograd.grad(found, inputs, upstream.detach()), None, None)


def register(name: str, is_silent: bool) -> None:
    """Under a name of transformers."""

    def attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **_: Any
    ) -> tuple[Tensor, None]:
        if mask is None:
            mask = torch.ones(1, 1, 1, key.shape[2], dtype=torch.bool)
        found = FusedAttention.apply(query, key, value, mask, is_silent)
        return found.transpose(1, 2).contiguous(), None

    AttentionInterface.register(name, attention)
    AttentionMaskInterface.register(name, sdpa_mask)


register("silent", True)
register("loud", False)


@pytest.mark.parametrize("kind", ["texts", "tags"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_graphs_are_kept_where_the_nodes_are_few(kind: str, attention: str) -> None:
    student = make_student(kind, torch.float32).train()
    student.encoder.set_attn_implementation(attention)
    device = torch.device("cpu")
    engine, reason = choose_engine(student, IntegratedGradients(nodes=GRAPH_NODES), device)
    assert engine == "graph"
    assert f"{GRAPH_NODES} nodes" in reason
    engine, reason = choose_engine(student, IntegratedGradients(nodes=GRAPH_NODES + 1), device)
    assert engine == "two_pass"
    assert f"{GRAPH_NODES + 1} nodes" in reason
    assert student.training
    assert all(it.grad is None for it in student.parameters())


@pytest.mark.parametrize(
    ("attention", "message"), [("silent", "is wrong by"), ("loud", "is not implemented")]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_a_double_backward_differences_are_taken(
    attention: str, message: str, dtype: torch.dtype
) -> None:
    student = make_student("texts", dtype)
    expected = gradients_of(student, importance_loss(student, "texts", "graph"))
    student.encoder.set_attn_implementation(attention)
    engine, reason = choose_engine(student, IntegratedGradients(), torch.device("cpu"))
    assert engine == "finite_difference"
    assert "no double backward" in reason
    assert message in reason
    found = gradients_of(student, importance_loss(student, "texts", "finite_difference"))
    assert relative_error(found, expected) < (1e-6 if dtype == torch.float64 else 1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("is_in_place", [False, True])
def test_a_compiled_student_takes_differences(is_in_place: bool) -> None:
    student = make_student("texts")
    expected = gradients_of(student, importance_loss(student, "texts", "graph"))
    compiled: Any = student
    if is_in_place:
        student.compile(backend="aot_eager")
    else:
        compiled = torch.compile(student, backend="aot_eager")
    engine, _ = choose_engine(compiled, IntegratedGradients(), torch.device("cpu"))
    assert engine == "finite_difference"
    loss = importance_loss(compiled, "texts", "finite_difference")
    student.zero_grad()
    loss.backward()
    found = {name: it.grad for name, it in student.named_parameters()}
    assert relative_error(found, expected) < 1e-6
