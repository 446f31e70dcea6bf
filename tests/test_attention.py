from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_students import prediction, tiny_student, write_run

from coteach.attention import main

pytest.importorskip("matplotlib")
pytest.importorskip("matplotlib_fontja")

RIGHT, WRONG = "positive", "negative"
TEXTS = {"a": "とても良い。最高", "b": "部屋が狭く悪い", "c": "<script>駅から近い", "d": "料理"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs: "a" and "c" only the first gets right, "b" only the second, "d" both."""
    folder = tmp_path_factory.mktemp("runs")
    of_gold = {"single": [0.9, 0.2, 0.6, 0.8], "multi": [0.1, 0.7, 0.4, 0.9]}
    made = []
    for seed, (name, values) in enumerate(of_gold.items()):
        lines = [
            prediction(id, RIGHT, RIGHT if value > 0.5 else WRONG, value, text)
            for (id, text), value in zip(TEXTS.items(), values, strict=True)
        ]
        made.append(write_run(folder / name, tiny_student(seed=seed), lines))
    return made[0], made[1]


def numbers(output: Path) -> dict[str, Any]:
    return json.loads((output / "attention.json").read_text(encoding="utf-8"))


def test_cases_of_two_runs(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert main([*map(str, runs), "--output", str(output), "--cases", "5"]) == 0
    names = ["case1_1", "case1_2", "case2_1"]
    files = {"attention.html", "attention.json", *(f"attention_{name}.png" for name in names)}
    assert {path.name for path in output.iterdir()} == files
    assert set(capsys.readouterr().out.split()) == {str(output / name) for name in files}
    written = numbers(output)
    assert written["layers"] == {"single": 3, "multi": 3}
    assert [(it["name"], it["id"]) for it in written["texts"]] == list(
        zip(names, ["a", "c", "b"], strict=True)
    )
    for text in written["texts"]:
        assert text["gold"] == RIGHT
        assert text["text"] == TEXTS[text["id"]]
        assert [it["student"] for it in text["students"]] == ["single", "multi"]
        for student in text["students"]:
            assert "".join(word["text"] for word in student["words"]) == text["text"]
            weights = [it["weight"] for it in [*student["words"], *student["specials"]]]
            assert math.fsum(it or 0 for it in weights) == pytest.approx(1, abs=1e-5)
    assert (
        written["texts"][0]["students"][0]["words"] != written["texts"][0]["students"][1]["words"]
    )
    html = (output / "attention.html").read_text(encoding="utf-8")
    assert "Case 1: only single is right" in html
    assert "<script" not in html


def test_texts_of_ones_own(runs: tuple[Path, Path], tmp_path: Path) -> None:
    student = str(runs[0] / "student")
    arguments = [student, "--output", str(tmp_path / "out"), "--layer", "-2"]
    assert main([*arguments, "--text", "良い城", "東京", "--names", "城の人"]) == 0
    written = numbers(tmp_path / "out")
    assert written["layers"] == {"城の人": 2}
    assert [(it["text"], it["gold"]) for it in written["texts"]] == [
        ("良い城", None),
        ("東京", None),
    ]
    (tmp_path / "texts.txt").write_text("良い城\r\n\n東京\n", encoding="utf-8", newline="")
    assert main([*arguments, "--file", str(tmp_path / "texts.txt"), "--names", "城の人"]) == 0
    assert numbers(tmp_path / "out") == written


def test_names_are_the_folders_where_these_differ(runs: tuple[Path, Path], tmp_path: Path) -> None:
    students = [str(run / "student") for run in runs]
    assert main([*students, "--output", str(tmp_path), "--text", "城"]) == 0
    assert list(numbers(tmp_path)["layers"]) == ["single", "multi"]
    same = [students[0], str(runs[0])]
    assert main([*same, "--output", str(tmp_path), "--text", "城"]) == 0
    assert list(numbers(tmp_path)["layers"]) == same


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no student given"),
        (["A"], "cases: expected two runs, got 1; or give texts with --text or --file"),
        (["A", "B", "--cases", "0"], "cases: expected at least 1, got 0"),
        (["A", "B", "--cases", "1", "--text", "x"], "only one of --cases, --text and --file"),
        (["A", "A", "--text", "x"], "a student is given twice"),
        (["A", "A", "--names", "x", "y"], "right and wrong on the same texts"),
        (["A", "B", "--names", "x"], "names x: expected 2 different ones"),
        (["A", "B", "--names", "x", "x"], "names x, x: expected 2 different ones"),
        (["A", "C"], "no report.jsonl or dev.jsonl here; expected a finished run"),
        (["C", "--text", "x"], "none': no such folder; expected that of a run"),
        (["A", "--text", "x", "--layer", "4"], "layer 4: expected 1 to 3, or -3 to -1, in single"),
        (["A", "--file", "C/texts"], "texts: cannot be read"),
    ],
)
def test_what_cannot_be_used(
    runs: tuple[Path, Path],
    tmp_path: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folders = {"A": runs[0], "B": runs[1], "C": tmp_path / "none", "C/texts": tmp_path / "texts"}
    given = [str(folders.get(it, it)) for it in arguments]
    assert main([*given, "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_empty_file_and_bytes_that_are_no_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "texts"
    for content, message in ((b"\n", "found none"), (b"a\n\xff\n", "texts:2: not UTF-8")):
        file.write_bytes(content)
        assert main(["x", "--file", str(file), "--output", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err


def test_help_needs_no_heavy_imports() -> None:
    code = (
        "import sys\nfrom coteach.attention import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n"
        "    print(end.code, {'torch', 'transformers', 'matplotlib'} & set(sys.modules))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.endswith("0 set()\n")
    assert "--layer" in result.stdout
