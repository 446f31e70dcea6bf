from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from coteach import __version__
from coteach.errors import InputError
from coteach.graph import Agreement, DevScore, Edge, Student, Submissions
from coteach.losses import ClassBalancedFocal, CrossEntropy
from coteach.recipe import Recipe
from coteach.training.record import as_json, write_recipe


def test_as_json_names_every_part() -> None:
    edge = Edge("teams", "student", loss=CrossEntropy(), layer=2)
    assert as_json({"a": (edge, Path("x/y")), "b": [None, 1.5]}) == {
        "a": [
            {
                "type": "Edge",
                "source": "teams",
                "target": "student",
                "loss": {"type": "CrossEntropy"},
                "gate": {"type": "Through"},
                "weight": 1.0,
                "layer": 2,
                "smoothing": 0.0,
            },
            "x/y",
        ],
        "b": [None, 1.5],
    }


def test_recipe_json(tiny_recipe: Recipe, tmp_path: Path) -> None:
    write_recipe(tiny_recipe, tmp_path / "new" / "run")
    (path,) = (tmp_path / "new" / "run").iterdir()
    assert path.name == "recipe.json"
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written["recipe"] == json.loads(json.dumps(as_json(tiny_recipe)))
    assert written["recipe"]["nodes"]["student"]["encoder_config"]["model_type"] == "bert"
    assert written["recipe"]["nodes"]["teams"]["weights"]["type"] == "DevScore"
    assert written["seed"] == tiny_recipe.seed
    assert written["versions"]["coteach"] == __version__
    assert written["versions"]["torch"] == version("torch")


def test_the_same_recipe_goes_on(tiny_recipe: Recipe, tmp_path: Path) -> None:
    write_recipe(tiny_recipe, tmp_path)
    before = (tmp_path / "recipe.json").read_bytes()
    write_recipe(replace(tiny_recipe), tmp_path)
    assert (tmp_path / "recipe.json").read_bytes() == before


def test_what_no_weight_depends_on_may_differ(tiny_recipe: Recipe, tmp_path: Path) -> None:
    write_recipe(tiny_recipe, tmp_path)
    before = (tmp_path / "recipe.json").read_bytes()
    selection = replace(tiny_recipe.selection, checkpoint_every=1)
    free = replace(tiny_recipe, processes=7, cache=tmp_path, selection=selection)
    write_recipe(free, tmp_path)
    assert (tmp_path / "recipe.json").read_bytes() == before
    with pytest.raises(InputError, match=r"recipe: selection\.patience was None, now 3$"):
        write_recipe(replace(free, selection=replace(selection, patience=3)), tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}"])
def test_a_damaged_record(tiny_recipe: Recipe, tmp_path: Path, content: str) -> None:
    (tmp_path / "recipe.json").write_text(content)
    with pytest.raises(InputError, match=r"recipe\.json: expected a run's recipe"):
        write_recipe(tiny_recipe, tmp_path)


def test_another_recipe_is_refused(tiny_recipe: Recipe, tmp_path: Path) -> None:
    write_recipe(tiny_recipe, tmp_path)
    before = (tmp_path / "recipe.json").read_bytes()
    optimisation = replace(tiny_recipe.optimisation, epochs=3)
    student = tiny_recipe.nodes["student"]
    assert isinstance(student, Student)
    encoder_config = {**student.encoder_config, "hidden_size": 8}
    agreement = Submissions(weights=Agreement(by=DevScore().by, power=DevScore().power))
    focal = Edge("gold", "student", loss=ClassBalancedFocal(gamma=1))
    for changed, messages in [
        ({"optimisation": optimisation}, ["optimisation.epochs was 2, now 3"]),
        ({"seed": 5, "name": "b"}, ["name was 'tiny', now 'b'; seed was 1234, now 5"]),
        (
            {"nodes": {**tiny_recipe.nodes, "student": replace(student, encoder_config={})}},
            ["nodes.student.encoder_config.model_type was 'bert', now None"],
        ),
        (
            {
                "nodes": {
                    **tiny_recipe.nodes,
                    "student": replace(student, encoder_config=encoder_config),
                }
            },
            ["nodes.student.encoder_config.hidden_size was 16, now 8"],
        ),
        (
            {"nodes": {**tiny_recipe.nodes, "teams": agreement}},
            ["nodes.teams.weights.type was 'DevScore', now 'Agreement'"],
        ),
        (
            {"edges": {"gold": focal}},
            ["edges.teams was {", "edges.gold.loss.gamma was 2.0, now 1"],
        ),
    ]:
        with pytest.raises(InputError, match=r"recipe\.json: this run was begun") as error:
            write_recipe(replace(tiny_recipe, **changed), tmp_path)  # type: ignore[arg-type]
        for message in messages:
            assert message in str(error.value)
    assert (tmp_path / "recipe.json").read_bytes() == before
