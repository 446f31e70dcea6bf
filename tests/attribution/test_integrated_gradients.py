from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients as CaptumGradients
from captum.attr import LayerIntegratedGradients
from tiny_batches import CLS, MASK, OPTIONS, PAD, SEP, TOKENS, batch, make_student, targets_of
from tiny_students import tiny_student, tiny_tokenizer
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from coteach.attribution import (
    Attributed,
    IntegratedGradients,
    SpecialTokens,
    Targets,
    attribute,
    quadrature,
)
from coteach.model import Student

KINDS = list(OPTIONS)
CAPTUM = {"gauss_legendre": "gausslegendre", "right_riemann": "riemann_right"}


def attributed(
    kind: str, student: Student | None = None, engine: Any = "none", **options: Any
) -> Attributed:
    """Of the tiny batch."""
    ids, mask = batch()
    settings = IntegratedGradients(**options)
    student = student or make_student(kind)
    return attribute(student, ids, mask, targets_of(kind), settings, TOKENS, engine)


def naive_answers(student: Student, kind: str, logits: Tensor, row: int) -> Tensor:
    """Σ of the answers explained, written from what the student's probabilities are."""
    if not kind.startswith("tags"):
        return logits[row].softmax(dim=-1)[targets_of(kind).lists()[row]].sum()
    total = torch.zeros((), dtype=logits.dtype)
    heads = logits.shape[2]
    for number in targets_of(kind).lists()[row]:
        token, rest = divmod(int(number), 6)
        attribute, tag = divmod(rest, 3)
        for head in range(heads):
            total = total + logits[row, token, head, attribute].softmax(dim=-1)[tag] / heads
    return total


def baseline_ids(ids: Tensor, replacement: int) -> Tensor:
    """The ids with every token replaced that is not special."""
    kept = (ids == PAD) | (ids == CLS) | (ids == SEP)
    return torch.where(kept, ids, replacement)


# Quadrature


@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 8])
def test_gauss_legendre_is_exact_for_polynomials(nodes: int) -> None:
    alphas, weights = quadrature("gauss_legendre", nodes)
    for degree in range(2 * nodes):
        found = (weights * alphas**degree).sum().item()
        assert found == pytest.approx(1 / (degree + 1), rel=1e-13)
    beyond = (weights * alphas ** (2 * nodes)).sum().item()
    assert beyond != pytest.approx(1 / (2 * nodes + 1), rel=1e-10)


@pytest.mark.parametrize("nodes", [1, 2, 5, 50])
def test_right_riemann_is_that_of_the_thesis(nodes: int) -> None:
    alphas, weights = quadrature("right_riemann", nodes)
    assert alphas.tolist() == pytest.approx([k / nodes for k in range(1, nodes + 1)])
    assert weights.tolist() == pytest.approx([1 / nodes] * nodes)


@pytest.mark.parametrize("nodes", [2, 3, 50])
def test_the_trapezoid_is_numpy_s(nodes: int) -> None:
    alphas, weights = quadrature("trapezoid", nodes)
    values = alphas.exp()
    expected = np.trapezoid(values.numpy(), alphas.numpy())
    assert (weights * values).sum().item() == pytest.approx(expected)
    assert weights.sum().item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nodes": 0}, "nodes of gauss_legendre must be at least 1, got 0"),
        ({"nodes": -3}, "at least 1, got -3"),
        ({"nodes": 1, "quadrature": "trapezoid"}, "nodes of trapezoid must be at least 2, got 1"),
        ({"quadrature": "simpson"}, "quadrature.*'trapezoid'.*'simpson'"),
        ({"baseline": "unknown"}, "baseline.*'mask'.*'unknown'"),
        ({"output": "loss"}, "output.*'logit'.*'loss'"),
        ({"aggregation": "mean"}, "aggregation.*'norm'.*'mean'"),
    ],
)
def test_settings_that_have_no_meaning_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IntegratedGradients(**options)
    if not {"baseline", "output", "aggregation"} & set(options):
        with pytest.raises(ValueError, match=message):
            quadrature(options.get("quadrature", "gauss_legendre"), options.get("nodes", 4))


