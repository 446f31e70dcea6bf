"""``fit`` on the tiny task."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn

from coteach.data.classification import LabelledTexts
from coteach.data.corpus import Corpus
from coteach.recipe import Recipe
from coteach.training.loop import fit
from coteach.training.plan import Progress
from coteach.training.prepare import Prepared, prepare


@dataclass
class Loop:
    """``fit`` on a tiny task, with an evaluation that the test dictates."""

    recipe: Recipe
    corpus: Corpus | LabelledTexts

    def __call__(
        self,
        folder: Path,
        *,
        optimisation: Mapping[str, Any] | None = None,
        selection: Mapping[str, Any] | None = None,
        figures: Sequence[float] = (),
        change: Callable[[Prepared], object] = lambda _: None,
        at_evaluation: Callable[[int], None] = lambda _: None,
    ) -> tuple[Progress, Prepared, list[int]]:
        """Train afresh, or go on with what is in ``folder``.

        Args:
            folder: of the run.
            optimisation: what differs from the recipe.
            selection: likewise.
            figures: the F1 of each evaluation; then 0.
            change: what is done to the prepared recipe before the first step.
            at_evaluation: called with the number of each evaluation of this call, from 0.

        Returns:
            The progress, what was trained, and the evaluations after which it was kept.
        """
        recipe = replace(
            self.recipe,
            optimisation=replace(self.recipe.optimisation, **(optimisation or {})),
            selection=replace(self.recipe.selection, **(selection or {})),
        )
        prepared = prepare(recipe, self.corpus)
        change(prepared)
        kept: list[int] = []
        evaluations = 0

        def evaluate() -> dict[str, float]:
            nonlocal evaluations
            evaluations += 1
            at_evaluation(evaluations - 1)
            return {"p": figures[evaluations - 1] if evaluations <= len(figures) else 0.0}

        folder.mkdir(exist_ok=True)
        progress = fit(
            prepared.graph,
            prepared.windowed,
            prepared.tokenizer,
            recipe.optimisation,
            recipe.selection,
            recipe.seed,
            Accelerator(mixed_precision=recipe.optimisation.precision),
            folder,
            evaluate,
            lambda: kept.append(evaluations - 1),
        )
        return progress, prepared, kept


def exactly(prepared: Prepared) -> None:
    """No dropout, and so many digits that Adam's divisions magnify no rounding."""
    prepared.student.double()
    prepared.graph.learned.double()
    for module in prepared.student.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def log_of(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log, but those that tell how each of its parts was launched."""
    lines = map(json.loads, (folder / "log.jsonl").read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line["event"] != "launch"]


def parameters(prepared: Prepared) -> dict[str, Tensor]:
    """The student's parameters, by name, and the graph's own, by number."""
    own = {f"graph.{number}": value for number, value in enumerate(prepared.graph.parameters())}
    named = {**dict(prepared.student.named_parameters()), **own}
    return {name: value.detach().cpu() for name, value in named.items()}
