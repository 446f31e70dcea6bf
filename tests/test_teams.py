from __future__ import annotations

from pathlib import Path

import pytest
import tiny_task

from coteach.teams import main
from coteach.training.loading import load_extractor

TEXT = "この城は青森にある。"


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_task.save_student(
        tmp_path_factory.mktemp("student"),
        [TEXT],
        attributes=["場所", "築城年"],
        heads=[{"name": name, "layer": -1} for name in ("exact", "hasty", "output")],
        teacher_weights=[[1.5, 0.25], [0.5, 1.75]],
    )


def test_the_weights_are_shown(student: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([student]) == 0
    shown = capsys.readouterr().out
    for part in ("exact", "hasty", "場所", "築城年", "1.50", "1.75"):
        assert part in shown


def test_a_team_is_left_out(
    student: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "smaller"
    assert main([student, "--drop", "hasty", "--output", str(output)]) == 0
    assert "hasty" not in capsys.readouterr().out
    smaller = load_extractor(output)
    assert smaller.student.config.head_names == ["exact", "output"]
    views = ["p_out", "teacher:exact"]
    (before,) = load_extractor(student)([TEXT], views)
    (after,) = smaller([TEXT], views)
    assert after == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--drop", "nobody", "--output", "new"], "no teacher 'nobody'; expected some of exact"),
        (["--drop", "hasty"], "--drop and --output: expected both or neither"),
        (["--output", "new"], "--drop and --output: expected both or neither"),
        (["--drop", "hasty", "--output", "."], "exists; expected the name of a new folder"),
    ],
)
def test_errors(
    student: str,
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([student, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
