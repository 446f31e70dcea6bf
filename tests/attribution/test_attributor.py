from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_students import tiny_student, tiny_tokenizer

from coteach.attribution import Attributor, IntegratedGradients, SpecialTokens, Targets, attribute
from coteach.model import Student

CONTENTS = [[5, 6, 7], [8], [], [9, 10, 11, 12, 13, 14, 15, 16, 17], [18, 19], [20, 1, 21]]
SETTINGS = IntegratedGradients(nodes=2)
TAGGING = {
    "attributes": ["name", "place"],
    "heads": [{"name": "team", "layer": 1}, {"name": "output", "layer": -1}],
}


def one_by_one(student: Student, content: list[int], target: list[int] | None) -> Any:
    """The text's attributions without a batch, and the target."""
    tokenizer = tiny_tokenizer()
    ids = torch.tensor([[tokenizer.cls_token_id, *content, tokenizer.sep_token_id]])
    if target is None:
        logits = student(ids).logits
        assert logits is not None
        if student.config.classes:
            target = [int(logits.argmax())]
        else:
            best = student.probabilities(logits).p[0].argmax(dim=-1).tolist()
            target = [
                (token * 2 + attribute) * 3 + best[token][attribute]
                for token in range(1, len(content) + 1)
                for attribute in range(2)
                if best[token][attribute]
            ]
    tokens = SpecialTokens.of(tokenizer)
    targets = Targets.from_lists([target])
    return attribute(student, ids, torch.ones_like(ids), targets, SETTINGS, tokens), target


@pytest.mark.parametrize("options", [{}, TAGGING])
@pytest.mark.parametrize("is_given", [False, True])
@pytest.mark.parametrize(("batch_size", "chunk"), [(2, 1024), (4, 4)])
def test_texts_come_back_in_order(
    options: dict[str, Any], is_given: bool, batch_size: int, chunk: int
) -> None:
    student = tiny_student(**options).train()
    given: Any = [[1], [0], [1], [], [0], [1]] if is_given else None
    attributor = Attributor(student, tiny_tokenizer(), SETTINGS, batch_size, chunk)
    found = list(attributor(iter(CONTENTS), given and iter(given)))
    assert student.training
    student.eval()
    assert len(found) == len(CONTENTS)
    for number, (content, text) in enumerate(zip(CONTENTS, found, strict=True)):
        expected, target = one_by_one(student, content, given and given[number])
        assert text.target.tolist() == target
        assert text.target.dtype == np.int32
        assert text.scores.shape == (len(content) + 2,)
        assert text.scores.dtype == np.float32
        np.testing.assert_allclose(text.scores, expected.scores[0], rtol=1e-3, atol=1e-6)
        assert text.value == pytest.approx(expected.value.item(), rel=1e-4)
        assert text.gap == pytest.approx(expected.gap.item(), abs=1e-5)
    assert any(text.scores.max() > 0.01 for text in found)


def test_texts_are_read_as_they_are_needed() -> None:
    read = 0

    def contents() -> Any:
        nonlocal read
        for content in CONTENTS * 3:
            read += 1
            yield content

    attributor = Attributor(tiny_student(), tiny_tokenizer(), SETTINGS, chunk=3)
    assert list(attributor([])) == []
    next(attributor(contents()))
    assert read == 3


def test_what_cannot_be_explained_is_refused() -> None:
    student = tiny_student()
    with pytest.raises(ValueError, match=r'no token for "mask"'):
        Attributor(student, tiny_tokenizer(), IntegratedGradients(baseline="mask"))
    attributor = Attributor(student, tiny_tokenizer(), SETTINGS)
    with pytest.raises(ValueError, match=r"no answer 2.*has 2"):
        list(attributor([[5]], [[2]]))
