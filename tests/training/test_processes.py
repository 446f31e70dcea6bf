"""Two processes on one machine, without a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import apart
import pytest
import tiny_task
import tiny_texts
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tiny_loop import Loop, exactly, log_of, parameters

from coteach.data.shinra import read_annotations
from coteach.graph import UncertaintyWeighting
from coteach.recipe import load_recipe
from coteach.train import main
from coteach.training.loading import load_classifier
from coteach.training.prepare import load_data

ROOT = Path(__file__).parents[2]


def launch(*arguments: str | Path) -> None:
    """Run a Python program in two processes."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = {
        **os.environ,
        "ACCELERATE_USE_CPU": "true",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    }
    done = subprocess.run(
        [*launcher, *map(str, arguments)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


SPOKEN = """
from dataclasses import replace
from coteach.graph import Edge, PartOfSpeech
from coteach.recipe import load_recipe

recipe = load_recipe({path!r})
spoken = Edge("part_of_speech", "student", layer=1, weight=0.5)
recipe = replace(
    recipe,
    nodes={{**recipe.nodes, "part_of_speech": PartOfSpeech()}},
    edges={{**recipe.edges, "part_of_speech": spoken}},
)
"""
TAUGHT = """
from dataclasses import replace
from pathlib import Path
import tiny_texts

gold = tiny_texts.recipe_of(Path({path!r}))
recipe = tiny_texts.distilled(Path({path!r}))
inner = recipe.stages["intermediate"].edges
recipe = replace(
    recipe,
    stages={{}},
    nodes={{**gold.nodes, **recipe.nodes}},
    edges={{**gold.edges, **inner, **recipe.edges}},
)
"""


def co_taught(folder: Path, spoken: bool) -> Path:
    """A recipe of teams and the gold, with parts of speech or without."""
    recipe = tiny_task.write(folder)
    if not spoken:
        return recipe
    path = folder / "spoken.py"
    path.write_text(SPOKEN.format(path=str(recipe)))
    return path


def taught(folder: Path) -> Path:
    """A recipe of the gold, parts of speech and everything that a teacher can teach."""
    folder.mkdir()
    tiny_texts.write(folder)
    tiny_texts.write_teachers(folder)
    path = folder / "taught.py"
    path.write_text(TAUGHT.format(path=str(folder)))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("spoken", [False, True])
def test_two_processes_are_two_micro_batches(tmp_path: Path, spoken: bool) -> None:
    source = co_taught(tmp_path / "task", spoken)
    recipe = load_recipe(str(source))
    progress, prepared, _ = Loop(recipe, load_data(recipe))(
        tmp_path / "one",
        optimisation={"epochs": 1.5, "batch_size": 4, "accumulation": 2, "clip_norm": 0.1},
        change=exactly,
    )
    assert ("auxiliary.0.weight" in parameters(prepared)) == spoken
    (tmp_path / "two").mkdir()
    launch(Path(__file__).with_name("two_processes.py"), source, tmp_path / "two")
    with safe_open(tmp_path / "two" / "found.safetensors", framework="pt") as found:
        assert found.metadata() == {"processes": "2", "progress": str(asdict(progress))}
        assert progress.step == 3
        for name, value in parameters(prepared).items():
            torch.testing.assert_close(found.get_tensor(name), value, rtol=0, atol=1e-9, msg=name)
    for one, two in zip(*(log_of(tmp_path / run) for run in ("one", "two")), strict=True):
        seconds = {"seconds": one.pop("seconds", None)}
        assert {**two, **seconds} == pytest.approx({**one, **seconds})
    launched = (tmp_path / "two" / "log.jsonl").read_text().splitlines()[0]
    assert json.loads(launched)["processes"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("write", [partial(co_taught, spoken=True), taught])
def test_a_process_without_labels(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    """Neither a team's nor gold nor parts of speech: nobody waits, and the step is that of one
    process. Nor is a text lost or doubled that one of them evaluates."""
    recipe = write(tmp_path / "task")
    expected = apart.measured(str(recipe))
    launch(Path(apart.__file__), recipe, tmp_path / "found.safetensors")
    found = load_file(tmp_path / "found.safetensors")
    assert (int(found.pop("processes")), int(expected.pop("processes"))) == (2, 1)
    assert found.keys() == expected.keys()
    assert {"auxiliary.0.weight", "evaluation.1"} < found.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-9, msg=name)


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes(tmp_path: Path) -> None:
    """As long as its steps are of as many windows."""
    recipe, folder = tiny_task.write(tmp_path / "task"), tmp_path / "run"
    command = ["-m", "coteach.train", recipe, "--output", folder, "--baselines", "vote"]
    sizes = ["--optimisation.batch-size", "2", "--optimisation.accumulation"]
    stopping = tmp_path / "stopping.py"
    stopping.write_text(
        "import os, signal, sys\n"
        "import coteach.training.loop as module\n"
        "from coteach.train import main\n"
        "real = module.train_step\n"
        "def step(*arguments):\n"
        "    if arguments[-1].number == 2:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return real(*arguments)\n"
        "module.train_step = step\n"
        "assert main(sys.argv[1:]) == 143\n"
    )
    launch(stopping, *command[2:], *sizes, "1")
    (checkpoint,) = (folder / "checkpoints").iterdir()
    assert checkpoint.name == "step-00000003"
    options = [str(it) for it in command[2:]]
    assert main([*options, *sizes, "1"]) == 2
    assert main([*options, *sizes, "2"]) == 0
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    launches = [(it["step"], it["processes"]) for it in log if it["event"] == "launch"]
    assert launches == [(0, 2), (3, 1)]


@pytest.mark.slow
def test_two_processes_learn_the_same_weights_of_edges(tmp_path: Path) -> None:
    """The graph's own parameters, which data-parallel training knows nothing of."""
    learned = replace(tiny_texts.write(tmp_path), objective=UncertaintyWeighting())
    progress, prepared, _ = Loop(learned, load_data(learned))(
        tmp_path / "one",
        optimisation={"epochs": 1.5, "batch_size": 4, "accumulation": 2, "clip_norm": 0.1},
        selection={"by": "score"},
        change=exactly,
    )
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "from dataclasses import replace\n"
        "from pathlib import Path\n"
        "import tiny_texts\n"
        "from coteach.graph import UncertaintyWeighting\n"
        f"recipe = tiny_texts.recipe_of(Path({str(tmp_path)!r}))\n"
        "recipe = replace(recipe, objective=UncertaintyWeighting())\n"
    )
    (tmp_path / "two").mkdir()
    launch(Path(__file__).with_name("two_processes.py"), recipe, tmp_path / "two")
    with safe_open(tmp_path / "two" / "found.safetensors", framework="pt") as found:
        assert found.metadata() == {"processes": "2", "progress": str(asdict(progress))}
        expected = parameters(prepared)
        assert expected["graph.0"].abs().min() > 1e-3  # they have moved
        for name, value in expected.items():
            torch.testing.assert_close(found.get_tensor(name), value, rtol=0, atol=1e-9, msg=name)


@pytest.mark.slow
def test_two_processes_learn_the_same_of_a_teacher(tmp_path: Path) -> None:
    """Also where no edge reads the heads; integrated gradients are taken beside the model that
    data-parallel training knows."""
    tiny_texts.write(tmp_path)
    tiny_texts.write_teachers(tmp_path)
    source = tmp_path / "recipe.py"
    source.write_text(
        "from dataclasses import replace\n"
        "from pathlib import Path\n"
        "import tiny_texts\n"
        f"recipe = tiny_texts.distilled(Path({str(tmp_path)!r}))\n"
        "inner = recipe.stages['intermediate'].edges\n"
        "importance = {'importance': recipe.edges['importance']}\n"
        "recipe = replace(recipe, stages={}, edges={**inner, **importance})\n"
    )
    recipe = load_recipe(str(source))
    progress, prepared, _ = Loop(recipe, load_data(recipe))(
        tmp_path / "one",
        optimisation={"epochs": 1.5, "batch_size": 4, "accumulation": 2, "clip_norm": 0.1},
        selection={"by": "score"},
        change=exactly,
    )
    (tmp_path / "two").mkdir()
    launch(Path(__file__).with_name("two_processes.py"), source, tmp_path / "two")
    with safe_open(tmp_path / "two" / "found.safetensors", framework="pt") as found:
        assert found.metadata() == {"processes": "2", "progress": str(asdict(progress))}
        expected = parameters(prepared)
        assert "graph.1" in expected  # the projection's bias
        for name, value in expected.items():
            torch.testing.assert_close(found.get_tensor(name), value, rtol=0, atol=1e-9, msg=name)
    for one, two in zip(*(log_of(tmp_path / run) for run in ("one", "two")), strict=True):
        if one["event"] == "engines":
            assert one == two
            continue
        seconds = {"seconds": one.pop("seconds", None)}
        assert {**two, **seconds} == pytest.approx({**one, **seconds})


@pytest.mark.slow
def test_two_processes_go_through_stages(tmp_path: Path) -> None:
    tiny_texts.write(tmp_path)
    tiny_texts.write_teachers(tmp_path)
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "from pathlib import Path\n"
        "import tiny_texts\n"
        f"recipe = tiny_texts.distilled(Path({str(tmp_path)!r}))\n"
    )
    launch("-m", "coteach.train", recipe, "--output", tmp_path / "run")
    for stage, steps in (("stages/general", 2), ("stages/intermediate", 3), (".", 3)):
        log = (tmp_path / "run" / stage / "log.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in log if '"train"' in line] == [steps]
        assert (tmp_path / "run" / stage / "student" / "model.safetensors").exists()
    parts = list((tmp_path / "cache").rglob("part-*.safetensors"))
    # One process asks, and writes it down: two teachers, two questions to one, its importances.
    assert len(parts) == 4


@pytest.mark.slow
def test_two_processes_classify_as_one(tmp_path: Path) -> None:
    """The texts of an evaluation are shared, and none is lost or doubled."""
    tiny_texts.write(tmp_path)
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "from pathlib import Path\n"
        "import tiny_texts\n"
        f"recipe = tiny_texts.recipe_of(Path({str(tmp_path)!r}))\n"
    )
    launch("-m", "coteach.train", recipe, "--output", tmp_path / "run")
    lines = (tmp_path / "run" / "report.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert len({line["id"] for line in found}) == len(found) == 12
    classifier = load_classifier(tmp_path / "run" / "student")
    for line, probabilities in zip(found, classifier(it["text"] for it in found), strict=True):
        assert list(line["probabilities"].values()) == pytest.approx(probabilities, abs=1e-5)


@pytest.mark.slow
def test_two_processes_carry_a_recipe_out(tmp_path: Path) -> None:
    recipe, folder = tiny_task.write(tmp_path), tmp_path / "run"
    launch("-m", "coteach.train", recipe, "--output", folder)
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [it["step"] for it in log if it["event"] == "dev"] == [2, 4]  # 15 windows by 2 × 4
    scores = json.loads((folder / "summary.json").read_text())["scores"]
    assert scores["exact"]["f1"] == 1.0
    submission = read_annotations(folder / "report.json", name="student")
    assert set(submission.values) <= set(tiny_task.SPLITS["report"])
