from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_task
import tiny_texts

from coteach.data.augmentation import Augmentation
from coteach.data.unlabelled import UnlabelledText
from coteach.errors import InputError
from coteach.graph import (
    CoTeaching,
    DevScore,
    Edge,
    Every,
    Gold,
    PartOfSpeech,
    Student,
    Submissions,
    Teacher,
    WeightedSum,
)
from coteach.losses import CrossEntropy, HiddenStates, ImportanceJaccard, SoftCrossEntropy
from coteach.recipe import Optimisation, Recipe, Selection, Stage, gold_only, load_recipe

ROOT = Path(__file__).parents[1]
PAPER = ["gold_only", "self_teaching"]  # as coteach.report knows the paper's baselines
RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("[!_]*.py"))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return tiny_task.load(tmp_path_factory.mktemp("tiny"))


# Loading


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_of_this_repository(name: str) -> None:
    by_name = load_recipe(f"recipes.{name}")
    by_name.check()
    assert load_recipe(str(ROOT / "recipes" / f"{name}.py")) == by_name
    assert by_name.name in RECIPES or by_name.name in PAPER


def test_a_recipe_may_be_named_as_a_module_is(tmp_path: Path) -> None:
    """And may define parts of its own."""
    path = tmp_path / "json.py"
    mine = "from dataclasses import dataclass\n@dataclass\nclass Mine:\n    weight: 'float' = 1.0\n"
    path.write_text(Path(__file__).with_name("tiny_recipe.py").read_text() + mine)
    assert load_recipe(str(path)).name == "tiny"
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.py", "recipe 'absent.py': no such file"),
        ("some/folder", "recipe 'some/folder': no such file"),
        (str(ROOT / "README.md"), r"README.md': expected a .py file"),
        (".", "recipe '.': no such module"),
        ("", "recipe '': no such module"),
        ("recipes.absent", "recipe 'recipes.absent': no such module; expected a dotted name"),
        ("absent.absent", "recipe 'absent.absent': no such module"),
        ("quickstart", "recipe 'quickstart': no such module"),
        ("coteach.errors", "recipe 'coteach.errors': expected a variable `recipe`"),
    ],
)
def test_what_is_no_recipe(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_recipe(name)


def test_an_import_that_fails_within_a_recipe_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_recipe.py").write_text("import absent_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("broken_recipe", str(tmp_path / "broken_recipe.py")):
        with pytest.raises(ModuleNotFoundError, match="absent_package"):
            load_recipe(name)


# Checking


def test_check(recipe: Recipe) -> None:
    recipe.check()
    nodes, edges = recipe.nodes, recipe.edges
    student = nodes["student"]
    assert isinstance(student, Student)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"nodes": {"gold": Gold()}}, r"nodes: expected one student, got \[\]"),
        (
            {"nodes": {**nodes, "other": student}},
            r"nodes: expected one student, got \['student', 'other'\]",
        ),
        (
            {"nodes": {**nodes, "student": Student()}},
            "nodes.student: expected an encoder or encoder_config, got neither",
        ),
        ({"edges": {}}, "edges: expected at least one edge"),
        (
            {"edges": {**edges, "gold": Edge("gold", "gold")}},
            "edges.gold.target: 'gold' is no student; expected 'student'",
        ),
        (
            {"edges": {**edges, "gold": Edge("student", "student")}},
            r"edges.gold.source: 'student' cannot teach; expected one of \['gold', 'teams'\]",
        ),
        (
            {"edges": {**edges, "gold": Edge("silver", "student")}},
            r"edges.gold.source: 'silver' cannot teach; expected one of \['gold', 'teams'\]",
        ),
        (
            {"data": replace(recipe.data, submissions=None)},
            "data.submissions: expected a folder, got None; the node 'teams' reads it",
        ),
        (
            {"objective": CoTeaching(teams="crowd")},
            r"objective.teams: no edge 'crowd'; expected one of \['teams', 'gold'\]",
        ),
        (
            {"objective": CoTeaching(gold="silver")},
            r"objective.gold: no edge 'silver'; expected one of \['teams', 'gold'\]",
        ),
        (
            {"edges": {**edges, "more": Edge("gold", "student")}},
            "edges.more.source: 'gold' teaches its heads by 'gold' already",
        ),
        (
            {"nodes": {**nodes, "student": replace(student, encoder_config={"hidden_size": 8})}},
            "nodes.student.encoder_config: no model_type",
        ),
        (
            {"edges": {"teams": edges["teams"]}, "objective": WeightedSum()},
            "baselines: 'gold_only' needs an edge from the gold",
        ),
        (
            {"nodes": {**nodes, "teams": Submissions(weights=DevScore(by="page"))}},
            r"nodes.teams.weights.by: expected one of \['team', 'attribute'\], got 'page'",
        ),
        (
            {"optimisation": Optimisation(schedule="cosine")},
            r"optimisation.schedule: expected one of \['linear', 'constant'\], got 'cosine'",
        ),
        ({"baselines": ("vote", "dice")}, r"baselines: expected one of .*, got 'dice'"),
        ({"processes": 0}, "processes: expected at least 1, got 0"),
        ({"seed": -1}, "seed: .*got -1"),
        ({"seed": 2**32}, "seed: .*got 4294967296"),
    ]
    for changes, message in wrong:
        with pytest.raises(InputError, match=message):
            replace(recipe, **changes).check()


