from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from coteach.data.collator import Collator
from coteach.data.corpus import Corpus
from coteach.data.pages import Annotations
from coteach.data.sources import Split
from coteach.data.windowed import Windowed
from coteach.errors import InputError
from coteach.graph import (
    CoTeaching,
    Edge,
    Equal,
    Given,
    Gold,
    Node,
    Student,
    Submissions,
    WeightedSum,
)
from coteach.graph.build import StudentGraph
from coteach.graph.bundles import Bundle, bundles, head_layers
from coteach.graph.gates import Step
from coteach.graph.objectives import Objective
from coteach.losses import ClassBalancedFocal, class_balanced_weights, focal_loss
from coteach.model import StudentConfig
from coteach.model.spans import Span
from coteach.model.student import StudentOutput

MakeWindowed = Callable[..., Windowed]
TEXTS = {"1": "abc de\nfg", "2": "東京都", "3": "abcdefgh"}
NAMES = ("name", "place")
GOLD = Annotations("gold", {"1": frozenset({Span("name", 0, 0, 0, 3)})}, processed=frozenset({"1"}))
FIRST = Annotations("first", {"2": frozenset({Span("place", 0, 0, 0, 2)})})
SECOND = Annotations("second", {"3": frozenset({Span("name", 0, 2, 0, 8)})}, frozenset({"3"}))
CORPUS = Corpus(
    pages={},
    attributes=NAMES,
    train=Split("train", ("1",), GOLD),
    dev=Split("dev", (), replace(GOLD, values={}, processed=frozenset())),
    report=None,
    teams=(FIRST, SECOND),
    page_ids=("1", "2", "3"),
    unlabelled=("2", "3"),
)
NODES: dict[str, Node] = {"gold": Gold(), "teams": Submissions(), "student": Student()}
LOSS = ClassBalancedFocal(beta=0.9, gamma=1.0)
EDGES = {
    "from_teams": Edge("teams", "student", LOSS, layer=2),
    "from_gold": Edge("gold", "student", LOSS),
}
OBJECTIVE = CoTeaching(teams="from_teams", gold="from_gold")


def graph_of(
    make_windowed: MakeWindowed,
    objective: CoTeaching | WeightedSum = OBJECTIVE,
    edges: dict[str, Edge] = EDGES,
    heads: list[str] | None = None,
) -> tuple[StudentGraph, Windowed]:
    sources = bundles(NODES, edges, CORPUS)
    # Windows hold the sources in an order of their own, the student its heads.
    windowed = make_windowed(TEXTS, [SECOND, GOLD, FIRST])
    layers = head_layers(edges, sources)
    if heads is not None:
        layers.sort(key=lambda layer: heads.index(str(layer["name"])))
    student = SimpleNamespace(config=StudentConfig(heads=layers))
    return StudentGraph(student, edges, objective, sources, windowed), windowed  # type: ignore[arg-type]


def batch_of(windowed: Windowed, tokenizer: PreTrainedTokenizerFast) -> Tensor:
    return Collator(windowed, tokenizer)(list(windowed.rows))["labels"]


# Bundles


def test_the_gold_teaches_the_output_head_and_each_team_its_own() -> None:
    sources = bundles(NODES, EDGES, CORPUS)
    assert sources["gold"].sources == (GOLD,)
    assert sources["gold"].heads == ("output",)
    assert sources["teams"].sources == (FIRST, SECOND)
    assert sources["teams"].heads == ("first", "second")
    assert np.array_equal(sources["teams"].weights, np.ones((2, 2)))
    assert head_layers(EDGES, sources) == [
        {"name": "first", "layer": 2},
        {"name": "second", "layer": 2},
        {"name": "output", "layer": -1},
    ]


def test_only_nodes_that_an_edge_starts_from_are_built() -> None:
    assert list(bundles(NODES, {"from_gold": EDGES["from_gold"]}, CORPUS)) == ["gold"]


def test_teams_are_chosen_and_weighted_by_the_node() -> None:
    nodes = NODES | {"teams": Submissions(Given({"second": 3}), teams=("second",))}
    chosen = bundles(nodes, EDGES, CORPUS)["teams"]
    assert chosen.heads == ("second",)
    assert chosen.weights.tolist() == [[1, 1]]
    nodes = NODES | {"teams": Submissions(Given({"first": 1, "second": 3}))}
    assert bundles(nodes, EDGES, CORPUS)["teams"].weights.tolist() == [[0.5] * 2, [1.5] * 2]


def test_a_team_that_handed_nothing_in_is_named() -> None:
    nodes = NODES | {"teams": Submissions(Equal(), teams=("first", "third"))}
    with pytest.raises(InputError, match=r"nodes\.teams\.teams.*'third'.*\['first', 'second'\]"):
        bundles(nodes, EDGES, CORPUS)


@pytest.mark.parametrize("name", ["gold", "output"])
def test_a_team_may_not_pass_for_the_gold(name: str) -> None:
    corpus = replace(CORPUS, teams=(FIRST, replace(SECOND, name=name)))
    with pytest.raises(InputError, match=repr(name)):
        bundles(NODES, EDGES, corpus)


def test_two_nodes_may_not_share_a_team() -> None:
    nodes = NODES | {"more": Submissions(teams=("second",))}
    with pytest.raises(InputError, match="'second'"):
        bundles(nodes, EDGES | {"from_more": Edge("more", "student")}, CORPUS)


