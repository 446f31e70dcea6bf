"""Attention scores before the softmax, and what else a student can be asked for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_student import DEPTH, ENCODERS, TINY, VOCABULARY, build, heads_of
from test_student_heads import classifier
from torch import Tensor
from transformers import AutoConfig, AutoModel

from coteach.model.attention_scores import collecting_scores, projections

LAYERS = range(1, DEPTH + 1)
DESCRIPTIONS: dict[str, dict[str, Any]] = {
    **ENCODERS,
    "xlm-roberta": TINY | {"pad_token_id": 1},
    "convbert": TINY | {"embedding_size": 16},
    "esm": TINY | {"pad_token_id": 1, "mask_token_id": 2, "position_embedding_type": "rotary"},
}
WITH_SCORES = ["bert", "roberta", "xlm-roberta", "electra", "distilbert"]
WITHOUT = ["deberta-v2", "modernbert", "roformer", "convbert", "esm"]


def encoder(kind: str, attention: str = "sdpa") -> Any:
    """The same weights whichever the attention; large, or it would be the same everywhere.

    In float64, or what attentions add up in different orders would grow with such weights.
    """
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**DESCRIPTIONS[kind], "initializer_range": 0.6})
    return AutoModel.from_config(config, attn_implementation=attention).double().eval()


def batch() -> tuple[Tensor, Tensor]:
    """Three texts of 9, 6 and 2 tokens."""
    ids = torch.randint(4, VOCABULARY, (3, 9), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(9) < torch.tensor([[9], [6], [2]])).long()
    return ids * mask + (1 - mask), mask  # 1 is the padding of those that count it


def hooks(model: Any) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


@pytest.mark.parametrize("kind", WITH_SCORES)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@torch.no_grad()
def test_their_softmax_is_the_attention(kind: str, attention: str) -> None:
    ids, mask = batch()
    expected = encoder(kind, "eager")(ids, attention_mask=mask, output_attentions=True).attentions
    model = encoder(kind, attention)
    with collecting_scores(model, LAYERS) as scores:
        model(ids, attention_mask=mask)
    known = mask[:, None, :, None].bool() & mask[:, None, None, :].bool()
    for layer, of_layer in zip(LAYERS, expected, strict=True):
        assert scores[layer].shape == (3, 2, 9, 9)
        assert scores[layer][:, :, 0].std() > 0.05  # not the same everywhere
        found = scores[layer].masked_fill(mask[:, None, None, :] == 0, -torch.inf).softmax(dim=-1)
        difference = (found - of_layer).masked_fill(~known, 0.0)
        assert difference.abs().max() < 1e-6


@pytest.mark.parametrize("kind", WITH_SCORES)
def test_gradients_pass_through_them(kind: str) -> None:
    model = encoder(kind)
    with collecting_scores(model, [2]) as scores:
        model(*batch())
    scores[2].square().sum().backward()
    for part in projections(model, 2):
        assert part.weight.grad.abs().sum() > 0


def test_only_the_layers_asked_for_are_kept_and_nothing_stays_behind() -> None:
    model = encoder("bert")
    before = hooks(model)
    with collecting_scores(model, [2]) as scores:
        model(*batch())
    assert list(scores) == [2]
    kept = scores[2]
    model(*batch())
    assert scores[2] is kept
    assert hooks(model) == before
    with pytest.raises(RuntimeError, match="in between"), collecting_scores(model, [1]):
        raise RuntimeError("in between")
    assert hooks(model) == before


@pytest.mark.parametrize("kind", WITHOUT)
def test_encoders_whose_scores_are_something_else_are_refused(kind: str) -> None:
    model = encoder(kind, "eager")
    with (
        pytest.raises(ValueError, match=rf"{type(model).__name__}: the attention scores of layer "),
        collecting_scores(model, [1]),
    ):
        pass


@pytest.mark.parametrize("layer", [0, -1, DEPTH + 1])
def test_layers_that_are_not_there_are_refused(layer: int) -> None:
    model = encoder("bert")
    with (
        pytest.raises(ValueError, match=f"from 1, the first, to {DEPTH}, got {layer}"),
        collecting_scores(model, [1, layer]),
    ):
        pass
    assert not hooks(model)


# What a student can be asked for


def test_a_student_gives_what_is_asked_for_and_nothing_else() -> None:
    student, (ids, mask) = classifier(), batch()
    plain = student(ids, mask)
    assert plain.hidden_states is plain.attention_scores is plain.tags is None
    full = student(ids, mask, hidden_states=[DEPTH, 0, -2, 0], attention_scores=[2, 1, 2])
    torch.testing.assert_close(full.logits, plain.logits)
    states = student.encoder(ids, mask, output_hidden_states=True).hidden_states
    for found, layer in zip(full.hidden_states, (DEPTH, 0, DEPTH - 1, 0), strict=True):
        torch.testing.assert_close(found, states[layer])
    with collecting_scores(student.encoder, [1, 2]) as scores:
        student.encoder(ids, mask)
    for found, layer in zip(full.attention_scores, (2, 1, 2), strict=True):
        torch.testing.assert_close(found, scores[layer])


@pytest.mark.parametrize("asked", [{"hidden_states": [DEPTH + 1]}, {"attention_scores": [0]}])
def test_a_student_refuses_layers_that_it_does_not_have(asked: dict[str, list[int]]) -> None:
    student, (ids, mask) = classifier(), batch()
    with pytest.raises(ValueError, match=r"layer.* got "):
        student(ids, mask, **asked)


@pytest.mark.parametrize("kind", WITHOUT[:3])
def test_a_student_without_scores_still_gives_the_rest(kind: str) -> None:
    student, (ids, mask) = classifier(kind), batch()
    assert len(student(ids, mask, hidden_states=[0, 1]).hidden_states) == 2
    with pytest.raises(ValueError, match="cannot be taken from a query and a key projection"):
        student(ids, mask, attention_scores=[1])


@pytest.mark.parametrize("kind", ENCODERS)
def test_embeddings_stand_for_their_tokens(kind: str) -> None:
    student, (ids, mask) = classifier(kind), batch()
    embeddings = student.get_input_embeddings()(ids).detach().requires_grad_()
    logits = student(ids, mask, inputs_embeds=embeddings).logits
    torch.testing.assert_close(logits, student(ids, mask).logits, rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), embeddings)
    known = mask.bool()
    assert (gradient.norm(dim=-1)[known] > 0).all()
    assert gradient[~known].abs().sum() == 0
    changed = student(ids, mask, inputs_embeds=embeddings.roll(1, dims=1)).logits
    assert not torch.allclose(changed, logits)


def test_the_texts_of_a_pair_are_told_apart_by_the_tokens_not_their_embeddings() -> None:
    separator = 3
    student = classifier(pair_separator=separator)
    ids, mask = batch()
    ids[:, 1] = separator
    embeddings = student.get_input_embeddings()(ids)
    expected = student(ids, mask).logits
    torch.testing.assert_close(student(ids, mask, inputs_embeds=embeddings).logits, expected)
    ids[:, 1] = separator + 1
    other = student(ids, mask, inputs_embeds=embeddings).logits
    assert not torch.allclose(other, expected)


def test_a_tagging_student_gives_them_too() -> None:
    student = build(heads_of(output=-1), attributes=["name"])
    output = student(*batch(), hidden_states=[1], attention_scores=[1])
    assert output.logits.shape == (3, 9, 1, 1, 3)
    assert [len(it) for it in (output.hidden_states, output.attention_scores)] == [1, 1]
