from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import tiny_task
from fake_runs import (
    found,
    gold,
    student,
    teams,
    write_auxiliary_runs,
    write_classification_run,
    write_run,
)
from page_runs import write_tiny_run

from coteach.report import main

pytest.importorskip("matplotlib")
pytest.importorskip("matplotlib_fontja")


def write_runs(folder: Path, categories: tuple[str, ...] = ("城",)) -> Path:
    for category in categories:
        for seed in (1, 2):
            systems = {**teams(category, [0.5, 0.4, 0.3]), **student(category, 0.6, seed)}
            systems["gold_only"] = ("baseline", found(gold(category), 0.3, seed))
            write_run(folder / f"{category}{seed}", category, systems, seed=seed)
    return folder


def test_one_category(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = write_runs(tmp_path / "runs")
    output = tmp_path / "report"
    assert main([str(runs), "--output", str(output)]) == 0
    tables = ["attributes_城", "comparisons", "figure2", "figure2_tests", "seeds"]
    expected = {f"{name}.{kind}" for name in tables for kind in ("txt", "csv")}
    assert {path.name for path in output.iterdir()} == expected | {"figure2.png", "report.html"}
    printed = capsys.readouterr().out
    names = ["report.html", *tables, "figure2.png", f"Written to {output}"]
    assert all(name in printed for name in names)
    html = (output / "report.html").read_text(encoding="utf-8")
    assert "F1 (%) by attribute of 城" in html
    assert b64encode((output / "figure2.png").read_bytes()).decode() in html
    assert "the data of coteach: 城1, coteach: 城2 cannot be read again." in html


def test_several_categories_in_groups_and_a_sweep(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", ("城", "Lake"))
    more = student("城", 0.7, 5)
    write_run(tmp_path / "more", "城", {**teams("城", [0.5, 0.4, 0.3]), **more}, training=5000)
    groups = tmp_path / "groups.json"
    groups.write_text(json.dumps({"建物": ["城"]}), encoding="utf-8")
    output = tmp_path / "report"
    arguments = [str(runs), str(tmp_path / "more"), "--output", str(output)]
    assert main([*arguments, "--groups", str(groups)]) == 0
    written = {path.name for path in output.iterdir()}
    assert {"table1.csv", "table2.txt", "attributes_Lake.csv", "figure3.png"} <= written
    with (output / "table1.csv").open(encoding="utf-8", newline="") as file:
        assert [row[0] for row in csv.reader(file)] == ["group", "建物", "all"]


def test_the_report_is_the_same_again(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs")
    output = tmp_path / "report"
    contents = []
    for _ in range(2):
        assert main([str(runs), "--output", str(output)]) == 0
        contents.append({path.name: path.read_bytes() for path in output.iterdir()})
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ('{"a": ["Lake"]}', r"no run of category 'Lake' (group 'a')"),
        ('{"a": []}', 'expected {"group": ["category", …], …}'),
        ('["a"]', 'expected {"group": ["category", …], …}'),
        ("{", "expected JSON"),
        (None, "cannot be read: No such file"),
    ],
)
def test_wrong_groups(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], groups: str | None, message: str
) -> None:
    runs = write_runs(tmp_path / "runs")
    path = tmp_path / "groups.json"
    if groups is not None:
        path.write_text(groups)
    arguments = [str(runs), "--output", str(tmp_path / "report"), "--groups", str(path)]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_runs_of_both_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of extraction have the very tables that they have alone."""
    runs = write_runs(tmp_path / "runs")
    alone, both = tmp_path / "alone", tmp_path / "both"
    assert main([str(runs), "--output", str(alone)]) == 0
    search = write_auxiliary_runs(tmp_path / "search", {1: (0.9, 0.8), 2: (0.9, 0.8)}, folds=3)
    assert main([str(runs), str(search), "--output", str(both)]) == 0
    names = {path.name for path in both.iterdir()}
    assert names - {path.name for path in alone.iterdir()} == {
        *("auxiliary.png", "auxiliary_pos.csv", "auxiliary_pos.txt"),
        *("auxiliary_pos_tests.csv", "auxiliary_pos_tests.txt"),
        *("classification.csv", "classification.txt"),
    }
    for path in alone.iterdir():
        same = (both / path.name).read_bytes() == path.read_bytes()
        assert same == (path.name != "report.html")
    assert "auxiliary_pos.txt, .csv" in capsys.readouterr().out
    with (both / "auxiliary_pos.csv").open(encoding="utf-8", newline="") as file:
        assert [row["layer"] for row in csv.DictReader(file)] == ["1", "2"]


def test_classification_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search = write_auxiliary_runs(tmp_path / "search", {1: (0.9, 0.8)}, folds=2)
    output = tmp_path / "report"
    assert main([str(search), "--output", str(output)]) == 0
    assert len(list(output.iterdir())) == 8
    write_classification_run(search / "another", [True], layer=1, fold=1, weight=0.0, name="other")
    capsys.readouterr()
    assert main([str(search), "--output", str(tmp_path / "none")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "are the same recipe with the same fold (1) and seed (1)" in error
    (search / "another" / "summary.json").unlink()
    assert main([str(search), "--output", str(tmp_path / "none")]) == 2
    assert "another/summary.json: missing: this run is not finished" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_cells_that_a_search_has_not_finished_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = write_auxiliary_runs(tmp_path / "search", {1: (0.9, 0.8)}, folds=3)
    (search / "study.db").touch()
    (search / "layer=1,weight=0.5,fold=2" / "summary.json").unlink()
    assert main([str(search), "--output", str(tmp_path / "report")]) == 0
    printed = capsys.readouterr().out
    assert "1 run(s) of a search are not finished and left out" in printed
    assert "weight=0.5,fold=2" in printed
    table = (tmp_path / "report" / "auxiliary_pos.csv").read_text(encoding="utf-8")
    assert next(csv.DictReader(table.splitlines()))["pairs"] == "2"
    for path in search.glob("*/summary.json"):
        path.unlink()
    assert main([str(search), "--output", str(tmp_path / "none")]) == 2
    assert "no run of this search is finished" in capsys.readouterr().err


def test_pages_to_read_and_their_explanations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_tiny_run(tmp_path / "run", tmp_path / "task")
    texts = [path.read_text() for path in (tmp_path / "task" / "plain" / "Castle").iterdir()]
    tiny_task.save_student(run / "student", texts, attributes=tiny_task.ATTRIBUTES)
    output = tmp_path / "report"
    assert main([str(run), "--output", str(output), "--pages", "1", "--explain", "1"]) == 0
    (read,) = read_data(output / "report.html")
    assert [item[0] for item in read["items"]] == ["9"]
    assert [name for name, _ in read["shades"]] == ["importance: student", "attention: student"]
    assert all(read["items"][0][3])
    assert main([str(run), "--output", str(output), "--pages", "0"]) == 0
    assert read_data(output / "report.html") == []
    shutil.rmtree(run / "student")
    shutil.rmtree(output)
    capsys.readouterr()
    assert main([str(run), "--output", str(output), "--explain", "1"]) == 2
    assert str(run) in capsys.readouterr().err
    assert not output.exists()


def read_data(path: Path) -> list[dict[str, Any]]:
    _, _, after = path.read_text(encoding="utf-8").partition('type="application/json" id="data">')
    return json.loads(after.partition("</script>")[0])


@pytest.mark.parametrize("option", ["pages", "explain"])
def test_a_number_below_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    runs = write_runs(tmp_path / "runs")
    assert main([str(runs), "--output", str(tmp_path / "report"), f"--{option}", "-1"]) == 2
    assert f"{option}: expected 0 or more, got -1" in capsys.readouterr().err


def test_errors_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = write_runs(tmp_path / "runs")
    (runs / "城1" / "summary.json").unlink()
    assert main([str(runs), "--output", str(tmp_path / "report")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "城1/summary.json: missing: this run is not finished" in error
    assert not (tmp_path / "report").exists()


def test_help_is_quick_and_needs_no_package_that_draws() -> None:
    code = (
        "import sys; from coteach.report import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'matplotlib', 'scipy'} & sys.modules.keys()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "RUN [RUN ...]" in result.stdout
