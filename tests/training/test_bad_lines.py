"""Bad lines, and teams that found nothing, through a whole run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_task

from coteach import score, train

ARGUMENTS = ["--optimisation.epochs", "1", "--baselines", "vote"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The tiny task; "hasty" handed in bad lines, and two more teams no line at all."""
    tiny_task.write(tmp_path)
    submissions = tmp_path / "submissions"
    lines = (submissions / "hasty" / "Castle.json").read_text("utf-8").splitlines()
    broken = [lines[0][:-20], lines[0].replace("場所", r"\ud800"), lines[0].replace("場所", "門")]
    (submissions / "hasty" / "Castle.json").write_text("\n".join([*lines, *broken, lines[1]]))
    for team in ("nothing", "few"):
        (submissions / team).mkdir()
        (submissions / team / "Castle.json").touch()
    (submissions / "few" / "Castle.processed.txt").write_text("7\n12\n")
    return tmp_path


def test_bad_lines_stop(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main([str(folder / "recipe.py"), "--dry-run"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {folder / 'submissions/hasty/Castle.json'}:23: not JSON: ")


def test_bad_lines_are_skipped_told_and_kept(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = folder / "run"
    arguments = [str(folder / "recipe.py"), *ARGUMENTS, "--data.on-bad-line", "skip"]
    hasty = str(folder / "submissions/hasty/Castle.json")
    told = [
        f"{hasty}: 2 of 26 lines skipped: 1 not JSON, 1 lone surrogate",
        f"{hasty}: 1 repeated",
        "team hasty: 1 of attributes not in the training gold",
    ]
    assert train.main([*arguments, "--dry-run"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in told if line in printed] == told

    assert train.main([*arguments, "--output", str(output)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in told if line in printed] == told
    summary = json.loads((output / "summary.json").read_text("utf-8"))
    assert summary["input"]["skipped"] == {hasty: {"not JSON": 1, "lone surrogate": 1}}
    assert summary["scores"]["nothing"]["f1"] == 0
    assert summary["scores"]["exact"]["f1"] == 1

    found, gold = str(output / "report.json"), str(folder / "annotation/report.json")
    nothing = str(folder / "submissions/nothing/Castle.json")
    assert score.main([gold, nothing, found, hasty]) == 2
    assert score.main([gold, nothing, found, hasty, "--on-bad-line", "skip"]) == 0
