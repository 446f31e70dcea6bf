from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from coteach.errors import InputError
from coteach.graph import Submissions, Teacher
from coteach.graph.weights import Given
from coteach.recipe import Recipe, load_recipe
from coteach.reporting.graph_of_run import Edge, Node, graph_of_run, name_of_place
from coteach.training.record import write_recipe


def written(recipe: Recipe, folder: Path) -> Path:
    folder.mkdir()
    write_recipe(recipe, folder)
    return folder


def test_the_graph_of_a_co_taught_student(tmp_path: Path) -> None:
    graph = graph_of_run(written(load_recipe("recipes.shinra_pos"), tmp_path / "run"))
    assert graph.nodes == (
        Node("gold", "Gold", ""),
        Node("teams", "Submissions", "weights: DevScore(by='attribute', power=3)"),
        Node("student", "Student", "intfloat/multilingual-e5-small"),
        Node("part_of_speech", "PartOfSpeech", "mecab, 名詞, 副詞, 形容詞"),
    )
    assert graph.edges == (
        Edge("teams", "teams", "student", "ClassBalancedFocal", 1.0, -1, "", ""),
        Edge("gold", "gold", "student", "ClassBalancedFocal", 1.0, -1, "", ""),
        Edge("part_of_speech", "part_of_speech", "student", "ClassBalancedFocal", 0.5, 2, "", ""),
    )


def test_stages_come_first_and_comparisons_of_models_name_no_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEACHER", "/somewhere/secret/large/student")
    monkeypatch.setenv("SHAPE", "4x384")
    recipe = load_recipe("recipes/tinybert.py")
    graph = graph_of_run(written(recipe, tmp_path / "run"))
    assert Node("teacher", "Teacher", "large") in graph.nodes
    assert Node("student", "Student", "large, its layers 3, 6, 9, 12") in graph.nodes
    assert [(edge.stage, edge.name, edge.loss, edge.layer) for edge in graph.edges] == [
        ("intermediate", "attention", "AttentionScores", None),
        ("intermediate", "hidden", "HiddenStates", None),
        ("", "prediction", "SoftCrossEntropy", None),
    ]


def test_a_gate_and_chosen_teams_are_told(tmp_path: Path) -> None:
    recipe = load_recipe("recipes.shinra_importance")
    teams = Submissions(teams=("a", "b"), weights=Given({"a": 2, "b": 1}))
    nodes = {**recipe.nodes, "teams": teams, "teacher": Teacher("organisation/large")}
    graph = graph_of_run(written(replace(recipe, nodes=nodes), tmp_path / "run"))
    (edge,) = [edge for edge in graph.edges if edge.source == "teacher"]
    assert (edge.gate, edge.weight) == ("every 4 steps", 0.01)
    details = {node.name: node.detail for node in graph.nodes}
    assert details["teams"] == "a, b, weights: Given(weights={'a': 2, 'b': 1})"
    assert details["teacher"] == "organisation/large"


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("organisation/large", "organisation/large"),
        ("large", "large"),
        ("runs/large", "large"),
        ("/home/someone/runs/large/student", "large"),
        ("../large/student/", "large"),
        ("C:\\models\\large", "large"),
        ("student", "student"),
    ],
)
def test_places_are_named_without_the_machine(place: str, name: str) -> None:
    assert name_of_place(place) == name


def test_what_is_no_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"recipe\.json: cannot be read"):
        graph_of_run(tmp_path)
    path = tmp_path / "recipe.json"
    for content in ("[]", "{}", '{"recipe": {"nodes": {"gold": 1}, "edges": {}}}'):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=r"recipe\.json: expected a run's recipe"):
            graph_of_run(tmp_path)


def test_an_edge_from_nowhere_is_refused(tmp_path: Path) -> None:
    path = written(load_recipe("recipes.quickstart"), tmp_path / "run") / "recipe.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["recipe"]["edges"]["gold"]["source"] = "silver"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match="edge 'gold': no node 'silver'"):
        graph_of_run(path.parent)
