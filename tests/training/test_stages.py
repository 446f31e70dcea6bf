"""Runs whose student goes through stages, taught by frozen models."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_masked_model
import tiny_task
import tiny_texts
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from rich.console import Console
from safetensors.torch import load_file
from tiny_loop import Loop, log_of, parameters
from torch import Tensor
from transformers import AutoTokenizer

import coteach.training.loop as loop
import coteach.training.run as run_module
import coteach.training.stages as module
from coteach.attribution import IntegratedGradients
from coteach.data.augmentation import Augmentation
from coteach.data.corpus import Corpus
from coteach.data.unlabelled import UnlabelledText
from coteach.errors import InputError
from coteach.graph import Edge, Every, PartOfSpeech, Teacher, WeightedSum
from coteach.losses import (
    AttentionScores,
    CrossEntropy,
    HiddenStates,
    ImportanceJaccard,
    SoftCrossEntropy,
)
from coteach.model import Student as StudentModel
from coteach.recipe import Recipe, Selection, Stage
from coteach.training.describe import dry_run
from coteach.training.logs import Tracking
from coteach.training.prepare import load_data, prepare
from coteach.training.run import run
from coteach.training.stages import dev_losses, stage_windows

Weights = Mapping[str, Tensor]
STAGES = ("general", "intermediate", "")
"""The folders of the run, the main stage's being its own."""
STEPS = {"general": 3, "intermediate": 5, "": 5}


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def place_of(folder: Path, stage: str) -> Path:
    return folder / "stages" / stage if stage else folder


def weights_of(folder: Path) -> dict[str, Tensor]:
    """All that a run has learnt: of every stage the student, its checkpoint and what is beside."""
    files = {
        path.relative_to(folder): load_file(path)
        for path in sorted(folder.rglob("*.safetensors"))
        if path.name in ("model.safetensors", "learned.safetensors")
    }
    return {f"{path}: {name}": it for path, of in files.items() for name, it in of.items()}


def assert_same(found: Weights, expected: Weights) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    folder = tmp_path_factory.mktemp("texts")
    tiny_texts.write(folder)
    tiny_texts.write_teachers(folder)
    return tiny_texts.distilled(folder)


@pytest.fixture(scope="module")
def whole(
    recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], str, list[Weights]]:
    """A run from end to end: its folder and summary, what it printed, and the student as every
    stage began."""
    AcceleratorState._reset_state(reset_partial_state=True)
    folder = tmp_path_factory.mktemp("runs") / "whole"
    console, begun = quiet(), []
    real = loop.fit

    def fit(graph: Any, *arguments: Any) -> Any:
        begun.append({k: v.clone() for k, v in graph.student.state_dict().items()})
        return real(graph, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "LOG_EVERY", 1)
        patch.setattr(module, "fit", fit)
        patch.setattr(run_module, "fit", fit)
        summary = run(recipe, folder, console)
    return folder, summary, console.file.getvalue(), begun  # type: ignore[attr-defined]


# A run


def test_each_stage_has_a_folder(whole: tuple[Path, dict[str, Any], str, list[Weights]]) -> None:
    folder, summary, printed, _ = whole
    training = {"checkpoints", "student", "log.jsonl", "tensorboard"}
    assert {path.name for path in (folder / "stages").iterdir()} == {"general", "intermediate"}
    for stage in STAGES:
        place = place_of(folder, stage)
        assert training <= {path.name for path in place.iterdir()}
        assert [it["step"] for it in log_of(place) if it["event"] == "train"] == [
            *range(1, STEPS[stage] + 1)
        ]
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert "stage general: 20 texts or windows" in printed
    assert "stage intermediate: 36 texts or windows" in printed
    assert "Who teaches whom in stage general" in printed


def test_each_stage_begins_where_the_one_before_ended(
    whole: tuple[Path, dict[str, Any], str, list[Weights]],
) -> None:
    folder, *_, begun = whole
    for stage, start in zip(STAGES[:2], begun[1:], strict=True):
        place = place_of(folder, stage)
        assert_same(start, load_file(place / "student" / "model.safetensors"))
        (checkpoint,) = (place / "checkpoints").iterdir()
        assert checkpoint.name == f"step-{STEPS[stage]:08d}"  # the last one, by default
        assert_same(start, load_file(checkpoint / "model.safetensors"))
    moved = {
        name
        for name, value in begun[0].items()
        if not torch.equal(value, begun[1][name]) and "classifier" not in name
    }
    assert len(moved) > 30
    assert torch.equal(begun[0]["classifier.weight"], begun[2]["classifier.weight"])


