"""Class heads, auxiliary heads, and what of the encoder learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_student import DEPTH, ENCODERS, VOCABULARY
from torch import Tensor
from transformers import AutoModel

from coteach.model import Student, StudentConfig
from coteach.model.layers import layer_stack

CLASSES = ["bad", "good", "so-so"]
TAGS = ["O", "B-noun", "I-noun"]
LAYERS = [0, 1, DEPTH]


def auxiliary(*layers: int) -> list[dict[str, Any]]:
    return [{"name": f"at {layer}", "layer": layer, "tags": TAGS} for layer in layers]


def classifier(encoder: str = "bert", **options: Any) -> Student:
    torch.manual_seed(0)
    description = {"model_type": encoder, **ENCODERS[encoder]}
    return Student(StudentConfig(encoder=description, **{"classes": CLASSES, **options})).eval()


def batch() -> tuple[Tensor, Tensor]:
    """Three texts of 9, 6 and 2 tokens."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(4, VOCABULARY, (3, 9), generator=generator)
    mask = torch.ones_like(ids)
    for row, length in enumerate((9, 6, 2)):
        ids[row, length:], mask[row, length:] = 0, 0
    return ids, mask


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_a_text_is_classified_by_the_first_token_or_the_mean(encoder: str, pooling: str) -> None:
    student = classifier(encoder, pooling=pooling)
    ids, mask = batch()
    states = student.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    logits = student(ids, mask).logits
    assert logits.shape == (3, len(CLASSES))
    for row, length in enumerate((9, 6, 2)):
        known = states[row, :length]
        pooled = known[0] if pooling == "first" else sum(known) / length
        torch.testing.assert_close(logits[row], student.classifier(pooled))
        alone = student(ids[row : row + 1, :length]).logits[0]  # without padding, without a mask
        torch.testing.assert_close(logits[row], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_auxiliary_heads_read_their_layers(encoder: str) -> None:
    student = classifier(encoder, auxiliary_heads=auxiliary(*LAYERS, -1))
    ids, mask = batch()
    output = student(ids, mask, tags=True)
    assert output.tags is not None
    encoded = student.encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    states = [encoded.hidden_states[0], encoded.hidden_states[1]]
    states += [encoded.last_hidden_state, encoded.last_hidden_state]
    for number, (found, expected) in enumerate(zip(output.tags, states, strict=True)):
        torch.testing.assert_close(found, student.auxiliary[number](expected))
    torch.testing.assert_close(output.logits, student(ids, mask).logits)
    assert student(ids, mask).tags is None  # nobody asked
    assert student.read_layers == [0, 1, DEPTH]


def test_auxiliary_heads_of_an_extracting_student() -> None:
    heads = [{"name": "team", "layer": 1}, {"name": "output", "layer": -1}]
    student = classifier(
        classes=None, attributes=["name"], heads=heads, auxiliary_heads=auxiliary(0)
    )
    ids, mask = batch()
    output = student(ids, mask, tags=True)
    assert output.logits is not None
    assert output.logits.shape == (3, 9, 2, 1, 3)
    assert [it.shape for it in output.tags] == [(3, 9, 3)]
    torch.testing.assert_close(output.logits, student(ids, mask).logits)
    assert student.read_layers == [0, 1, DEPTH]


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("layers", [(1,), (-1,), (0, DEPTH), (1, 2)])
def test_train_only(encoder: str, layers: tuple[int, ...]) -> None:
    student = classifier(encoder, auxiliary_heads=auxiliary(1))
    student.train_only(layers)
    stack = layer_stack(student.encoder)
    assert len(stack) == DEPTH
    wanted = {
        id(p)
        for layer in layers
        if layer
        for p in stack[layer - 1 if layer > 0 else layer].parameters()
    }
    if 0 in layers:
        wanted |= {id(p) for p in student.encoder.embeddings.parameters()}
    for name, parameter in student.named_parameters():
        is_head = name.startswith(("classifier.", "auxiliary."))
        assert parameter.requires_grad == (is_head or id(parameter) in wanted), name


def test_a_second_text_is_the_second_segment() -> None:
    separator = 3
    student = classifier(pair_separator=separator)
    ids = torch.tensor(
        [[2, 10, 11, separator, 12, separator, 0], [2, 10, separator, 12, 13, 14, 3]]
    )
    mask = (ids != 0).long()
    expected = torch.tensor([[0, 0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1, 1]])
    encoded = student.encoder(input_ids=ids, attention_mask=mask, token_type_ids=expected)
    logits = student.classifier(encoded.last_hidden_state[:, 0])
    torch.testing.assert_close(student(ids, mask).logits, logits)
    blind = classifier("distilbert", pair_separator=separator)  # has no segments
    assert blind(ids, mask).logits.shape == (2, 3)


def test_saving_keeps_everything(tmp_path: Path) -> None:
    student = classifier(
        auxiliary_heads=auxiliary(1), pooling="mean", class_layer=1, preprocessing=["nfkc"]
    )
    student.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert isinstance(loaded, Student)
    ids, mask = batch()
    assert torch.equal(loaded(ids, mask).logits, student(ids, mask).logits)
    ours, theirs = (it(ids, mask, tags=True).tags[0] for it in (student, loaded))
    assert torch.equal(ours, theirs)
    assert loaded.config.preprocessing == ["nfkc"]
    assert loaded.config.id2label == dict(enumerate(CLASSES))
    assert loaded.config.label2id["so-so"] == 2


def test_heads_go_on_from_another_student() -> None:
    first = classifier(auxiliary_heads=auxiliary(1))
    torch.manual_seed(7)
    second = Student(
        StudentConfig(
            encoder=first.config.encoder,
            classes=["good", "new", "bad"],
            auxiliary_heads=auxiliary(1, 2),
        )
    )
    fresh = second.classifier.weight[1].clone()
    second.adopt(first)
    assert torch.equal(second.classifier.weight[0], first.classifier.weight[1])
    assert torch.equal(second.classifier.weight[2], first.classifier.weight[0])
    assert torch.equal(second.classifier.weight[1], fresh)
    assert torch.equal(second.auxiliary[0].weight, first.auxiliary[0].weight)
    assert not torch.equal(second.auxiliary[1].weight, first.auxiliary[0].weight)
    assert second.adopted == ["output", "at 1"]


def test_heads_start_like_the_encoders_own_layers() -> None:
    student = classifier(
        classes=[str(number) for number in range(200)], auxiliary_heads=auxiliary(1)
    )
    assert student.classifier.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert not student.classifier.bias.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attributes": ["name"]}, "either tags attributes or classifies"),
        ({"heads": [{"name": "output", "layer": -1}]}, "either tags attributes or classifies"),
        ({"classes": []}, "at least one attribute, or classes"),
        ({"pooling": "last"}, 'pooling=\'last\': expected "first" or "mean"'),
        ({"class_layer": DEPTH + 1}, "head 'output': layer must be in .*got 3"),
        ({"auxiliary_heads": auxiliary(-4)}, r"head 'at -4': layer must be in \[-3, 2\].*got -4"),
    ],
)
def test_what_is_no_student(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classifier(**options)
