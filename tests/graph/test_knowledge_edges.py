"""Edges from a teacher's logits, hidden states and attention, through the graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import tiny_masked_model
import torch
from tiny_teachers import (
    ATTRIBUTES,
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
from torch.nn.functional import huber_loss

from coteach.data.windowed import Windowed
from coteach.errors import InputError
from coteach.graph import Edge, Every
from coteach.graph.build import StudentGraph
from coteach.graph.gates import Step
from coteach.graph.knowledge import KnowledgeEdge
from coteach.graph.teachers import FrozenTeacher
from coteach.losses import (
    AttentionScores,
    AttentionTransfer,
    Dist,
    HiddenStates,
    ImportanceJaccard,
    KnowledgeLoss,
    KullbackLeibler,
    LogitMeanSquaredError,
    RelationalDistances,
    SoftCrossEntropy,
)
from coteach.model import Student
from coteach.training.running import Running

Models = tuple[Student, FrozenTeacher]
STUDENT_HEADS = [
    {"name": "other", "layer": -1},
    {"name": "output", "layer": -1},
    {"name": "team", "layer": 1},
]
"""Of the teacher's two, in another order, and one that it does not have."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Teachers of texts and of tags, and the windows' cache."""
    folder = tmp_path_factory.mktemp("teachers")
    write_teacher(folder / "texts")
    write_teacher(folder / "tags", **TAGGING)
    return folder


@pytest.fixture(scope="module", params=["texts", "tags"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def models(folder: Path, kind: str) -> Models:
    options = {**TAGGING, "heads": STUDENT_HEADS} if kind == "tags" else {}
    return small_student(**options), frozen(folder / kind)


@pytest.fixture(scope="module")
def windowed(folder: Path, kind: str) -> Windowed:
    return windowed_of(folder / "cache", kind == "texts")


def graph_with(
    loss: KnowledgeLoss, models: Models, windowed: Windowed, cache: Path, **options: Any
) -> StudentGraph:
    edge = Edge("teacher", "student", loss, **options)
    return graph_of(models[0], {"it": edge}, models[1], windowed, cache)


# What each loss is, from its definition, on texts that are read one by one, without padding.


@torch.no_grad()
def read(
    model: Student, batch: dict[str, Tensor], layers: range
) -> list[tuple[Tensor, list[Tensor], list[Tensor]]]:
    """Of every text the logits, the hidden states from layer 0, and attention scores from 1."""
    result = []
    for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
        text = ids[mask > 0].unsqueeze(0)
        output = model(text, hidden_states=tuple(layers), attention_scores=tuple(layers)[1:])
        states = [it[0].double() for it in output.hidden_states]
        scores = [it[0].double() for it in output.attention_scores]
        result.append((output.logits[0].double(), states, scores))
    return result


def mean(values: list[Tensor]) -> Tensor:
    return torch.cat([value.flatten() for value in values]).mean()


def attention(pairs: list[Any], _: StudentGraph) -> Tensor:
    total = torch.zeros(())
    for mine, theirs in ((1, 2), (2, 4)):
        total = total + mean(
            [(student[2][mine - 1] - teacher[2][theirs - 1]) ** 2 for student, teacher in pairs]
        )
    return total


def hidden(pairs: list[Any], graph: StudentGraph) -> Tensor:
    own = dict(graph.learned.named_parameters())
    total = torch.zeros(())
    for mine, theirs in ((0, 0), (1, 2), (2, 4)):
        name = "edge it.projections."
        name += "embeddings" if mine == 0 and name + "embeddings.weight" in own else "layers"
        weight, bias = own[name + ".weight"].detach(), own[name + ".bias"].detach()
        total = total + mean(
            [
                (student[1][mine] @ weight.T + bias - teacher[1][theirs]) ** 2
                for student, teacher in pairs
            ]
        )
    return total


def transfer(pairs: list[Any], _: StudentGraph) -> Tensor:
    total = torch.zeros(())
    for mine, theirs in ((1, 2), (2, 4)):
        distances = []
        for student, teacher in pairs:
            maps = [student[2][mine - 1], teacher[2][theirs - 1]]
            maps = [it.softmax(dim=-1).mean(dim=0).flatten() for it in maps]
            distances.append((maps[0] / maps[0].norm() - maps[1] / maps[1].norm()).norm())
        total = total + mean(distances)
    return total


def relations(pairs: list[Any], _: StudentGraph) -> Tensor:
    sides = []
    for side, layer in ((0, 2), (1, 4)):
        texts = [pair[side][1][layer].mean(dim=0) for pair in pairs]
        found = [(a - b).norm() for n, a in enumerate(texts) for b in texts[n + 1 :]]
        sides.append(torch.stack(found) / torch.stack(found).mean())
    # The mean over pairs, shared among the texts, whose mean it is then once more.
    return huber_loss(sides[0], sides[1])


def units(pairs: list[Any]) -> list[tuple[Tensor, Tensor]]:
    """The logits of both sides, (units, classes): a text, or its tags without special tokens."""
    result = []
    for (mine, *_), (theirs, *_) in pairs:
        if mine.ndim == 1:
            result.append((mine[None], theirs[None]))
            continue
        heads = [mine[1:-1, 1], mine[1:-1, 2]], [theirs[1:-1, 1], theirs[1:-1, 0]]
        joined = [torch.stack(side).reshape(-1, 3) for side in heads]
        result.append((joined[0], joined[1]))
    return result


def soft(pairs: list[Any], _: StudentGraph) -> Tensor:
    return mean(
        [
            -((theirs / 2).softmax(-1) * (mine / 2).log_softmax(-1)).sum(-1)
            for mine, theirs in units(pairs)
        ]
    )


def soft_parity(pairs: list[Any], _: StudentGraph) -> Tensor:
    return mean([-theirs.softmax(-1) * mine.log_softmax(-1) for mine, theirs in units(pairs)])


def squared(pairs: list[Any], _: StudentGraph) -> Tensor:
    return mean([(mine - theirs) ** 2 for mine, theirs in units(pairs)])


def divergence(pairs: list[Any], _: StudentGraph) -> Tensor:
    found = []
    for mine, theirs in units(pairs):
        p, q = (theirs / 3).softmax(-1), (mine / 3).softmax(-1)
        found.append(9 * (p * (p / q).log()).sum(-1))
    return mean(found)


def correlations(pairs: list[Any], _: StudentGraph) -> Tensor:
    sides = [torch.cat([unit[side].softmax(-1) for unit in units(pairs)]) for side in (0, 1)]

    def pearson(left: Tensor, right: Tensor) -> Tensor:
        left, right = left - left.mean(), right - right.mean()
        return (left * right).sum() / (left.norm() * right.norm())

    between = mean([1 - pearson(a, b) for a, b in zip(*sides, strict=True)])
    within = mean([1 - pearson(a, b) for a, b in zip(sides[0].T, sides[1].T, strict=True)])
    return 2 * between + 0.5 * within


NAIVE: list[tuple[Any, Callable[[list[Any], StudentGraph], Tensor]]] = [
    (AttentionScores(), attention),
    (HiddenStates(), hidden),
    (HiddenStates(projection="separate"), hidden),
    (AttentionTransfer(), transfer),
    (RelationalDistances(), relations),
    (SoftCrossEntropy(temperature=2.0), soft),
    (SoftCrossEntropy(parity=True), soft_parity),
    (LogitMeanSquaredError(), squared),
    (KullbackLeibler(temperature=3.0), divergence),
    (Dist(inter=2.0, intra=0.5), correlations),
]
BATCHWISE = (Dist, RelationalDistances)
EXACTLY = {"rtol": 1e-9, "atol": 1e-12}


def test_every_loss_is_here() -> None:
    assert {type(loss) for loss, _ in NAIVE} | {ImportanceJaccard} == set(get_args(KnowledgeLoss))


@pytest.mark.parametrize(("loss", "naive"), NAIVE, ids=lambda it: repr(it)[:40])
@pytest.mark.parametrize("kept", [False, True])
def test_the_loss_of_a_batch(
    models: Models,
    windowed: Windowed,
    tmp_path: Path,
    loss: Any,
    naive: Callable[[list[Any], StudentGraph], Tensor],
    kept: bool,
) -> None:
    """Whether the teacher's answers come from the disk or not."""
    graph = graph_with(loss, models, windowed, tmp_path, weight=0.5)
    if kept:
        graph.remember(windowed, [batch_of(windowed, 1), batch_of(windowed, 3, 0, 2)], device())
        assert graph.teachers["teacher"].is_kept
    batch = batch_of(windowed)
    student, teacher = models
    pairs = list(
        zip(
            read(student, batch, range(3)),
            read(teacher.student, batch, range(5)),  # type: ignore[arg-type]
            strict=True,
        )
    )
    found = loss_of(graph, batch).item()
    assert found == pytest.approx(0.5 * float(naive(pairs, graph)), rel=2e-5)
    assert found > 1e-4