def test_projections_are_no_part_of_the_student(
    whole: tuple[Path, dict[str, Any], str, list[Weights]],
) -> None:
    folder = whole[0]
    for stage in STAGES:
        files = list(place_of(folder, stage).glob("checkpoints/*/learned.safetensors"))
        assert len(files) == bool(stage)  # the main stage has nothing to learn beside the student
        projection = "edge hidden.projections.layers"
        for file in files:
            assert set(load_file(file)) == {f"{projection}.weight", f"{projection}.bias"}
        student = place_of(folder, stage) / "student"
        assert not any("proj" in name for name in load_file(student / "model.safetensors"))
    weights = load_file(
        place_of(folder, "general") / "checkpoints/step-00000003/learned.safetensors"
    )
    assert weights["edge hidden.projections.layers.bias"].abs().max() > 1e-3  # it began at 0


def test_the_log(whole: tuple[Path, dict[str, Any], str, list[Weights]]) -> None:
    """Of every edge that spoke; of the importance edge at every second step, with its floor."""
    folder = whole[0]
    for stage in STAGES[:2]:
        for line in log_of(place_of(folder, stage)):
            losses = {name for name in line if name.startswith("loss_")}
            assert losses == {"loss_attention", "loss_hidden"}
            expected = line["loss_attention"] + line["loss_hidden"]
            assert line["loss"] == pytest.approx(expected, rel=1e-5)
    log = log_of(folder)
    assert log[0]["event"] == "engines"
    assert log[0]["importance"].startswith("graph: ")
    train = [it for it in log if it["event"] == "train"]
    importance = ["loss_importance" in it for it in train]
    assert importance == ["loss_importance_shuffled_teacher" in it for it in train]
    assert importance == [True, False, True, False, True]
    for line in train:
        expected = line["loss_prediction"] + line.get("loss_importance", 0)
        assert line["loss"] == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_the_loss_of_a_stage_on_dev(
    recipe: Recipe, whole: tuple[Path, dict[str, Any], str, list[Weights]]
) -> None:
    """By hand, on every text alone."""
    folder = whole[0]
    place = place_of(folder, "intermediate")
    student = StudentModel.from_pretrained(place / "student").eval()
    teacher = StudentModel.from_pretrained(recipe.nodes["teacher"].model).eval()  # type: ignore[union-attr]
    learned = load_file(next(place.glob("checkpoints/*/learned.safetensors")))
    weight, bias = (learned[f"edge hidden.projections.layers.{it}"] for it in ("weight", "bias"))
    tokenizer = AutoTokenizer.from_pretrained(place / "student")
    corpus = load_data(recipe)
    states, scores = [], []
    for text_id in corpus.dev:  # type: ignore[union-attr]
        text = corpus.pages[text_id].text
        ids = torch.tensor([[2, *tokenizer(text, add_special_tokens=False)["input_ids"], 3]])
        mine = student(ids, hidden_states=range(3), attention_scores=(1, 2))
        theirs = teacher(ids, hidden_states=(0, 2, 4), attention_scores=(2, 4))
        pairs = zip(mine.hidden_states, theirs.hidden_states, strict=True)
        states.append(
            [((one @ weight.T + bias - other) ** 2).mean(-1).flatten() for one, other in pairs]
        )
        pairs = zip(mine.attention_scores, theirs.attention_scores, strict=True)
        scores.append([((one - other) ** 2).mean(1).flatten() for one, other in pairs])
    dev = [it for it in log_of(place) if it["event"] == "dev"]
    assert [it["step"] for it in dev] == [2, 4, 5]
    for name, values in (("hidden", states), ("attention", scores)):
        layers = (torch.cat(of).mean() for of in zip(*values, strict=True))
        assert dev[-1][f"loss_{name}"] == pytest.approx(sum(map(float, layers)), rel=1e-4)
    assert dev[-1]["loss"] == pytest.approx(dev[-1]["loss_hidden"] + dev[-1]["loss_attention"])


