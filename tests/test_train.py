from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_task
from accelerate.state import AcceleratorState

import coteach.training.run
from coteach.train import USAGE as TEMPLATE
from coteach.train import main

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    """Accelerate keeps one precision for the whole process."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the tiny recipe."""
    return str(tiny_task.write(tmp_path_factory.mktemp("tiny")))


def command(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "coteach.train", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


USAGE = TEMPLATE.format(program="python -m coteach.train")


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command with an unusable input prints."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    (line,) = [it for it in captured.err.splitlines() if "Generating train split" not in it]
    assert line.startswith("error: ")
    return line


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code in (([], 2), (["--help"], 0), (["-h"], 0)):
        assert main(arguments) == code
        assert capsys.readouterr().out == USAGE + "\n"


def test_the_help_of_a_recipe_lists_its_fields(
    recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([recipe, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for option in (
        "--dry-run",
        "--output",
        "--seed",
        "--data.gold",
        "--nodes.student.encoder",
        "--edges.gold.weight",
        "--optimisation.learning-rate",
        "--selection.patience",
    ):
        assert option in text


def test_what_is_no_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.py"
    empty.write_text("")
    assert "'recipes.absent': no such module" in error_of(capsys, "recipes.absent")
    assert "absent.py': no such file" in error_of(capsys, "absent.py", "--dry-run")
    assert "expected a variable `recipe`" in error_of(capsys, str(empty))
    assert "recipe '--dry-run': no such module" in error_of(capsys, "--dry-run")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--optimisation.epochs", "many"], "many"),
        (["--optimisation.batch-size", "0"], "optimisation.batch_size must be above 0"),
        (["--optimisation.epochs", "nan"], "optimisation.epochs must be above 0"),
        (["--edges.gold.weight", "-1"], "the weight of the edge from 'gold' must be"),
        (["--data.max-pages", "0"], "data.max_pages must be at least 1"),
        (["--optimisation.warmup", "2"], "optimisation.warmup must be in"),
        (["--optimisation.precision", "int8"], "int8"),
        (["--nonsense", "3"], "--nonsense"),
    ],
)
def test_what_is_no_option(
    recipe: str, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([recipe, *options])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert message in captured.err + captured.out


def test_what_cannot_be_used(
    recipe: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line, exit code 2, and no folder; in a trial as in earnest."""
    monkeypatch.chdir(tmp_path)
    broken = tmp_path / "broken.json"
    broken.write_text('{"page_id": "1"}\n')
    absent = str(tmp_path / "absent" / "folder")
    for options, message in [
        (["--data.gold", absent], f"error: {absent}: cannot be read: No such file or directory"),
        (["--data.gold", str(broken)], "broken.json:1: key 'attribute' is missing"),
        (["--data.pages", absent], f"{absent}: no such folder"),
        (["--data.submissions", absent], f"{absent}: no submission"),
        (
            ["--nodes.student.tokenizer", absent],
            f"nodes.student.tokenizer: no such folder, got '{absent}",
        ),
        (["--nodes.student.window", "99"], "nodes.student.window: "),
        (["--nodes.student.overlap", "-1"], "nodes.student.overlap: expected at least 0, got -1"),
        (["--nodes.student.mecab-options", "x"], "nodes.student: mecab_options='x'"),
        (["--cache", str(broken)], "broken.json: no place for tokenised pages: "),
        (["--edges.gold.layer", "5"], "edges.gold.layer: layer must be in [-3, 2]"),
        (["--edges.gold.source", "silver"], "edges.gold.source: 'silver' cannot teach"),
        (["--seed", "-1"], "seed: expected a whole number in [0, 2**32), got -1"),
    ]:
        assert message in error_of(capsys, recipe, *options, "--dry-run")
        assert message in error_of(capsys, recipe, *options)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.json"]


def test_a_pretrained_encoder_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny_task.write(tmp_path)
    path.write_text(
        path.read_text()
        + """
from dataclasses import replace

student = replace(recipe.nodes["student"], encoder_config={}, encoder="no/such/folder")
recipe = replace(recipe, nodes={**recipe.nodes, "student": student})
"""
    )
    message = error_of(capsys, str(path))
    assert "nodes.student: the student cannot be built: " in message
    assert "no/such/folder" in message


def test_a_dry_run_writes_nothing(
    recipe: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([recipe, "--dry-run", "--seed", "7"]) == 0
    text = capsys.readouterr().out
    for words in ("Who teaches whom", "partial", "18 gold spans", "15 windows", "8 steps, 4 an"):
        assert words in text
    assert not any(tmp_path.iterdir())


def test_a_run_goes_where_it_is_told(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--optimisation.epochs", "1", "--baselines", "vote"]
    assert main([recipe, *options, "--output", "here/run"]) == 0
    assert main([recipe, *options, "--name", "mine"]) == 0
    (timed,) = (tmp_path / "runs" / "mine").iterdir()
    for folder in (tmp_path / "here" / "run", timed):
        written = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))["recipe"]
        assert written["optimisation"]["epochs"] == 1
        assert written["baselines"] == ["vote"]
        assert (folder / "student" / "model.safetensors").exists()
        assert "vote>=2" in json.loads((folder / "summary.json").read_text())["scores"]


def test_an_interrupted_run_says_how_to_go_on(
    recipe: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(coteach.training.run, "fit", interrupt)
    assert main([recipe, "--output", str(tmp_path / "run")]) == 130
    assert f"--output {tmp_path / 'run'}\n" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert main([recipe]) == 130
    (timed,) = Path("runs", "tiny").iterdir()
    assert f"--output {timed}\n" in capsys.readouterr().err


def test_the_module_is_a_command(recipe: str, tmp_path: Path) -> None:
    without = command()
    assert (without.returncode, without.stdout) == (2, USAGE + "\n")
    options = ["--optimisation.epochs", "0.25", "--baselines", "vote", "--output", "run"]
    done = command(recipe, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "student:p_mean" in done.stdout
    assert (tmp_path / "run" / "summary.json").exists()
    failed = command("recipes.absent")
    assert failed.returncode == 2
    assert failed.stdout == ""
    assert failed.stderr.startswith("error: recipe 'recipes.absent': no such module")
    assert failed.stderr.count("\n") == 1
