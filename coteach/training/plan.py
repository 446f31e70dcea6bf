"""The steps of a training, and where it stands."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from coteach.recipe import Optimisation, Selection

__all__ = ["Plan", "Progress"]


@dataclass
class Progress:
    """Where the run stands; kept in every checkpoint.

    Attributes:
        step: optimiser steps done.
        best: the best figure that selection has seen; a loss counts negative.
        best_step: where.
        waited: evaluations since.
        history: every evaluation, with its step.
    """

    step: int = 0
    best: float | None = None
    best_step: int = 0
    waited: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """The steps of a run.

    Attributes:
        per_epoch: optimiser steps of an epoch.
        total: of the whole run, at least 1.
        evaluate_every: steps between two evaluations, at least 1.
    """

    per_epoch: int
    total: int
    evaluate_every: int

    @classmethod
    def of(
        cls, windows: int, optimisation: Optimisation, selection: Selection, processes: int
    ) -> Plan:
        """How many steps ``windows`` windows make."""
        size = optimisation.batch_size * optimisation.accumulation * processes
        per_epoch = math.ceil(windows / size)
        return cls(
            per_epoch,
            max(1, round(per_epoch * optimisation.epochs)),
            max(1, round(per_epoch * selection.evaluate_every)),
        )
