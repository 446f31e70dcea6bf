from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coteach.aggregation.vote import vote
from coteach.data.shinra import read_annotation_file, read_annotations, read_submissions
from coteach.evaluation.shinra import Counts, attribute_name, page_counts, score
from coteach.model.spans import Span

SHARED = Path(__file__).parents[2] / ".." / "shared" / "task"
needs_data = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the shared task's data is not beside the checkout"
)

Values = dict[str, frozenset[Span]]
spans = st.builds(
    Span, st.sampled_from("ABC"), st.just(0), st.integers(0, 2), st.just(0), st.just(3)
)
values = st.dictionaries(st.sampled_from(["1", "2", "3", "4"]), st.frozensets(spans, max_size=6))


def naive_score(gold: Values, system: Values, pages: list[str] | None) -> dict:
    """The definition, read off the scorer's description line by line."""
    attributes = []
    for page in gold:
        for value in gold[page]:
            if value.attribute not in attributes:
                attributes.append(value.attribute)
    if pages is None:
        pages = [page for page in gold if len(gold[page]) > 0]
    rows = []
    for attribute in attributes:
        right = given = wanted = 0
        for page in pages:
            answers = [value[1:] for value in gold.get(page, []) if value.attribute == attribute]
            results = [value[1:] for value in system.get(page, []) if value.attribute == attribute]
            right += len([value for value in results if value in answers])
            given += len(results)
            wanted += len(answers)
        rows.append((attribute, right, given, wanted))
    total = [sum(row[column] for row in rows) for column in (1, 2, 3)]
    each = [naive_figures(*row[1:]) for row in rows]
    return {
        "micro": naive_figures(*total),
        "macro": [sum(column) / len(column) for column in zip(*each, strict=True)] or [0, 0, 0],
        "attributes": {row[0]: row[1:] for row in rows},
    }


def naive_figures(right: int, given: int, wanted: int) -> list[float]:
    if right == 0:
        return [0, 0, 0]
    precision, recall = right / given, right / wanted
    return [precision, recall, 2 * precision * recall / (precision + recall)]


@given(
    values, values, st.none() | st.lists(st.sampled_from(["1", "2", "3", "4", "5"]), unique=True)
)
def test_score_is_the_definition(gold: Values, system: Values, pages: list[str] | None) -> None:
    full_width = {letter: chr(ord(letter) + 0xFEE0) for letter in "ABC"}
    expected = naive_score(gold, system, pages)
    result = score(gold, system, pages=pages)
    micro, macro = result.micro, result.macro
    assert [micro.precision, micro.recall, micro.f1] == pytest.approx(expected["micro"])
    assert [macro.precision, macro.recall, macro.f1] == pytest.approx(expected["macro"])
    assert result.attributes == {
        full_width[name]: Counts(*counts) for name, counts in expected["attributes"].items()
    }
    by_page = page_counts(gold, system, pages=pages)
    assert by_page.dtype == np.int64
    assert by_page.shape == (len(pages) if pages is not None else sum(map(bool, gold.values())), 3)
    assert Counts(*map(int, by_page.sum(0))) == micro


def test_pages_without_gold_count_only_when_asked_for() -> None:
    gold = {"1": {Span("ア", 0, 0, 0, 1)}, "2": set()}
    system = {page: {Span("ア", 0, 0, 0, 1)} for page in "123"}
    assert score(gold, system).micro == Counts(1, 1, 1)
    assert score(gold, system, pages=["1", "2", "3", "4"]).micro == Counts(1, 3, 1)
    expected = [[0, 1, 0], [1, 1, 1], [0, 0, 0]]
    assert page_counts(gold, system, pages=["3", "1", "4"]).tolist() == expected


def test_attributes() -> None:
    gold = {"1": {Span("ア", 0, 0, 0, 1)}, "2": {Span("イ", 0, 0, 0, 1)}}
    system = {"1": {Span("ア", 0, 0, 0, 1), Span("ウ", 0, 0, 0, 1)}}
    # イ is scored although no page with it is; ウ is not in the gold and costs nothing.
    one_page = score(gold, system, pages=["1"])
    assert one_page.attributes == {"ア": Counts(1, 1, 1), "イ": Counts(0, 0, 0)}
    assert (one_page.micro.f1, one_page.macro.f1) == (1.0, 0.5)
    assert score(gold, system, attributes=["ア", "ウ"]).micro == Counts(1, 2, 1)


def test_nothing_gives_zero() -> None:
    nothing = score({}, {})
    assert nothing.micro == Counts(0, 0, 0)
    assert (nothing.micro.f1, nothing.macro.f1, dict(nothing.attributes)) == (0.0, 0.0, {})
    assert page_counts({}, {}).shape == (0, 3)


