"""The paper's preset, against the paper's own settings (§4.2) and its code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from coteach.errors import InputError
from coteach.graph import CoTeaching, DevScore, Edge, Equal, Submissions
from coteach.graph.nodes import Student
from coteach.presets import paper
from coteach.recipe import Recipe, load_recipe


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("recipes.jawiki_ner")


def test_the_papers_settings(recipe: Recipe) -> None:
    preset = paper(recipe)
    preset.check()
    teams, student = preset.nodes["teams"], preset.nodes["student"]
    assert isinstance(teams, Submissions)
    assert teams == Submissions(weights=Equal(), masks=False)
    assert isinstance(student, Student)
    assert (student.window, student.overlap, student.mean) == (None, 100, "equal")
    assert student.encoder == recipe.nodes["student"].encoder  # type: ignore[union-attr]
    assert {edge.loss.beta for edge in preset.edges.values()} == {0.999}  # type: ignore[union-attr]
    assert {edge.loss.gamma for edge in preset.edges.values()} == {2.0}  # type: ignore[union-attr]
    moves = preset.optimisation
    assert (moves.learning_rate, moves.batch_size, moves.epochs) == (5e-5, 16, 100)
    assert (moves.weight_decay, moves.clip_norm, moves.warmup) == (0, None, 0)
    assert preset.objective == CoTeaching()
    assert preset.selection.probability == "p_out"
    assert preset.data == replace(recipe.data, max_pages=2000)


def test_edges_keep_their_names(recipe: Recipe) -> None:
    renamed = replace(
        recipe,
        edges={
            "a": Edge("gold", "student", weight=3),
            "b": Edge("teams", "student", smoothing=0.5),
        },
        nodes=recipe.nodes | {"teams": Submissions(weights=DevScore())},
        objective=CoTeaching(teams="b", gold="a"),
    )
    preset = paper(renamed)
    preset.check()
    assert preset.objective == CoTeaching(teams="b", gold="a")
    assert [edge.weight for edge in preset.edges.values()] == [1, 1]
    assert preset.edges["b"].smoothing == 0


def test_the_recipe_of_the_preset_loads() -> None:
    recipe = load_recipe("recipes.jawiki_paper")
    recipe.check()
    assert recipe.name == "jawiki_paper"
    assert recipe.data.pages == Path(load_recipe("recipes.jawiki_ner").data.pages)  # type: ignore[attr-defined]


def test_there_must_be_submissions_and_gold(recipe: Recipe) -> None:
    for kept in ("teams", "gold"):
        with pytest.raises(InputError, match=f"edges: expected one .* got \\['{kept}'\\]"):
            paper(replace(recipe, edges={kept: recipe.edges[kept]}))


def test_shinra2019_says_the_same_in_full() -> None:
    """It spells the settings out for its reader, and takes pages as processed where teams say."""
    recipe = load_recipe("recipes.shinra2019")
    preset = paper(recipe)
    assert (preset.edges, preset.objective) == (recipe.edges, recipe.objective)
    assert (preset.optimisation, preset.selection) == (recipe.optimisation, recipe.selection)
    assert preset.nodes["teams"] == replace(recipe.nodes["teams"], masks=False)  # type: ignore[arg-type]
    assert preset.nodes["student"] == replace(recipe.nodes["student"], mean="equal")  # type: ignore[arg-type]
