"""Edges that compare what student and teacher find important, through the graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_students import tiny_tokenizer
from tiny_teachers import (
    TAGGING,
    batch_of,
    frozen,
    gradients_of,
    graph_of,
    loss_of,
    small_student,
    windowed_of,
    write_teacher,
)
from torch import Tensor

import coteach.graph.importance as module
from coteach.attribution import IntegratedGradients, SpecialTokens, Targets, attribute
from coteach.data.windowed import Windowed
from coteach.errors import InputError
from coteach.graph import Edge, Every
from coteach.graph.build import StudentGraph
from coteach.graph.gates import Step
from coteach.graph.importance import TeacherImportance, shuffled
from coteach.graph.teachers import FrozenTeacher
from coteach.losses import ImportanceJaccard, LogitMeanSquaredError
from coteach.model import Student
from coteach.training.running import Running

LOSS = ImportanceJaccard(
    attribution=IntegratedGradients(nodes=2),
    teacher_nodes=3,
    temperature=0.2,
    normalisation="none",
    engine="graph",
)
TARGETS = ("teacher", "gold", "student")
KINDS = ("texts", "tags")
GOLD_TAGS = {0: [(1, 0, 1), (2, 0, 2), (3, 0, 2)], 3: [(1, 1, 1)]}
"""Of the texts with gold spans: token, attribute and tag; 東京都 is one token."""
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teachers")
    write_teacher(folder / "texts")
    write_teacher(folder / "tags", **TAGGING)
    return folder


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def windowed(folder: Path, kind: str) -> Windowed:
    return windowed_of(folder / "cache", kind == "texts")


@pytest.fixture
def student(kind: str) -> Student:
    return student_of(kind)


@pytest.fixture
def teacher(folder: Path, kind: str) -> FrozenTeacher:
    return frozen(folder / kind)


def student_of(kind: str) -> Student:
    return small_student(**(TAGGING if kind == "tags" else {}))


def graph_with(
    student: Student,
    teacher: FrozenTeacher,
    windowed: Windowed,
    cache: Path,
    loss: ImportanceJaccard = LOSS,
    **options: Any,
) -> StudentGraph:
    edge = Edge("teacher", "student", loss, **options)
    return graph_of(student, {"it": edge}, teacher, windowed, cache)


@pytest.fixture
def attributed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Every model that is explained, call by call."""
    calls: list[Any] = []

    def counted(model: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(model)
        return attribute(model, *arguments, **options)

    monkeypatch.setattr(module, "attribute", counted)
    return calls


# The loss


def texts_of(batch: dict[str, Tensor]) -> list[Tensor]:
    """(1, tokens) of every text, without padding."""
    pairs = zip(batch["input_ids"], batch["attention_mask"], strict=True)
    return [ids[mask > 0].unsqueeze(0) for ids, mask in pairs]


@torch.no_grad()
def answers(model: Student, ids: Tensor) -> list[int]:
    """The number of the best class, or those of the tags B and I that a model finds, by hand."""
    logits = model(ids).logits[0]
    if logits.ndim == 1:
        return [int(logits.argmax())]
    found = []
    mean = logits.softmax(-1).mean(dim=1)  # of one teacher's head and the output head
    for token in range(1, ids.shape[1] - 1):
        for attribute_number in range(mean.shape[1]):
            tag = int(mean[token, attribute_number].argmax())
            if tag:
                found.append((token * mean.shape[1] + attribute_number) * 3 + tag)
    return found


def gold_answers(kind: str, number: int) -> list[int]:
    if kind == "texts":
        return [number % 2]
    return [(token * 2 + of) * 3 + tag for token, of, tag in GOLD_TAGS.get(number, [])]


def scores_of(model: Student, ids: Tensor, target: list[int], nodes: int) -> Tensor:
    """(tokens,), the norm of a text's Integrated Gradients."""
    settings = IntegratedGradients(nodes=nodes)
    tokens = SpecialTokens.of(tiny_tokenizer())
    explained = Targets.from_lists([target])
    found = attribute(model, ids, torch.ones_like(ids), explained, settings, tokens)
    return found.scores[0].double()


def jaccard_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """1 − J of two distributions (importance-transfer thesis, eq. 3.2 to 3.6)."""
    p, q = (student / temperature).softmax(dim=0), (teacher / temperature).softmax(dim=0)
    common = (p * q).sum()
    return 1 - common / ((p**2).sum() + (q**2).sum() - common)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kept", [False, True])
def test_the_loss_of_a_batch(
    student: Student,
    teacher: FrozenTeacher,
    windowed: Windowed,
    kind: str,
    tmp_path: Path,
    target: Any,
    kept: bool,
) -> None:
    """As of each text by itself; one without spans has none."""
    loss = replace(LOSS, target=target)
    graph = graph_with(student, teacher, windowed, tmp_path, loss, weight=0.5)
    batch = batch_of(windowed)
    if kept:
        graph.remember(windowed, [batch_of(windowed, 1, 2), batch_of(windowed, 3, 0)], CPU)
    expected, present = 0.0, 0
    assert teacher.student is not None
    for number, ids in enumerate(texts_of(batch)):
        chosen = {
            "teacher": answers(teacher.student, ids),
            "student": answers(student, ids),
            "gold": gold_answers(kind, number),
        }[target]
        present += bool(chosen)
        if chosen:
            mine = scores_of(student, ids, chosen, nodes=2)
            expected += jaccard_loss(mine, scores_of(teacher.student, ids, chosen, 3), 0.2).item()
    assert present >= 2
    assert kind == "texts" or target != "gold" or present == 2
    found = loss_of(graph, batch).item()
    assert found == pytest.approx(0.5 * expected / 4, rel=1e-4)
    assert found > 1e-3


@pytest.mark.parametrize("target", TARGETS)
def test_accumulation_is_one_large_batch(
    student: Student, teacher: FrozenTeacher, windowed: Windowed, tmp_path: Path, target: Any
) -> None:
    graph = graph_with(student, teacher, windowed, tmp_path, replace(LOSS, target=target))
    graph.remember(windowed, [batch_of(windowed)], CPU)
    whole = gradients_of(graph, loss_of(graph, batch_of(windowed)))
    pieces = batch_of(windowed, 0), batch_of(windowed, 3, 1, 2)
    parts = gradients_of(graph, loss_of(graph, *pieces))
    # The teacher's importances are float32: computed at each step, they depend on the padding.
    close = {"rtol": 1e-4, "atol": 1e-7} if target == "student" else {"rtol": 1e-6, "atol": 1e-8}
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, msg=name, **close)