def device() -> torch.device:
    return torch.device("cpu")


@pytest.mark.parametrize("loss", [AttentionScores(parity=True), HiddenStates(parity=True)])
def test_parity_counts_padding(
    models: Models, windowed: Windowed, tmp_path: Path, loss: Any
) -> None:
    """As in the original code: means over everything, keys that are padding being equal."""
    graph, batch = graph_with(loss, models, windowed, tmp_path), batch_of(windowed)
    own = dict(graph.learned.named_parameters())
    ids, mask = batch["input_ids"], batch["attention_mask"]
    student, teacher = (
        model(ids, mask, hidden_states=range(depth + 1), attention_scores=range(1, depth + 1))
        for model, depth in ((models[0], 2), (models[1].student, 4))
    )
    expected = torch.zeros(())
    for mine, theirs in ((1, 2), (2, 4)):
        if isinstance(loss, AttentionScores):
            both = student.attention_scores[mine - 1], teacher.attention_scores[theirs - 1]
            difference = (both[0] - both[1]).masked_fill(mask[:, None, None] == 0, 0)
            expected = expected + (difference**2).mean()
    if isinstance(loss, HiddenStates):
        weight, bias = (
            own["edge it.projections.layers.weight"],
            own["edge it.projections.layers.bias"],
        )
        for mine, theirs in ((0, 0), (1, 2), (2, 4)):
            projected = student.hidden_states[mine] @ weight.T + bias
            expected = expected + ((projected - teacher.hidden_states[theirs]) ** 2).mean()
    assert loss_of(graph, batch).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("loss", [it for it, _ in NAIVE if not isinstance(it, BATCHWISE)], ids=repr)
