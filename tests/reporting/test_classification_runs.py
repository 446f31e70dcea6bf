from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fake_runs import student, write_classification_run, write_run

from coteach.errors import InputError
from coteach.reporting.classification_runs import read_classification_runs, without
from coteach.reporting.runs import read_runs


def test_a_run_holds_what_was_right(tmp_path: Path) -> None:
    folder = write_classification_run(
        tmp_path / "run", [True, False, True, True], layer=3, fold=7, seed=5
    )
    (run,) = read_classification_runs([tmp_path])
    assert (run.folder, run.fold, run.seed) == (folder, 7, 5)
    assert run.text_ids == ("train:7-0", "train:7-1", "train:7-2", "train:7-3")
    assert run.gold == ("b", "a", "b", "a")
    np.testing.assert_array_equal(run.correct, [True, False, True, True])
    assert run.accuracy == run.student.accuracy == 0.75
    assert run.student.macro_f1 == 0.375
    assert run.scores["majority"].kind == "baseline"


def test_both_kinds_in_one_folder(tmp_path: Path) -> None:
    write_classification_run(tmp_path / "a", [True])
    write_run(tmp_path / "b", "Castle", student("Castle", 0.5, 1))
    assert [run.folder.name for run in read_classification_runs([tmp_path])] == ["a"]
    assert [run.folder.name for run in read_runs([tmp_path])] == ["b"]
    assert read_runs([tmp_path / "a"]) == []
    assert read_classification_runs([tmp_path / "b"]) == []


def test_runs_that_cannot_be_used(tmp_path: Path) -> None:
    folder = write_classification_run(tmp_path / "run", [True, False])
    path = folder / "report.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    for content, message in [
        (lines[:1], r"report\.jsonl: accuracy 1\.000000, but 0\.500000 in summary\.json"),
        ([], r"report\.jsonl: no text; expected a scored text a line"),
        ([lines[0], lines[0]], r"report\.jsonl:2: text 'train:0-0' stands there twice"),
        ([lines[0], "{"], r"report\.jsonl:2: expected a scored text"),
        ([lines[0], "[]"], r"report\.jsonl:2: expected a scored text"),
        (['{"id": "a", "gold": "b"}'], r"report\.jsonl:1: expected a scored text"),
    ]:
        path.write_text("\n".join(content), encoding="utf-8")
        with pytest.raises(InputError, match=message):
            read_classification_runs([folder])
    path.unlink()
    with pytest.raises(InputError, match=r"report\.jsonl: cannot be read"):
        read_classification_runs([folder])
    (folder / "summary.json").write_text('{"task": "classification", "scores": {}}')
    with pytest.raises(InputError, match="run: not the files of a run: ValueError"):
        read_classification_runs([folder])
    (folder / "summary.json").unlink()
    with pytest.raises(InputError, match=r"summary\.json: missing: this run is not finished"):
        read_classification_runs([folder])


def test_a_run_without_report_texts_was_scored_on_dev(tmp_path: Path) -> None:
    folder = write_classification_run(tmp_path / "run", [True, False])
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    for entry in summary["scores"].values():
        entry["split"] = "dev"
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    (folder / "report.jsonl").rename(folder / "dev.jsonl")
    (run,) = read_classification_runs([folder])
    assert run.accuracy == 0.5


def test_the_same_run_twice_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_classification_run(tmp_path / name, [True], fold=3, seed=4)
    with pytest.raises(
        InputError, match=r"b and .*a are the same recipe with the same fold \(3\) and seed \(4\)"
    ):
        read_classification_runs([tmp_path])
    assert len(read_classification_runs([tmp_path / "a", tmp_path / "a"])) == 1


def test_without_places() -> None:
    part = {"a": {"b": 1, "c": {"d": 2, "e": [3]}}, "a.b": 4, "f": None}
    assert without(part, ["a.b", "a.c.d", "f"]) == {"a": {"c": {"e": [3]}}}
    assert without(part, ["a.x", "b"]) == part
