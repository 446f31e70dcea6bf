from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from coteach.data.folds import assign, set_aside
from coteach.errors import InputError

FOLDS = 3
labels_of = st.lists(st.sampled_from("abc"), min_size=12, max_size=60).filter(
    lambda labels: min(Counter(labels).values()) >= FOLDS
)
seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None)
@given(labels_of, seeds)
def test_every_fold_has_every_classs_share(labels: list[str], seed: int) -> None:
    folds = assign(labels, None, FOLDS, seed)
    assert len(folds) == len(labels)
    assert set(folds) == set(range(FOLDS))
    for name in set(labels):
        counts = Counter(f for f, label in zip(folds, labels, strict=True) if label == name)
        assert max(counts[f] for f in range(FOLDS)) - min(counts[f] for f in range(FOLDS)) <= 1
    assert assign(labels, None, FOLDS, seed) == folds


@settings(deadline=None)
@given(labels_of, st.data(), seeds)
def test_groups_are_never_split(labels: list[str], data: st.DataObject, seed: int) -> None:
    groups = [str(data.draw(st.integers(0, 8))) for _ in labels]
    assume(len(set(groups)) >= FOLDS)
    try:
        folds = assign(labels, groups, FOLDS, seed)
    except InputError as error:
        assert "groups are too large" in str(error)  # noqa: PT017
        return
    assert set(folds) == set(range(FOLDS))
    assert len(set(zip(groups, folds, strict=True))) == len(set(groups))
    assert assign(labels, groups, FOLDS, seed) == folds


def test_another_seed_gives_other_folds() -> None:
    labels = ["a", "b"] * 30
    assert assign(labels, None, FOLDS, 1) != assign(labels, None, FOLDS, 2)


def test_too_few_texts_or_groups() -> None:
    labels = ["a"] * 9 + ["b"] * 2
    with pytest.raises(InputError, match=r"data\.folds: expected at most 2, .* 'b', got 3"):
        assign(labels, None, 3, 1)
    with pytest.raises(InputError, match=r"at most 2, the number of groups, got 3"):
        assign(["a", "b"] * 6, ["x", "y"] * 6, 3, 1)


def test_a_share_is_set_aside_by_class() -> None:
    labels = ["a"] * 60 + ["b"] * 40
    aside = set_aside(labels, None, 0.2, 7)
    assert Counter(labels[index] for index in aside) == {"a": 12, "b": 8}
    assert set_aside(labels, None, 0.2, 7) == aside
    assert set_aside(labels, None, 0.2, 8) != aside


def test_whole_groups_are_set_aside() -> None:
    labels = ["a", "b"] * 60
    groups = [str(index // 6) for index in range(120)]
    aside = set_aside(labels, groups, 0.2, 7)
    assert len(aside) == 24
    assert {groups[i] for i in aside}.isdisjoint(groups[i] for i in range(120) if i not in aside)
    assert set_aside(labels, groups, 0.2, 8) != aside
    assert 0 < len(set_aside(["a", "b", "b"], ["x", "y", "z"], 0.1, 1)) < 3


def test_too_few_to_set_aside() -> None:
    with pytest.raises(InputError, match=r"data\.dev_fraction: 0\.1 of 4 texts cannot be set asid"):
        set_aside(["a", "b"] * 2, None, 0.1, 1)
    with pytest.raises(InputError, match=r"data\.dev_fraction"):
        set_aside(["a", "b"] * 2, ["x"] * 4, 0.1, 1)
