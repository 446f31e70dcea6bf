"""Gradient checkpointing: the same gradients from layers that are computed twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_texts
import torch
from accelerate import Accelerator
from tiny_loop import Loop, exactly, parameters

from coteach.data.collator import Collator
from coteach.errors import InputError
from coteach.graph.gates import Step
from coteach.recipe import Recipe
from coteach.training.loop import train_step
from coteach.training.prepare import load_data, prepare
from coteach.training.recomputing import recompute_layers


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    tiny_texts.write(folder)
    tiny_texts.write_teachers(folder)
    return folder


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """How often a layer's feed-forward part is run in training mode."""
    counted = {"training": 0}

    def count(module: torch.nn.Module, *_: Any) -> None:
        if type(module).__name__ == "BertIntermediate" and module.training:
            counted["training"] += 1

    handle = torch.nn.modules.module.register_module_forward_hook(count)
    yield counted
    handle.remove()


def gradients(recipe: Recipe, wanted: bool, dropout: bool) -> dict[str, torch.Tensor]:
    """Of a step, by all of a recipe's edges."""
    prepared = prepare(recipe, load_data(recipe))
    if not dropout:
        exactly(prepared)
    recompute_layers(prepared.student, wanted)
    prepared.student.train()
    prepared.graph.to(torch.device("cpu"))
    collate = Collator(prepared.windowed, prepared.tokenizer)
    batches = [collate([prepared.windowed.rows[n] for n in range(a, a + 4)]) for a in (0, 4)]
    torch.manual_seed(0)
    train_step(prepared.student, prepared.graph, batches, Accelerator(), Step(0.5, number=2))
    own = {f"graph.{n}": it for n, it in enumerate(prepared.graph.parameters())}
    every = {**dict(prepared.student.named_parameters()), **own}
    return {name: it.grad for name, it in every.items() if it.grad is not None}


@pytest.mark.parametrize("dropout", [False, True])
def test_the_gradients_are_the_same(texts: Path, runs: dict[str, int], dropout: bool) -> None:
    """Of a head, of parts of speech, and with the same places dropped in both passes."""
    recipe = tiny_texts.recipe_of(texts)
    expected = gradients(recipe, False, dropout)
    layers = runs["training"]
    found = gradients(recipe, True, dropout)
    assert runs["training"] == 3 * layers  # each once, then twice
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6, msg=name)


def test_attention_scores_hidden_states_and_importance(texts: Path, runs: dict[str, int]) -> None:
    """The hooks that collect scores do not do so again, and a double backward through a model in
    evaluation mode is not touched."""
    recipe = tiny_texts.distilled(texts)
    edges = {**recipe.stages["intermediate"].edges, **recipe.edges}
    recipe = replace(recipe, stages={}, edges=edges)
    expected = gradients(recipe, False, False)
    layers = runs["training"]
    found = gradients(recipe, True, False)
    assert runs["training"] == 3 * layers
    assert {"graph.0", "graph.1"} <= found.keys() == expected.keys()
    for name, value in expected.items():
        assert value.abs().max() > 0 or "classifier" in name or "key.bias" in name, name
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-12, msg=name)


def test_a_run_learns_the_same(loop: Loop, tmp_path: Path) -> None:
    found = {}
    for wanted in (False, True):
        options: dict[str, Any] = {"epochs": 0.5, "gradient_checkpointing": wanted}
        _, prepared, _ = loop(tmp_path / str(wanted), optimisation=options)
        encoder = prepared.student.encoder
        older = not hasattr(encoder, "is_activation_checkpointing")  # transformers' older name
        name = "is_gradient_checkpointing" if older else "is_activation_checkpointing"
        assert getattr(encoder, name) == wanted
        found[wanted] = parameters(prepared)
    for name, value in found[False].items():
        torch.testing.assert_close(found[True][name], value, rtol=0, atol=1e-6, msg=name)


def test_what_cannot_is_refused(tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import BertModel

    monkeypatch.setattr(BertModel, "supports_gradient_checkpointing", False)
    optimisation = replace(tiny_recipe.optimisation, gradient_checkpointing=True)
    recipe = replace(tiny_recipe, optimisation=optimisation)
    with pytest.raises(InputError, match=r"^optimisation\.gradient_checkpointing: BertModel does"):
        prepare(recipe, load_data(recipe))
