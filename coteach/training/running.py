"""What a training says of its losses between two lines of the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from torch import Tensor

from coteach.graph.edges import EdgeSums


@dataclass
class Running:
    """Sums for the log, on this process, without waiting for the device at every step."""

    steps: int = 0
    loss: Tensor | float = 0.0
    edges: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __add__(self, other: Running) -> Running:
        edges = dict(self.edges)
        for name, (losses, counts) in other.edges.items():
            before = edges.get(name)
            edges[name] = (
                (losses, counts) if before is None else (before[0] + losses, before[1] + counts)
            )
        return Running(self.steps + other.steps, self.loss + other.loss, edges)

    @classmethod
    def of(cls, sums: Mapping[str, EdgeSums], loss: Tensor, steps: int = 0) -> Running:
        """A micro-batch's, with the figures beside its edges' losses."""
        edges = {}
        for name, it in sums.items():
            counts = it.counts.detach().sum()
            edges[name] = (it.losses.detach().sum(), counts)
            for figure, values in it.beside.items():
                edges[f"{name}_{figure}"] = (values.detach().sum(), counts)
        return cls(steps, loss.detach(), edges)

    def means(self, accelerator: Accelerator) -> dict[str, float]:
        """The mean loss of a step, and of each edge over what it said something about."""
        loss = float(accelerator.reduce(torch.as_tensor(self.loss), "sum")) / self.steps
        edges = {
            name: tuple(accelerator.reduce(torch.stack(both), "sum"))
            for name, both in self.edges.items()
        }
        return {"loss": loss, **Running(edges=edges).edge_means()}

    def edge_means(self) -> dict[str, float]:
        """The mean loss of each edge, on this process; none of an edge that said nothing."""
        return {
            f"loss_{name}": float(losses / counts)
            for name, (losses, counts) in self.edges.items()
            if counts > 0
        }
