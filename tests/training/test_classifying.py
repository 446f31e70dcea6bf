"""Runs that classify texts, with an auxiliary head."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_texts
import torch
from accelerate import Accelerator
from rich.console import Console
from sklearn.metrics import accuracy_score, f1_score
from torch import nn
from transformers import pipeline

from coteach.data.collator import Collator
from coteach.errors import InputError
from coteach.graph import CoTeaching, Edge, PartOfSpeech, UncertaintyWeighting
from coteach.graph.gates import Step
from coteach.losses import CrossEntropy
from coteach.model import Student
from coteach.recipe import Recipe, Selection
from coteach.training.describe import dry_run
from coteach.training.loop import train_step
from coteach.training.prepare import Prepared, load_data, prepare
from coteach.training.run import run


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return tiny_texts.write(tmp_path_factory.mktemp("texts"))


def changed(recipe: Recipe, *, edge: dict[str, Any] | None = None, **student: Any) -> Recipe:
    """With another edge from parts of speech, or another student."""
    nodes = {**recipe.nodes, "student": replace(recipe.student()[1], **student)}
    spoken = replace(recipe.edges["part_of_speech"], **(edge or {}))
    return replace(recipe, nodes=nodes, edges={**recipe.edges, "part_of_speech": spoken})


def prepared_of(recipe: Recipe) -> Prepared:
    return prepare(recipe, load_data(recipe))


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def step_of(prepared: Prepared, rows: int = 12) -> None:
    """The gradients of one step of the loop, left in the student."""
    collate = Collator(prepared.windowed, prepared.tokenizer)
    batch = collate([prepared.windowed.rows[number] for number in range(rows)])
    prepared.student.zero_grad()
    train_step(prepared.student, prepared.graph, [batch], Accelerator(), Step(0.0))


def gradients(prepared: Prepared) -> dict[str, torch.Tensor]:
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in prepared.student.named_parameters()
    }


@pytest.fixture(scope="module")
def finished(
    recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], str]:
    """A run from end to end: its folder, its summary and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "tiny_texts"
    console = quiet()
    long = replace(recipe, optimisation=replace(recipe.optimisation, epochs=12))
    summary = run(long, folder, console)
    return folder, summary, console.file.getvalue()  # type: ignore[attr-defined]


def test_a_run_learns_and_writes_everything(finished: tuple[Path, dict[str, Any], str]) -> None:
    folder, summary, printed = finished
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert summary["task"] == "classification"
    assert summary["classes"] == ["bad", "good", "so-so"]
    assert summary["texts"] == {"train": 36, "dev": 12, "report": 12}
    lines = [json.loads(line) for line in (folder / "report.jsonl").read_text().splitlines()]
    gold, predicted = ([line[key] for line in lines] for key in ("gold", "predicted"))
    student = summary["scores"]["student"]
    assert student["kind"] == "student"
    assert student["accuracy"] == accuracy_score(gold, predicted) > 0.6
    assert student["macro_f1"] == pytest.approx(f1_score(gold, predicted, average="macro"))
    likelihoods = [line["probabilities"][line["gold"]] for line in lines]
    assert student["loss"] == pytest.approx(-np.log(likelihoods).mean(), abs=1e-4)
    assert summary["scores"]["most frequent class"]["loss"] == pytest.approx(np.log(3))
    folds = json.loads((folder / "folds.json").read_text())
    assert len(folds) == 60
    assert {line["id"] for line in lines} == {id for id, fold in folds.items() if fold == 0}
    assert all(sum(line["probabilities"].values()) == pytest.approx(1, abs=1e-5) for line in lines)
    assert "part_of_speech" in printed
    assert "36 training, 12 dev, 12 report texts, 3 classes" in printed


def test_the_kept_student_is_that_of_the_lowest_dev_loss(
    finished: tuple[Path, dict[str, Any], str],
) -> None:
    folder, summary, _ = finished
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    devs = {it["step"]: it for it in log if it["event"] == "dev"}
    best = min(devs.values(), key=lambda it: it["loss"])
    dev = summary["dev"]
    assert dev["step"] == best["step"]
    assert dev["score_name"] == "accuracy"
    assert dev["score"] == best["accuracy"]
    assert dev["figures"]["loss"] == best["loss"]
    train = [it for it in log if it["event"] == "train"]
    assert all("loss_part_of_speech" in it and "loss_gold" in it for it in train)
    for it in train:  # the objective: 1 × main + 0.5 × auxiliary (part-of-speech paper, §3.4)
        expected = it["loss_gold"] + 0.5 * it["loss_part_of_speech"]
        assert it["loss"] == pytest.approx(expected, rel=0.05)  # their batches differ in size


