from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_students import CLASSES, prediction, tiny_student, tiny_tokenizer, write_report

from coteach.data.labelled_rows import ColumnNames
from coteach.errors import InputError
from coteach.explaining.candidates import Candidate
from coteach.explaining.texts import Example, cut, predictions_of, read_examples, sample
from coteach.model import StudentConfig
from coteach.model.classification import Classifier
from coteach.model.windows import windows

COLUMNS = ColumnNames("text", None, None)


def config(**options: Any) -> StudentConfig:
    options = options if "attributes" in options else {"classes": CLASSES, **options}
    return StudentConfig(**options)


def candidate(**options: Any) -> Candidate:
    return Candidate("it", tiny_student(**options).config, tiny_tokenizer())


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_report_is_preprocessed_already(tmp_path: Path) -> None:
    run = write_report(tmp_path / "run", [prediction("d1", "negative", "positive", 0.2, "ＡＢ")])
    found = read_examples(str(run / "report.jsonl"), COLUMNS, config(preprocessing=["nfkc"]))
    assert found == [Example("d1", "ＡＢ", "negative")]
    assert predictions_of(str(run)) == run / "report.jsonl"
    (run / "student").mkdir()
    assert predictions_of(str(run / "student")) == run / "report.jsonl"


def test_rows_and_lines_are_preprocessed(tmp_path: Path) -> None:
    steps = config(preprocessing=["nfkc"])
    rows = write(tmp_path / "a.tsv", "body\ty\nＡＢ\tpositive\n城\tnegative\n")
    assert read_examples(rows, ColumnNames("body", None, "y"), steps) == [
        Example("1", "AB", "positive"),
        Example("2", "城", "negative"),
    ]
    assert read_examples(rows, ColumnNames("body", None, None), steps)[0].gold is None
    objects = write(tmp_path / "a.jsonl", '{"text": "ＡＢ"}\n')
    lines = write(tmp_path / "a.txt", "ＡＢ\n\n")
    for source in (objects, lines):
        assert read_examples(source, COLUMNS, steps) == [Example("1", "AB", None)]


def test_pages_stay_as_they_are(tmp_path: Path) -> None:
    pages = write(tmp_path / "a.txt", "ＡＢ\t城\n")
    assert read_examples(pages, COLUMNS, config(attributes=["name"])) == [
        Example("1", "ＡＢ\t城", None)
    ]


def test_pairs(tmp_path: Path) -> None:
    pairs = config(pair_separator=3, preprocessing=["nfkc"])
    rows = write(tmp_path / "a.csv", 'text,b\n"Ａ\nＢ",城\n')
    lines = write(tmp_path / "a.txt", "ＡＢ\t城\n")
    assert read_examples(rows, ColumnNames("text", "b", None), pairs)[0].text == "A B\n城"
    assert read_examples(lines, COLUMNS, pairs)[0].text == "AB\n城"
    with pytest.raises(InputError, match="text 1: got 1; expected two texts"):
        read_examples(rows, COLUMNS, pairs)
    with pytest.raises(InputError, match="text 1: got 2; expected a single text"):
        read_examples(rows, ColumnNames("text", "b", None), config())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "text\ty\n城\tgood\n", r'a.tsv: 1: class "good"; expected one of the models\''),
        ("a.jsonl", "no JSON\n", "not JSON"),
        ("a.txt", "\n", "found none"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, name: str, content: str, message: str) -> None:
    columns = ColumnNames("text", None, "y")
    with pytest.raises(InputError, match=message):
        read_examples(write(tmp_path / name, content), columns, config())


def test_no_report(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no report\.jsonl .*; or give --texts"):
        predictions_of(str(tmp_path))


def test_a_sample_keeps_the_order() -> None:
    examples = [Example(str(number), "城", None) for number in range(50)]
    found = sample(examples, 10, seed=1)
    assert len(found) == 10
    assert found == sorted(found, key=examples.index)
    assert found == sample(examples, 10, seed=1) != sample(examples, 10, seed=2)
    assert sample(examples, 99, seed=1) == sample(examples, None, seed=1) == examples
    with pytest.raises(InputError, match="max_texts: expected at least 1, got 0"):
        sample(examples, 0, seed=1)


def test_windows_of_classified_texts_are_the_classifiers() -> None:
    student = tiny_student(window=6)
    examples = [Example("1", "このホテルはとても良い", None), Example("2", "", None)]
    found = cut(examples, [candidate(window=6), candidate(window=40)])
    expected = [Classifier(student, tiny_tokenizer()).content(it.text) for it in examples]
    assert found.contents == expected
    assert (found.texts, found.count) == ([0, 1], 2)
    assert len(found.contents[0]) == 6


def test_windows_of_pages() -> None:
    page = "このホテルはとても良い" * 3
    student = candidate(attributes=["name"], window=10, overlap=4)
    found = cut(
        [Example("1", page, None), Example("2", "", None), Example("3", "城", None)], [student]
    )
    ids = student.aligner(page).ids
    cuts = windows(len(ids), 10, 4)
    assert found.contents == [*(ids[it.start : it.stop] for it in cuts), student.aligner("城").ids]
    assert (found.texts, found.count) == ([0] * len(cuts) + [2], 3)


def test_other_tokens() -> None:
    plain, split = candidate(), candidate(words="mecab")
    examples = [Example("7", "このホテルは", None)]
    with pytest.raises(
        InputError, match=r"student 'it' splits text 7 into \d+ tokens, the teacher"
    ):
        cut(examples, [plain, split])


def test_no_token_at_all() -> None:
    with pytest.raises(InputError, match="texts: none of them has a token"):
        cut([Example("1", " ", None)], [candidate(attributes=["name"])])
