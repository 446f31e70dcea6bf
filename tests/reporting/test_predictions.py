from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_students import prediction, write_report

from coteach.errors import InputError
from coteach.reporting.predictions import predictions_file, read_predictions

RIGHT, WRONG = "positive", "negative"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": 3}, "id 3: expected a string"),
        ({"text": None}, "text null: expected a string"),
        ({"text": ["城"]}, r'text \["城"\]: expected a string'),
        ({"gold": None}, "gold null: expected a string"),
        ({"predicted": 1}, "predicted 1: expected a string"),
        ({"probabilities": [0.5, 0.5]}, r"probabilities \[0.5, 0.5\]: expected an object"),
        ({"probabilities": {"negative": 1}}, 'for the class "positive"'),
        ({"probabilities": {"positive": 1.5}}, r"a number in \[0, 1\]"),
        ({"probabilities": {"positive": True}}, r"a number in \[0, 1\]"),
        ({"id": "1"}, 'id "1" stands twice'),
    ],
)
def test_broken_lines(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    good = prediction("1", RIGHT, RIGHT, 0.7)
    run = write_report(tmp_path, [good, {**good, "id": "2", **change}])
    with pytest.raises(InputError, match=f"report.jsonl:2: {message}|report.jsonl:2: .*{message}"):
        read_predictions(predictions_file(run))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "expected JSON"), (b"\xff", "not UTF-8: byte 0xff"), (b"[]", "expected an object")],
)
def test_no_json(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "report.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=f"report.jsonl:1: {message}"):
        read_predictions(predictions_file(tmp_path))


def test_no_report(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no report\.jsonl or dev\.jsonl here"):
        read_predictions(predictions_file(tmp_path))


def test_a_run_without_a_report_split(tmp_path: Path) -> None:
    (write_report(tmp_path, []) / "report.jsonl").rename(tmp_path / "dev.jsonl")
    assert predictions_file(tmp_path) == tmp_path / "dev.jsonl"
    assert read_predictions(tmp_path / "dev.jsonl") == {}
