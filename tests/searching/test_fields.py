from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_task

from coteach.errors import InputError
from coteach.graph import Edge, WeightedSum
from coteach.losses import ClassBalancedFocal, CrossEntropy
from coteach.recipe import Recipe
from coteach.searching.fields import fields_at, parsed, replaced


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return tiny_task.load(tmp_path_factory.mktemp("tiny"))


def test_a_field_is_replaced_and_nothing_else(recipe: Recipe) -> None:
    changed = replaced(recipe, "optimisation.batch_size", 8)
    assert changed == replace(recipe, optimisation=replace(recipe.optimisation, batch_size=8))
    assert recipe.optimisation.batch_size == 4
    assert replaced(recipe, "seed", 7).seed == 7
    assert replaced(recipe, "objective", WeightedSum()).objective == WeightedSum()
    assert replaced(recipe, "optimisation.epochs", 3).optimisation.epochs == 3  # int for float


def test_keys_of_mappings(recipe: Recipe) -> None:
    one = replaced(recipe, "edges.gold.loss.beta", 0.5)
    assert one.edges["gold"].loss == ClassBalancedFocal(beta=0.5)
    assert one.edges["teams"] == recipe.edges["teams"]
    every = replaced(recipe, "edges.*.loss.beta", 0.5)
    assert {edge.loss.beta for edge in every.edges.values()} == {0.5}
    assert list(every.edges) == list(recipe.edges)
    assert [it.place for it in fields_at(recipe, "edges.*.weight")] == [
        "edges.teams.weight",
        "edges.gold.weight",
    ]
    deeper = replaced(recipe, "nodes.student.encoder_config.num_hidden_layers", 3)
    assert deeper.nodes["student"].encoder_config["num_hidden_layers"] == 3
    assert recipe.nodes["student"].encoder_config["num_hidden_layers"] == 2


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("optimisation.batchsize", "optimisation.batchsize: no such field; expected one of"),
        ("nonsense", "nonsense: no such field; expected one of ['name', 'data'"),
        ("", ": no such field"),
        ("edges.silver.weight", "edges.silver: no such field; expected one of ['teams', 'gold']"),
        ("edges.*.nonsense", "edges.teams.nonsense: no such field; expected one of ['source'"),
        ("*.batch_size", "*: no such field"),
        ("seed.deeper", "seed.deeper: no such field; seed is 1234"),
    ],
)
def test_no_such_field(recipe: Recipe, path: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        replaced(recipe, path, 1)
    assert str(error.value).startswith(message)


def test_a_wildcard_names_the_edge_that_lacks_the_field(recipe: Recipe) -> None:
    other = replace(
        recipe, edges={**recipe.edges, "gold": Edge("gold", "student", loss=CrossEntropy())}
    )
    with pytest.raises(InputError, match=r"^edges\.gold\.loss\.beta: no such field"):
        replaced(other, "edges.*.loss.beta", 0.5)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("optimisation.batch_size", "8", "optimisation.batch_size: expected int, got '8'"),
        ("optimisation.batch_size", 8.5, "optimisation.batch_size: expected int, got 8.5"),
        ("optimisation.batch_size", True, "optimisation.batch_size: expected int, got True"),
        ("optimisation.batch_size", 0, "optimisation.batch_size must be above 0, got 0"),
        ("optimisation.schedule", "cosine", "optimisation.schedule: expected "),
        ("edges.*.loss", 3, "edges.teams.loss: expected "),
        ("edges.*.weight", -1.0, "edges.*.weight: the weight of the edge from 'teams'"),
        ("baselines", ("votes",), "baselines: expected "),
    ],
)
def test_what_a_field_cannot_hold(recipe: Recipe, path: str, value: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        replaced(recipe, path, value)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("optimisation.batch_size", "8", 8),
        ("optimisation.learning_rate", "1e-4", 1e-4),
        ("optimisation.clip_norm", "None", None),
        ("optimisation.group_by_length", "False", False),
        ("optimisation.schedule", "constant", "constant"),
        ("edges.*.layer", "-2", -2),
        ("nodes.student.encoder_config.num_hidden_layers", "3", 3),
        ("cache", "a folder", Path("a folder")),
        ("baselines", "vote", ("vote",)),
    ],
)
def test_text_is_read_as_the_fields_type(recipe: Recipe, path: str, text: str, value: Any) -> None:
    read = parsed(recipe, path, text)
    assert (read, type(read)) == (value, type(value))
    replaced(recipe, path, read)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("optimisation.batch_size", "many"),
        ("optimisation.batch_size", "8.5"),
        ("optimisation.batch_size", "--help"),
        ("optimisation.schedule", "cosine"),
        ("edges.gold.loss", "focal"),
        ("optimisation.group_by_length", "perhaps"),
    ],
)
def test_text_that_is_no_such_value(
    recipe: Recipe, path: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError) as error:
        parsed(recipe, path, text)
    assert str(error.value).startswith(f"{path}: expected ")
    assert str(error.value).endswith(f"got {text!r}")
    assert capsys.readouterr() == ("", "")


def test_a_loss_as_a_value(recipe: Recipe) -> None:
    loss = ClassBalancedFocal(beta=0.5, gamma=1.0)
    assert replaced(recipe, "edges.gold.loss", loss).edges["gold"].loss == loss
