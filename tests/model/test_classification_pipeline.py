"""A classifying student on its own: with preprocessing, stretches, and without coteach."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_students
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import pipeline

from coteach.model import Student
from coteach.model.alignment import Tokens
from coteach.model.classification import Classifier, shortened

TEXTS = [
    "このホテルはとても良い。",
    "部屋が狭く、駅から\n近い",
    "",
    "ａｂｃ最高" * 30,
    "🍣料理👨‍👩‍👧",
]
PARTS_OF_SPEECH = {
    "analyzer": "mecab",
    "dictionary": "unidic_lite",
    "user_dictionary": None,
    "classes": {"名詞": ["名詞"], "形容詞": ["形容詞"]},
}
FRESH = """
import json, sys

class NoCoteach:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "coteach":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoCoteach())
from transformers import pipeline

folder, texts = sys.argv[1:]
found = [
    pipeline(task, model=folder, trust_remote_code=True)(json.loads(texts), top_k=None)
    for task in (None, "student-text-classification")
]
assert found[0] == found[1]
print(json.dumps(found[0]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("student")
    tiny_students.tiny_student(
        words="part_of_speech",
        part_of_speech=PARTS_OF_SPEECH,
        preprocessing=["nfkc", "line_breaks", "symbols"],
        auxiliary_heads=[
            {
                "name": "spoken",
                "layer": 1,
                "tags": ["O", "B-名詞", "I-名詞"],
            }
        ],
    ).save_pretrained(folder)
    tiny_students.tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def shares(found: list[dict[str, Any]]) -> dict[str, float]:
    return {it["label"]: it["score"] for it in found}


def test_without_coteach_it_answers_the_same(folder: str) -> None:
    pipe = pipeline("student-text-classification", model=folder)
    arguments = [sys.executable, "-c", FRESH, folder, json.dumps(TEXTS)]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    for ours, theirs in zip(pipe(TEXTS, top_k=None), json.loads(done.stdout), strict=True):
        assert shares(theirs) == pytest.approx(shares(ours), abs=1e-6)


def test_batches_and_chunks_do_not_matter(folder: str) -> None:
    student, tokenizer = Student.from_pretrained(folder), tiny_students.tiny_tokenizer()
    expected = [next(Classifier(student, tokenizer)([text])) for text in TEXTS]
    for options in ({"batch_size": 1}, {"batch_size": 2, "chunk": 3}, {"chunk": 1}):
        found = list(Classifier(student, tokenizer, **options)(iter(TEXTS)))
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert list(Classifier(student, tokenizer)([])) == []


def test_a_text_is_cut_to_the_window(folder: str) -> None:
    student, tokenizer = Student.from_pretrained(folder), tiny_students.tiny_tokenizer()
    classifier = Classifier(student, tokenizer)
    ids = classifier.content(TEXTS[3])
    assert len(ids) == student.config.window
    longer = classifier.content(TEXTS[3] * 2)
    assert longer == ids


def test_a_student_that_extracts_is_no_classifier() -> None:
    student = tiny_students.tiny_student(attributes=["name"])
    with pytest.raises(ValueError, match="expected a student that classifies"):
        Classifier(student, tiny_students.tiny_tokenizer())


def test_going_on_from_a_saved_student_keeps_every_head(folder: str) -> None:
    """The description of the parts of speech comes back from JSON as it was."""
    trained = Student.from_pretrained(folder)
    again = Student.from_encoder(folder, type(trained.config).from_dict(trained.config.to_dict()))
    assert again.adopted == ["output", "spoken"]
    for name, value in trained.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_dictionaries_as_inputs_and_what_is_no_text(folder: str) -> None:
    pipe = pipeline("student-text-classification", model=folder)
    assert pipe({"text": TEXTS[0]}) == pipe(TEXTS[0])
    assert pipe([{"text": TEXTS[0]}, TEXTS[1]]) == pipe(TEXTS[:2])
    for wrong in (3, None, {"body": "良い"}, [TEXTS[0], 5]):
        with pytest.raises(ValueError, match="expected a text or several, got"):
            pipe(wrong)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=f"top_k: expected at least 1, or None, got {wrong}"):
            pipe(TEXTS[0], top_k=wrong)
    with pytest.raises(ValueError, match=r"expected a pair of texts|expected a text, as in"):
        pipe({"text": "良い", "text_pair": "悪い"})


def test_a_student_that_classifies_is_no_extractor(folder: str) -> None:
    with pytest.raises(ValueError, match="extracts attributes, got one that classifies"):
        pipeline("attribute-extraction", model=folder)


def test_saving_the_pipeline_saves_the_student(folder: str, tmp_path: Path) -> None:
    pipe = pipeline("student-text-classification", model=folder)
    pipe.save_pretrained(tmp_path / "copy")
    copy = pipeline("student-text-classification", model=str(tmp_path / "copy"))
    assert copy(TEXTS[0]) == pipe(TEXTS[0])


@given(st.integers(0, 12), st.integers(0, 12), st.integers(3, 12))
def test_a_pair_loses_tokens_of_the_longer_text_first(first: int, second: int, window: int) -> None:
    """Against the naive way: one token less of the longer one, until all fit."""
    separator = 1 if first and second else 0  # it stands at the end of the first line
    lines = [0] * (first + separator) + [1] * second
    place = [*range(first + separator), *range(second)]
    tokens = Tokens([*range(len(lines))], lines, place, [it + 1 for it in place])
    kept = [first, second]
    while sum(kept) + separator > window:
        kept[0 if kept[0] > kept[1] else 1] -= 1
    found = shortened(tokens, window, pairs=True)
    start = first + separator
    expected = [*range(kept[0]), *range(first, start), *range(start, start + kept[1])]
    if separator:
        assert found.ids == expected
    else:
        assert found.ids == [*range(min(window, len(lines)))]
    assert [found.lines[n] for n in range(len(found))] == [lines[it] for it in found.ids]
    assert shortened(tokens, window, pairs=False).ids == [*range(min(window, len(lines)))]