# The graph


@pytest.mark.parametrize("heads", [None, ["output", "second", "first"]])
def test_every_source_meets_its_head(
    make_windowed: MakeWindowed,
    character_tokenizer: PreTrainedTokenizerFast,
    heads: list[str] | None,
) -> None:
    graph, windowed = graph_of(make_windowed, heads=heads)
    labels = batch_of(windowed, character_tokenizer)
    order = heads or ["first", "second", "output"]
    logits = torch.randn(*labels.shape, 3, generator=torch.Generator().manual_seed(0))
    gold_counts = windowed.class_counts("gold").sum(dim=0)
    weights = class_balanced_weights(gold_counts, 0.9).expand(2, 3)

    sums = graph.losses(StudentOutput(logits=logits), {"labels": labels}, Step(0.0))
    assert list(sums) == ["from_teams", "from_gold"]
    expected = {
        name: focal_loss(
            logits[:, :, order.index(head)],
            labels[:, :, windowed.sources.index(name)],
            weights,
            1.0,
        ).sum(dim=1)
        for name, head in (("first", "first"), ("second", "second"), ("gold", "output"))
    }
    torch.testing.assert_close(sums["from_teams"].losses[:, 0], expected["first"])
    torch.testing.assert_close(sums["from_teams"].losses[:, 1], expected["second"])
    torch.testing.assert_close(sums["from_gold"].losses[:, 0], expected["gold"])


def test_totals_and_loss_fit_each_other(
    make_windowed: MakeWindowed, character_tokenizer: PreTrainedTokenizerFast
) -> None:
    graph, windowed = graph_of(make_windowed)
    labels = batch_of(windowed, character_tokenizer)
    logits = torch.zeros(*labels.shape, 3, requires_grad=True)
    totals = graph.totals({"labels": labels})
    assert totals.tolist() == [len(windowed.rows)]  # every window has a team or the gold
    loss = graph.combine(
        graph.losses(StudentOutput(logits=logits), {"labels": labels}, Step(0.0)), totals
    )
    loss.backward()
    assert loss.item() > 0
    assert logits.grad is not None
    # The second team processed page 3 alone.
    rows = [i for i, page_id in enumerate(windowed.rows["page_id"]) if page_id != "3"]
    assert not logits.grad[rows][:, :, 1].any()
    assert logits.grad[:, :, 1].any()


def test_without_gold_every_class_counts_as_seen_once(make_windowed: MakeWindowed) -> None:
    edges = {"from_teams": EDGES["from_teams"]}
    graph, _ = graph_of(make_windowed, WeightedSum(), edges)
    weights = graph.edges["from_teams"].class_weights
    assert weights is not None
    assert weights.tolist() == [[1, 1, 1], [1, 1, 1]]


# The labelled rate


def scaled(rate: float | None = None) -> CoTeaching:
    return replace(OBJECTIVE, combination="batch", gold_scale="inverse_rate", labelled_rate=rate)


def rate_of(objective: Objective) -> float | None:
    assert isinstance(objective, CoTeaching)
    return objective.labelled_rate


def test_the_labelled_rate_is_counted_in_the_training_windows(
    make_windowed: MakeWindowed, character_tokenizer: PreTrainedTokenizerFast
) -> None:
    graph, windowed = graph_of(make_windowed, scaled())
    known = (batch_of(windowed, character_tokenizer) != -100)[:, :, :, 0].sum(dim=(0, 1))
    rate = known[windowed.sources.index("gold")] / known[windowed.sources.index("first")]
    assert 0 < rate < 1
    assert rate_of(graph.objective) == pytest.approx(rate.item())


def test_a_given_rate_is_kept_and_no_rate_is_counted_in_vain(make_windowed: MakeWindowed) -> None:
    assert rate_of(graph_of(make_windowed, scaled(0.5))[0].objective) == 0.5
    assert rate_of(graph_of(make_windowed)[0].objective) is None


def test_without_a_labelled_window_there_is_nothing_to_scale(make_windowed: MakeWindowed) -> None:
    nothing = Bundle((replace(GOLD, processed=frozenset()),), ("output",), np.ones((1, 2)))
    sources = bundles(NODES, EDGES, CORPUS) | {"gold": nothing}
    windowed = make_windowed(TEXTS, [*nothing.sources, FIRST, SECOND])
    student = SimpleNamespace(config=StudentConfig(heads=head_layers(EDGES, sources)))
    graph = StudentGraph(student, EDGES, scaled(), sources, windowed)  # type: ignore[arg-type]
    assert rate_of(graph.objective) == 1


@pytest.mark.parametrize("rate", [0.0, -1.0, 1.5])
def test_a_rate_is_a_share(rate: float) -> None:
    with pytest.raises(ValueError, match=rf"\(0, 1\], got {rate}"):
        scaled(rate)


# Masks


def test_without_masks_a_team_found_nothing_where_it_did_not_look() -> None:
    nodes = NODES | {"teams": Submissions(masks=False)}
    _, second = bundles(nodes, EDGES, CORPUS)["teams"].sources
    assert second.on("2") == frozenset()
    assert second.on("3") == SECOND.on("3")
    _, masked = bundles(NODES, EDGES, CORPUS)["teams"].sources
    assert masked.on("2") is None