# The definition


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("aggregation", ["norm", "sum"])
def test_right_riemann_is_eq_2_9_written_out(kind: str, aggregation: Any) -> None:
    """(x_i − b_i) · 1/m Σ_k ∂F(b + k/m (x − b))/∂x_i, text by text and node by node."""
    student, nodes = make_student(kind), 3
    ids, mask = batch()
    table = student.get_input_embeddings().weight.detach()
    found = attributed(
        kind, student, nodes=nodes, quadrature="right_riemann", aggregation=aggregation
    )
    for row in range(len(ids)):
        x, b = table[ids[row]], table[baseline_ids(ids[row], PAD)]
        total = torch.zeros_like(x)
        for k in range(1, nodes + 1):
            point = (b + k / nodes * (x - b)).requires_grad_()
            logits = student(
                ids[row : row + 1], mask[row : row + 1], inputs_embeds=point[None]
            ).logits
            assert logits is not None
            spread = logits.expand(len(ids), *logits.shape[1:])
            answer = naive_answers(student, kind, spread, row)
            total += torch.autograd.grad(answer, point)[0]
        values = (x - b) * total / nodes
        for token in range(ids.shape[1]):
            of_token = values[token]
            expected = of_token.square().sum().sqrt() if aggregation == "norm" else of_token.sum()
            assert found.scores[row, token].item() == pytest.approx(expected.item(), abs=1e-12)
        assert found.scores[row].abs().max() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("baseline", ["padding", "mask", "zero"])
@pytest.mark.parametrize("rule", list(CAPTUM))
def test_scores_are_captum_s(kind: str, baseline: Any, rule: Any) -> None:
    student = make_student(kind)
    ids, mask = batch()
    found = attributed(kind, student, nodes=5, quadrature=rule, baseline=baseline)
    expected = captum_scores(student, kind, ids, mask, baseline, CAPTUM[rule], 5, {})
    torch.testing.assert_close(found.scores, expected, rtol=1e-6, atol=1e-9)


def captum_scores(
    student: Student,
    kind: str,
    ids: Tensor,
    mask: Tensor,
    baseline: str,
    method: str,
    nodes: int,
    grad_kwargs: dict[str, Any],
) -> Tensor:
    """L2 norms of captum's attributions; of the embeddings where the baseline is no token."""

    def answers(logits: Tensor) -> Tensor:
        times = len(logits) // len(ids)
        rows = range(len(ids))
        # captum repeats the batch node by node.
        return torch.stack(
            [
                naive_answers(student, kind, logits[time * len(ids) :][: len(ids)], row)
                for time in range(times)
                for row in rows
            ]
        )

    embeddings: Any = student.get_input_embeddings()
    if baseline == "zero":
        kept = (baseline_ids(ids, MASK) == ids).unsqueeze(-1)
        end = embeddings(ids).detach()

        def of_embeddings(points: Tensor, given: Tensor, known: Tensor) -> Tensor:
            return answers(student(given, known, inputs_embeds=points).logits)

        values = CaptumGradients(of_embeddings).attribute(
            end,
            baselines=end * kept,
            additional_forward_args=(ids, mask),
            n_steps=nodes,
            method=method,
        )
    else:
        replaced = baseline_ids(ids, PAD if baseline == "padding" else MASK)
        # The texts of a pair are told apart by the ids, of which captum shows the baseline's.
        of_ids: Callable[..., Tensor] = lambda given, known: answers(student(given, known).logits)  # noqa: E731
        values = LayerIntegratedGradients(of_ids, embeddings).attribute(
            ids,
            baselines=replaced,
            additional_forward_args=(mask,),
            n_steps=nodes,
            method=method,
            grad_kwargs=grad_kwargs,
        )
    return values.norm(dim=-1) * mask


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_captum_with_a_graph(kind: str) -> None:
    """But for the embeddings: captum cuts their graph."""
    student = make_student(kind)
    ids, mask = batch()
    upstream = torch.randn(ids.shape, generator=torch.Generator().manual_seed(3)).double()
    gradients = []
    for is_captum in (False, True):
        student.zero_grad()
        if is_captum:
            with sdpa_kernel(SDPBackend.MATH):
                scores = captum_scores(
                    student, kind, ids, mask, "padding", "gausslegendre", 3, {"create_graph": True}
                )
        else:
            scores = attributed(kind, student, engine="graph", nodes=3).scores
        (scores * upstream).sum().backward()
        gradients.append({name: it.grad for name, it in student.named_parameters()})
    compared = 0
    for name, ours in gradients[0].items():
        theirs = gradients[1][name]
        if "word_embeddings" in name:
            assert ours is not None
            assert ours.any()
        elif ours is not None:
            assert theirs is not None
            size = theirs.norm().item()
            if size > 1e-6:  # but for the keys' biases, on which nothing depends
                assert (ours - theirs).norm().item() / size < 1e-5  # captum's nodes are float32
                compared += 1
            else:
                assert ours.norm().item() < 1e-6
    assert compared > 20


