from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_task

from coteach.data.shinra import read_annotation_file
from coteach.evaluation.thresholds import choose_thresholds
from coteach.thresholds import main
from coteach.training.loading import load_extractor


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_task.write(tmp_path_factory.mktemp("tiny")).parent


@pytest.fixture(scope="module")
def student(task: Path) -> str:
    """A student that was never trained, and so finds a little of everything."""
    texts = (tiny_task.page(page)[0] for pages in tiny_task.SPLITS.values() for page in pages)
    attributes = tiny_task.ATTRIBUTES
    return tiny_task.save_student(
        task / "student", texts, attributes=attributes, initializer_range=0.5
    )


def test_the_copy_applies_what_was_chosen(
    task: Path, student: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gold, pages = task / "annotation/dev.json", task / "plain/Castle"
    output = tmp_path / "choosy"
    assert main([student, str(pages), str(gold), "--output", str(output)]) == 0
    assert "micro" in capsys.readouterr().out

    texts = {page_id: tiny_task.page(page_id)[0] for page_id in tiny_task.SPLITS["dev"]}
    results = load_extractor(student)(texts.values())
    found = {page_id: result["p"] for page_id, result in zip(texts, results, strict=True)}
    assert any(found.values())
    chosen = choose_thresholds(read_annotation_file(gold).values, found, tiny_task.ATTRIBUTES)
    thresholds = json.loads((output / "config.json").read_text())["thresholds"]
    assert thresholds == {name: choice.threshold for name, choice in chosen.items()}
    kept = [result["p"] for result in load_extractor(output)(texts.values())]
    assert kept == [
        [(span, score) for span, score in found[page] if score >= thresholds[span.attribute]]
        for page in texts
    ]


def test_pages_without_gold_count_where_they_are_named(
    task: Path, student: str, tmp_path: Path
) -> None:
    (tmp_path / "ids").write_text("7\n12\n1\n")
    gold, pages = task / "annotation/dev.json", task / "plain/Castle"
    output = tmp_path / "choosy"
    arguments = [student, str(pages), str(gold), "--output", str(output)]
    assert main([*arguments, "--page-ids", str(tmp_path / "ids"), "--precision", "1"]) == 0
    (left,) = load_extractor(output)([tiny_task.page("1")[0]])
    assert left["p"] == []  # whatever is found on page 1 is wrong: it is named, without gold


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--precision": "1.5"}, "--precision: expected a share in (0, 1], got 1.5"),
        ({"gold": "empty.json"}, "the gold has no value"),
        ({"--output": "."}, "exists; expected the name of a new folder"),
    ],
)
def test_errors(
    task: Path,
    student: str,
    change: dict[str, str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.json").touch()
    gold = change.pop("gold", str(task / "annotation/dev.json"))
    options = {"--output": "new"} | change
    flat = [part for option in options.items() for part in option]
    assert main([student, str(task / "plain/Castle"), gold, *flat]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["empty.json"]