@pytest.mark.parametrize(
    ("name", "entity_type", "expected"),
    [
        ("IATA（空港コード）", None, "ＩＡＴＡ（空港コード）"),
        ("!~", None, "！～"),
        ("職業", "1.1", "地位職業"),
        ("職業", "1.6.5.3", "職業"),
        ("職業", None, "職業"),
        ("閉館年", "1.6.4.15", "閉園年"),
        ("停車場名", "1.6.6.0", "停車場"),
        ("軍備", "1.6.4.2", None),
    ],
)
def test_attribute_names(name: str, entity_type: str | None, expected: str | None) -> None:
    assert attribute_name(name, entity_type) == expected


def test_renamed_attributes_meet_and_dropped_ones_are_gone() -> None:
    gold = {"1": {Span("職業", 0, 0, 0, 1), Span("ID", 0, 0, 0, 1)}}
    system = {"1": {Span("地位職業", 0, 0, 0, 1), Span("ＩＤ", 0, 0, 0, 1)}}
    assert score(gold, system, entity_type="1.1").micro == Counts(2, 2, 2)
    assert score(gold, system).micro == Counts(1, 1, 2)
    fortress = {"1": {Span("軍備", 0, 0, 0, 1), Span("名前", 0, 0, 0, 1)}}
    assert score(fortress, fortress, entity_type="1.6.4.2").attributes == {"名前": Counts(1, 1, 1)}


# The real data


@needs_data
@pytest.mark.parametrize(("offsets", "f1"), [("html", 0.760), ("text", 0.753)])
def test_the_official_figures_of_the_airport_sample(offsets: str, f1: float) -> None:
    folder = SHARED / "shinra-airport-sample"
    gold = read_annotation_file(folder / "Airport_Mini_Answer.json", offsets=offsets)
    system = read_annotation_file(folder / "Airport_Dummy_Result.json", offsets=offsets)
    result = score(gold.values, system.values, entity_type=next(iter(gold.entity_types)))
    assert round(result.micro.f1, 3) == f1
    assert len(result.attributes) == 21


@needs_data
def test_the_official_example_of_one_page() -> None:
    # The scorer's README: its list of targets is read such that only the first page counts.
    folder = SHARED / "shinra-airport-sample"
    gold = read_annotation_file(folder / "Airport_Mini_Answer.json")
    system = read_annotation_file(folder / "Airport_Dummy_Result.json")
    result = score(gold.values, system.values, pages=["678416"])
    micro = [result.micro.precision, result.micro.recall, result.micro.f1]
    macro = [result.macro.precision, result.macro.recall, result.macro.f1]
    assert micro == pytest.approx([1.000, 0.789, 0.882], abs=5e-4)
    assert macro == pytest.approx([0.476, 0.421, 0.441], abs=5e-4)


# Precision, recall and F1 in percent, every page of the split counted. F1 of the table may come
# from rounded precision and recall.
TABLE = {
    "dev": {
        "team01": (70.7, 63.5, 66.9),
        "team02": (67.2, 52.5, 59.0),
        "team03": (59.8, 34.8, 44.0),
        "team04": (52.8, 37.2, 43.7),
        "team05": (33.8, 25.8, 29.2),
        "team06": (35.9, 10.5, 16.2),
        "team07": (67.7, 75.8, 71.5),
        "team08": (53.7, 67.1, 59.6),
        "vote>=2": (65.2, 81.7, 72.5),
        "vote>=3": (83.6, 69.5, 75.9),
    },
    "report": {
        "team01": (69.6, 63.2, 66.2),
        "team02": (68.5, 53.0, 59.8),
        "team03": (58.4, 34.1, 43.0),
        "team04": (51.6, 35.4, 42.0),
        "team05": (34.4, 27.0, 30.2),
        "team06": (35.2, 11.6, 17.5),
        "team07": (62.5, 73.2, 67.4),
        "team08": (50.5, 64.2, 56.5),
        "vote>=2": (64.2, 79.6, 71.1),
        "vote>=3": (81.0, 67.1, 73.4),
    },
}


@needs_data
@pytest.mark.parametrize("split", ["dev", "report"])
def test_the_figures_of_jawiki_ner(split: str) -> None:
    folder = SHARED / "jawiki-ner"
    pages = json.loads((folder / "splits.json").read_text("utf-8"))[split]
    gold = read_annotations(folder / "annotation" / f"JAWIKI_{split}.json", name="gold").values
    systems = read_submissions(folder / "submissions", "JAWIKI")
    systems += [vote(systems, minimum, pages) for minimum in (2, 3)]
    for system in systems:
        micro = score(gold, system.values, pages=pages).micro
        percent = [100 * micro.precision, 100 * micro.recall, 100 * micro.f1]
        assert percent == pytest.approx(TABLE[split][system.name], abs=0.06), system.name