def test_a_student_is_a_pipeline(finished: tuple[Path, dict[str, Any], str]) -> None:
    folder = finished[0]
    lines = [json.loads(line) for line in (folder / "report.jsonl").read_text().splitlines()]
    pipe = pipeline("student-text-classification", model=str(folder / "student"))
    texts = [line["text"] for line in lines]
    found = pipe(texts)
    assert [it["label"] for it in found] == [line["predicted"] for line in lines]
    scores = [line["probabilities"][line["predicted"]] for line in lines]
    assert [it["score"] for it in found] == pytest.approx(scores, abs=1e-5)
    assert pipe(texts[0]) == pytest.approx(found[0])
    every = pipe(texts[0], top_k=None)
    assert [it["score"] for it in every] == sorted((it["score"] for it in every), reverse=True)
    assert len(every) == 3
    assert [it["label"] for it in pipe(iter(texts))] == [it["label"] for it in found]
    with pytest.raises(ValueError, match="expected a text, as in training"):
        pipe(("one", "another"))
    with pytest.raises(ValueError, match="expected top_k"):
        pipe(texts[0], threshold=0.5)


# Frozen layers


@pytest.mark.parametrize("layer", [1, 2, 3, -1])
def test_only_the_layers_that_are_read_learn(recipe: Recipe, tmp_path: Path, layer: int) -> None:
    """Bit for bit, after a run; weight decay must not touch the frozen ones either."""
    frozen = changed(recipe, trained_layers="read", edge={"layer": layer})
    optimisation = replace(frozen.optimisation, epochs=1, weight_decay=0.1)
    frozen = replace(frozen, optimisation=optimisation)
    before = prepared_of(frozen).student.state_dict()
    run(frozen, tmp_path / "run", quiet())
    after = Student.from_pretrained(tmp_path / "run" / "student").state_dict()
    learning = {tiny_texts.LAYERS if layer == -1 else layer, tiny_texts.LAYERS}
    prefixes = tuple(f"encoder.encoder.layer.{number - 1}." for number in learning)
    heads = ("classifier.", "auxiliary.")
    for name, value in before.items():
        same = torch.equal(value, after[name])
        # A key's bias adds the same to all scores of a query: it has no gradient but rounding.
        if name.startswith((*prefixes, *heads)) and not name.endswith("key.bias"):
            assert not same, name
        elif not name.startswith((*prefixes, *heads)):
            assert same, name


def test_nothing_before_the_first_layer_that_learns_is_differentiated(recipe: Recipe) -> None:
    prepared = prepared_of(changed(recipe, trained_layers=(2, -1), edge={"layer": 2}))
    asked: dict[int, bool] = {}
    for number, layer in enumerate(prepared.student.encoder.encoder.layer, start=1):
        layer.register_forward_hook(
            lambda _, __, output, number=number: asked.update(
                {number: (output[0] if isinstance(output, tuple) else output).requires_grad}
            )
        )
    step_of(prepared)
    assert asked == {1: False, 2: True, 3: True}


def test_the_twin_differs_in_the_auxiliary_loss_alone(recipe: Recipe) -> None:
    """Weight 0: the same layers learn, from the same start, and the auxiliary head does not."""
    multi = prepared_of(changed(recipe, trained_layers="read"))
    twin = prepared_of(changed(recipe, trained_layers="read", edge={"weight": 0.0}))
    for (name, ours), (_, theirs) in zip(
        multi.student.named_parameters(), twin.student.named_parameters(), strict=True
    ):
        assert torch.equal(ours, theirs), name
        assert ours.requires_grad == theirs.requires_grad, name
    for prepared in (multi, twin):
        exactly(prepared)
        step_of(prepared)
    found, alone = gradients(multi), gradients(twin)
    assert not any(alone[name].any() for name in alone if name.startswith("auxiliary."))
    assert torch.equal(found["classifier.weight"], alone["classifier.weight"])
    shared = "encoder.encoder.layer.0.output.dense.weight"
    assert not torch.equal(found[shared], alone[shared])


# Objectives


def exactly(prepared: Prepared) -> None:
    prepared.student.double()
    for module in prepared.student.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def test_the_gradient_of_the_sum_is_the_sum_of_gradients(recipe: Recipe) -> None:
    found = []
    for main, auxiliary in ((1.0, 0.5), (1.0, 0.0), (0.0, 1.0)):
        edges = {
            "gold": replace(recipe.edges["gold"], weight=main),
            "part_of_speech": replace(recipe.edges["part_of_speech"], weight=auxiliary),
        }
        prepared = prepared_of(replace(recipe, edges=edges))
        exactly(prepared)
        step_of(prepared)
        found.append(gradients(prepared))
    both, main, auxiliary = found
    for name in both:
        expected = main[name] + 0.5 * auxiliary[name]
        torch.testing.assert_close(both[name], expected, rtol=1e-9, atol=1e-12, msg=name)


