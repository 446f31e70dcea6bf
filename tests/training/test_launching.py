"""How a run is launched: what it says of it, and what it does not take part in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_task
from accelerate import Accelerator
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.utils import DistributedType
from tiny_loop import Loop

from coteach.errors import InputError
from coteach.train import main
from coteach.training.processes import check_alone, check_plugins, launched, running_on

ROOT = Path(__file__).parents[2]
CONFIGURATIONS = sorted((ROOT / "recipes" / "accelerate").glob("*.yaml"))


# What is told


def test_the_log_says_how_each_part_was_launched(loop: Loop, tmp_path: Path) -> None:
    def interrupt(evaluation: int) -> None:
        if evaluation == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop(tmp_path, at_evaluation=interrupt)
    loop(tmp_path)
    loop(tmp_path)  # finished: nothing is launched
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    expected = {"event": "launch", "processes": 1, "device": "cpu", "precision": "no"}
    assert [it for it in log if it["event"] == "launch"] == [
        {**expected, "step": 0},
        {**expected, "step": 4},
    ]
    assert log[0]["event"] == "launch"


def test_a_line_of_it() -> None:
    assert running_on(Accelerator()) == "1 process on cpu, float32"


def test_the_precision_is_told() -> None:
    accelerator = Accelerator(mixed_precision="bf16")
    assert launched(accelerator) == {"processes": 1, "device": "cpu", "precision": "bf16"}
    assert running_on(accelerator) == "1 process on cpu, bfloat16 autocast"


# What does not fit


@pytest.mark.parametrize("name", ["WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"])
def test_processes_that_do_not_know_each_other(name: str) -> None:
    for size in ({}, {name: "1"}, {name: ""}):
        assert check_alone(size) is None
    with pytest.raises(InputError, match=rf"^{name} is 4, but this process trains alone, as each"):
        check_alone({name: "4"})


def test_tasks_of_a_batch_system_may_be_of_other_runs() -> None:
    warning = check_alone({"SLURM_STEP_NUM_TASKS": "2"})
    assert warning is not None
    assert "SLURM_STEP_NUM_TASKS is 2" in warning


def test_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is read or written."""
    recipe = str(tiny_task.write(tmp_path / "task"))
    options = [recipe, "--output", str(tmp_path / "run")]
    for name, value, message in (
        ("WORLD_SIZE", "2", "error: WORLD_SIZE is 2, but this process trains alone"),
        ("ACCELERATE_USE_FSDP", "true", "error: ACCELERATE_USE_FSDP is true, but a student is"),
        ("ACCELERATE_USE_DEEPSPEED", "true", "error: ACCELERATE_USE_DEEPSPEED is true"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert main(options) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "task" / "cache").exists()


def test_a_student_in_shards() -> None:
    for name in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        with pytest.raises(InputError, match=r"expected plain data-parallel training .*MULTI_GPU"):
            check_plugins({f"ACCELERATE_USE_{name}": "True"})
        check_plugins({f"ACCELERATE_USE_{name}": "false"})
    check_plugins({})


# Configurations


def test_there_are_configurations() -> None:
    names = ["one_gpu", "several_gpus", "several_machines", "two_cpu_processes"]
    assert [path.stem for path in CONFIGURATIONS] == names


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_accelerate_takes_a_configuration(path: Path) -> None:
    config = load_config_from_file(str(path))
    assert isinstance(config, ClusterConfig)
    several = path.stem != "one_gpu"
    assert config.distributed_type == (DistributedType.MULTI_GPU if several else DistributedType.NO)
    assert (config.num_processes > 1) == several
    assert (config.num_machines > 1) == (path.stem == "several_machines")
    # The recipe alone says it.
    assert config.mixed_precision is None
    assert f"accelerate launch --config_file recipes/accelerate/{path.name}" in re.sub(
        r"\s*\\\n#\s*", " ", path.read_text()
    )


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_accelerate_launch(tmp_path: Path, processes: int) -> None:
    recipe, folder = tiny_task.write(tmp_path / "task"), tmp_path / "run"
    name = "two_cpu_processes" if processes == 2 else "one_gpu"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "accelerate.commands.launch"),
            *("--config_file", str(ROOT / "recipes" / "accelerate" / f"{name}.yaml")),
            *("-m", "coteach.train", str(recipe), "--output", str(folder)),
            *("--baselines", "vote"),
        ],
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert (log[0]["event"], log[0]["processes"]) == ("launch", processes)
    line = f"{processes} process{'es' if processes > 1 else ''} on cpu, float32"
    assert done.stdout.count(line) == 1
