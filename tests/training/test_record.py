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
from coteach.recipe import Optimisation, Recipe, Stage
from coteach.training.record import as_json, id_of, write_recipe


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
    optimisation = replace(tiny_recipe.optimisation, gradient_checkpointing=True)
    free = replace(
        tiny_recipe,
        processes=7,
        cache=tmp_path,
        trackers=(),
        selection=selection,
        optimisation=optimisation,
    )
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


def sized(recipe: Recipe, batch_size: int, accumulation: int) -> Recipe:
    sizes = {"batch_size": batch_size, "accumulation": accumulation}
    return replace(recipe, optimisation=replace(recipe.optimisation, **sizes))


@pytest.mark.parametrize(
    ("batch_size", "accumulation", "processes"), [(4, 2, 1), (4, 1, 2), (2, 2, 2), (8, 1, 1)]
)
def test_as_many_windows_by_other_processes(
    tiny_recipe: Recipe, tmp_path: Path, batch_size: int, accumulation: int, processes: int
) -> None:
    write_recipe(sized(tiny_recipe, 4, 2), tmp_path)
    before = (tmp_path / "recipe.json").read_bytes()
    write_recipe(sized(tiny_recipe, batch_size, accumulation), tmp_path, processes)
    assert (tmp_path / "recipe.json").read_bytes() == before
    assert json.loads(before)["processes"] == 1


@pytest.mark.parametrize(
    ("begun", "now", "message"),
    [
        (
            (4, 1, 2),
            (4, 1, 1),
            "begun with steps of 8 (batch_size 4 × accumulation 1 × 2 processes) windows, now of 4 "
            "(batch_size 4 × accumulation 1 × 1 process); expected as many, or the training would "
            "be another one: set optimisation.accumulation to 2",
        ),
        ((4, 2, 1), (4, 2, 2), "set optimisation.accumulation to 1"),
        ((3, 2, 1), (4, 1, 2), "set optimisation.batch_size to 3"),
        ((2, 1, 1), (2, 1, 3), "start 1 process with optimisation as it was"),
    ],
)
def test_steps_of_another_size_are_refused(
    tiny_recipe: Recipe,
    tmp_path: Path,
    begun: tuple[int, int, int],
    now: tuple[int, int, int],
    message: str,
) -> None:
    write_recipe(sized(tiny_recipe, *begun[:2]), tmp_path, begun[2])
    with pytest.raises(InputError, match=r"recipe\.json: this run was begun with steps") as error:
        write_recipe(sized(tiny_recipe, *now[:2]), tmp_path, now[2])
    assert message in str(error.value)


def test_steps_of_a_stage_of_another_size(tiny_recipe: Recipe, tmp_path: Path) -> None:
    stage = Stage({}, optimisation=Optimisation(batch_size=4))
    write_recipe(replace(tiny_recipe, stages={"first": stage}), tmp_path)
    other = replace(stage, optimisation=Optimisation(batch_size=6))
    with pytest.raises(InputError, match=r"set stages\.first\.optimisation\.batch_size to 4$"):
        write_recipe(replace(tiny_recipe, stages={"first": other}), tmp_path)


def test_only_the_main_process_writes(tiny_recipe: Recipe, tmp_path: Path) -> None:
    write_recipe(tiny_recipe, tmp_path, 2, is_main_process=False)
    assert not any(tmp_path.iterdir())
    write_recipe(tiny_recipe, tmp_path, 2)
    with pytest.raises(InputError, match="1 process"):  # all of them refuse
        write_recipe(tiny_recipe, tmp_path, 1, is_main_process=False)


def test_a_run_is_told_from_others(tiny_recipe: Recipe, tmp_path: Path) -> None:
    for name in ("one", "other", "one"):
        write_recipe(tiny_recipe, tmp_path / name)
    assert len({id_of(tmp_path / name) for name in ("one", "other")}) == 2