# Going on


class Killed(BaseException):
    pass


def killed_at(monkeypatch: pytest.MonkeyPatch, step: int) -> list[str]:
    """Let the run's process end at a step, counted over all stages; gives the steps that began."""
    real, begun = loop.train_step, []

    def train_step(*arguments: Any) -> Any:
        begun.append("step")
        if len(begun) == step:
            raise Killed
        return real(*arguments)

    monkeypatch.setattr(loop, "train_step", train_step)
    return begun


def test_a_finished_run_is_left_alone(
    recipe: Recipe,
    whole: tuple[Path, dict[str, Any], str, list[Weights]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, summary, *_ = whole
    before, logs = weights_of(folder), [log_of(place_of(folder, stage)) for stage in STAGES]
    begun = killed_at(monkeypatch, 0)
    assert run(recipe, folder, quiet()) == summary
    assert begun == []
    assert_same(weights_of(folder), before)
    assert [log_of(place_of(folder, stage)) for stage in STAGES] == logs


@pytest.mark.parametrize(
    ("step", "left"),
    [
        (4, "between two stages"),
        (8, "within a stage, after a checkpoint and an evaluation"),
    ],
)
def test_resumed_is_uninterrupted(
    recipe: Recipe,
    whole: tuple[Path, dict[str, Any], str, list[Weights]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    left: str,
) -> None:
    """Bit for bit, with dropout; what is finished is not run again."""
    stages = {
        name: replace(stage, selection=replace(stage.selection, checkpoint_every=1e-9))
        for name, stage in recipe.stages.items()
    }
    recipe = replace(recipe, stages=stages)
    with monkeypatch.context() as patch:
        begun = killed_at(patch, step)
        with pytest.raises(Killed):
            run(recipe, tmp_path, quiet())
        assert len(begun) == step
    if left == "between two stages":
        # Killed as the student was replaced: the old one is aside, the new one not there yet.
        student = place_of(tmp_path, "general") / "student"
        student.rename(student.with_name("student.old"))
    begun = killed_at(monkeypatch, 0)
    assert run(recipe, tmp_path, quiet()) == whole[1]
    assert len(begun) == sum(STEPS.values()) - (step - 1)  # no step is taken twice
    assert_same(weights_of(tmp_path), weights_of(whole[0]))


@pytest.mark.parametrize(("by", "kept"), [("loss", 1), ("last", 2)])
def test_which_student_a_stage_ends_with(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: Any, kept: int
) -> None:
    seen: list[Weights] = []

    def dictated(prepared: Any, *_: Any) -> Callable[[], Mapping[str, float]]:
        def evaluate() -> Mapping[str, float]:
            values = prepared.student.state_dict().items()
            seen.append({name: value.clone() for name, value in values})
            return {"loss": (0.3, 0.1, 0.2)[len(seen) - 1]}

        return evaluate

    monkeypatch.setattr(module, "dev_losses", dictated)
    stage = replace(recipe.stages["intermediate"], selection=Selection(by=by, evaluate_every=0.4))
    prepared = prepare(replace(recipe, stages={"only": stage}), load_data(recipe))
    tracking = Tracking(prepared.recipe, tmp_path)
    module.fit_stages(prepared, tmp_path, quiet(), tracking, prepared_keeper(prepared))
    assert len(seen) == 3
    assert_same(load_file(tmp_path / "stages/only/student/model.safetensors"), seen[kept])
    assert_same(prepared.student.state_dict(), seen[kept])


def test_gates_that_are_all_shut(recipe: Recipe, tmp_path: Path) -> None:
    """The step is taken all the same; what is trained beside the student has no gradient then."""
    hidden = replace(recipe.stages["intermediate"].edges["hidden"], gate=Every(2))
    edges = {"hidden": hidden, "importance": recipe.edges["importance"]}
    recipe = replace(recipe, stages={}, edges=edges)
    found = {}
    for steps in (1, 2, 3):
        _, prepared, _ = Loop(recipe, load_data(recipe))(
            tmp_path / str(steps),
            optimisation={"batch_size": 12, "epochs": steps / 3, "schedule": "constant"},
        )
        found[steps] = parameters(prepared)
    assert "graph.1" in found[1]
    assert torch.equal(found[2]["graph.0"], found[1]["graph.0"])
    assert not torch.equal(found[2]["graph.0"], found[3]["graph.0"])


# What a stage reads


def test_unlabelled_text(recipe: Recipe) -> None:
    prepared = prepare(recipe, load_data(recipe))
    data = recipe.stages["general"].data
    windowed = stage_windows(prepared, data, Accelerator(), quiet())
    assert isinstance(data, UnlabelledText)
    lines = Path(str(data.files)).read_text().splitlines()
    decoded = [
        prepared.tokenizer.decode(ids).replace(" ", "") for ids in windowed.rows["input_ids"]
    ]
    assert decoded == lines
    assert set(windowed.rows["label"]) == {-100}


def test_augmented_texts(recipe: Recipe, tmp_path: Path) -> None:
    """They have the labels of the texts that they come from, and parts of speech of their own."""
    masked = tiny_masked_model.write(tmp_path / "masked")
    augmentation = Augmentation(model=masked, copies=3, candidates=4)
    spoken = Edge("spoken", "student", CrossEntropy(), layer=1)
    recipe = replace(
        recipe,
        nodes={**recipe.nodes, "spoken": PartOfSpeech()},
        edges={"prediction": recipe.edges["prediction"], "spoken": spoken},
        augmentation=augmentation,
    )
    console = quiet()
    prepared = prepare(recipe, load_data(recipe))
    windowed = stage_windows(prepared, augmentation, Accelerator(), console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    copies = {it: row for it, row in by_id(windowed).items() if "+" in it}
    assert len(copies) == len(windowed.rows) - 36 > 5
    assert f"train: {len(copies)} copies of 36 texts by augmentation" in printed
    for name, row in copies.items():
        origin = by_id(windowed)[name.rpartition("+")[0]]
        assert row["label"] == origin["label"]
        assert row["input_ids"] != origin["input_ids"]
        assert row["spans"]
    run(replace(recipe, stages={}), tmp_path / "run", quiet())
    steps = [it["step"] for it in log_of(tmp_path / "run") if it["event"] == "train"]
    assert steps[-1] == -(-len(windowed.rows) // 8)


def by_id(windowed: Any) -> dict[str, Any]:
    return {row["page_id"]: row for row in windowed.rows}


def test_pairs_with_single_texts(tmp_path: Path) -> None:
    """General distillation for a task of pairs."""
    tiny_texts.write(tmp_path)
    tiny_texts.write_teachers(tmp_path)
    lines = [f"{text}\t{text[3:]}\t{label}" for text, label in tiny_texts.rows()]
    header = "text\tsecond_text\tlabel"
    (tmp_path / "texts.tsv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    teacher = StudentModel.from_pretrained(tmp_path / "teacher")
    teacher.config.pair_separator = 3
    teacher.save_pretrained(tmp_path / "teacher")
    recipe = tiny_texts.distilled(tmp_path)
    data: Any = replace(recipe.data, second_text="second_text")  # type: ignore[type-var]
    recipe = replace(recipe, data=data)
    prepared = prepare(recipe, load_data(recipe))
    assert prepared.student.config.pair_separator == 3
    run_folder = tmp_path / "run"
    tracking = Tracking(recipe, run_folder)
    module.fit_stages(prepared, run_folder, quiet(), tracking, prepared_keeper(prepared))
    for stage in ("general", "intermediate"):
        assert log_of(tmp_path / "run/stages" / stage)[-1]["loss"] > 0


def prepared_keeper(prepared: Any) -> Callable[[Path], None]:
    return lambda place: prepared.student.save_pretrained(place)


# Students


def with_student(recipe: Recipe, **options: Any) -> Recipe:
    student = replace(recipe.student()[1], **options)
    return replace(recipe, nodes={**recipe.nodes, "student": student})


def test_a_tokenizer_may_be_that_of_a_run(
    recipe: Recipe, whole: tuple[Path, *tuple[Any, ...]]
) -> None:
    found = prepare(with_student(recipe, tokenizer=str(whole[0])), load_data(recipe)).tokenizer
    assert found.get_vocab() == prepare(recipe, load_data(recipe)).tokenizer.get_vocab()


@pytest.mark.parametrize("source", ["teacher", "encoder"])
def test_a_student_may_begin_as_layers_of_a_model(
    recipe: Recipe, source: str, tmp_path: Path
) -> None:
    model = recipe.nodes[source].model  # type: ignore[union-attr]
    small = with_student(recipe, encoder=model, encoder_layers=(2, -1), encoder_config={})
    student = prepare(small, load_data(small)).student
    teacher = StudentModel.from_pretrained(recipe.nodes["teacher"].model)  # type: ignore[union-attr]
    assert student.encoder.config.num_hidden_layers == 2
    theirs = {
        name.replace("layer.1.", "layer.0.").replace("layer.3.", "layer.1."): value
        for name, value in teacher.encoder.state_dict().items()
        if "layer.0." not in name and "layer.2." not in name
    }
    assert_same(student.encoder.state_dict(), theirs)
    student.save_pretrained(tmp_path)
    again = StudentModel.from_pretrained(tmp_path)
    assert_same(again.state_dict(), student.state_dict())


def test_what_a_student_goes_on_with_is_said(recipe: Recipe) -> None:
    model = recipe.nodes["teacher"].model  # type: ignore[union-attr]
    small = with_student(recipe, encoder=model, encoder_config={})
    console = quiet()
    dry_run(small, console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "heads that keep what they know: output; new: none" in printed
    assert printed.count(" an epoch; about ") == 3
    assert "stage general: 3 steps" in printed
    for row in (
        "attention │ encoder │ attention scores │ 1 (1), 2 (2), 3 (3), 4 (4)",
        "importance",
    ):
        assert row.replace(" ", "") in printed.replace(" ", "").replace("┃", "│"), row


def test_layers_that_there_are_not(recipe: Recipe) -> None:
    model = recipe.nodes["teacher"].model  # type: ignore[union-attr]
    small = with_student(recipe, encoder=model, encoder_layers=(2, 5), encoder_config={})
    with pytest.raises(InputError, match=r"^nodes\.student: the student cannot be built: .*got 5"):
        prepare(small, load_data(small))


def test_a_damaged_encoder(recipe: Recipe, tmp_path: Path) -> None:
    student = tiny_task.save_student(tmp_path, ["東京"], classes=["good"])
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    small = with_student(recipe, encoder=student, encoder_config={}, tokenizer=None)
    small = replace(small, edges={"gold": Edge("gold", "student", CrossEntropy())}, stages={})
    with pytest.raises(InputError, match=r"^nodes\.student: the student cannot be built: "):
        prepare(small, load_data(small))


def test_the_stage_of_an_edge_that_does_not_fit_is_named(recipe: Recipe) -> None:
    stage = recipe.stages["general"]
    wrong = Edge("encoder", "student", SoftCrossEntropy())
    recipe = replace(recipe, stages={"general": replace(stage, edges={"classes": wrong})})
    with pytest.raises(
        InputError, match=r"^stages\.general\.edges\.classes: the teacher 'encoder'"
    ):
        prepare(recipe, load_data(recipe))


# Spans


@pytest.fixture(scope="module")
def spans(tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """The tiny task with a random teacher of four layers that is a co-taught student."""
    folder = tmp_path_factory.mktemp("spans") / "teacher"
    _, node = tiny_recipe.student()
    tokenizer = AutoTokenizer.from_pretrained(str(node.tokenizer))
    names = ("exact", "hasty", "partial", "output")
    teacher = tiny_task.random_student(
        tokenizer,
        hidden_size=24,
        num_hidden_layers=4,
        initializer_range=0.4,
        attributes=tiny_task.ATTRIBUTES,
        heads=[{"name": name, "layer": -1} for name in names],
    )
    teacher.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return replace(
        tiny_recipe,
        nodes={**tiny_recipe.nodes, "teacher": Teacher(str(folder))},
        optimisation=replace(tiny_recipe.optimisation, epochs=1),
    )


IMPORTANCE = ImportanceJaccard(IntegratedGradients(nodes=1), temperature=0.2)
INNER = {
    "attention": Edge("teacher", "student", AttentionScores()),
    "hidden": Edge("teacher", "student", HiddenStates()),
}


def test_spans_beside_co_teaching(
    spans: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage, an importance edge in the main one, and the baseline, which has neither."""
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    importance = Edge("teacher", "student", IMPORTANCE, weight=0.5)
    recipe = replace(
        spans,
        stages={"inner": Stage(INNER, optimisation=spans.optimisation)},
        edges={**spans.edges, "importance": importance},
    )
    summary = run(recipe, tmp_path, quiet())
    assert {"student:p", "student:p_out", "student:p_mean"} <= set(summary["scores"])
    assert not (tmp_path / "gold_only/stages").exists()
    line = log_of(tmp_path)[1]
    losses = {name for name in line if name.startswith("loss_")}
    names = ("teams", "gold", "importance", "importance_shuffled_teacher")
    assert losses == {f"loss_{name}" for name in names}
    (dev,) = (it for it in log_of(tmp_path / "stages/inner") if it["event"] == "dev")
    assert dev["loss"] == pytest.approx(dev["loss_attention"] + dev["loss_hidden"])


def test_a_teacher_alone(spans: Recipe, tmp_path: Path) -> None:
    """Its heads are the student's, and pages without gold teach as well."""
    edges = {
        "tags": Edge("teacher", "student", SoftCrossEntropy(temperature=2.0)),
        "importance": Edge("teacher", "student", IMPORTANCE),
    }
    plain = tmp_path / "plain.txt"
    plain.write_text("この城は青森にある。\n山本一郎が築いた。\n" * 20, encoding="utf-8")
    stage = Stage(INNER, data=UnlabelledText(files=str(plain)), optimisation=spans.optimisation)
    recipe = replace(
        spans,
        stages={"general": stage},
        edges=edges,
        objective=WeightedSum(),
        baselines=("vote",),
    )
    prepared = prepare(recipe, load_data(recipe))
    names = ["exact", "hasty", "partial", "output"]
    assert prepared.student.config.head_names == names
    assert prepared.windowed.pages == 7  # six with gold, and one without
    run(recipe, tmp_path / "run", quiet())
    student = StudentModel.from_pretrained(tmp_path / "run/student")
    assert student.config.head_names == names


def test_nothing_teaches_the_heads(spans: Recipe) -> None:
    encoder = replace(spans, edges=INNER, objective=WeightedSum(), baselines=())
    heads = prepare(encoder, load_data(encoder)).student.config.head_names
    assert heads == ["exact", "hasty", "partial", "output"]  # of a teacher that is a student
    bare = Path(spans.nodes["teacher"].model).with_name("bare")  # type: ignore[union-attr]
    teacher = StudentModel.from_pretrained(spans.nodes["teacher"].model)  # type: ignore[union-attr]
    teacher.encoder.save_pretrained(bare)
    AutoTokenizer.from_pretrained(spans.nodes["teacher"].model).save_pretrained(bare)  # type: ignore[union-attr]
    nodes = {**spans.nodes, "teacher": Teacher(str(bare))}
    with pytest.raises(InputError, match=r"^edges: nothing teaches the student's heads"):
        prepare(replace(encoder, nodes=nodes), load_data(encoder))


def test_gold_spans_in_a_stage(spans: Recipe, tiny_corpus: Corpus) -> None:
    """Its loss on dev is that of the dev pages' gold; a page without any counts for nothing."""
    stage = Stage({"gold": Edge("gold", "student", CrossEntropy())})
    prepared = prepare(replace(spans, stages={"gold": stage}), tiny_corpus)
    figures = dev_losses(prepared, prepared.stages["gold"], Accelerator())()
    assert figures["loss_gold"] == figures["loss"] > 0
    empty = replace(tiny_corpus.dev, gold=replace(tiny_corpus.dev.gold, values={}))
    others = prepare(replace(spans, stages={"gold": stage}), replace(tiny_corpus, dev=empty))
    others.student.load_state_dict(prepared.student.state_dict())
    assert dev_losses(others, others.stages["gold"], Accelerator())()["loss"] != figures["loss"]
