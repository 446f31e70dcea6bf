"""Thresholds against trying every one of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coteach.evaluation.thresholds import Found, choose_thresholds
from coteach.model.spans import Span

NAMES = ["人名", "地名"]


def span(attribute: str, start: int) -> Span:
    return Span(attribute, 0, start, 0, start + 1)


GOLD = {"1": [span("人名", 0), span("人名", 1), span("地名", 9)], "2": [span("人名", 0)]}
FOUND: Found = {
    "1": [(span("人名", 0), 0.9), (span("人名", 5), 0.3), (span("地名", 9), 0.5)],
    "2": [(span("人名", 0), 0.6), (span("人名", 7), 0.4)],
    "3": [(span("地名", 1), 0.8)],
}

confidences = st.sampled_from([0.1, 0.25, 0.5, 0.75, 1.0])
pages = st.dictionaries(st.sampled_from("abc"), st.sets(st.integers(0, 8)), max_size=3)


def kept(found: Found, attribute: str, threshold: float) -> list[tuple[str, Span]]:
    return [
        (page_id, it)
        for page_id, values in found.items()
        for it, confidence in values
        if it.attribute == attribute and confidence >= threshold
    ]


def figures(
    gold: dict[str, list[Span]], found: Found, attribute: str, threshold: float
) -> tuple[float, float, int]:
    """Precision, F1 and number of the values kept."""
    values = kept(found, attribute, threshold)
    hits = sum(it in gold.get(page_id, []) for page_id, it in values)
    wanted = sum(it.attribute == attribute for page in found for it in gold.get(page, []))
    precision = hits / len(values) if values else 0.0
    return precision, 2 * hits / max(len(values) + wanted, 1), len(values)


def test_the_highest_f1() -> None:
    chosen = choose_thresholds(GOLD, FOUND, NAMES)
    assert chosen["人名"].threshold == pytest.approx(0.5)  # between 0.6 and 0.4
    assert (chosen["人名"].before.predicted, chosen["人名"].after.predicted) == (4, 2)
    assert chosen["人名"].after.f1 == pytest.approx(4 / 5)
    # Dropping the wrong value at 0.8 would drop the right one at 0.5 first.
    assert chosen["地名"].threshold == 0


def test_a_wanted_precision() -> None:
    chosen = choose_thresholds(GOLD, FOUND, NAMES, precision=1.0)
    assert chosen["人名"].after.precision == 1
    assert chosen["人名"].after.predicted == 2
    assert not chosen["地名"].reached
    assert kept(FOUND, "地名", chosen["地名"].threshold) == []


@pytest.mark.parametrize(("right", "precision"), [(55, 0.55), (14, 0.14), (29, 0.29)])
def test_a_precision_that_is_met_exactly(right: int, precision: float) -> None:
    values = [(span("人名", start), 0.5) for start in range(100)]
    gold = {"1": [it for it, _ in values[:right]]}
    assert choose_thresholds(gold, {"1": values}, ["人名"], precision)["人名"].reached


@given(pages, st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 8), confidences)))
def test_no_threshold_is_better(
    gold_starts: dict[str, set[int]], values: list[tuple[str, int, float]]
) -> None:
    gold = {page: [span("人名", start) for start in starts] for page, starts in gold_starts.items()}
    by_page: dict[str, dict[Span, float]] = {page: {} for page in "abc"}
    for page, start, confidence in values:
        by_page[page][span("人名", start)] = confidence
    found = {page: list(spans.items()) for page, spans in by_page.items()}
    tries = [0.0, 0.1, 0.2, 0.3, 0.6, 0.8, 1.0, 1.1]

    best = choose_thresholds(gold, found, NAMES)["人名"]
    _, f1, count = figures(gold, found, "人名", best.threshold)
    assert (best.after.f1, best.after.predicted) == (pytest.approx(f1), count)
    assert f1 >= max(figures(gold, found, "人名", t)[1] for t in tries) - 1e-12

    for wanted in (0.4, 1.0):
        chosen = choose_thresholds(gold, found, NAMES, precision=wanted)["人名"]
        precision, _, count = figures(gold, found, "人名", chosen.threshold)
        assert count == chosen.after.predicted
        allowed = [t for t in tries if figures(gold, found, "人名", t)[0] >= wanted]
        if allowed:
            assert precision >= wanted
            assert count == max(figures(gold, found, "人名", t)[2] for t in allowed)
        else:
            assert count == 0


def test_nothing_found_and_nothing_wanted() -> None:
    for precision in (None, 0.9):
        chosen = choose_thresholds({}, {"1": []}, NAMES, precision)
        assert {it.threshold for it in chosen.values()} == {0}
        assert all(it.reached for it in chosen.values())


@pytest.mark.parametrize("precision", [0.0, 1.5, -1.0, float("nan")])
def test_a_precision_out_of_range(precision: float) -> None:
    with pytest.raises(ValueError, match="precision"):
        choose_thresholds(GOLD, FOUND, NAMES, precision)
