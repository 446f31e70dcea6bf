from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_task
from accelerate.state import AcceleratorState
from rich.console import Console

from coteach.predict import main
from coteach.recipe import Recipe
from coteach.score import compare
from coteach.training.loading import load_extractor
from coteach.training.run import run

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    recipe = tiny_task.load(tmp_path_factory.mktemp("tiny"))
    return replace(recipe, optimisation=replace(recipe.optimisation, epochs=5))


@pytest.fixture(scope="module")
def folder(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    AcceleratorState._reset_state(reset_partial_state=True)
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    run(recipe, folder, Console(file=io.StringIO()))
    AcceleratorState._reset_state(reset_partial_state=True)
    return folder


@pytest.fixture
def student(folder: Path) -> str:
    return str(folder / "student")


def values(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command with an unusable input prints."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[-1].startswith("error: ")
    assert "Traceback" not in captured.err
    return lines[-1]


@pytest.mark.parametrize("probability", ["p", "p_out", "p_mean"])
def test_the_submission_scores_as_the_summary_says(
    recipe: Recipe, folder: Path, student: str, tmp_path: Path, probability: str
) -> None:
    output, report = tmp_path / "new" / "Castle.json", tmp_path / "report.txt"
    pages, gold = str(recipe.data.pages), recipe.data.report
    assert gold is not None
    assert main([student, pages, "--output", str(output), "--probability", probability]) == 0
    report.write_text("\n".join(tiny_task.SPLITS["report"]))
    score = compare(gold, [output], pages=report).scores[str(output)].micro
    expected = json.loads((folder / "summary.json").read_text())["scores"][f"student:{probability}"]
    assert (score.precision, score.recall, score.f1) == pytest.approx(
        (expected["precision"], expected["recall"], expected["f1"])
    )
    assert score.recall > 0


def test_the_submission(
    recipe: Recipe,
    folder: Path,
    student: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "Castle.json"
    assert main([student, str(recipe.data.pages), "--output", str(output)]) == 0
    found = values(output)
    assert f"{len(found)} values written to {output}" in capsys.readouterr().out
    pages = {path.stem: path.read_bytes().decode() for path in recipe.data.pages.glob("*.txt")}
    assert {value["page_id"] for value in found} <= set(pages) - {tiny_task.EMPTY}
    for value in found:
        assert set(value) == {"page_id", "title", "attribute", "text_offset", "score"}
        assert value["attribute"] in tiny_task.ATTRIBUTES
        assert 0 < value["score"] <= 1
        place = value["text_offset"]
        if place["start"]["line_id"] == place["end"]["line_id"]:
            line = pages[value["page_id"]].split("\n")[place["start"]["line_id"]]
            assert place["text"] == line[place["start"]["offset"] : place["end"]["offset"]]
    assert [path.name for path in tmp_path.iterdir()] == ["Castle.json"]
    # The run wrote the same about its report pages.
    report = [value for value in found if value["page_id"] in tiny_task.SPLITS["report"]]

    def key(value: dict[str, Any]) -> str:
        return json.dumps({**value, "score": round(value["score"], 4)})

    assert sorted(map(key, report)) == sorted(map(key, values(folder / "report.json")))


def test_batches_do_not_show(recipe: Recipe, student: str, tmp_path: Path) -> None:
    for size in ("1", "5"):
        arguments = [student, str(recipe.data.pages), "--output", str(tmp_path / size)]
        assert main([*arguments, "--batch-size", size]) == 0
    one, five = (
        [{**v, "score": round(v["score"], 4)} for v in values(tmp_path / size)]
        for size in ("1", "5")
    )
    assert one == five


def test_bfloat16(recipe: Recipe, student: str, tmp_path: Path) -> None:
    output = tmp_path / "Castle.json"
    arguments = [student, str(recipe.data.pages), "--output", str(output)]
    assert main([*arguments, "--precision", "bf16"]) == 0
    assert all(0 < value["score"] <= 1 for value in values(output))


def test_gold_only_students_have_p_alone(
    recipe: Recipe, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "Castle.json"
    arguments = [str(folder / "gold_only" / "student"), str(recipe.data.pages)]
    arguments += ["--output", str(output)]
    assert main(arguments) == 0
    output.unlink()
    capsys.readouterr()
    for probability in ("p_out", "p_mean"):
        message = error_of(capsys, *arguments, "--probability", probability)
        assert message == f"error: probability '{probability}': this student has only p"
    assert not output.exists()


def test_what_cannot_be_used(
    recipe: Recipe, student: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages, output = str(recipe.data.pages), str(tmp_path / "out" / "Castle.json")
    absent = str(tmp_path / "absent" / "folder")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "1.txt").write_bytes("この城".encode())
    (tmp_path / "broken" / "2.txt").write_bytes(b"\xff")
    for arguments, message in [
        ([absent, pages], f"student '{absent}' cannot be loaded: "),
        ([student, absent], f"{absent}: no such folder"),
        ([student, str(tmp_path / "empty")], "empty: no page here"),
        ([student, str(tmp_path / "broken")], "2.txt: not UTF-8"),
        ([student, pages, "--output", str(tmp_path / "empty")], "empty: cannot be written: Is a"),
        ([student, pages, "--batch-size", "0"], "batch_size: expected at least 1, got 0"),
    ]:
        assert message in error_of(capsys, "--output", output, *arguments)
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def cut_short(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def with_fewer_attributes(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attributes": ["場所"]}))


def not_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize(
    "damage",
    [
        without("config.json"),
        without("model.safetensors"),
        without("tokenizer.json"),
        cut_short,
        with_fewer_attributes,
        not_json,
    ],
)
def test_a_damaged_student(
    recipe: Recipe,
    student: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
) -> None:
    damage(Path(shutil.copytree(student, tmp_path / "student")))
    arguments = [str(tmp_path / "student"), str(recipe.data.pages), "--output", "never"]
    assert f"student '{tmp_path / 'student'}' cannot be loaded: " in error_of(capsys, *arguments)


def test_an_old_submission_stays_when_pages_cannot_be_read(
    student: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages, output = tmp_path / "pages", tmp_path / "Castle.json"
    pages.mkdir()
    (pages / "1.txt").write_bytes(b"\xff")
    output.write_text("old")
    assert "1.txt: not UTF-8" in error_of(capsys, student, str(pages), "--output", str(output))
    assert output.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"pages", "Castle.json"}


def test_in_python(recipe: Recipe, student: str) -> None:
    """A student used without files."""
    extractor = load_extractor(student, batch_size=3)
    assert not extractor.student.training
    texts = [tiny_task.page(page_id)[0] for page_id in ("9", "12", "10")]
    results = list(extractor(texts))
    assert [bool(result["p"]) for result in results] == [True, False, True]
    span, confidence = results[0]["p"][0]
    assert span.attribute in tiny_task.ATTRIBUTES
    assert 0 < confidence <= 1


def test_the_module_is_a_command(recipe: Recipe, student: str, tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "coteach.predict", student, str(recipe.data.pages)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*arguments, "--output", "out.json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(" values written to out.json\n")
    assert len(values(tmp_path / "out.json")) > 0


def test_html_pages(student: str, recipe: Recipe, tmp_path: Path) -> None:
    """The student reads the text; values stand at their places in the HTML."""
    pages: Path = recipe.data.pages  # type: ignore[attr-defined]
    (tmp_path / "html").mkdir()
    for page in pages.iterdir():
        text = page.read_text(encoding="utf-8").replace("城", "<b>城</b>").replace("門", "&#38272;")
        (tmp_path / "html" / f"{page.stem}.html").write_text(text, encoding="utf-8")
    plain, html = tmp_path / "plain.json", tmp_path / "html.json"
    assert main([student, str(pages), "--output", str(plain)]) == 0
    arguments = [student, str(tmp_path / "html"), "--output", str(html), "--offsets", "html"]
    assert main(arguments) == 0

    found = [(it["page_id"], it["attribute"], it["score"]) for it in values(plain)]
    assert found
    assert [(it["page_id"], it["attribute"], it["score"]) for it in values(html)] == found
    for in_text, in_html in zip(values(plain), values(html), strict=True):
        assert "text_offset" not in in_html
        marked = in_html["html_offset"]["text"]
        bare = marked.replace("<b>", "").replace("</b>", "").replace("&#38272;", "門")
        assert bare == in_text["text_offset"]["text"]
