from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_students import CLASSES, tiny_student, tiny_tagger, tiny_tokenizer

from coteach.attribution import Attributor, IntegratedGradients
from coteach.errors import InputError
from coteach.explaining.importance import Explained, ImportanceReader, importance_measure
from coteach.model import Student
from coteach.model.alignment import Tokens
from coteach.model.classification import Classifier
from coteach.model.extraction import Extractor
from coteach.model.spans import Span

TOKENIZER: Any = tiny_tokenizer()
TEXT = "このホテルはとても良い。 駅から近い"
SUM = IntegratedGradients(nodes=3, aggregation="sum")


def reader(
    student: Student, name: str = "a", chosen: IntegratedGradients = SUM
) -> ImportanceReader:
    return ImportanceReader(name, student, TOKENIZER, chosen)


def test_a_class_is_explained_by_its_name() -> None:
    student = tiny_student(pooling="mean")
    read = reader(student)
    (probabilities,) = Classifier(student, TOKENIZER)([TEXT])
    best = int(probabilities.argmax())
    explained = read.answer(TEXT)
    assert explained == read.of_class(CLASSES[best])
    reading = read(TEXT, explained)
    assert reading.predicted == CLASSES[best]
    assert reading.probability == pytest.approx(float(probabilities.max()), abs=1e-6)
    assert reading.facts["explained"] == f"class {CLASSES[best]}"
    assert reading.facts["its probability"] == pytest.approx(float(probabilities.max()), abs=1e-5)
    other = read(TEXT, read.of_class(CLASSES[1 - best]))
    assert other.facts["its probability"] == pytest.approx(float(probabilities.min()), abs=1e-5)
    # Two classes: what speaks for the one speaks against the other.
    for one, against in zip(reading.words, other.words, strict=True):
        assert (one.weight or 0) == pytest.approx(-(against.weight or 0), abs=1e-5)


def test_words_have_the_importance_of_their_tokens() -> None:
    student = tiny_student()
    read = reader(student)
    content = Classifier(student, TOKENIZER).content(TEXT)
    (expected,) = Attributor(student, TOKENIZER, SUM)([content], [[1]])
    reading = read(TEXT, read.of_class(CLASSES[1]))
    words = {word.text: word.weight for word in reading.words}
    # この ホテル は …: the pieces are single characters but for ルは.
    assert words["この"] == pytest.approx(float(expected.scores[1:3].sum()), abs=1e-6)
    crossing = float(expected.scores[5])
    assert words["は"] == pytest.approx(crossing / 2, abs=1e-6)
    assert [special.token for special in reading.specials] == ["[CLS]", "[SEP]"]
    assert [special.weight for special in reading.specials] == [0, 0]
    total = math.fsum(word.weight or 0 for word in reading.words)
    assert total == pytest.approx(float(expected.scores.sum()), abs=1e-5)
    assert reading.facts["completeness gap"] == pytest.approx(expected.gap, abs=1e-6)
    assert any((word.weight or 0) < 0 for word in reading.words)


def test_importance_is_complete_with_many_nodes() -> None:
    read = reader(tiny_student(), chosen=IntegratedGradients(nodes=200, aggregation="sum"))
    reading = read(TEXT, read.answer(TEXT))
    assert abs(float(reading.facts["completeness gap"] or 0)) < 1e-3


def test_no_such_class() -> None:
    with pytest.raises(InputError, match="class 'good': the classes of a are positive, negative"):
        reader(tiny_student()).of_class("good")
    with pytest.raises(InputError, match="the classes of a are none: it extracts spans"):
        reader(tiny_tagger()).of_class("good")


def test_spans_are_those_of_the_extractor() -> None:
    student = tiny_tagger()
    read = reader(student)
    text = f"城\n{TEXT}"
    lines = text.split("\n")
    (found,) = Extractor(student, TOKENIZER)([text], ["p"])
    spans = read.spans(text)
    assert len(spans) == len(found["p"]) > 3
    expected = {f"{span.attribute} {' '.join(span.text(lines).split())}" for span, _ in found["p"]}
    assert {it.about for it in spans} == expected
    assert [it.marks for it in spans] == sorted(it.marks for it in spans)
    for it in spans:
        ((start, end),) = it.marks
        name, _, words = it.about.partition(" ")
        assert " ".join(text[start:end].split()) == words
        for number in it.answers:
            token, attribute, tag = number // 6, number % 6 // 3, number % 3
            assert tag in (1, 2)
            assert student.config.attributes[attribute] == name
            assert 1 <= token <= len(it.tokens or ())
        assert it.answers[0] % 3 == 1