@pytest.mark.parametrize(
    ("kind", "baseline"),
    [("texts", "padding"), ("pairs", "mask"), ("tags", "zero"), ("tags of one head", "padding")],
)
def test_with_many_nodes_the_attributions_are_complete(kind: str, baseline: Any) -> None:
    found = attributed(kind, nodes=64, baseline=baseline)
    torch.testing.assert_close(found.gap, torch.zeros_like(found.gap), atol=1e-4, rtol=0)
    assert found.value.max() > 0.1


@pytest.mark.parametrize(("method", "order"), [("right_riemann", 1), ("trapezoid", 2)])
def test_the_gap_of_evenly_spaced_nodes_falls_with_their_distance(method: Any, order: int) -> None:
    few, many = (
        attributed("texts", nodes=nodes + order - 1, quadrature=method).gap[0].abs().item()
        for nodes in (60, 120)
    )
    assert few / many == pytest.approx(2**order, rel=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gap_is_what_the_sum_leaves(kind: str) -> None:
    student = make_student(kind)
    ids, mask = batch()
    found = attributed(kind, student, nodes=1, aggregation="sum")
    start = student.get_input_embeddings()(baseline_ids(ids, PAD))
    logits = [student(ids, mask).logits, student(ids, mask, inputs_embeds=start).logits]
    for row in range(len(ids)):
        reached, begun = (naive_answers(student, kind, it, row).item() for it in logits)
        assert found.value[row].item() == pytest.approx(reached)
        total = found.scores[row].sum().item()
        assert found.gap[row].item() == pytest.approx(total - (reached - begun))
        assert abs(found.gap[row].item()) > 1e-5


def test_the_gap_is_computed_where_it_is_asked_for() -> None:
    ids, mask = batch()
    settings = IntegratedGradients()
    found = attribute(
        make_student("texts"), ids, mask, targets_of("texts"), settings, TOKENS, completeness=False
    )
    assert found.gap.isnan().all()
    assert found.value.isnan().all()
    torch.testing.assert_close(found.scores, attributed("texts").scores)


# What is explained


@pytest.mark.parametrize("kind", ["texts", "tags of one head"])
def test_a_logit_can_be_explained(kind: str) -> None:
    student = make_student(kind)
    ids, mask = batch()
    found = attributed(kind, student, output="logit", nodes=32)
    logits = student(ids, mask).logits
    assert logits is not None
    for row, numbers in enumerate(targets_of(kind).lists()):
        expected = logits[row].flatten()[torch.from_numpy(numbers)].sum().item()
        assert found.value[row].item() == pytest.approx(expected)
    torch.testing.assert_close(found.gap, torch.zeros_like(found.gap), atol=1e-4, rtol=0)


def test_logits_of_several_heads_are_refused() -> None:
    with pytest.raises(ValueError, match=r'"probability".*2 heads.*"logit"'):
        attributed("tags", output="logit")


@pytest.mark.parametrize("engine", ["none", "graph", "two_pass", "finite_difference"])
@pytest.mark.parametrize("kind", ["texts", "tags"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_texts_with_nothing_to_explain_are_zero(
    engine: Any, kind: str, attention: str, pooling: str
) -> None:
    student = make_student(kind)
    student.config.pooling = pooling
    student.encoder.set_attn_implementation(attention)
    text = [CLS, 5, 6, SEP]
    ids = torch.tensor([text, [PAD] * 4, text, [CLS, SEP, PAD, PAD], text])
    mask = (ids != PAD).long()
    mask[4] = 0
    targets = Targets.from_lists([[1], [1], [], [1], [1]])
    settings = IntegratedGradients(nodes=2)
    found = attribute(student, ids, mask, targets, settings, TOKENS, engine)
    assert found.present.tolist() == [True, False, False, True, False]
    assert found.scores[0, 1:3].all()
    assert not found.scores[1:].any()
    assert not found.scores[:, [0, 3]].any()
    absent = ~found.present
    assert found.value[absent].tolist() == found.gap[absent].tolist() == [0, 0, 0]
    assert found.value[[0, 3]].all()
    if engine != "none":
        for loss in (found.scores[1:].sum(), found.scores.sum()):
            student.zero_grad()
            loss.backward(retain_graph=True)
            gradients = [it.grad for it in student.parameters() if it.grad is not None]
            assert gradients
            assert all(it.isfinite().all() for it in gradients)
        assert any(it.any() for it in gradients)


@pytest.mark.parametrize("kind", KINDS)
def test_more_padding_changes_nothing(kind: str) -> None:
    student = make_student(kind)
    ids, mask = batch()
    longer = torch.nn.functional.pad(ids, (0, 2)), torch.nn.functional.pad(mask, (0, 2))
    settings = IntegratedGradients(nodes=2)
    short, long = (
        attribute(student, *it, targets_of(kind), settings, TOKENS) for it in ((ids, mask), longer)
    )
    torch.testing.assert_close(long.scores[:, :8], short.scores)
    assert not long.scores[:, 8:].any()
    assert not short.scores[mask == 0].any()
    torch.testing.assert_close(long.gap, short.gap)


def test_dropout_is_off_and_every_mode_comes_back() -> None:
    student = make_student("tags")
    expected = attributed("tags", student).scores
    student.train()
    student.encoder.encoder.layer[0].eval()
    modes = [it.training for it in student.modules()]
    for engine in ("none", "graph", "two_pass", "finite_difference"):
        found = attributed("tags", student, engine=engine)
        torch.testing.assert_close(found.scores.detach(), expected)
        assert [it.training for it in student.modules()] == modes
        if engine != "none":
            found.scores.sum().backward()
            assert [it.training for it in student.modules()] == modes


def test_values_alone_have_no_graph() -> None:
    assert not attributed("texts").scores.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(attributed("texts").scores, attributed("texts").scores)


# Special tokens


def test_special_tokens_of_a_tokenizer() -> None:
    tokenizer = tiny_tokenizer()
    found = SpecialTokens.of(tokenizer)
    names = ["[PAD]", "[CLS]", "[SEP]"]
    assert found.kept == tuple(sorted(tokenizer.convert_tokens_to_ids(names)))
    assert (found.padding, found.mask) == (tokenizer.pad_token_id, None)
    ids, _ = batch()
    assert found.are_content(ids).sum(dim=1).tolist() == [4, 3, 1]


def test_a_mask_that_the_tokenizer_does_not_have_is_refused() -> None:
    ids, mask = batch()
    tokens = SpecialTokens.of(tiny_tokenizer())
    settings = IntegratedGradients(baseline="mask")
    with pytest.raises(ValueError, match=r'no token for "mask".*"padding"'):
        attribute(tiny_student(), ids, mask, targets_of("texts"), settings, tokens)


def test_targets_that_the_student_does_not_have_are_refused() -> None:
    ids, mask = batch()
    for targets, message in [
        (Targets.of_classes(torch.tensor([0, 1, 2])), "no answer 2.*has 2"),
        (Targets.of_classes(torch.tensor([0, 1])), "expected 3 examples, got 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            attribute(tiny_student(), ids, mask, targets, IntegratedGradients(), TOKENS)
