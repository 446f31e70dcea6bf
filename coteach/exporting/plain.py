"""A student as a model of transformers' own classes, which needs no coteach."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    PreTrainedModel,
)

from coteach.errors import InputError, in_one_line
from coteach.model import Student
from coteach.model.configuration import OUTPUT_HEAD
from coteach.model.extraction import assemble, build_aligner
from coteach.model.iob2 import BEGIN, CLASSES, INSIDE, OUTSIDE
from coteach.model.layers import absolute

__all__ = ["joint_labels", "plain_tokenizer", "sequence_classifier", "token_classifier"]

PROBE = "東京都の城は1603年に築かれた。ABC"
TOLERANCE = 1e-4  # of a logit, between the student and the plain class
# tanh(x · scale) / scale is x to within (x · scale)² / 3, which float32 does not tell from x.
# A power of two scales without rounding.
SCALE = 2.0**-14


def joint_labels(attributes: list[str]) -> list[str]:
    """The labels of the one tag sequence: O, then B and I of every attribute."""
    return ["O", *(f"{tag}-{name}" for name in attributes for tag in "BI")]


def token_classifier(student: Student, tokenizer: Any) -> PreTrainedModel:
    """A student's output head as one linear layer over O, B and I of every attribute.

    Per attribute the head has logits z of O, B and I. The joint layer gives 0 to O, z_B − z_O to
    B-attribute and z_I − z_O to I-attribute. So a token's likeliest joint label is the head's own
    answer wherever it gives at most one attribute another tag than O; of several, the one with
    the highest odds against O stays, and the others are lost.

    Raises:
        InputError: the plain class cannot say what the student does; the message says why.
    """
    config = student.config
    if config.classes:
        raise InputError("token_classification: this student classifies texts, and tags no tokens")
    if OUTPUT_HEAD not in config.head_names and len(config.heads) > 1:
        raise InputError(
            "token_classification: this student has no output head; the mean of its "
            f"{len(config.heads)} teacher heads is not what one linear layer gives"
        )
    head = OUTPUT_HEAD if OUTPUT_HEAD in config.head_names else config.head_names[0]
    place = config.head_names.index(head)
    _check_layer("token_classification", student, config.heads[place]["layer"])
    _check_reading("token_classification", student, tokenizer)
    labels = joint_labels(config.attributes)
    model = _built(student, MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING, labels)
    if _beside_encoder(model) != {"classifier.weight", "classifier.bias"}:
        raise InputError(
            f"token_classification: {type(model).__name__} has more than one linear layer above "
            "its encoder"
        )
    weight, bias = _head_rows(student, place)
    with torch.no_grad():
        model.classifier.weight.copy_(_joint(weight))
        model.classifier.bias.copy_(_joint(bias))
    _verify("token_classification", student, model, tokenizer, place)
    return model


def sequence_classifier(student: Student, tokenizer: Any) -> PreTrainedModel:
    """A classifying student as the class that transformers has for its encoder.

    The classes of BERT's kind read the first token through a pooler, tanh(W·x + b), which the
    student does not have: W is made so small that its tanh is a straight line in float32, and the
    linear layer behind it as much larger. In float16, which has no such small numbers, the class
    must not be used.

    Raises:
        InputError: the plain class cannot say what the student does; the message says why.
    """
    config = student.config
    name = "sequence_classification"
    if not config.classes:
        raise InputError(f"{name}: this student extracts attributes, and classifies no texts")
    if config.pooling != "first":
        raise InputError(
            f"{name}: this student reads the mean of all tokens, and the plain class the first one"
        )
    if config.preprocessing:
        raise InputError(
            f"{name}: this student's texts are preprocessed ({', '.join(config.preprocessing)}), "
            "which a tokenizer of transformers does not do"
        )
    _check_layer(name, student, config.class_layer)
    _check_reading(name, student, tokenizer)
    model = _built(student, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, config.classes)
    pooler: Any = getattr(model.base_model, "pooler", None)
    if not isinstance(getattr(pooler, "activation", None), nn.Tanh) or _beside_encoder(model) != {
        "classifier.weight",
        "classifier.bias",
    }:
        raise InputError(
            f"{name}: {type(model).__name__} does not read the first token by a pooler with tanh "
            "and one linear layer"
        )
    with torch.no_grad():
        width = pooler.dense.weight.shape[0]
        pooler.dense.weight.copy_(torch.eye(width) * SCALE)
        pooler.dense.bias.zero_()
        model.classifier.weight.copy_(student.classifier.weight / SCALE)
        model.classifier.bias.copy_(student.classifier.bias)
    _verify(name, student, model, tokenizer)
    return model


def plain_tokenizer(student: Student, tokenizer: Any) -> Any:
    """The student's tokenizer, which cuts texts where the student's window ends."""
    tokenizer.model_max_length = student.config.window + 2
    return tokenizer


def _check_layer(target: str, student: Student, layer: int) -> None:
    depth = student.encoder.config.num_hidden_layers
    if absolute(layer, depth) != depth:
        raise InputError(
            f"{target}: the head reads layer {absolute(layer, depth)}, and the plain class the "
            f"last one, {depth}"
        )


def _check_reading(target: str, student: Student, tokenizer: Any) -> None:
    """Refuse a student that reads other tokens than its tokenizer gives by itself."""
    config = student.config
    if config.words is not None:
        raise InputError(
            f"{target}: this student's text is split at words first (words={config.words!r}), "
            "which a tokenizer of transformers does not do; expected a student with words=None"
        )
    if config.trim_head or config.trim_tail:
        raise InputError(
            f"{target}: this student leaves out the first {config.trim_head} and the last "
            f"{config.trim_tail} lines of a text, which a tokenizer of transformers does not do"
        )
    texts = [PROBE] if config.pair_separator is None else [PROBE, PROBE[:5]]
    content = build_aligner(tokenizer, config)("\n".join(texts)).ids
    expected = [tokenizer.cls_token_id, *content, tokenizer.sep_token_id]
    encoded = tokenizer(*texts)
    if encoded["input_ids"] != expected:
        raise InputError(
            f"{target}: this student's tokenizer by itself reads {texts} as the ids "
            f"{encoded['input_ids']}; expected {expected}, with the special tokens, as the student "
            "reads it"
        )
    if len(texts) > 1 and student.encoder.config.type_vocab_size > 1:
        first = expected.index(config.pair_separator) + 1
        segments = [0] * first + [1] * (len(expected) - first)
        if encoded.get("token_type_ids") != segments:
            raise InputError(
                f"{target}: this student's tokenizer by itself gives a pair the token_type_ids "
                f"{encoded.get('token_type_ids')}; expected {segments}, as the student reads it"
            )


def _built(student: Student, mapping: Any, labels: list[str]) -> Any:
    """The class for an encoder's configuration, with the student's encoder in it."""
    config = student.config.encoder_config()
    try:
        kind: Any = mapping[type(config)]
    except KeyError:
        raise InputError(
            f"transformers has no such class for encoders of the type {config.model_type!r}"
        ) from None
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    model = kind(config)
    try:
        missing, unexpected = model.base_model.load_state_dict(
            student.encoder.state_dict(), strict=False
        )
    except RuntimeError as error:
        raise InputError(f"{kind.__name__}: {in_one_line(error)}") from None
    others = [name for name in [*missing, *unexpected] if not name.startswith("pooler.")]
    if others:
        raise InputError(f"{kind.__name__} has another encoder than the student: {others[0]!r}")
    return model.eval()


def _beside_encoder(model: PreTrainedModel) -> set[str]:
    """Names of the parameters that are not the encoder's."""
    prefix = f"{model.base_model_prefix}."
    return {name for name, _ in model.named_parameters() if not name.startswith(prefix)}


