"""The processes that share a run, what they compute with, and those that have one each."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import parse_flag_from_env

from coteach.errors import InputError
from coteach.training.record import counted

__all__ = ["check_alone", "check_plugins", "environment", "launched", "processes", "running_on"]

_SIZES = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")  # torchrun and accelerate; MPI
_SLURM = "SLURM_STEP_NUM_TASKS"  # srun
_SHARDING = ("FSDP", "DEEPSPEED", "MEGATRON_LM")


def processes() -> PartialState:
    """The processes of this run, just as its Accelerator will have them.

    ``PartialState()`` alone overlooks ``ACCELERATE_USE_CPU``: each of several processes would
    then be a run of its own, for good.
    """
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))


def environment(worker: int, workers: int, threads: int | None) -> dict[str, str]:
    """The environment of a process: its threads and, where there are several GPUs, one of them.

    Args:
        worker: which of the processes, from 0.
        workers: how many there are at a time.
        threads: that a process computes with; None: OMP_NUM_THREADS, or an equal share of the
            cores.
    """
    result = dict(os.environ)
    if threads is not None:
        result["OMP_NUM_THREADS"] = str(threads)
    elif workers > 1:
        result.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    count = torch.cuda.device_count()
    if count > 1:
        visible = result.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count))))
        result["CUDA_VISIBLE_DEVICES"] = visible.split(",")[worker % count]
    return result


def launched(accelerator: Accelerator) -> dict[str, int | str]:
    """How a training runs, for its log: "processes", each with a "device" such as this one's, and
    the "precision", as in a recipe."""
    device = accelerator.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "processes": accelerator.num_processes,
        "device": name,
        "precision": accelerator.mixed_precision,
    }


def running_on(accelerator: Accelerator) -> str:
    """The same as a line, for example "2 processes on cpu, float32"."""
    of = launched(accelerator)
    precision = {"bf16": "bfloat16 autocast", "fp16": "float16 autocast"}.get(
        str(of["precision"]), "float32"
    )
    return f"{counted(accelerator.num_processes)} on {of['device']}, {precision}"


def check_plugins(environment: Mapping[str, str]) -> None:
    """Raise InputError where Accelerate is told to cut the student into shards.

    The steps would run, measured with FSDP 2, but not what is around them: each process evaluates
    texts of its own, one more or less than the others, which wait for each other's shards; edges
    take passes beside the sharded model; and checkpoints hold whole weights.

    Args:
        environment: with Accelerate's variables.
    """
    for name in _SHARDING:
        if environment.get(f"ACCELERATE_USE_{name}", "").lower() in ("true", "1"):
            raise InputError(
                f"ACCELERATE_USE_{name} is {environment[f'ACCELERATE_USE_{name}']}, but a student "
                "is trained whole on every process; expected plain data-parallel training "
                "(distributed_type MULTI_GPU in Accelerate's configuration). Where memory is "
                "short: --optimisation.gradient-checkpointing, --optimisation.precision bf16, or a "
                "smaller batch_size with more accumulation"
            )


def check_alone(environment: Mapping[str, str]) -> str | None:
    """Whether a process that trains alone was meant to.

    Args:
        environment: with the variables in which launchers write how many they have started.

    Returns:
        What to warn of, where a batch system has started several, which may do different work.

    Raises:
        InputError: torchrun, accelerate or MPI has: each would be the whole run, in one folder.
    """
    for name in (*_SIZES, _SLURM):
        size = environment.get(name, "")
        if not size.isdecimal() or int(size) < 2:
            continue
        alone = f"{name} is {size}, but this process trains alone, as each of them would"
        if name == _SLURM:
            return f"{alone}; to share a run, start them with torchrun or accelerate launch"
        raise InputError(
            f"{alone}; expected processes that share the run: on GPUs start them with torchrun or "
            "accelerate launch, on CPUs with torchrun and ACCELERATE_USE_CPU=true"
        )
    return None
