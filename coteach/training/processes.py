"""The processes that share a run, before there is an Accelerator, and those that have one each."""

from __future__ import annotations

import os

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env

__all__ = ["environment", "processes"]


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
