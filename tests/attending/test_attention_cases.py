from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_students import prediction, write_report

from coteach.attending.cases import choose
from coteach.errors import InputError
from coteach.reporting.predictions import predictions_file, read_predictions

RIGHT, WRONG = "positive", "negative"


def chosen(tmp_path: Path, first: list[Any], second: list[Any], count: int) -> dict[int, list[str]]:
    runs = [write_report(tmp_path / name, it) for name, it in (("a", first), ("b", second))]
    files = [predictions_file(run) for run in runs]
    one, other = ((file, read_predictions(file)) for file in files)
    return {case: [it.id for it in found] for case, found in choose(one, other, count).items()}


def test_the_largest_leads_of_the_one_that_is_right(tmp_path: Path) -> None:
    first = [
        prediction("both", RIGHT, RIGHT, 0.9),
        prediction("small", RIGHT, RIGHT, 0.6),
        prediction("tie2", RIGHT, RIGHT, 0.75),
        prediction("tie1", RIGHT, RIGHT, 0.75),
        prediction("large", RIGHT, RIGHT, 0.9),
        prediction("second", RIGHT, WRONG, 0.3),
        prediction("second more", RIGHT, WRONG, 0.1),
        prediction("neither", RIGHT, WRONG, 0.1),
    ]
    second = [
        prediction("neither", RIGHT, WRONG, 0.4),
        prediction("large", RIGHT, WRONG, 0.1),
        prediction("small", RIGHT, WRONG, 0.4),
        prediction("tie1", RIGHT, WRONG, 0.25),
        prediction("tie2", RIGHT, WRONG, 0.25),
        prediction("second", RIGHT, RIGHT, 0.8),
        prediction("second more", RIGHT, RIGHT, 0.8),
        prediction("both", RIGHT, RIGHT, 0.6),
    ]
    expected = {1: ["large", "tie1", "tie2", "small"], 2: ["second more", "second"]}
    assert chosen(tmp_path, first, second, 9) == expected
    assert chosen(tmp_path, first, second, 2) == {1: ["large", "tie1"], 2: expected[2]}
    assert chosen(tmp_path, second, first, 1) == {1: ["second more"], 2: ["large"]}
    assert chosen(tmp_path, first, first, 3) == {1: [], 2: []}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ([], r'b/report.jsonl: id "1" of .*a/report.jsonl is missing; expected the same texts'),
        (
            [prediction("1", RIGHT, RIGHT, 1), prediction("2", RIGHT, RIGHT, 1)],
            r'a/report.jsonl: id "2" of .*b/report.jsonl is missing',
        ),
        ([prediction("1", RIGHT, RIGHT, 1, "城")], r'b/report.jsonl: id "1": text "城"; expected'),
        ([prediction("1", WRONG, RIGHT, 1)], r'b/report.jsonl: id "1": gold "negative"; expected'),
    ],
)
def test_runs_of_other_texts(tmp_path: Path, other: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        chosen(tmp_path, [prediction("1", RIGHT, RIGHT, 1)], other, 1)
