from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_task
from accelerate.state import AcceleratorState

import coteach.training.run
from coteach.recipe import Recipe, load_recipe
from coteach.search import USAGE, main
from coteach.searching import Grid
from coteach.searching.study import Study
from coteach.searching.workers import BUSY
from coteach.training.preemption import Stopped

ROOT = Path(__file__).parents[1]
CLASSIFICATION = """
from coteach.data.classification import ClassificationData
from coteach.graph import Edge, Gold, PartOfSpeech, Student
from coteach.losses import CrossEntropy
from coteach.recipe import Recipe
from coteach.searching import Grid

recipe = Recipe(
    name="texts",
    data=ClassificationData(train="texts.tsv", folds=3),
    nodes={
        "gold": Gold(),
        "part_of_speech": PartOfSpeech(),
        "student": Student(encoder="absent"),
    },
    edges={
        "gold": Edge("gold", "student", loss=CrossEntropy()),
        "part_of_speech": Edge("part_of_speech", "student", loss=CrossEntropy(), layer=2),
    },
    baselines=(),
)
search_space = Grid(
    {"edges.part_of_speech.layer": (1, 2), "edges.part_of_speech.weight": (0.5, 0.0)},
    repeat={"data.fold": (0, 1, 2)},
)
"""
CHEAP = ["--optimisation.epochs", "0.25", "--baselines", "vote"]


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    """Accelerate keeps one precision for the whole process."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the tiny recipe, with a grid."""
    path = tiny_task.write(tmp_path_factory.mktemp("tiny"))
    text = path.read_text(encoding="utf-8")
    text += "\nfrom coteach.searching import Grid\n"
    text += 'search_space = Grid({"optimisation.batch_size": (4, 8)})\n'
    path.write_text(text, encoding="utf-8")
    return str(path)


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command with an unusable input prints."""
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def test_usage(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code in (([], 2), (["--help"], 0), (["-h"], 0)):
        assert main(arguments) == code
        assert capsys.readouterr().out == USAGE.format(program="python -m coteach.search") + "\n"
    with pytest.raises(SystemExit) as stop:
        main([recipe, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for option in (
        "--over",
        "--repeat",
        "--seeds",
        "--workers",
        "--threads",
        "--optimisation.batch-size",
    ):
        assert option in text


def test_a_dry_run_lists_the_runs_and_writes_nothing(
    recipe: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([recipe, "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "batch_size=4: to run",
        "batch_size=8: to run",
        "2 runs in runs/tiny/search",
    ]
    over = ["--over", "edges.*.layer", "-1", "-2", "--over", "optimisation.clip_norm", "None", "1"]
    assert main([recipe, "--dry-run", *over, "--seeds", "1", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9
    assert lines[0] == "layer=-1,clip_norm=None,seed=1: to run"
    assert lines[7] == "layer=-2,clip_norm=1.0,seed=2: to run"
    assert not any(tmp_path.iterdir())


def test_repetitions_of_the_command_line_and_of_the_recipe(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of --over and --repeat replaces its own part of the search space."""
    monkeypatch.chdir(tmp_path)
    text = (
        Path(recipe)
        .read_text(encoding="utf-8")
        .replace("(4, 8)})", '(4, 8)}, repeat={"data.max_pages": (30, 40), "seed": (7,)})')
    )
    folded = Path(recipe).with_name("folded.py")
    folded.write_text(text, encoding="utf-8")

    def listed(*options: str) -> list[str]:
        assert main([str(folded), "--dry-run", *options]) == 0
        return [line.removesuffix(": to run") for line in capsys.readouterr().out.splitlines()[:-1]]

    sizes = [f"batch_size={size},max_pages={pages}" for pages in (30, 40) for size in (4, 8)]
    assert listed() == [f"{name},seed=7" for name in sizes]
    again = [name.replace("max_pages", "patience") for name in sizes]
    assert listed("--repeat", "selection.patience", "30", "40") == again
    assert listed("--over", "optimisation.warmup", "0.5") == [
        f"warmup=0.5,max_pages={pages},seed=7" for pages in (30, 40)
    ]
    assert listed("--seeds", "8", "9") == [
        f"batch_size={size},max_pages={pages},seed={seed}"
        for pages in (30, 40)
        for seed in (8, 9)
        for size in (4, 8)
    ]
    assert listed("--repeat", "data.max_pages", "30", "--repeat", "seed", "1")[0] == (
        "batch_size=4,max_pages=30,seed=1"
    )
    for options, message in [
        (["--repeat", "seed", "1", "--seeds", "1"], "--repeat seed: --seeds gives seeds as well"),
        (["--repeat", "data.max_pages"], "--repeat data.max_pages: expected a field's path"),
        (["--repeat", "data.max_pages", "x"], "data.max_pages: expected int, got 'x'"),
        (["--over", "data.max_pages", "9"], "repeat data.max_pages: data.max_pages sets data.max"),
    ]:
        assert message in error_of(capsys, str(folded), *options)