@pytest.mark.parametrize("engine", ["two_pass", "finite_difference"])
def test_every_engine_takes_the_same_step(
    student: Student,
    teacher: FrozenTeacher,
    windowed: Windowed,
    tmp_path: Path,
    engine: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With dropout around it, which attributions do not feel."""
    found, used = {}, []

    def noted(*arguments: Any, **options: Any) -> Any:
        used.extend(arguments[6:])
        return attribute(*arguments, **options)

    monkeypatch.setattr(module, "attribute", noted)
    student.train()
    for name in ("graph", engine):
        graph = graph_with(student, teacher, windowed, tmp_path, replace(LOSS, engine=name))
        found[name] = gradients_of(graph, loss_of(graph, batch_of(windowed)))
        assert all(part.training for part in student.modules())
    assert used == ["graph", engine]
    largest = max(gradient.abs().max() for gradient in found["graph"].values())
    for name, gradient in found["graph"].items():
        torch.testing.assert_close(
            found[engine][name], gradient, rtol=1e-5, atol=1e-6 * float(largest), msg=name
        )


def test_what_the_importance_depends_on_learns(
    student: Student, teacher: FrozenTeacher, windowed: Windowed, tmp_path: Path
) -> None:
    """All that an answer depends on, the embedding of [PAD], the baseline, among them."""
    graph = graph_with(student, teacher, windowed, tmp_path)
    gradients = gradients_of(graph, loss_of(graph, batch_of(windowed)))
    without = {name for name, gradient in gradients.items() if not gradient.abs().max() > 0}
    assert without <= {name for name in gradients if "key.bias" in name}  # softmax is blind to it
    padding = gradients["encoder.embeddings.word_embeddings.weight"][0]
    assert padding.abs().max() > 0


def test_the_engine_that_is_chosen_is_said(
    student: Student, teacher: FrozenTeacher, windowed: Windowed, tmp_path: Path
) -> None:
    said = {}
    for nodes, engine in ((2, "auto"), (5, "auto"), (2, "two_pass")):
        settings = IntegratedGradients(nodes=nodes)
        loss = replace(LOSS, attribution=settings, engine=engine)
        graph = graph_with(student, teacher, windowed, tmp_path, loss)
        said[nodes, engine] = graph.edges["it"].engine
    assert said[2, "two_pass"] is None
    assert str(said[2, "auto"]).startswith("graph: ")
    assert str(said[5, "auto"]).startswith("two_pass: ")


def test_the_engine_is_chosen_on_the_device(
    student: Student,
    teacher: FrozenTeacher,
    windowed: Windowed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether a student has a double backward depends on it, and can be tried there alone."""
    graph = graph_with(student, teacher, windowed, tmp_path, replace(LOSS, engine="auto"))
    seen = []

    def choose(student: Student, _: object, device: torch.device) -> tuple[str, str]:
        seen.append((student.device, device))
        return "graph", ""

    monkeypatch.setattr(module, "choose_engine", choose)
    meta = torch.device("meta")
    graph.to(meta)
    assert seen == [(meta, meta)]
    assert teacher.model.device == meta


# The floor


def test_shuffled() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(3, 40, generator=generator)
    mask = torch.arange(40) < torch.tensor([[40], [25], [1]])
    mask[1, :5] = False  # padding may stand on the left
    scores = scores.masked_fill(~mask, 0.0)
    found = shuffled(scores, mask, 3)
    for row, before, known in zip(found, scores, mask, strict=True):
        assert torch.equal(row[known].sort().values, before[known].sort().values)
        assert not row[~known].any()
    assert (found[:2] != scores[:2])[mask[:2]].float().mean() > 0.9
    assert torch.equal(shuffled(scores, mask, 3), found)
    assert not torch.equal(shuffled(scores, mask, 4), found)
    state = torch.get_rng_state()
    shuffled(scores, mask, 5)
    assert torch.equal(torch.get_rng_state(), state)  # dropout does not feel it


def test_the_floor_is_told_beside_the_loss(
    student: Student, teacher: FrozenTeacher, windowed: Windowed, kind: str, tmp_path: Path
) -> None:
    """What the loss would be, were the teacher's scores dealt out by chance."""
    graph = graph_with(student, teacher, windowed, tmp_path, replace(LOSS, target="gold"))
    batch = batch_of(windowed)
    sums = graph.losses(graph.ask(student, batch), batch, Step(0.0, 7))
    figures = Running.of(sums, torch.zeros(())).edge_means()
    assert set(figures) == {"loss_it", "loss_it_shuffled_teacher"}
    assert teacher.student is not None
    ids, mask = batch["input_ids"], batch["attention_mask"]
    targets = Targets.from_lists([gold_answers(kind, number) for number in range(4)])
    tokens = SpecialTokens.of(tiny_tokenizer())
    settings = [IntegratedGradients(nodes=nodes) for nodes in (3, 2)]
    models = (teacher.student, student)
    theirs, mine = (
        attribute(model, ids, mask, targets, of, tokens).scores.double()
        for model, of in zip(models, settings, strict=True)
    )
    dealt = shuffled(theirs, mask > 0, 7)
    floors = [
        jaccard_loss(mine[number, : int(row.sum())], dealt[number, : int(row.sum())], 0.2).item()
        for number, row in enumerate(mask)
        if gold_answers(kind, number)
    ]
    assert figures["loss_it_shuffled_teacher"] == pytest.approx(sum(floors) / len(floors), rel=1e-4)


# What there is nothing to say about


@pytest.mark.parametrize("engine", ["graph", "two_pass", "finite_difference"])
def test_without_spans_there_is_no_loss(folder: Path, tmp_path: Path, engine: Any) -> None:
    """Text 1 is not processed by the gold, text 2 has no span."""
    windowed = windowed_of(folder / "cache", of_texts=False)
    student = student_of("tags")
    loss = replace(LOSS, target="gold", engine=engine)
    graph = graph_with(student, frozen(folder / "tags"), windowed, tmp_path, loss)
    batch = batch_of(windowed, 1, 2)
    sums = graph.losses(graph.ask(student, batch), batch, Step(0.0))
    assert not sums["it"].losses.any()
    assert Running.of(sums, torch.zeros(())).edge_means() == {}
    found = gradients_of(graph, loss_of(graph, batch))
    assert all(torch.equal(it, torch.zeros_like(it)) for it in found.values())
    # Beside a text with spans they change nothing but the number of texts.
    alone = gradients_of(graph, loss_of(graph, batch_of(windowed, 0)))
    together = gradients_of(graph, loss_of(graph, batch_of(windowed, 0, 1, 2)))
    largest = max(float(it.abs().max()) for it in alone.values())
    for name, gradient in alone.items():
        torch.testing.assert_close(
            3 * together[name], gradient, rtol=1e-4, atol=1e-5 * largest, msg=name
        )


# Gates and evaluation


def test_a_shut_gate_computes_nothing(
    student: Student,
    teacher: FrozenTeacher,
    windowed: Windowed,
    tmp_path: Path,
    attributed: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = graph_with(student, teacher, windowed, tmp_path, gate=Every(2))
    asked = []
    real = FrozenTeacher.__call__
    monkeypatch.setattr(
        FrozenTeacher, "__call__", lambda self, *a: asked.append(len(a[0])) or real(self, *a)
    )
    batch = batch_of(windowed)
    told, losses = [], []
    for number in range(4):
        sums = graph.losses(graph.ask(student, batch), batch, Step(0.0, number))
        losses.append(float(graph.combine(sums, graph.totals(batch)).detach()))
        told.append(set(Running.of(sums, torch.zeros(())).edge_means()))
    assert attributed == [teacher.student, student] * 2
    assert asked == [4, 4]
    assert losses[0] == losses[2] > 0 == losses[1] == losses[3]
    assert told == [{"loss_it", "loss_it_shuffled_teacher"}, set()] * 2


def test_an_edge_of_no_weight_asks_nobody(
    student: Student, teacher: FrozenTeacher, windowed: Windowed, tmp_path: Path
) -> None:
    edges = {
        "it": Edge("teacher", "student", LOSS, weight=0.0),
        "other": Edge("teacher", "student", LogitMeanSquaredError()),
    }
    assert list(graph_of(student, edges, teacher, windowed, tmp_path).edges) == ["other"]
    del edges["other"]
    assert not graph_of(student, edges, teacher, windowed, tmp_path).teachers


def test_an_evaluation_needs_no_gradients(
    student: Student, teacher: FrozenTeacher, windowed: Windowed, tmp_path: Path
) -> None:
    graph = graph_with(student, teacher, windowed, tmp_path)
    expected = loss_of(graph, batch_of(windowed))
    with torch.no_grad():
        found = loss_of(graph, batch_of(windowed))
    assert not found.requires_grad
    assert float(found) == pytest.approx(expected.item())


# The teacher's importances on disk


def test_importances_on_disk_are_those_computed(
    teacher: FrozenTeacher, windowed: Windowed, tmp_path: Path, attributed: list[Any]
) -> None:
    """By the text and by what is explained of it; other settings are asked for anew."""
    tokens = SpecialTokens.of(tiny_tokenizer())
    targets = Targets.from_lists([[0], [1], [0, 1], [1]])

    def ask(loss: ImportanceJaccard, *numbers: int, keep: bool = True) -> Tensor:
        importance = TeacherImportance(teacher, loss, tokens, tmp_path)
        batch, explained = batch_of(windowed, *numbers), targets.at(numbers)
        if keep:
            importance.remember(batch, explained)
            importance.flush()
        return importance(batch["input_ids"], batch["attention_mask"], explained)

    fresh = ask(LOSS, 0, 2, keep=False)
    assert len(attributed) == 1
    ask(LOSS, 0, 1, 2, 3)
    assert len(attributed) == 2
    found = ask(LOSS, 0, 2)
    assert len(attributed) == 2
    torch.testing.assert_close(found, fresh, rtol=1e-4, atol=1e-5)
    mask = batch_of(windowed, 0, 2)["attention_mask"]
    assert not found[mask == 0].any()
    assert found.abs().max() > 1e-3
    same = replace(LOSS, temperature=1.0, target="gold", normalisation="mean")
    ask(same, 0, 1, 2, 3)  # what does not change the teacher's scores
    assert len(attributed) == 2
    targets = Targets.from_lists([[1], [1], [0, 1], [1]])
    ask(LOSS, 0, 1, 2, 3)
    ask(replace(LOSS, teacher_nodes=4), 0)
    ask(replace(LOSS, attribution=IntegratedGradients(nodes=2, baseline="zero")), 0)
    assert len(attributed) == 5


def test_a_graph_asks_once(
    student: Student,
    teacher: FrozenTeacher,
    windowed: Windowed,
    tmp_path: Path,
    attributed: list[Any],
) -> None:
    for _ in range(2):  # two stages, or a run that goes on
        graph = graph_with(student, teacher, windowed, tmp_path)
        assert graph.remember(windowed, [batch_of(windowed)], CPU) == []
        loss_of(graph, batch_of(windowed, 2, 1))
    assert attributed == [teacher.student, student, student]


# What must fit


@pytest.mark.parametrize(
    ("place", "loss", "options", "message"),
    [
        ("texts", {}, {"classes": ["one", "two"]}, "the teacher 'teacher' knows the classes "),
        (
            "encoder",
            {},
            {},
            r"the teacher 'teacher' is a bare encoder, which has no classes or tags",
        ),
        (
            "texts",
            {"attribution": IntegratedGradients(baseline="mask")},
            {},
            'the tokenizer has no token for "mask"',
        ),
        (
            "tags",
            {"attribution": IntegratedGradients(output="logit")},
            TAGGING,
            "the answer of 2 heads is the mean of their probabilities",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    folder: Path, tmp_path: Path, place: str, loss: Any, options: dict[str, Any], message: str
) -> None:
    if place == "encoder":
        frozen(folder / "texts").encoder.save_pretrained(tmp_path / "encoder")
        tiny_tokenizer().save_pretrained(tmp_path / "encoder")
    teacher = frozen(tmp_path / place if place == "encoder" else folder / place)
    windowed = windowed_of(folder / "cache", "attributes" not in options)
    with pytest.raises(InputError, match=r"^edges\.it[.:].*" + message) as raised:
        graph_with(small_student(**options), teacher, windowed, tmp_path, replace(LOSS, **loss))
    if "attribution" in loss:
        assert ".loss.attribution." in str(raised.value)


def test_gold_spans_need_a_node(folder: Path, tmp_path: Path) -> None:
    windowed = windowed_of(folder / "cache", of_texts=False)
    edge = Edge("teacher", "student", replace(LOSS, target="gold"))
    with pytest.raises(InputError, match=r"^edges\.it\.loss\.target: 'gold' needs a node Gold"):
        module.ImportanceEdge(
            "it",
            edge,
            student_of("tags"),
            frozen(folder / "tags"),
            tiny_tokenizer(),
            None,
            tmp_path,
        )
    assert windowed.sources == ("gold",)
