from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_students import CLASSES, prediction, tiny_student, tiny_tagger, write_run

from coteach.agreement import main
from coteach.losses import ImportanceJaccard

TEXTS = ["とても良い。最高", "部屋が狭く悪い", "駅から近い", "料理美味しかった"]
FEW = ["--nodes", "2", "--shuffles", "2", "--draws", "1", "--batch-size", "4"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("runs")
    lines = [
        prediction(f"dev:{number}", CLASSES[number % 2], CLASSES[0], 0.7, text)
        for number, text in enumerate(TEXTS)
    ]
    made = {
        "teacher": tiny_student(),
        "a1": tiny_student(seed=1),
        "a2": tiny_student(seed=2),
        "b1": tiny_student(seed=3),
        "b2": tiny_student(seed=4),
        "mecab": tiny_student(words="mecab"),
        "tags": tiny_tagger(),
        "tags2": tiny_tagger(seed=1),
    }
    return {name: str(write_run(folder / name, it, lines)) for name, it in made.items()}


def result(output: Path) -> dict[str, Any]:
    return json.loads((output / "agreement.json").read_text(encoding="utf-8"))


def test_two_students_of_two_seeds(
    runs: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    students = [f"a={runs['a1']},{runs['a2']}", f"b={runs['b1']},{runs['b2']}"]
    assert main([runs["teacher"], *students, "--output", str(output), *FEW]) == 0
    tables = ["agreement.csv", "agreement_models.csv", "agreement_differences.csv"]
    files = {"agreement.json", "agreement.jsonl", "agreement.md", *tables}
    assert {path.name for path in output.iterdir()} == files
    printed = capsys.readouterr().out
    assert "Importance of tokens: agreement with teacher" in printed
    assert "Differences to a (points)" in printed
    written = result(output)
    assert written["settings"]["count"] == len(TEXTS)
    assert written["settings"]["texts"] == f"{runs['a1']}/report.jsonl"
    assert written["settings"]["temperature"] == ImportanceJaccard.temperature
    assert written["settings"]["teacher_nodes"] == 2
    assert written["settings"]["threads"] >= 1
    student = written["students"]["a"]
    assert student["runs"] == [runs["a1"], runs["a2"]]
    assert len(student["seconds_per_1000_texts"]) == 2
    lines = [
        json.loads(line)
        for line in (output / "agreement.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert len(lines) == len(TEXTS) * (1 + 2 + 2)
    assert lines[0]["id"] == "dev:0"
    assert (lines[0]["system"], lines[0]["by_chance"]) == ("teacher", {})
    for figure in ("Spearman", "Jaccard top 3", "accuracy", "fall: top − random"):
        values = [it["figures"][figure] for it in lines if it["system"] == "a"]
        mean = sum(values) / len(values)
        assert student["figures"][figure]["mean"] == pytest.approx(mean)
        assert student["figures"][figure]["texts"] == len(TEXTS)
        interval = student["figures"][figure]["interval"]
        assert interval["low"] <= mean <= interval["high"]
        others = [it["figures"][figure] for it in lines if it["system"] == "b"]
        difference = written["differences"]["b"][figure]
        expected = sum(others) / len(others) - mean
        assert difference["over_texts"]["estimate"] == pytest.approx(expected)
        assert difference["over_seeds"]["estimate"] == pytest.approx(expected)
    with (output / "agreement.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    (row,) = (it for it in rows if (it["figure"], it["student"]) == ("Kendall", "b"))
    kendall = written["students"]["b"]["figures"]["Kendall"]
    assert float(row["mean"]) == pytest.approx(kendall["mean"])
    assert float(row["by chance"]) == pytest.approx(kendall["by_chance"])


def test_the_same_twice(runs: dict[str, str], tmp_path: Path) -> None:
    written = []
    for name in ("one", "two"):
        arguments = [runs["teacher"], runs["a1"], "--max-texts", "3", "--output"]
        assert main([*arguments, str(tmp_path / name), *FEW, "--seed", "5"]) == 0
        written.append((tmp_path / name / "agreement.jsonl").read_text(encoding="utf-8"))
    assert written[0] == written[1]
    assert written[0].count("\n") == 6


def test_texts_with_columns(runs: dict[str, str], tmp_path: Path) -> None:
    texts = tmp_path / "texts.tsv"
    rows = [f"{text}\t{CLASSES[0]}" for text in TEXTS]
    texts.write_text("\n".join(["body\ty", *rows]) + "\n", encoding="utf-8")
    arguments = [runs["teacher"], runs["a1"], "--texts", str(texts), "--text", "body", *FEW]
    assert main([*arguments, "--output", str(tmp_path / "a"), "--label", "y"]) == 0
    assert main([*arguments, "--output", str(tmp_path / "b")]) == 0
    labelled, bare = (result(tmp_path / name)["students"]["a1"]["figures"] for name in "ab")
    assert set(labelled) - set(bare) == {"accuracy"}
    assert labelled["Kendall"] == bare["Kendall"]


def test_pages(runs: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages = tmp_path / "pages.txt"
    pages.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    arguments = [runs["tags"], f"小={runs['tags2']}", "--texts", str(pages)]
    assert main([*arguments, "--output", str(tmp_path / "out"), *FEW]) == 0
    figures = result(tmp_path / "out")["students"]["小"]["figures"]
    assert "accuracy" not in figures
    assert figures["Jaccard top 3"]["texts"] == len(TEXTS)
    assert "accuracy" not in capsys.readouterr().out


def test_a_teacher_called_like_a_student(runs: dict[str, str], tmp_path: Path) -> None:
    arguments = [runs["teacher"], f"teacher={runs['a1']}", "--output", str(tmp_path), *FEW]
    assert main(arguments) == 0
    assert result(tmp_path)["teacher"]["name"] == "teacher teacher"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["teacher"], "no student given; expected at least one folder"),
        (["./nowhere", "a1"], "student './nowhere' cannot be loaded"),
        (["teacher", "tags"], "its classes are []; expected those of the teacher"),
        (["teacher", "mecab"], "splits text dev:0 into"),
        (["tags", "tags2", "--texts", "./nowhere.tsv"], "nowhere.tsv: cannot be read"),
        (["teacher", "a1", "--nodes", "0"], "nodes of gauss_legendre must be at least 1, got 0"),
        (["teacher", "a1", "--teacher-nodes", "0"], "teacher_nodes of gauss_legendre must be"),
        (["teacher", "a1", "--temperature", "0"], "temperature: expected a positive number, got 0"),
        (["teacher", "a1", "--top-tokens", "0"], "top_tokens: expected at least 1, got 0"),
        (["teacher", "a1", "--top-percent", "0"], "top_percent: expected a number in (0, 100]"),
        (["teacher", "a1", "--draws", "0"], "draws: expected at least 1, got 0"),
        (["teacher", "a1", "--batch-size", "0"], "batch_size: expected at least 1, got 0"),
        (["teacher", "a1", "--seed", "-1"], "seed: expected at least 0, got -1"),
        (["teacher", "a1", "--max-texts", "0"], "max_texts: expected at least 1, got 0"),
        (["teacher", "a1", "--baseline", "mask"], 'no token for "mask"'),
    ],
)
def test_what_cannot_be_used(
    runs: dict[str, str],
    tmp_path: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [runs.get(it, it) for it in arguments]
    assert main([*given, "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "out").exists()


def test_no_place_to_write(
    runs: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    output = str(tmp_path / "file" / "out")
    assert main([runs["teacher"], runs["a1"], "--output", output]) == 2
    assert "no place for the tables" in capsys.readouterr().err


def test_help_needs_no_heavy_imports() -> None:
    code = (
        "import sys\nfrom coteach.agreement import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n"
        "    print(end.code, {'torch', 'transformers', 'matplotlib'} & set(sys.modules))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.endswith("0 set()\n")
    assert "--special-tokens" in result.stdout