def test_folds_of_classified_texts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("texts.py").write_text(CLASSIFICATION, encoding="utf-8")
    assert "texts.tsv: cannot be read" in error_of(capsys, "texts.py", "--dry-run")
    rows = "".join(f"文{number}\t{number % 2}\n" for number in range(12))
    Path("texts.tsv").write_text("text\tlabel\n" + rows, encoding="utf-8")
    assert main(["texts.py", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        *(
            f"layer={layer},weight={weight},fold={fold}: to run"
            for fold in range(3)
            for layer in (1, 2)
            for weight in (0.5, 0.0)
        ),
        "12 runs in runs/texts/search",
    ]
    outside = error_of(capsys, "texts.py", "--dry-run", "--repeat", "data.fold", "0", "3")
    assert "data.fold: expected a fold from 0 to 2, got 3" in outside


def test_what_cannot_be_used(
    recipe: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    without = tiny_task.write(tmp_path / "without")
    assert "nothing to search over" in error_of(capsys, str(without))
    assert "'recipes.absent': no such module" in error_of(capsys, "recipes.absent")
    for options, message in [
        (["--over", "optimisation.batchsize", "8"], "error: optimisation.batchsize: no such field"),
        (["--over", "optimisation.batch_size", "x"], "optimisation.batch_size: expected int, got"),
        (["--over", "optimisation.batch_size", "0"], "optimisation.batch_size must be above 0"),
        (["--workers", "0"], "error: workers: expected at least 1, got 0"),
        (["--threads", "0"], "error: threads: expected at least 1, got 0"),
        (["--run", "batch_size=5"], "'batch_size=5': expected one of batch_size=4, batch_size=8"),
        (["--data.gold", "absent.json"], "error: absent.json: cannot be read"),
    ]:
        assert message in error_of(capsys, recipe, *options)
        assert message in error_of(capsys, recipe, *options, "--dry-run")
    assert [path.name for path in tmp_path.iterdir()] == ["without"]


def test_runs_one_by_one_then_the_choice(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a batch system: every run by itself; the whole command finds them done."""
    folder = tmp_path / "search"
    options = [recipe, *CHEAP, "--output", str(folder)]
    assert main([*options, "--run", "batch_size=8"]) == 0
    summary = json.loads((folder / "batch_size=8" / "summary.json").read_text(encoding="utf-8"))
    assert summary["dev"]["probability"] == "p"
    assert summary["dev"]["f1"].keys() == {"p", "p_out", "p_mean"}
    capsys.readouterr()
    assert main([*options, "--dry-run"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert listed[0] == "batch_size=4: to run"
    assert listed[1].startswith("batch_size=8: done, dev micro-F1 ")
    assert main([*options, "--run", "batch_size=4"]) == 0
    for name, size in (("batch_size=4", 4), ("batch_size=8", 8)):
        written = json.loads((folder / name / "recipe.json").read_text(encoding="utf-8"))
        assert written["recipe"]["optimisation"]["batch_size"] == size
    capsys.readouterr()
    assert main(options) == 0
    printed = capsys.readouterr().out
    found = json.loads((folder / "search.json").read_text(encoding="utf-8"))
    best = found["chosen"]["setting"]
    assert f"Chosen on the dev pages: {best}" in printed
    assert "On the report pages:" in printed
    for setting in found["settings"]:
        (run,) = setting["runs"]
        in_run = json.loads((folder / run["folder"] / "summary.json").read_text(encoding="utf-8"))
        assert run["dev_f1"] == in_run["dev"]["f1"]["p"]
        log = (folder / run["folder"] / "log.jsonl").read_text(encoding="utf-8").splitlines()
        devs = [it["p"] for it in map(json.loads, log) if it["event"] == "dev"]
        assert run["dev_f1"] == max(devs)
        if setting["setting"] == best:
            assert found["chosen"]["scores"] == {best: in_run["scores"]}
    again = error_of(capsys, *options, "--seeds", "1", "2")
    assert "another grid: seeds was [], now [1, 2]" in again
    repeated = error_of(capsys, *options, "--repeat", "data.max_pages", "30")
    assert "another grid: repeat data.max_pages was None, now [30]" in repeated


def test_a_run_that_a_signal_stops(
    recipe: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stopped(_: Recipe, folder: Path) -> dict[str, Any]:
        raise Stopped(signal.SIGTERM, 3, 8, folder)

    monkeypatch.setattr(coteach.training.run, "run", stopped)
    options = [recipe, "--over", "optimisation.batch_size", "4", "--output", str(tmp_path / "s")]
    assert main([*options, "--run", "batch_size=4"]) == 143
    line = "stopped at step 3 of 8 by SIGTERM; to go on, give the same command"
    assert capsys.readouterr().err.splitlines()[-1] == line
    study = Study(tmp_path / "s", load_recipe(recipe), Grid({"optimisation.batch_size": (4,)}))
    assert study.outcomes() == {}


def test_a_run_that_another_process_does(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from coteach.recipe import load_module
    from coteach.searching.space import cells_of

    module = load_module(recipe)
    cell = cells_of(module.recipe, module.search_space)[0]
    with Study(tmp_path, module.recipe, module.search_space).claim(cell) as mine:
        assert mine
        assert main([recipe, "--output", str(tmp_path), "--run", cell.name]) == BUSY
    assert capsys.readouterr().err == "batch_size=4: run by another process\n"


@pytest.mark.slow
def test_the_command_with_two_workers(recipe: str, tmp_path: Path) -> None:
    """One of the runs fails; it is told, and the others are done."""
    over = ["--over", "nodes.student.window", "12", "14", "99"]
    done = subprocess.run(
        [sys.executable, "-m", "coteach.search", recipe, *CHEAP, *over, "--workers", "2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert "1 of 3 runs failed" in done.stdout
    assert "window=99: FAILED: nodes.student.window: " in done.stdout + done.stderr
    assert "Chosen on the dev pages: window=1" in done.stdout
    folder = tmp_path / "runs" / "tiny" / "search"
    for name in ("window=12", "window=14"):
        assert (folder / name / "student" / "model.safetensors").exists()
    assert "nodes.student.window" in (folder / "logs" / "window=99.log").read_text()
    assert not (folder / "window=99").exists()
