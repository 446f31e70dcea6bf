from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_students import CLASSES, tiny_student, tiny_tagger, write_run

from coteach.explain import main

pytest.importorskip("matplotlib")
pytest.importorskip("matplotlib_fontja")

TEXTS = ["<script>とても良い。最高", "部屋が狭く悪い"]
FEW = ["--nodes", "2"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("runs")
    made = {
        "teacher": tiny_student(),
        "small": tiny_student(seed=1),
        "other": tiny_student(seed=1, classes=[*reversed(CLASSES), "neutral"]),
        "tags": tiny_tagger(),
        "tags2": tiny_tagger(seed=1),
    }
    return {name: str(write_run(folder / name, it, [])) for name, it in made.items()}


def numbers(output: Path) -> dict[str, Any]:
    return json.loads((output / "importance.json").read_text(encoding="utf-8"))


def test_teacher_and_student_side_by_side(
    runs: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    arguments = [runs["teacher"], *TEXTS, "--student", runs["small"], "--output", str(output)]
    assert main([*arguments, *FEW, "--aggregation", "sum", "--names", "教師", "生徒"]) == 0
    files = {"importance.html", "importance.json", "importance_1.png", "importance_2.png"}
    assert {path.name for path in output.iterdir()} == files
    assert set(capsys.readouterr().out.split()) == {str(output / name) for name in files}
    written = numbers(output)
    assert written["integrated_gradients"] == {
        "nodes": 2,
        "quadrature": "gauss_legendre",
        "baseline": "padding",
        "output": "probability",
        "aggregation": "sum",
    }
    for text, block in zip(TEXTS, written["texts"], strict=True):
        first, second = block["students"]
        assert [it["student"] for it in block["students"]] == ["教師", "生徒"]
        assert first["explained"] == second["explained"] == f"class {first['predicted']}"
        assert first["probability"] == pytest.approx(first["its probability"], abs=1e-5)
        assert isinstance(first["completeness gap"], float)
        for it in block["students"]:
            assert "".join(word["text"] for word in it["words"]) == text
    html = (output / "importance.html").read_text(encoding="utf-8")
    assert "<h1>Importance: 教師, 生徒</h1>" in html
    assert "blue against it" in html
    assert "<script" not in html


def test_whose_class_is_explained(runs: dict[str, str], tmp_path: Path) -> None:
    arguments = [runs["teacher"], *TEXTS, "--student", runs["other"], "--output", str(tmp_path)]
    explained, first = {}, None
    for options in ([], ["--target", "own"], ["--class-name", "negative"]):
        assert main([*arguments, *FEW, *options]) == 0
        first = first or numbers(tmp_path)["texts"][0]["students"]
        explained[tuple(options)] = [
            [it["explained"] for it in block["students"]] for block in numbers(tmp_path)["texts"]
        ]
        predicted = [
            [f"class {it['predicted']}" for it in block["students"]]
            for block in numbers(tmp_path)["texts"]
        ]
    firsts, owns, named = explained.values()
    assert firsts == [[first, first] for first, _ in predicted]
    assert owns == predicted != firsts
    assert named == [["class negative"] * 2] * 2
    # The same class, though it stands elsewhere among the other's.
    assert first is not None
    name = first[0]["predicted"]
    alone = [runs["other"], TEXTS[0], "--class-name", name, "--output", str(tmp_path), *FEW]
    assert main(alone) == 0
    assert numbers(tmp_path)["texts"][0]["students"][0] == first[1]


def test_spans(runs: dict[str, str], tmp_path: Path) -> None:
    arguments = [runs["tags"], "良い", "城", "--student", runs["tags2"], *FEW, "--output"]
    written = {}
    for span in ("all", "each", "2"):
        assert main([*arguments, str(tmp_path / span), "--span", span]) == 0
        written[span] = numbers(tmp_path / span)["texts"]
    assert [block["name"] for block in written["all"]] == ["1", "2"]
    counts = {}
    for number, block in enumerate(written["all"], start=1):
        assert block["students"][0]["explained"] == block["students"][1]["explained"]
        counts[number] = int(block["students"][0]["explained"].split()[1])
        assert counts[number] > 1
    assert [block["name"] for block in written["each"]] == [
        f"span{place}_{number}" for number in (1, 2) for place in range(1, counts[number] + 1)
    ]
    assert [block["name"] for block in written["2"]] == ["span2_1", "span2_2"]
    assert written["2"][0] == written["each"][1]
    for block in written["each"]:
        place = block["name"].partition("_")[0].removeprefix("span")
        for it in block["students"]:
            assert block["about"] == f"span {place}: {it['explained']}"
            marked = "".join(word["text"] for word in it["words"] if "marked" in word)
            assert it["explained"] in (f"name {marked}", f"place {marked}")
    html = (tmp_path / "each" / "importance.html").read_text(encoding="utf-8")
    assert "<h3>Text 1 · span 1: " in html
    assert ' marked" style=' in html


def test_texts_of_a_file_and_the_check(
    runs: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("captum")
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    arguments = [runs["teacher"], *FEW, "--output", str(tmp_path / "out")]
    assert main([*arguments, "--texts", str(file), "--check"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("Largest difference to captum's LayerIntegratedGradients: ")
    assert float(line.split(": ")[1].split(",")[0]) < 1e-5
    assert [block["text"] for block in numbers(tmp_path / "out")["texts"]] == TEXTS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["teacher"], "no text given; expected at least one, or --texts FILE"),
        (["teacher", "城", "--texts", "x"], "expected texts as arguments or --texts, not both"),
        (["teacher", "--texts", "nowhere.txt"], "nowhere.txt: cannot be read"),
        (["./nowhere", "城"], "student './nowhere' cannot be loaded"),
        (
            ["teacher", "城", "--student", "tags"],
            "tags extracts spans; expected a model that class",
        ),
        (
            ["tags", "城", "--student", "teacher"],
            "teacher classifies; expected a model that extrac",
        ),
        (
            ["teacher", "城", "--span", "each"],
            "span 'each': teacher classifies; expected no --span",
        ),
        (["tags", "城", "--span", "0"], 'span \'0\': expected "all", "each" or a number from 1'),
        (["tags", "城", "--span", "99"], "span 99: tags finds "),
        (
            ["tags", "城", "--student", "tags2", "--span", "each", "--target", "own"],
            "the models' own spans may differ",
        ),
        (["teacher", "城", "--class-name", "x"], "class 'x': the classes of teacher are positive"),
        (["tags", "城", "--class-name", "x"], "the classes of tags are none: it extracts spans"),
        (["other", "城", "--student", "teacher", "--class-name", "neutral"], "class 'neutral'"),
        (["teacher", "城", "--names", "a", "b"], "names a, b: expected 1 different ones"),
        (["teacher", "城", "--nodes", "0"], "nodes of gauss_legendre must be at least 1, got 0"),
        (["teacher", "城", "--baseline", "mask"], 'no token for "mask"'),
        (["teacher", "城", "--check", "--baseline", "zero"], "check: captum's"),
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


def test_help_needs_no_heavy_imports() -> None:
    code = (
        "import sys\nfrom coteach.explain import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n"
        "    print(end.code, {'torch', 'transformers', 'matplotlib'} & set(sys.modules))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.endswith("0 set()\n")
    assert "--class-name" in result.stdout
