from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_students import tiny_student

from coteach.attribution import Targets

TAGGING = {"attributes": ["name", "place"], "heads": [{"name": "team", "layer": -1}]}


def probabilities(seed: int = 0) -> torch.Tensor:
    """Of the tags of two texts of five tokens, for two attributes."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, 5, 2, 3, generator=generator).softmax(dim=-1)


def naive_spans(p: torch.Tensor, mask: torch.Tensor, chosen: torch.Tensor) -> list[list[int]]:
    """The answers whose tag is B or I, each by its place among the example's."""
    return [
        [
            (token * p.shape[2] + attribute) * 3 + int(p[row, token, attribute].argmax())
            for token in range(p.shape[1])
            for attribute in range(p.shape[2])
            if mask[row, token] and chosen[row, token, attribute]
            if int(p[row, token, attribute].argmax()) != 0
        ]
        for row in range(len(p))
    ]


def test_classes() -> None:
    targets = Targets.of_classes(torch.tensor([1, -100, 0], dtype=torch.int32))
    assert [it.tolist() for it in targets.lists()] == [[1], [], [0]]
    assert targets.present.tolist() == [True, False, True]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", [torch.bool, torch.int64])
def test_spans_are_all_tokens_tagged_b_or_i(seed: int, dtype: torch.dtype) -> None:
    p = probabilities(seed)
    mask = torch.tensor([[0, 1, 1, 1, 0], [0, 1, 0, 0, 0]]).to(dtype)
    every = torch.ones(2, 5, 2, dtype=torch.bool)
    expected = naive_spans(p, mask, every)
    found = Targets.of_spans(p, mask).lists()
    assert [it.tolist() for it in found] == expected
    assert all(it.dtype == np.int32 for it in found)
    one = torch.zeros_like(every)
    one[0, 1:3, 1] = True
    chosen = Targets.of_spans(p, mask, one)
    assert [it.tolist() for it in chosen.lists()] == naive_spans(p, mask, one)
    assert len(chosen.lists()[1]) == 0


def test_the_numbers_do_not_depend_on_padding() -> None:
    p = probabilities()
    mask = torch.ones(2, 5)
    longer = torch.cat([p, torch.full((2, 3, 2, 3), 1 / 3)], dim=1)
    longer_mask = torch.cat([mask, torch.zeros(2, 3)], dim=1)
    for one, other in zip(
        Targets.of_spans(p, mask).lists(),
        Targets.of_spans(longer, longer_mask).lists(),
        strict=True,
    ):
        assert one.tolist() == other.tolist()


def test_texts_without_a_span() -> None:
    none = torch.tensor([0.8, 0.1, 0.1]).expand(2, 5, 2, 3)
    targets = Targets.of_spans(none, torch.ones(2, 5))
    assert not targets.present.any()
    answers = torch.rand(2, 5, 2, 3, requires_grad=True)
    total = targets.sum(answers, slice(None))
    assert total.tolist() == [0, 0]
    total.sum().backward()
    assert answers.grad is not None
    assert not answers.grad.any()


def test_f_is_the_sum_of_the_answers_explained() -> None:
    p = probabilities()
    lists = [[4, 0, 29], [7]]
    targets = Targets.from_lists(lists)
    expected = [sum(p[row].flatten()[number].item() for number in lists[row]) for row in range(2)]
    assert targets.sum(p, slice(None)).tolist() == pytest.approx(expected)
    assert targets.sum(p[1:], slice(1, 2)).tolist() == pytest.approx(expected[1:])
    assert targets.at([1]).sum(p[1:], slice(None)).tolist() == pytest.approx(expected[1:])


def test_lists_come_back() -> None:
    lists = [np.array([3, 5], dtype=np.int32), np.array([], dtype=np.int32), [1, 2, 0]]
    targets = Targets.from_lists(lists)
    assert [it.tolist() for it in targets.lists()] == [[3, 5], [], [1, 2, 0]]
    assert [it.tolist() for it in targets.at([2, 1]).lists()] == [[1, 2, 0], []]
    assert not Targets.from_lists([[], []]).present.any()


def test_what_a_student_predicts() -> None:
    logits = torch.tensor([[0.1, 0.4], [2.0, 1.0]])
    classes = Targets.of_predictions(tiny_student(), logits, torch.ones(2, 4))
    assert [it.tolist() for it in classes.lists()] == [[1], [0]]
    student = tiny_student(**TAGGING)
    logits = 3 * torch.randn(2, 5, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[0, 1, 1, 1, 0], [0, 1, 1, 0, 0]])
    spans = Targets.of_predictions(student, logits, mask)
    every = torch.ones(2, 5, 2, dtype=torch.bool)
    expected = naive_spans(logits[:, :, 0], mask, every)
    assert [it.tolist() for it in spans.lists()] == expected
    assert any(expected)


def test_targets_that_are_not_the_batch_s_are_refused() -> None:
    targets = Targets.of_classes(torch.tensor([0, 2]))
    targets.check(2, 3)
    with pytest.raises(ValueError, match=r"no answer 2.*has 2"):
        targets.check(2, 2)
    with pytest.raises(ValueError, match="expected 3 examples, got 2"):
        targets.check(3, 3)
