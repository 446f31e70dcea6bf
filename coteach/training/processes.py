"""The processes that share a run, before there is an Accelerator."""

from __future__ import annotations

from accelerate import PartialState
from accelerate.utils import parse_flag_from_env

__all__ = ["processes"]


def processes() -> PartialState:
    """The processes of this run, just as its Accelerator will have them.

    ``PartialState()`` alone overlooks ``ACCELERATE_USE_CPU``: each of several processes would
    then be a run of its own, for good.
    """
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))
