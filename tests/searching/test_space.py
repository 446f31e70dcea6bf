from __future__ import annotations

from typing import Any

import pytest
import tiny_task

from coteach.errors import InputError
from coteach.graph import CoTeaching, WeightedSum
from coteach.recipe import Recipe
from coteach.searching import Grid
from coteach.searching.space import cells_of, labels_of, parsed_values


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return tiny_task.load(tmp_path_factory.mktemp("tiny"))


def test_every_combination_once(recipe: Recipe) -> None:
    grid = Grid({"optimisation.batch_size": (8, 16), "edges.*.loss.beta": (0.9, 0.99, 0.999)})
    cells = cells_of(recipe, grid)
    assert [cell.name for cell in cells] == [
        "batch_size=8,beta=0.9",
        "batch_size=8,beta=0.99",
        "batch_size=8,beta=0.999",
        "batch_size=16,beta=0.9",
        "batch_size=16,beta=0.99",
        "batch_size=16,beta=0.999",
    ]
    for cell in cells:
        batch_size, beta = cell.values.values()
        assert cell.recipe.optimisation.batch_size == batch_size
        assert {edge.loss.beta for edge in cell.recipe.edges.values()} == {beta}
        assert cell.recipe.seed == recipe.seed
        assert cell.setting == cell.name


def test_seeds_repeat_every_setting(recipe: Recipe) -> None:
    cells = cells_of(recipe, Grid({"optimisation.batch_size": (8, 16)}, {"seed": (5, 6)}))
    assert [(cell.name, cell.setting, cell.recipe.seed) for cell in cells] == [
        ("batch_size=8,seed=5", "batch_size=8", 5),
        ("batch_size=16,seed=5", "batch_size=16", 5),
        ("batch_size=8,seed=6", "batch_size=8", 6),
        ("batch_size=16,seed=6", "batch_size=16", 6),
    ]


def test_any_field_repeats_every_setting(recipe: Recipe) -> None:
    """Here pages stand for folds: each combination of repetitions has every setting once."""
    grid = Grid(
        {"optimisation.batch_size": (8, 16)}, repeat={"data.max_pages": (30, 40), "seed": (5, 6)}
    )
    cells = cells_of(recipe, grid)
    assert [cell.name for cell in cells] == [
        f"batch_size={size},max_pages={pages},seed={seed}"
        for pages in (30, 40)
        for seed in (5, 6)
        for size in (8, 16)
    ]
    for cell in cells:
        assert cell.setting == f"batch_size={cell.recipe.optimisation.batch_size}"
        assert cell.values == {"optimisation.batch_size": cell.recipe.optimisation.batch_size}
        assert cell.repetition == {
            "data.max_pages": cell.recipe.data.max_pages,
            "seed": cell.recipe.seed,
        }
    assert not grid.repeats_seeds_only
    assert Grid(grid.over).repeats_seeds_only
    assert Grid(grid.over, {"seed": (1,)}).repeats_seeds_only


def test_repeated_paths_are_told_from_the_others(recipe: Recipe) -> None:
    grid = Grid({"edges.gold.weight": (1.0,)}, {"edges.teams.weight": (2.0,)})
    (cell,) = cells_of(recipe, grid)
    assert cell.name == "gold.weight=1.0,teams.weight=2.0"
    many = Grid({"nodes.student.tokenizer": ("x" * 300,)}, {"name": ("y/" * 300,)})
    (cell,) = cells_of(recipe, many)
    assert "/" not in cell.name
    assert len(f"{cell.name}.lock") <= 255


def test_labels_tell_paths_apart() -> None:
    paths = ("edges.gold.weight", "edges.teams.weight", "optimisation.warmup", "seeds")
    assert labels_of(Grid(dict.fromkeys(paths, (1,)))) == {
        "edges.gold.weight": "gold.weight",
        "edges.teams.weight": "teams.weight",
        "optimisation.warmup": "warmup",
        "seeds": "seeds",
    }


def test_names_are_names_of_folders(recipe: Recipe) -> None:
    paths = ("models/a", "models_a", "models a", "x" * 300)
    cells = cells_of(recipe, Grid({"nodes.student.tokenizer": paths}))
    names = [cell.name for cell in cells]
    assert len(set(names)) == 4
    assert names[1] == "tokenizer=models_a"
    for name in names:
        assert "/" not in name
        assert " " not in name
        assert len(name) < 200
    objectives = cells_of(recipe, Grid({"objective": (CoTeaching(), WeightedSum())}))
    assert len({cell.name for cell in objectives}) == 2


def test_the_command_lines_values(recipe: Recipe) -> None:
    over = [("optimisation.batch_size", "8", "16"), ("edges.*.loss.beta", "0.9")]
    assert parsed_values(recipe, "--over", over) == {
        "optimisation.batch_size": [8, 16],
        "edges.*.loss.beta": [0.9],
    }
    for words, message in [
        ((("optimisation.batch_size",),), "--repeat optimisation.batch_size: expected a field's"),
        (((),), "--repeat : expected a field's path"),
        ((over[0], over[0]), "--repeat optimisation.batch_size: given twice"),
        ((("optimisation.batch_size", "many"),), "optimisation.batch_size: expected int"),
        ((("nonsense", "1"),), "nonsense: no such field"),
    ]:
        with pytest.raises(InputError) as error:
            parsed_values(recipe, "--repeat", words)
        assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({}, "search: expected at least one field"),
        ({"seed": (1,)}, "search over seed: seeds are repeated, not chosen; give them with"),
        ({"optimisation.batch_size": ()}, "search over optimisation.batch_size: expected one"),
        ({"optimisation.schedule": "linear"}, "search over optimisation.schedule: expected one"),
        ({"optimisation.batch_size": 8}, "search over optimisation.batch_size: expected one"),
        ({"optimisation.batch_size": (8, 8)}, "search over optimisation.batch_size: 8 stands"),
        ({"optimisation.batch_size": (8, 0)}, "optimisation.batch_size must be above 0, got 0"),
        ({"optimisation.batch_size": (8, "9")}, "optimisation.batch_size: expected int, got '9'"),
        ({"optimisation.batchsize": (8,)}, "optimisation.batchsize: no such field"),
        (
            {"edges.*.weight": (1.0,), "edges.gold.weight": (2.0,)},
            "search over edges.gold.weight: edges.*.weight sets edges.gold.weight as well",
        ),
        (
            {"objective": (CoTeaching(),), "objective.gold": ("gold",)},
            "search over objective.gold: objective sets objective as well",
        ),
        # Names that do not fit together are found before anything is run.
        ({"objective.gold": ("gold", "silver")}, "objective.gold: no edge 'silver'"),
    ],
)
def test_what_is_no_grid(recipe: Recipe, over: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        cells_of(recipe, Grid(over))
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("repeat", "message"),
    [
        ({"seed": (3, 3)}, "repeat seed: 3 stands there twice"),
        ({"seed": (-1,)}, "seed: expected a whole number"),
        ({"seed": ()}, "repeat seed: expected one value or more"),
        ({"seed": 3}, "repeat seed: expected one value or more, as a tuple, got 3"),
        ({"data.max_pages": ("many",)}, "data.max_pages: expected int"),
        ({"data.folds": (1,)}, "data.folds: no such field"),
        (
            {"optimisation.batch_size": (8,)},
            "repeat optimisation.batch_size: optimisation.batch_size sets",
        ),
    ],
)
def test_repetitions_that_cannot_be(recipe: Recipe, repeat: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        cells_of(recipe, Grid({"optimisation.batch_size": (8,)}, repeat))
    assert str(error.value).startswith(message)
