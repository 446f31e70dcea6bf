from __future__ import annotations

import sys
from functools import partial
from typing import Any

import pytest
import torch
from tiny_students import tiny_student, tiny_tagger, tiny_tokenizer
from transformers import PreTrainedTokenizerFast

from coteach.attribution import IntegratedGradients
from coteach.errors import InputError
from coteach.explaining.check import captum_scores, check_captum, largest_difference
from coteach.explaining.importance import Explained, ImportanceReader

TEXT = "このホテルはとても良い"


def reader(kind: str = "first", **options: Any) -> ImportanceReader:
    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=tiny_tokenizer().backend_tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="東京都",
    )
    made = {
        "first": tiny_student,
        "mean": partial(tiny_student, pooling="mean"),
        "tags": tiny_tagger,
    }
    return ImportanceReader("a", made[kind](), tokenizer, IntegratedGradients(**options))


@pytest.mark.parametrize("kind", ["first", "mean", "tags"])
@pytest.mark.parametrize(
    "options",
    [
        {"nodes": 5},
        {"nodes": 1, "aggregation": "sum"},
        {"nodes": 6, "quadrature": "right_riemann", "output": "logit"},
        {"nodes": 4, "quadrature": "trapezoid", "aggregation": "sum"},
        {"nodes": 3, "baseline": "mask"},
    ],
)
def test_importance_is_captums(kind: str, options: dict[str, Any]) -> None:
    pytest.importorskip("captum")
    read = reader(kind, **options)
    explained = read.answer(TEXT)
    assert explained.answers
    apart, size = largest_difference(read, TEXT, explained)
    assert size > 1e-3
    assert apart < 1e-5 * max(size, 1)


def test_the_difference_is_seen() -> None:
    pytest.importorskip("captum")
    read = reader(nodes=3)
    _, tokens = read.tokens(TEXT)
    right = read.of_class("positive")
    wrong = read.of_class("negative") if read.student.config.classes[0] == "positive" else right
    theirs = captum_scores(reader(nodes=30), tokens, wrong)
    ours = torch.from_numpy(read.scores(tokens, right).scores)
    assert float((ours - theirs).abs().max()) > 1e-4


def test_nothing_to_explain() -> None:
    pytest.importorskip("captum")
    assert largest_difference(reader(), TEXT, Explained("no span found", ())) == (0, 0)


def test_what_cannot_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("captum")
    check_captum("padding")
    with pytest.raises(InputError, match=r"check: .* padding or mask, got zero"):
        check_captum("zero")
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(InputError, match=r"check: needs captum: pip install coteach\[explain\]"):
        check_captum("padding")