def test_the_losses_are_means_of_cross_entropies(recipe: Recipe) -> None:
    """Written from the definition: over texts, and over tokens with text."""
    prepared = prepared_of(recipe)
    exactly(prepared)
    collate = Collator(prepared.windowed, prepared.tokenizer)
    batch = collate([prepared.windowed.rows[number] for number in range(7)])
    output = prepared.student(batch["input_ids"], batch["attention_mask"], tags=True)
    sums = prepared.graph.losses(output, batch, Step(0.0))
    loss = prepared.graph.combine(sums, prepared.graph.totals(batch))
    labels = batch["classes"].tolist()
    main = sum(-output.logits[n].log_softmax(-1)[label] for n, label in enumerate(labels)) / 7
    (tags,) = output.tags
    known = [(row, place) for row, place in (batch["tags"][..., 0] != -100).nonzero().tolist()]
    assert len(known) == sum(len(row["input_ids"]) for row in batch_rows(prepared, 7))
    auxiliary = sum(
        -tags[row, place].log_softmax(-1)[int(batch["tags"][row, place, 0])] for row, place in known
    ) / len(known)
    torch.testing.assert_close(loss, main + 0.5 * auxiliary)


def batch_rows(prepared: Prepared, count: int) -> list[dict[str, Any]]:
    return [prepared.windowed.rows[number] for number in range(count)]


def test_uncertainty_weights_are_learned_kept_and_not_shipped(
    recipe: Recipe, tmp_path: Path
) -> None:
    learned = replace(recipe, objective=UncertaintyWeighting())
    summary = run(learned, tmp_path / "run", quiet())
    assert summary["scores"]["student"]["accuracy"] >= 0
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    last = [it for it in log if it["event"] == "train"][-1]
    # The losses are far above ½, where a weight would be at rest: both weights fall.
    assert 0 < last["weight_gold"] < 1
    assert 0 < last["weight_part_of_speech"] < 1
    names = Student.from_pretrained(tmp_path / "run" / "student").state_dict()
    assert not any("variance" in name for name in names)


def test_uncertainty_weights_go_on_where_they_were(recipe: Recipe, tmp_path: Path) -> None:
    """Bit for bit, in the student as well as in the weights."""
    learned = replace(recipe, objective=UncertaintyWeighting())
    run(learned, tmp_path / "whole", quiet())
    interrupted = tmp_path / "interrupted"
    _interrupt_after(1, learned, interrupted)
    run(learned, interrupted, quiet())
    whole, resumed = (
        Student.from_pretrained(folder / "student").state_dict()
        for folder in (tmp_path / "whole", interrupted)
    )
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def _interrupt_after(evaluations: int, recipe: Recipe, folder: Path) -> None:
    import coteach.training.run as module

    class KilledError(Exception):
        pass

    original: Callable[..., Any] = module.class_evaluation

    def interrupting(*arguments: Any) -> Callable[[], Any]:
        evaluate, done = original(*arguments), 0

        def counted() -> Any:
            nonlocal done
            done += 1
            if done > evaluations:
                raise KilledError
            return evaluate()

        return counted

    module.class_evaluation = interrupting  # type: ignore[assignment]
    try:
        with pytest.raises(KilledError):
            run(recipe, folder, quiet())
    finally:
        module.class_evaluation = original


# What cannot be run, and what can


def test_several_heads_on_several_layers(recipe: Recipe, tmp_path: Path) -> None:
    verbs = PartOfSpeech(classes=("動詞",))
    nodes = {**recipe.nodes, "verbs": verbs}
    student = replace(recipe.student()[1], words=None, trained_layers="read")
    more = Edge("verbs", "student", loss=CrossEntropy(), layer=0, weight=0.1)
    again = replace(recipe.edges["part_of_speech"], layer=2)
    several = replace(
        recipe,
        nodes={**nodes, "student": student},
        edges={**recipe.edges, "verbs": more, "second": again},
    )
    prepared = prepared_of(several)
    heads = prepared.student.config.auxiliary_heads
    assert [(it["name"], it["layer"], len(it["tags"])) for it in heads] == [
        ("part_of_speech", 1, 7),
        ("verbs", 0, 3),
        ("second", 2, 7),
    ]
    assert prepared.student.read_layers == [0, 1, 2, 3]
    summary = run(several, tmp_path / "run", quiet())
    assert summary["scores"]["student"]["texts"] == 12