@pytest.fixture(scope="module")
def distilled(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return tiny_texts.distilled(tmp_path_factory.mktemp("distilled"))


def teach(loss: Any = None, source: str = "teacher", **options: Any) -> dict[str, Edge]:
    """An edge from a teacher."""
    loss = SoftCrossEntropy() if loss is None else loss
    return {"it": Edge(source, "student", loss, **options)}


MASKED = Augmentation(model="masked")
PLAIN = UnlabelledText(files="plain.txt")
EXPLAINED = ImportanceJaccard(target="gold")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": teach(source="absent")}, r"edges\.it\.source: 'absent' cannot teach; expected"),
        (
            {"edges": teach(CrossEntropy())},
            r"edges\.it\.loss: CrossEntropy is not for 'teacher', a node Teacher; expected one "
            "that compares models",
        ),
        (
            {"edges": teach(HiddenStates(), source="gold")},
            r"edges\.it\.loss: HiddenStates is not for 'gold', a node Gold; expected Cross",
        ),
        ({"edges": teach(smoothing=0.1)}, r"edges\.it\.smoothing: 'teacher' is one source"),
        ({"edges": teach(weight=0)}, "edges: the weight of each is 0"),
        ({"augmentation": MASKED, "data": None}, "augmentation: for the classification of texts"),
    ],
)
def test_edges_from_teachers(
    recipe: Recipe, distilled: Recipe, changes: dict[str, Any], message: str
) -> None:
    if changes.get("data", distilled.data) is None:  # spans
        changes = {**changes, "data": recipe.data}
    with pytest.raises(InputError, match="^" + message):
        replace(distilled, **changes).check()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": {}}, "edges: expected at least one edge, got none"),
        ({"edges": {"a.b": teach()["it"]}}, "edges: 'a.b': expected a name without '.'"),
        ({"edges": teach(source="absent")}, r"edges\.it\.source: 'absent' cannot teach"),
        ({"edges": teach(CrossEntropy())}, r"edges\.it\.loss: CrossEntropy is not for 'teacher'"),
        (
            {"edges": teach(CrossEntropy(), source="spoken")},
            r"edges: all are from parts of speech, an auxiliary task; expected one from the gold",
        ),
        (
            {"edges": {**teach(), "tags": Edge("spoken", "student", CrossEntropy())}},
            r"edges\.tags\.source: a node PartOfSpeech teaches in the main stage alone",
        ),
        (
            {"edges": teach(CrossEntropy(), source="gold"), "data": PLAIN},
            r"edges\.it\.source: unlabelled text has no gold; expected a Teacher",
        ),
        (
            {"edges": teach(EXPLAINED), "data": PLAIN},
            r"edges\.it\.loss\.target: unlabelled text has no gold; expected 'teacher'",
        ),
        (
            {"selection": Selection()},
            r"selection\.by: a stage before the main one has no score; expected 'last' or 'loss'",
        ),
        (
            {"optimisation": Optimisation(precision="bf16")},
            r"optimisation\.precision: a run has one precision; expected that of the main stage",
        ),
        (
            {"optimisation": Optimisation(schedule="cosine")},
            r"optimisation\.schedule: expected one of \['linear', 'constant'\], got 'cosine'",
        ),
    ],
)
def test_stages(distilled: Recipe, changes: dict[str, Any], message: str) -> None:
    distilled = replace(distilled, nodes={**distilled.nodes, "spoken": PartOfSpeech()})
    distilled.check()
    stage = replace(distilled.stages["intermediate"], **changes)
    stages = {**distilled.stages, "second": stage}
    with pytest.raises(InputError, match=r"^stages\.second\." + message):
        replace(distilled, stages=stages).check()


def test_stages_of_spans(recipe: Recipe, distilled: Recipe) -> None:
    stage = Stage(teach(), data=MASKED)
    nodes = {**recipe.nodes, "teacher": distilled.nodes["teacher"]}
    with pytest.raises(InputError, match=r"^stages\.only\.data: Augmentation is for the classif"):
        replace(recipe, nodes=nodes, stages={"only": stage}).check()
    replace(recipe, nodes=nodes, stages={"only": replace(stage, data=PLAIN)}).check()