def _head_rows(student: Student, place: int) -> tuple[Tensor, Tensor]:
    """The weight (attributes, 3, width) and the bias (attributes, 3, 1) of a head of the last
    layer."""
    depth = student.encoder.config.num_hidden_layers
    layers = [absolute(head["layer"], depth) for head in student.config.heads]
    linear: Any = student.heads[str(depth)]
    number = layers[:place].count(depth)
    shape = (layers.count(depth), len(student.config.attributes), CLASSES, -1)
    return linear.weight.view(shape)[number], linear.bias.view(shape)[number]


def _joint(rows: Tensor) -> Tensor:
    """(attributes, 3, n) → (labels, n), without the last axis where n is 1."""
    outside = rows[:, OUTSIDE]
    tags = torch.stack([rows[:, BEGIN] - outside, rows[:, INSIDE] - outside], dim=1)
    joint = torch.cat([torch.zeros_like(tags[0, :1]), tags.flatten(0, 1)])
    return joint.squeeze(-1) if joint.shape[-1] == 1 else joint


@torch.no_grad()
def _verify(
    target: str, student: Student, model: Any, tokenizer: Any, head: int | None = None
) -> None:
    """Refuse a model whose logits are not those of the student."""
    content = build_aligner(tokenizer, student.config)(PROBE).ids[: student.config.window]
    ids, mask = assemble([content, content[:3]], tokenizer)
    model.to(student.device)
    ids, mask = ids.to(student.device), mask.to(student.device)
    expected, given = student(ids, mask).logits, model(input_ids=ids, attention_mask=mask).logits
    if head is not None:
        logits = expected[:, :, head]
        tags = logits[..., BEGIN:] - logits[..., :BEGIN]
        expected = torch.cat([torch.zeros_like(given[..., :1]), tags.flatten(-2)], dim=-1)
    known = mask.bool() if head is not None else slice(None)
    difference = (given - expected)[known].abs().max().item()
    scale = max(1.0, expected[known].abs().max().item())
    if not difference <= TOLERANCE * scale:
        raise InputError(
            f"{target}: a logit of {type(model).__name__} differs by {difference:.1e} from the "
            f"student's; expected at most {TOLERANCE * scale:.0e}"
        )