def test_pairs_have_two_segments(recipe: Recipe, tmp_path: Path) -> None:
    lines = [f"{text}\t{text[:4]}\t{label}" for text, label in tiny_texts.rows()]
    path = tmp_path / "pairs.tsv"
    path.write_text("\n".join(["text\tsecond\tlabel", *lines]) + "\n", encoding="utf-8")
    data = replace(recipe.data, train=str(path), second_text="second")
    summary = run(replace(recipe, data=data), tmp_path / "run", quiet())
    assert summary["texts"]["report"] == 12
    line = json.loads((tmp_path / "run/report.jsonl").read_text().splitlines()[0])
    first, second = line["text"].split("\n")
    pipe = pipeline("student-text-classification", model=str(tmp_path / "run" / "student"))
    found = pipe((first, second))
    assert found["score"] == pytest.approx(max(line["probabilities"].values()), abs=1e-5)
    with pytest.raises(ValueError, match="expected a pair of texts"):
        pipe(first)


def test_a_dry_run_shows_the_graph(recipe: Recipe) -> None:
    console = quiet()
    dry_run(changed(recipe, trained_layers="read"), console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "M learn" in printed
    assert "part_of_speech" in printed
    assert "steps" in printed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": CoTeaching()}, "objective"),
        ({"selection": Selection(thresholds="f1")}, "selection.thresholds"),
        ({"baselines": ("gold_only",)}, "baselines: 'gold_only' is for the extraction"),
        ({"edges": {"p": Edge("part_of_speech", "student")}}, "all are from parts of speech"),
        (
            {"edges": {"gold": Edge("gold", "student", weight=0.0)}},
            "edges: the weight of each is 0",
        ),
        (
            {"edges": {"gold": Edge("gold", "student", smoothing=0.5)}},
            "edges.gold.smoothing: 'gold' is one source.*got 0.5",
        ),
        (
            {"edges": {"gold": Edge("gold", "student"), "more": Edge("gold", "student")}},
            "edges.more.source: 'gold' teaches its heads by 'gold' already",
        ),
    ],
)
def test_what_does_not_fit(recipe: Recipe, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(recipe, **change).check()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trained_layers": (7,)}, r"nodes.student.trained_layers: layer must be in \[-4, 3\].*7"),
        ({"trained_layers": (99, 1)}, r"nodes.student.trained_layers: .*got 99"),
        ({"pooling": "max"}, r"nodes.student.pooling: expected one of .*got 'max'"),
        ({"edge": {"layer": 9}}, r"edges.part_of_speech.layer: layer must be in .*got 9"),
        ({"window": 500}, "nodes.student.window"),
    ],
)
def test_what_does_not_fit_the_encoder(
    recipe: Recipe, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(changed(recipe, **change), tmp_path / "run", quiet())
    assert not (tmp_path / "run").exists()


def test_texts_are_read_from_the_first_line_to_the_last(recipe: Recipe) -> None:
    with pytest.raises(InputError, match=r"nodes.student.trim_head: .*got 1; expected 0"):
        changed(recipe, trim_head=1).check()


def test_layers_that_no_head_reads_do_not_learn(recipe: Recipe) -> None:
    """No gradient would reach them, and data-parallel training would wait for one."""
    edges = {**recipe.edges, "gold": replace(recipe.edges["gold"], layer=2)}
    prepared = prepared_of(replace(recipe, edges=edges))
    learning = [
        all(p.requires_grad for p in layer.parameters())
        for layer in prepared.student.encoder.encoder.layer
    ]
    assert learning == [True, True, False]
    step_of(prepared)
    for name, parameter in prepared.student.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    with pytest.raises(InputError, match=r"trained_layers: layer 3 cannot learn: the highest.*2"):
        prepared_of(replace(changed(recipe, trained_layers=(3,)), edges=edges))


def test_every_fold_has_the_same_tokens(recipe: Recipe) -> None:
    """Made once: text, tokens and labels lie in one file, of which a fold takes its own."""
    found = []
    for fold in range(3):
        prepared = prepared_of(replace(recipe, data=replace(recipe.data, fold=fold)))
        (file,) = {it["filename"] for it in prepared.everything.rows.cache_files}
        found.append(file)
        assert len(prepared.windowed.rows) == 36
        assert set(prepared.windowed.rows["page_id"]) == set(prepared.corpus.train)
    assert len(set(found)) == 1


def test_splitting_at_parts_of_speech_needs_their_node(recipe: Recipe) -> None:
    nodes = {name: node for name, node in recipe.nodes.items() if name != "part_of_speech"}
    edges = {"gold": recipe.edges["gold"]}
    with pytest.raises(InputError, match=r"nodes.student.words: 'part_of_speech'.*got \[\]"):
        replace(recipe, nodes=nodes, edges=edges).check()


def test_a_dry_run_says_where_labels_are_missing(recipe: Recipe) -> None:
    """A class without a word, and words that miss their tokens."""
    spoken = PartOfSpeech(classes=("名詞", "verb"), mapping={"verb": ("VERB",)})
    nodes = {**recipe.nodes, "part_of_speech": spoken}
    console = quiet()
    dry_run(replace(recipe, nodes=nodes), console)
    assert "No word of class verb in what part_of_speech reads" in console.file.getvalue()  # type: ignore[attr-defined]