@pytest.mark.parametrize("name", ["", "..", "a/b", "a.b"])
def test_a_stage_s_name_is_that_of_a_folder(distilled: Recipe, name: str) -> None:
    stages = {name: distilled.stages["intermediate"]}
    with pytest.raises(InputError, match=f"^stages: {name!r}: expected a name without '.' and '/'"):
        replace(distilled, stages=stages).check()


def test_layers_of_no_encoder(distilled: Recipe) -> None:
    student = replace(distilled.student()[1], encoder_layers=(1, 2))
    nodes = {**distilled.nodes, "student": student}
    with pytest.raises(
        InputError, match=r"^nodes\.student\.encoder_layers: \(1, 2\) of no encoder"
    ):
        replace(distilled, nodes=nodes).check()


def test_every_edge(distilled: Recipe) -> None:
    assert list(distilled.every_edge()) == [
        "prediction",
        "importance",
        "general.attention",
        "general.hidden",
        "intermediate.attention",
        "intermediate.hidden",
    ]


@pytest.mark.parametrize(
    ("part", "options", "message"),
    [
        (Every, {"steps": 0}, "the steps of a gate Every must be at least 1, got 0"),
        (Optimisation, {"epochs": 0}, "optimisation.epochs must be above 0, got 0"),
        (Optimisation, {"batch_size": -1}, "optimisation.batch_size must be above 0"),
        (Optimisation, {"accumulation": 0}, "optimisation.accumulation must be above 0"),
        (Optimisation, {"learning_rate": 0.0}, "optimisation.learning_rate must be above 0"),
        (Optimisation, {"epochs": float("nan")}, "optimisation.epochs must be above 0, got nan"),
        (Optimisation, {"head_learning_rate": 0.0}, "optimisation.head_learning_rate must be"),
        (Optimisation, {"clip_norm": -1.0}, "optimisation.clip_norm must be above 0, got -1"),
        (Optimisation, {"weight_decay": -1.0}, "optimisation.weight_decay must be at least 0"),
        (Optimisation, {"warmup": 1.0}, r"optimisation.warmup must be in \[0, 1\), got 1.0"),
        (Selection, {"evaluate_every": 0}, "selection.evaluate_every must be above 0, got 0"),
        (Selection, {"patience": 0}, "selection.patience must be at least 1, got 0"),
    ],
)
def test_numbers_out_of_range(part: type, options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        part(**options)


def test_a_number_out_of_range_within_a_recipe(tmp_path: Path) -> None:
    """One line that names the recipe, as for any other input."""
    path = tmp_path / "mine.py"
    path.write_text("from coteach.recipe import Optimisation\nOptimisation(epochs=-1)\n")
    with pytest.raises(
        InputError, match=r"recipe '.*mine\.py': optimisation\.epochs must be above"
    ):
        load_recipe(str(path))


# The baseline


def test_gold_only(recipe: Recipe) -> None:
    recipe = replace(recipe, selection=Selection(probability="p_mean", patience=3))
    taught = replace(
        recipe,
        nodes={**recipe.nodes, "teacher": Teacher("teacher")},
        edges={**recipe.edges, **teach()},
        stages={"first": Stage(teach(HiddenStates()))},
    )
    taught.check()
    baseline = gold_only(taught)
    baseline.check()
    assert baseline == replace(
        recipe,
        name="gold_only",
        stages={},
        nodes={name: recipe.nodes[name] for name in ("gold", "student")},
        edges={"gold": recipe.edges["gold"]},
        objective=WeightedSum(),
        selection=Selection(probability="p", patience=3),
        baselines=(),
    )
    assert recipe.nodes["teams"] == Submissions(weights=DevScore())  # the recipe itself stays


def test_gold_only_keeps_the_layers_that_learn(recipe: Recipe) -> None:
    """Also those that only an edge reads which it has not: it is the same student."""
    student = replace(recipe.student()[1], trained_layers="read", words="part_of_speech")
    spoken = Edge("spoken", "student", layer=1)
    nodes = {**recipe.nodes, "student": student, "spoken": PartOfSpeech()}
    whole = replace(recipe, nodes=nodes, edges={**recipe.edges, "spoken": spoken})
    whole.check()
    baseline = gold_only(whole)
    baseline.check()
    assert [*baseline.edges] == ["gold"]
    assert baseline.student()[1] == replace(student, trained_layers=(-1, 1))
    assert baseline.nodes["spoken"] == PartOfSpeech()  # whose words its tokens end at


def test_what_selects() -> None:
    spans, texts = {"p": 0.5, "p_out": 0.6}, {"accuracy": 0.7, "loss": 0.9}
    assert Selection(probability="p_out").figure(spans) == 0.6
    assert Selection().figure(texts) == 0.7
    assert Selection(by="loss").figure(texts) == -0.9
    assert Selection(by="loss").figure({"loss": float("nan")}) < -1e9
    assert Selection(by="last").figure(texts) == Selection(by="last").figure(spans)
