from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from coteach.data.labelled_rows import ColumnNames, LabelledRow, read_rows
from coteach.errors import InputError

COLUMNS = ColumnNames("text", None, "label", None)


def test_rows_know_their_number_and_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('by,label,more,text\n"A\nB",x,1,"a\n\nb"\n\n7,1,2,c\n', encoding="utf-8")
    source = str(path)
    assert read_rows(source, ColumnNames("text", "more", "label", "by")) == [
        LabelledRow(source, 1, 2, "a\n\nb", "1", "x", "A\nB"),
        LabelledRow(source, 2, 7, "c", "2", "1", "7"),
    ]
    assert [row.group for row in read_rows(source, COLUMNS)] == [None, None]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.tsv", "text\tclass\na\tx\n", r't\.tsv:1: no column "label"; there are \["text", "cla'),
        ("t.csv", "\n\ntext,class\na,x\n", r't\.csv:3: no column "label"'),
        ("t.jsonl", '{"text": "a"}', r't\.jsonl:1: no column "label"; there are \["text"\]'),
        ("t.tsv", "text\tlabel\na\tx\n\nb\t\n", r"t\.tsv:4: label: no label"),
        ("t.jsonl", '{"text": "a", "label": null}', r":1: label: no label"),
        ("t.jsonl", '{"text": "a", "label": 1}\n{"text"', r't\.jsonl:2: not JSON.*\{\\"text\\""'),
        ("t.jsonl", "[1]", r":1: expected an object, got \[1\]"),
        ("t.jsonl", '{"text": 1, "label": 1}', r":1: text: expected a text, got 1"),
        (
            "t.jsonl",
            '{"text": "a", "label": 1.5}',
            r":1: label: expected a text, a whole.*got 1\.5",
        ),
        ("t.jsonl", '{"text": "\\ud800", "label": 1}', r":1: text: half of a surrogate pair"),
        (
            "t.tsv",
            "text\tlabel\na\tx\tb\n",
            r":2: expected 2 fields.*got 3: \[\"a\", \"x\", \"b\"\]",
        ),
        ("t.csv", 'text,label\n"a\nb",x\nc\n', r":4: expected 2 fields as in the first row, got 1"),
        ("t.csv", 'text,label\na,x\n"b\nc,y\n', r":3: not CSV: unexpected end of data"),
        ("t.csv", 'text,label\n"b"c,y\n', r":2: not CSV"),
        ("t.tsv", "text\ttext\na\tx\n", r':1: the column "text" stands here twice'),
        ("t.tsv", b"text\tlabel\na\tx\nb\xff\ty\n", r"t\.tsv:3: not UTF-8: byte 0xff"),
        ("t.csv", b"text,label\na,x\nb\xff,y\n", r"t\.csv:3: not UTF-8: byte 0xff"),
        ("t.tsv", "", r"t\.tsv: no row here"),
        ("t.csv", "text,label\n", r"t\.csv: no row here"),
        ("t.jsonl", "\n", r"t\.jsonl: no row here"),
        ("t.txt", "text\tlabel\n", r"t\.txt: expected a file \.csv, \.tsv, \.jsonl"),
    ],
)
def test_a_file_that_cannot_be_used(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    with pytest.raises(InputError, match=message):
        read_rows(str(path), COLUMNS)


def test_no_such_file_and_no_such_data_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.tsv: cannot be read: No such file"):
        read_rows(str(tmp_path / "none.tsv"), COLUMNS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: cannot be loaded"):
        read_rows(str(tmp_path / "empty"), COLUMNS)


def test_a_data_set_that_cannot_be_used(tmp_path: Path) -> None:
    def data(
        name: str, columns: dict[str, Any], features: Features | None = None
    ) -> list[LabelledRow]:
        Dataset.from_dict(columns, features).to_parquet(tmp_path / name / "train.parquet")
        return read_rows(str(tmp_path / name), COLUMNS)

    with pytest.raises(InputError, match=r'hub: no column "label"; there are \["text"\]'):
        data("hub", {"text": ["a"]})
    with pytest.raises(InputError, match=r'the column "text" is of int64; expected texts'):
        data("numbers", {"text": [1], "label": [1]})
    with pytest.raises(InputError, match=r'the column "label" is of float64; expected texts, who'):
        data("floats", {"text": ["a"], "label": [1.5]})
    features = Features({"text": Value("string"), "label": ClassLabel(names=["a", "b"])})
    with pytest.raises(InputError, match=r"hidden: row 2: label: no label"):
        data("hidden", {"text": ["a", "b"], "label": [0, -1]}, features)
    with pytest.raises(InputError, match=r"hub:other: cannot be loaded"):
        read_rows(f"{tmp_path / 'hub'}:other", COLUMNS)
