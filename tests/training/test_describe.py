from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from coteach.data.corpus import Corpus
from coteach.errors import InputError
from coteach.graph import Edge
from coteach.recipe import Recipe
from coteach.training.describe import describe, dry_run, estimate
from coteach.training.prepare import prepare


def wide() -> Console:
    return Console(file=io.StringIO(), width=200)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def rows(text: str) -> list[list[str]]:
    """The cells of every table row."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines()]


def test_describe(tiny_recipe: Recipe, tiny_corpus: Corpus) -> None:
    edges = {**tiny_recipe.edges, "gold": Edge("gold", "student", weight=0.5, layer=1)}
    console = wide()
    describe(prepare(replace(tiny_recipe, edges=edges), tiny_corpus), console)
    text = printed(console)
    for row in (
        ["teams", "exact", "exact", "2", "ClassBalancedFocal", "1 × 1.25"],
        ["teams", "hasty", "hasty", "2", "″", "1 × 0.50"],
        ["gold", "gold", "output", "1", "ClassBalancedFocal", "0.5 × 1.00"],
        # source, pages, spans, exact, grown, overlapping, lost: page 12 is empty
        ["exact", "7", "21", "21", "0", "0", "0"],
        ["hasty", "7", "14", "14", "0", "0", "0"],
        ["partial", "4", "12", "12", "0", "0", "0"],
        ["gold", "6", "18", "18", "0", "0", "0"],
    ):
        assert row in rows(text)
    assert "Class weights of edge 'gold' (O, B, I; mean over attributes): 0.0" in text
    assert "0 of 18 gold spans (0.0 %) cannot be hit exactly" in text
    assert "7 training pages with text, 15 windows, 3 attributes" in text


def test_weights_by_attribute_are_a_range(tiny_recipe: Recipe, tiny_corpus: Corpus) -> None:
    teams = tiny_recipe.nodes["teams"]
    by_attribute = replace(teams, weights=replace(teams.weights, by="attribute"))  # type: ignore[type-var, union-attr, arg-type]
    console = wide()
    describe(
        prepare(
            replace(tiny_recipe, nodes={**tiny_recipe.nodes, "teams": by_attribute}), tiny_corpus
        ),
        console,
    )
    # "hasty" finds all places and nothing else.
    assert any(row[-1:] == ["1 × 0.33 (0.00 to 1.00)"] for row in rows(printed(console)))


def test_estimate(tiny_recipe: Recipe, tiny_corpus: Corpus) -> None:
    assert re.fullmatch(
        r"8 steps, 4 an epoch; about 0 min \d+ s for the steps on this machine, evaluations apart; "
        r"peak memory \d+\.\d GiB( of the GPU)?",
        estimate(prepare(tiny_recipe, tiny_corpus), wide()),
    )


def test_dry_run(tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    console = wide()
    dry_run(replace(tiny_recipe, cache=tmp_path / "cache"), console)
    text = printed(console)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert text.index("\ngold_only\n") > text.index("tiny\n")
    assert text.count("Who teaches whom") == text.count(" an epoch; about ") == 2
    assert "6 training pages with text, 12 windows" in text


def test_dry_run_checks(tiny_recipe: Recipe) -> None:
    with pytest.raises(InputError, match="expected at least one edge"):
        dry_run(replace(tiny_recipe, edges={}), wide())
    data = replace(tiny_recipe.data, gold=tiny_recipe.data.gold.with_name("absent.json"))
    with pytest.raises(InputError, match=r"absent\.json: cannot be read"):
        dry_run(replace(tiny_recipe, data=data), wide())
