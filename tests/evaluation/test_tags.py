from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from seqeval.metrics.v1 import precision_recall_fscore_support
from seqeval.scheme import IOB2

from coteach.evaluation.shinra import Counts
from coteach.evaluation.tags import tag_counts

ATTRIBUTES = 3


def page(tokens: int) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.int8, (tokens, ATTRIBUTES), elements=st.integers(0, 2))


pages = st.lists(
    st.integers(0, 7).flatmap(lambda n: st.tuples(page(n), page(n))), min_size=1, max_size=4
)


def as_text(tags: list[np.ndarray]) -> list[list[str]]:
    """One sequence per page and attribute, the attribute as the type."""
    return [
        ["O" if tag == 0 else f"{'OBI'[tag]}-{attribute}" for tag in sequence[:, attribute]]
        for sequence in tags
        for attribute in range(ATTRIBUTES)
    ]


@given(pages)
def test_counts_are_those_of_seqeval(examples: list[tuple[np.ndarray, np.ndarray]]) -> None:
    gold, predicted = [g for g, _ in examples], [p for _, p in examples]
    counts = tag_counts(gold, predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # figures without an entity
        precision, recall, f1, _ = precision_recall_fscore_support(
            as_text(gold), as_text(predicted), average="micro", scheme=IOB2, zero_division=0
        )
    figures = (counts.precision, counts.recall, counts.f1)
    assert figures == pytest.approx((precision, recall, f1))


def test_a_stray_inside_is_no_entity_and_does_not_cross_attributes() -> None:
    # Columns: B I I, I I O, O B B. The second column's I do not continue the first's entity.
    tags = np.array([[1, 2, 0], [2, 2, 1], [2, 0, 1]])
    shorter = np.array([[1, 0, 0], [2, 0, 1], [0, 0, 1]])
    assert tag_counts([tags], [tags]) == Counts(3, 3, 3)
    assert tag_counts([tags], [shorter]) == Counts(2, 3, 3)


def test_no_page_and_no_token() -> None:
    assert tag_counts([], []) == Counts(0, 0, 0)
    empty = np.zeros((0, 2), dtype=int)
    assert tag_counts([empty], [empty]) == Counts(0, 0, 0)


def test_what_are_no_tags() -> None:
    tags = np.zeros((2, 2), dtype=int)
    with pytest.raises(ValueError, match=r"page 0: .*\(2, 2\) and \(3, 2\)"):
        tag_counts([tags], [np.zeros((3, 2), dtype=int)])
    with pytest.raises(ValueError, match="O=0, B=1, I=2"):
        tag_counts([tags], [tags - 100])
    with pytest.raises(ValueError, match="shorter"):
        tag_counts([tags, tags], [tags])
