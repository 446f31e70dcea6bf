from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from tiny_students import tiny_student, tiny_tokenizer

from coteach.attribution import SpecialTokens
from coteach.evaluation.agreement import deletions
from coteach.explaining.faithfulness import (
    FALLS,
    batches,
    content_places,
    falls,
    probabilities_without,
)
from coteach.model import Student

TOKENIZER: Any = tiny_tokenizer()
CONTENTS: list[list[int]] = [
    TOKENIZER(text, add_special_tokens=False)["input_ids"]
    for text in ("このホテルはとても良い", "駅から近い", "城", "部屋が狭く悪い")
]
KINDS: dict[str, dict[str, Any]] = {
    "first": {},
    "mean": {"pooling": "mean"},
    "tags": {"attributes": ["name", "place"]},
}


def ignore(_: int) -> None:
    pass


def targets_of(kind: str) -> list[np.ndarray]:
    if kind == "tags":  # (token · 2 attributes + attribute) · 3 + tag
        return [np.array([(1 * 2 + 1) * 3 + 1, (2 * 2 + 1) * 3 + 2])] * len(CONTENTS)
    return [np.array([number % 2]) for number in range(len(CONTENTS))]


def naive(student: Student, content: list[int], target: np.ndarray, deleted: list[int]) -> float:
    """One text alone, without padding behind it."""
    ids = [TOKENIZER.cls_token_id, *content, TOKENIZER.sep_token_id]
    known = [0 if place in deleted else 1 for place in range(len(ids))]
    ids = [TOKENIZER.pad_token_id if place in deleted else it for place, it in enumerate(ids)]
    with torch.no_grad():
        logits = student(torch.tensor([ids]), torch.tensor([known])).logits[0]
    if student.config.classes:
        return float(logits.softmax(dim=-1)[target].mean())
    p = student.probabilities(logits).p
    values = []
    for number in target:
        rest, tag = divmod(int(number), 3)
        token, attribute = divmod(rest, len(student.config.attributes))
        values.append(float(p[token, attribute, tag]))
    return sum(values) / len(values)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("kind", list(KINDS))
def test_probabilities_without_tokens(kind: str, batch_size: int) -> None:
    student, targets = tiny_student(**KINDS[kind]), targets_of(kind)
    sets = [[], [1], [2, 4], [1, 2, 3, 4]]
    jobs = [(number, np.array(it, dtype=np.int64)) for number in (0, 1, 3) for it in sets]
    found = probabilities_without(
        student, TOKENIZER, CONTENTS, targets, jobs, batch_size=batch_size, advance=ignore
    )
    expected = [
        naive(student, CONTENTS[number], targets[number], deleted.tolist())
        for number, deleted in jobs
    ]
    assert found == pytest.approx(expected, abs=1e-5)
    assert np.ptp(found) > 0.05


@pytest.mark.parametrize("kind", list(KINDS))
def test_what_is_deleted_cannot_be_seen(kind: str) -> None:
    student, targets = tiny_student(**KINDS[kind]), targets_of(kind)
    others = [[*content[:2], 30, *content[3:]] for content in CONTENTS]
    jobs = [(0, np.array([3])), (3, np.array([3, 1]))]
    mine, theirs = (
        probabilities_without(
            student, TOKENIZER, contents, targets, jobs, batch_size=2, advance=ignore
        )
        for contents in (CONTENTS, others)
    )
    assert mine == pytest.approx(theirs, abs=1e-7)


@pytest.mark.parametrize("kind", list(KINDS))
def test_falls_are_those_of_the_definition(kind: str) -> None:
    student, targets = tiny_student(**KINDS[kind]), targets_of(kind)
    generator = np.random.default_rng(3)
    scores = [generator.random(len(content) + 2) for content in CONTENTS]
    steps: list[int] = []
    found = falls(
        student,
        TOKENIZER,
        CONTENTS,
        scores,
        targets,
        percent=(20, 60),
        draws=2,
        seed=7,
        batch_size=3,
        advance=steps.append,
    )
    assert tuple(found) == FALLS
    assert sum(steps) == len(CONTENTS) * (1 + 2 * (1 + 1 + 2))
    if kind == "tags":  # "城" has no second token
        targets[2] = targets[2][:1]
    for number, content in enumerate(CONTENTS):
        places = range(1, len(content) + 1)
        chosen = deletions(
            scores[number], list(places), (20, 60), np.random.default_rng([7, number]), 2
        )
        whole = naive(student, content, targets[number], [])
        for name in FALLS:
            sets = getattr(chosen, name)
            without = [naive(student, content, targets[number], it.tolist()) for it in sets]
            if number != 2:
                expected = whole - sum(without) / len(without)
                assert found[name][number] == pytest.approx(expected, abs=1e-5)
    assert np.ptp(found["top"]) > 0.01


def test_nothing_to_delete_or_to_explain() -> None:
    contents = [[], CONTENTS[0], [TOKENIZER.sep_token_id]]
    found = falls(
        tiny_student(),
        TOKENIZER,
        contents,
        [np.zeros(len(it) + 2) for it in contents],
        [np.array([0]), np.empty(0, dtype=np.int32), np.array([1])],
        percent=(50,),
        draws=1,
        seed=0,
        batch_size=2,
        advance=ignore,
    )
    assert all(math.isnan(value) for values in found.values() for value in values)


def test_special_tokens_are_never_deleted() -> None:
    special = SpecialTokens.of(TOKENIZER)
    content = [20, TOKENIZER.sep_token_id, 21, TOKENIZER.unk_token_id]
    assert content_places(content, special).tolist() == [1, 3, 4]
    assert content_places([], special).tolist() == []


def test_batches_are_sorted_by_length() -> None:
    steps: list[int] = []
    assert list(batches([3, 9, 1, 9, 5], 2, steps.append)) == [[1, 3], [4, 0], [2]]
    assert steps == [2, 2, 1]
