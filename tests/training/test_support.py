"""What docs/launching.md says works with what: short runs of every kind of edge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_task
import tiny_texts
import torch
from accelerate.state import AcceleratorState
from tiny_loop import Loop, log_of, parameters

from coteach.graph import Edge, PartOfSpeech, UncertaintyWeighting
from coteach.recipe import Recipe
from coteach.training.prepare import load_data, prepare


def spoken(folder: Path) -> Recipe:
    """Co-teaching with a part-of-speech head."""
    recipe = tiny_task.load(folder / "task")
    edge = Edge("part_of_speech", "student", layer=1, weight=0.5)
    return replace(
        recipe,
        nodes={**recipe.nodes, "part_of_speech": PartOfSpeech()},
        edges={**recipe.edges, "part_of_speech": edge},
    )


def classified(folder: Path) -> Recipe:
    """Classification with a part-of-speech head, and learned weights of the two."""
    return replace(tiny_texts.write(folder), objective=UncertaintyWeighting())


def taught(folder: Path) -> Recipe:
    """Every edge from a teacher in one stage."""
    tiny_texts.write(folder)
    tiny_texts.write_teachers(folder)
    recipe = tiny_texts.distilled(folder)
    edges = {**recipe.stages["intermediate"].edges, **recipe.edges}
    return replace(recipe, stages={}, edges=edges)


@pytest.mark.slow
@pytest.mark.parametrize("write", [spoken, classified, taught])
@pytest.mark.parametrize(
    "options",
    [{"gradient_checkpointing": True}, {"precision": "bf16"}],
    ids=lambda it: "-".join(map(str, it.values())),
)
def test_a_short_training(tmp_path: Path, write: Any, options: dict[str, Any]) -> None:
    """It learns, and nearly what it would without the option."""
    recipe = write(tmp_path)
    sizes = {"batch_size": 8, "epochs": 0.5, "learning_rate": 1e-3}
    before = parameters(prepare(recipe, load_data(recipe)))
    losses = {}
    for name, added in (("plain", {}), ("option", options)):
        AcceleratorState._reset_state(reset_partial_state=True)  # it keeps one precision
        loop = Loop(recipe, load_data(recipe))
        folder = tmp_path / name
        _, prepared, _ = loop(folder, optimisation={**sizes, **added}, selection={"by": "score"})
        losses[name] = [it["loss"] for it in log_of(folder) if it["event"] == "train"]
    found = parameters(prepared)
    assert all(torch.isfinite(value).all() for value in found.values())
    assert not torch.equal(
        found["encoder.encoder.layer.0.output.dense.weight"],
        before["encoder.encoder.layer.0.output.dense.weight"],
    )
    tolerance = 0.05 if "precision" in options else 1e-5
    assert losses["option"] == pytest.approx(losses["plain"], rel=tolerance)
