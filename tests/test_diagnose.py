from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import tiny_task

from coteach.diagnose import main


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_task.write(tmp_path_factory.mktemp("tiny"))


def changed(folder: Path, gone: str) -> str:
    """A new task whose recipe lacks the lines that hold ``gone``."""
    path = tiny_task.write(folder)
    lines = [line for line in path.read_text().splitlines(keepends=True) if gone not in line]
    path.write_text("".join(lines))
    return str(path)


def test_tables_and_files(
    recipe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    folder = tmp_path / "new"
    assert main([str(recipe), "--by-attribute", "--output", str(folder)]) == 0
    printed = capsys.readouterr().out
    for text in ("Teams on the 2 report pages (6 gold values)", "Agreement", "oracle", "築城者"):
        assert text in printed
    names = {"teams.csv", "agreement.csv", "combined.csv", "attributes.csv", "diagnosis.json"}
    assert {path.name for path in folder.iterdir()} == names
    written = json.loads((folder / "diagnosis.json").read_text(encoding="utf-8"))
    assert [team["name"] for team in written["teams"]] == ["exact", "hasty", "partial"]
    assert (written["split"], written["pages"], written["gold"]) == ("report", 2, 6)
    for name in ("teams", "agreement", "combined", "attributes"):
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == len(written[name])
        for row, entry in zip(rows, written[name], strict=True):
            assert row == {key: "" if v is None else str(v) for key, v in entry.items()}
    assert "築城年" in {entry["attribute"] for entry in written["attributes"]}


def test_the_split(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(recipe), "--split", "dev"]) == 0
    assert "on the 2 dev pages" in capsys.readouterr().out
    without = changed(tmp_path, "report=")
    assert main([without]) == 0
    assert "on the 2 dev pages" in capsys.readouterr().out
    assert main([without, "--split", "report"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == "error: data.report: expected a file, got None; --split report needs it"


def test_without_teams(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([changed(tmp_path, "submissions=")]) == 2
    assert "no team to diagnose" in capsys.readouterr().err
    assert main(["absent.py"]) == 2
