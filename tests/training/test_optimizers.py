from __future__ import annotations

from typing import Any

import pytest
from tiny_loop import Loop
from torch import nn

from coteach.recipe import Optimisation
from coteach.training.optimizers import build_optimizer, build_schedule
from coteach.training.prepare import prepare


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 4 / 5, 3 / 5, 2 / 5, 1 / 5, 0]),
        ({"schedule": "constant"}, [1, 1, 1, 1, 1, 1]),
        ({"warmup": 0.4}, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3, 0]),
        ({"warmup": 0.4, "schedule": "constant"}, [1 / 3, 2 / 3, 1, 1, 1, 1]),
    ],
)
def test_schedule(options: dict[str, Any], expected: list[float]) -> None:
    optimisation = Optimisation(learning_rate=0.5, **options)
    optimizer = build_optimizer(nn.Linear(2, 2), optimisation)
    schedule = build_schedule(optimizer, optimisation, total=5)
    rates = []
    for _ in expected:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.5 * factor for factor in expected])


def test_optimizer_groups(loop: Loop) -> None:
    student = prepare(loop.recipe, loop.corpus).student
    optimisation = Optimisation(learning_rate=1.0, head_learning_rate=2.0, weight_decay=0.1)
    student.encoder.embeddings.position_embeddings.weight.requires_grad = False
    given = {}
    for group in build_optimizer(student, optimisation).param_groups:
        assert (group["betas"], group["eps"]) == ((0.9, 0.999), 1e-8)
        for parameter in group["params"]:
            assert parameter not in given
            given[parameter] = (group["lr"], group["weight_decay"])
    for name, parameter in student.named_parameters():
        if not parameter.requires_grad:
            assert parameter not in given
            continue
        decays = not (name.endswith("bias") or "LayerNorm" in name)
        assert given[parameter] == (2.0 if "heads" in name else 1.0, 0.1 if decays else 0.0), name
    for group in build_optimizer(student, Optimisation(learning_rate=1.0)).param_groups:
        assert group["lr"] == 1.0