def test_tokens_without_text_and_without_a_tag_are_not_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tokens of one character share its place; a separator has none."""
    read = reader(tiny_tagger(attributes=["name"]))
    tokens = Tokens([20, 21, 22, 3, 23], [0, 0, 0, 0, 1], [0, 0, 1, 2, 0], [1, 1, 2, 2, 1])
    found = [{"p": [(Span("name", 0, 0, 1, 1), 0.9)]}]
    monkeypatch.setattr(read, "tokens", lambda text: (text, tokens))
    monkeypatch.setattr(read, "_tags", lambda _: np.array([[0], [1], [2], [2], [2]]))
    monkeypatch.setattr(read._extractor, "from_tokens", lambda *_: found)
    (span,) = read.spans("東京\n城")
    assert span == Explained(
        "name 東京 城", (2 * 3 + 1, 3 * 3 + 2, 5 * 3 + 2), tuple(tokens.ids), ((0, 4),)
    )


def test_all_spans_together() -> None:
    read = reader(tiny_tagger())
    spans, every = read.spans(TEXT), read.answer(TEXT)
    assert every.about == f"all {len(spans)} spans"
    assert set(every.answers) == {number for it in spans for number in it.answers}
    assert len(set(every.answers)) == len(every.answers)
    reading = read(TEXT, every)
    marked = {place for it in spans for start, end in it.marks for place in range(start, end)}
    place = 0
    for word in reading.words:
        assert word.marked == (place in marked)
        place += len(word.text)
    assert reading.predicted is None
    name = f"sum of {len(every.answers)} tags' probabilities"
    one_by_one = [read(TEXT, it).facts for it in spans]
    sums = [value for facts in one_by_one for name, value in facts.items() if "probab" in name]
    assert float(reading.facts[name] or 0) == pytest.approx(math.fsum(map(float, sums)), abs=1e-4)
    # Integrated Gradients of a sum are the sum of theirs.
    parts = [[word.weight or 0 for word in _joined(read, it)] for it in spans]
    total = np.sum(parts, axis=0)
    assert [word.weight or 0 for word in _joined(read, every)] == pytest.approx(total, abs=1e-4)


def _joined(read: ImportanceReader, explained: Explained) -> list[Any]:
    """Words that no mark cuts."""
    return read(TEXT, Explained("", explained.answers)).words


def test_no_span() -> None:
    student = tiny_tagger(silent=True)
    explained = reader(student).answer(TEXT)
    assert explained == Explained("no span found", ())
    reading = reader(student)(TEXT, explained)
    assert {word.weight for word in reading.words if word.weight is not None} == {0}
    assert [name for name, value in reading.facts.items() if value is not None] == ["explained"]


def test_spans_of_other_tokens() -> None:
    first, other = reader(tiny_tagger()), reader(tiny_tagger(seed=1, words="mecab"), "other")
    with pytest.raises(InputError, match=r"other: its tokens are others .* or --target own"):
        other(TEXT, first.answer(TEXT))
    assert reader(tiny_tagger(seed=1), "same")(TEXT, first.answer(TEXT)).student == "same"


def test_only_the_first_window_is_read() -> None:
    read = reader(tiny_tagger(window=4))
    text = "東京 都 城 城 城 城 城 城"
    reading = read(text, read.answer(text))
    weights = [word.weight for word in reading.words if not word.text.isspace()]
    assert weights[0] is not None
    assert weights[-2:] == [None, None]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(max_size=20), kind=st.sampled_from(["classes", "tags"]))
def test_any_text(text: str, kind: str) -> None:
    read = reader(
        tiny_student() if kind == "classes" else tiny_tagger(), chosen=IntegratedGradients(2)
    )
    for explained in [read.answer(text), *(read.spans(text) if kind == "tags" else ())]:
        reading = read(text, explained)
        assert "".join(word.text for word in reading.words) == text
        assert all(word.weight is None or word.weight >= 0 for word in reading.words)


def test_the_legend_says_what_was_computed() -> None:
    assert importance_measure(SUM, spans=True).signed
    absolute = importance_measure(IntegratedGradients(5, "trapezoid", "zero", "logit"), False)
    assert not absolute.signed
    assert "Underlined" in importance_measure(SUM, spans=True).legend
    assert "Underlined" not in absolute.legend
    assert "5 nodes (trapezoid), baseline zero, of the logit" in absolute.legend