def test_accumulation_is_one_large_batch(
    models: Models, windowed: Windowed, tmp_path: Path, loss: Any
) -> None:
    """The micro-batches are padded to other lengths, and of other sizes."""
    graph = graph_with(loss, models, windowed, tmp_path)
    graph.remember(windowed, [batch_of(windowed)], device())
    whole = gradients_of(graph, loss_of(graph, batch_of(windowed)))
    pieces = batch_of(windowed, 0), batch_of(windowed, 3, 1, 2)
    assert pieces[0]["input_ids"].shape[1] < pieces[1]["input_ids"].shape[1]
    parts = gradients_of(graph, loss_of(graph, *pieces))
    # Of the teacher's scores, float32, the softmax's digits depend on the padding.
    close = {"rtol": 1e-4, "atol": 1e-6} if isinstance(loss, AttentionTransfer) else EXACTLY
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, msg=name, **close)
    assert all(gradient.abs().max() > 0 for name, gradient in whole.items() if "graph" in name)
    encoder = [gradient for name, gradient in whole.items() if name.startswith("encoder.")]
    assert sum(bool(gradient.abs().max() > 0) for gradient in encoder) >= 20


def test_several_edges_of_one_teacher(
    models: Models, windowed: Windowed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked about everything at once, and each edge finds its own."""
    losses: dict[str, Any] = {
        "upper": AttentionScores(layers=((2, 3),)),
        "lower": AttentionScores(layers=((1, 1), (2, 1))),
        "hidden": HiddenStates(layers=((2, 1), (0, 3))),
        "logits": LogitMeanSquaredError(),
    }
    edges = {name: Edge("teacher", "student", loss) for name, loss in losses.items()}
    batch = batch_of(windowed)
    graph = graph_of(models[0], edges, models[1], windowed, tmp_path)
    asked = []
    real = FrozenTeacher.__call__

    def counted(self: FrozenTeacher, *arguments: Any) -> Any:
        asked.append(arguments[-1])
        return real(self, *arguments)

    monkeypatch.setattr(FrozenTeacher, "__call__", counted)
    together = loss_of(graph, batch).item()
    (question,) = asked
    assert question.hidden_states == (1, 3)
    assert question.attention_scores == (1, 3)
    alone = 0.0
    for name, edge in edges.items():
        graph_alone = graph_of(models[0], {name: edge}, models[1], windowed, tmp_path)
        graph_alone.learned.load_state_dict(
            {k: v for k, v in graph.learned.state_dict().items() if k.startswith(f"edge {name}.")}
        )
        alone += loss_of(graph_alone, batch).item()
    assert together == pytest.approx(alone)


# Gates


def test_a_shut_gate_computes_nothing(
    models: Models, windowed: Windowed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_with(HiddenStates(), models, windowed, tmp_path, gate=Every(3))
    calls = []
    real = KnowledgeEdge.sums_of
    monkeypatch.setattr(
        KnowledgeEdge, "sums_of", lambda *arguments: calls.append(1) or real(*arguments)
    )
    monkeypatch.setattr(
        FrozenTeacher, "__call__", lambda self, *a: calls.append(2) or torch.zeros(())
    )
    batch = batch_of(windowed)
    output = graph.ask(graph.student, batch)
    sums = graph.losses(output, batch, Step(0.5, 4))
    assert calls == []
    assert float(graph.combine(sums, graph.totals(batch))) == 0
    assert Running.of(sums, torch.zeros(())).edge_means() == {}


# What must fit


def tagging(**options: Any) -> dict[str, Any]:
    return {**TAGGING, **options}


@pytest.mark.parametrize(
    ("place", "loss", "options", "message"),
    [
        (
            "texts",
            HiddenStates(),
            {"encoder": {"num_hidden_layers": 3}},
            r"edges\.it\.loss: \"the teacher 'teacher'\" has 4 layers, no multiple of the 3 of "
            r"\"the student 'student'\"",
        ),
        (
            "texts",
            AttentionScores(),
            {"encoder": {"num_attention_heads": 2}},
            r"edges\.it\.loss: .* got 2 in \"the student 'student'\" and 4 in "
            r"\"the teacher 'teacher'\"",
        ),
        (
            "texts",
            HiddenStates(projection="none"),
            {},
            r"edges\.it\.loss: .* got 16 in \"the student 'student'\" and 24 in "
            r"\"the teacher 'teacher'\"",
        ),
        (
            "texts",
            AttentionScores(layers=((1, 5),)),
            {},
            r"edges\.it\.loss: pair 1 of layers, \(1, 5\).*a layer of \"the teacher 'teacher'\"",
        ),
        (
            "tags",
            SoftCrossEntropy(),
            tagging(heads=[{"name": "mine", "layer": -1}]),
            r"edges\.it: the teacher 'teacher' has none of the student's heads \['mine'\]; it has "
            r"\['team', 'output'\]",
        ),
        (
            "texts",
            SoftCrossEntropy(),
            TAGGING,
            r"edges\.it: the teacher 'teacher' knows the classes \['positive', 'negative'\]",
        ),
        ("texts", HiddenStates(), {"window": 63}, r"nodes\.teacher\.model: the teacher holds 62"),
    ],
)
def test_what_does_not_fit_is_refused(
    folder: Path, tmp_path: Path, place: str, loss: Any, options: dict[str, Any], message: str
) -> None:
    of_texts = "attributes" not in options
    windowed = windowed_of(folder / "cache", of_texts)
    models = small_student(**options), frozen(folder / place)
    with pytest.raises(InputError, match="^" + message):
        graph_with(loss, models, windowed, tmp_path)


def test_a_student_without_attention_scores_is_refused(folder: Path, tmp_path: Path) -> None:
    place = tiny_masked_model.write(tmp_path / "modern", "modernbert")
    config = small_student().config
    config.window = 40
    modern = Student.from_encoder(place, config)
    teacher = frozen(folder / "texts")
    teacher.shape = replace(teacher.shape, heads=2)
    edge = Edge("teacher", "student", AttentionScores())
    message = r"^edges\.it: the student 'student': ModernBertModel: the attention scores of layer"
    with pytest.raises(InputError, match=message):
        KnowledgeEdge("it", edge, modern, teacher)
    KnowledgeEdge("it", replace(edge, loss=HiddenStates()), modern, teacher)


def test_special_tokens_have_no_tags(folder: Path, tmp_path: Path) -> None:
    """Whatever the models say of [CLS] and [SEP] is left out, also in a full row."""
    windowed = windowed_of(folder / "cache", of_texts=False)
    models = small_student(**TAGGING), frozen(folder / "tags")
    graph = graph_with(LogitMeanSquaredError(), models, windowed, tmp_path)
    edge = graph.edges["it"]
    lengths = (8, 5)
    mask = torch.zeros(2, 8, dtype=torch.long)
    for row, length in zip(mask, lengths, strict=True):
        row[:length] = 1
    counts = edge.counts_of({"attention_mask": mask})
    per_token = 2 * len(ATTRIBUTES)
    assert counts.flatten().tolist() == [per_token * (length - 2) for length in lengths]


def test_people_see_the_layers(models: Models, windowed: Windowed, tmp_path: Path) -> None:
    found = {}
    for loss in (HiddenStates(), AttentionScores(layers=((2, 3),)), SoftCrossEntropy()):
        edge = graph_with(loss, models, windowed, tmp_path).edges["it"]
        found[type(loss)] = (edge.names, edge.members, edge.where)
    assert found == {
        HiddenStates: (["hidden states"], ["teacher"], "0 (0), 1 (2), 2 (4)"),
        AttentionScores: (["attention scores"], ["teacher"], "2 (3)"),
        SoftCrossEntropy: (["logits"], ["teacher"], "-"),
    }
