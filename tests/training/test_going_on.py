"""Teams come to a trained student, and go, without starting again."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

from coteach.graph import Submissions
from coteach.graph.nodes import Student as StudentNode
from coteach.model import Student
from coteach.recipe import Recipe
from coteach.training.run import run


def with_teams(recipe: Recipe, *teams: str, encoder: Path | None = None, rate: float) -> Recipe:
    node = recipe.nodes["student"]
    assert isinstance(node, StudentNode)
    if encoder is not None:
        # Its encoder_config, that of a student from nothing, no longer matters.
        node = replace(node, encoder=str(encoder), tokenizer=None)
    return replace(
        recipe,
        nodes=recipe.nodes | {"teams": Submissions(teams=teams), "student": node},
        optimisation=replace(recipe.optimisation, epochs=1, learning_rate=rate),
        baselines=(),
    )


def test_a_team_is_added(tiny_recipe: Recipe, tmp_path: Path) -> None:
    quiet = Console(file=io.StringIO(), width=200)
    first = with_teams(tiny_recipe, "exact", "hasty", rate=5e-3)
    run(first, tmp_path / "first", quiet)
    # So slowly that whatever differs was drawn anew.
    trained = tmp_path / "first" / "student"
    second = with_teams(tiny_recipe, "hasty", "partial", encoder=trained, rate=1e-12)
    run(second, tmp_path / "second", quiet)
    kept = "heads that keep what they know: hasty, output; new: partial"
    assert kept in quiet.file.getvalue()  # type: ignore[attr-defined]

    old = Student.from_pretrained(trained).eval()
    new = Student.from_pretrained(tmp_path / "second" / "student").eval()
    assert new.config.teachers == ["hasty", "partial"]
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        before, after = old(ids).logits, new(ids).logits
    for head in ("hasty", "output"):
        torch.testing.assert_close(
            after[:, :, new.config.head_names.index(head)],
            before[:, :, old.config.head_names.index(head)],
            atol=1e-4,
            rtol=1e-4,
        )
