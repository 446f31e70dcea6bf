from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_students import CLASSES, DEPTH, HEADS, WIDTH, tiny_student, tiny_tokenizer
from torch import Tensor

from coteach.attending.reading import AttentionReader
from coteach.errors import InputError
from coteach.highlighting.blocks import Reading
from coteach.model import Student
from coteach.model.classification import Classifier

TOKENIZER: Any = tiny_tokenizer()
TEXT = "このホテルはとても良い。 駅から近い"


def naive_attention(student: Student, ids: Tensor, layer: int) -> Tensor:
    """softmax(QKᵀ/√d) of one layer, the mean over its heads; (from, to)."""
    encoder: Any = student.encoder
    with torch.no_grad():
        states = encoder(input_ids=ids, output_hidden_states=True).hidden_states[layer - 1][0]
        attend = encoder.encoder.layer[layer - 1].attention.self
        total = torch.zeros(len(states), len(states))
        size = WIDTH // HEADS
        for head in range(HEADS):
            rows = slice(head * size, (head + 1) * size)
            query = states @ attend.query.weight[rows].T + attend.query.bias[rows]
            key = states @ attend.key.weight[rows].T + attend.key.bias[rows]
            total += (query @ key.T / math.sqrt(size)).softmax(dim=-1)
    return total / HEADS


def total(reading: Reading) -> float:
    words = math.fsum(word.weight for word in reading.words if word.weight is not None)
    return words + math.fsum(special.weight for special in reading.specials)


def ids_of(student: Student) -> Tensor:
    content = Classifier(student, TOKENIZER).content(TEXT) if student.config.classes else None
    if content is None:
        content = TOKENIZER(TEXT, add_special_tokens=False)["input_ids"]
    return torch.tensor([[TOKENIZER.cls_token_id, *content, TOKENIZER.sep_token_id]])


@pytest.mark.parametrize("layer", [1, 2, DEPTH, -1, -DEPTH, None])
@pytest.mark.parametrize("kind", ["first", "mean", "extraction"])
def test_attention_is_that_of_the_definition(kind: str, layer: int | None) -> None:
    options: dict[str, Any] = (
        {"attributes": ["name"]} if kind == "extraction" else {"pooling": kind}
    )
    student = tiny_student(**options)
    reading = AttentionReader("a", student, TOKENIZER, layer)(TEXT)
    absolute = DEPTH if layer is None else layer if layer > 0 else DEPTH + 1 + layer
    ids = ids_of(student)
    matrix = naive_attention(student, ids, absolute)
    weights = matrix[0] if kind == "first" else matrix.mean(dim=0)
    assert reading.specials[0].token == "[CLS]"
    assert reading.specials[-1].token == "[SEP]"
    assert reading.specials[0].weight == pytest.approx(float(weights[0]), abs=1e-6)
    assert reading.specials[-1].weight == pytest.approx(float(weights[-1]), abs=1e-6)
    # この ホテル は とても 良い 。: the pieces are single characters but for ルは.
    tokens = TOKENIZER.convert_ids_to_tokens(ids[0].tolist())
    assert tokens[1:6] == ["こ", "##の", "##ホ", "##テ", "##ルは"]
    words = {word.text: word.weight for word in reading.words}
    assert words["この"] == pytest.approx(float(weights[1] + weights[2]), abs=1e-6)
    crossing = float(weights[5])
    hotel = float(weights[3] + weights[4]) + crossing / 2
    assert words["ホテル"] == pytest.approx(hotel, abs=1e-6)
    assert words["は"] == pytest.approx(crossing / 2, abs=1e-6)
    assert total(reading) == pytest.approx(1, abs=1e-5)
    # The weights differ, or the test would see nothing.
    assert float(weights.max() / weights.min()) > 1.5


def test_the_prediction_is_the_classifiers() -> None:
    student = tiny_student(pooling="mean", preprocessing=["symbols"])
    (expected,) = Classifier(student, TOKENIZER)([TEXT])
    reading = AttentionReader("a", student, TOKENIZER)(TEXT)
    assert reading.predicted == CLASSES[int(expected.argmax())]
    assert reading.probability == pytest.approx(float(expected.max()), abs=1e-6)
    assert "".join(word.text for word in reading.words) == TEXT.replace("。", "")


def test_a_pair_is_read_with_its_segments() -> None:
    student = tiny_student(pair_separator=TOKENIZER.sep_token_id, encoder={"type_vocab_size": 2})
    (expected,) = Classifier(student, TOKENIZER)([("良い城", "東京")])
    reader = AttentionReader("a", student, TOKENIZER)
    for text in ("良い城\n東京", "良い城\t東京"):
        reading = reader(text)
        assert reading.probability == pytest.approx(float(expected.max()), abs=1e-6)
        assert [special.token for special in reading.specials] == ["[CLS]", "[SEP]", "[SEP]"]
        assert "".join(word.text for word in reading.words) == "良い城\n東京"
    with pytest.raises(InputError, match=r'"良い城".*pairs'):
        reader("良い城")


def test_an_extracting_student_predicts_no_class() -> None:
    reading = AttentionReader("a", tiny_student(attributes=["name"]), TOKENIZER)("城\nこの城")
    assert (reading.predicted, reading.probability) == (None, None)
    assert [special.token for special in reading.specials] == ["[CLS]", "[SEP]", "[SEP]"]


def test_only_the_window_is_read() -> None:
    reading = AttentionReader("a", tiny_student(window=2), TOKENIZER)("東京 都 城 城")
    weights = [word.weight is not None for word in reading.words if not word.text.isspace()]
    assert weights[0]
    assert weights[-2:] == [False, False]
    assert total(reading) == pytest.approx(1, abs=1e-5)


def test_the_layer_that_the_class_head_reads() -> None:
    assert AttentionReader("a", tiny_student(class_layer=2), TOKENIZER).layer == 2
    assert AttentionReader("a", tiny_student(class_layer=-2), TOKENIZER).layer == DEPTH - 1
    with pytest.raises(InputError, match="layer 0: expected 1 to 3, or -3 to -1, in a"):
        AttentionReader("a", tiny_student(class_layer=0), TOKENIZER)


@pytest.mark.parametrize("layer", [0, DEPTH + 1, -DEPTH - 1])
def test_no_such_layer(layer: int) -> None:
    with pytest.raises(InputError, match=f"layer {layer}: expected 1 to 3"):
        AttentionReader("a", tiny_student(), TOKENIZER, layer)


def test_an_encoder_without_attention() -> None:
    reader = AttentionReader("a", tiny_student(encoder={"model_type": "fnet"}), TOKENIZER)
    with pytest.raises(InputError, match="a: its encoder, a FNetModel, gives no attention"):
        reader("城")


def test_training_mode_and_hooks_leave_no_trace() -> None:
    student = tiny_student(head_dropout=0.5).train()
    reader = AttentionReader("a", student, TOKENIZER)
    assert reader(TEXT) == reader(TEXT)
    ids = ids_of(student)
    encoder: Any = student.encoder
    assert getattr(encoder(input_ids=ids), "attentions", None) is None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(max_size=30))
def test_any_text(text: str) -> None:
    reading = AttentionReader("a", tiny_student(), TOKENIZER)(text)
    assert "".join(word.text for word in reading.words) == text
    assert total(reading) == pytest.approx(1, abs=1e-5)


def test_a_lone_surrogate() -> None:
    reading = AttentionReader("a", tiny_student(), TOKENIZER)("城\ud800")
    assert "".join(word.text for word in reading.words) == "城\ufffd"
