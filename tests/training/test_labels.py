"""Students taught by one set of labels: the teams as one, or another student's predictions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

import coteach.training.self_teaching as module
from coteach.aggregation.vote import vote
from coteach.data.collator import Collator
from coteach.data.corpus import Corpus
from coteach.errors import InputError
from coteach.graph import Aggregated, CoTeaching, Edge, Gold, Node, Predicted, WeightedSum
from coteach.graph.bundles import bundles, without_gold
from coteach.model import Student
from coteach.model.extraction import Extractor
from coteach.model.iob2 import IGNORE
from coteach.recipe import Recipe, gold_only
from coteach.training.prepare import Prepared, prepare
from coteach.training.run import run
from coteach.training.self_teaching import predictions


def taught_by(recipe: Recipe, node: Node) -> Recipe:
    """The recipe with one edge, from this node."""
    name, student = recipe.student()
    return replace(
        recipe,
        nodes={"labels": node, name: student},
        edges={"labels": Edge("labels", name)},
        objective=WeightedSum(),
        baselines=(),
    )


@pytest.fixture(scope="module")
def student(
    tiny_recipe: Recipe, tiny_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A student with a bias towards finding something, saved as a run saves it."""
    folder = tmp_path_factory.mktemp("run") / "student"
    prepared = prepare(gold_only(tiny_recipe), tiny_corpus)
    torch.manual_seed(0)
    for parameter in prepared.student.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    prepared.student.save_pretrained(folder)
    prepared.tokenizer.save_pretrained(folder)
    return folder


def labels_of(prepared: Prepared, source: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Page by page, a source's labels."""
    collate = Collator(prepared.windowed, prepared.tokenizer)
    number = prepared.windowed.sources.index(source)
    for row in prepared.windowed.rows:
        yield row["page_id"], collate([row])["labels"][0, :, number]


# Labels that the teams become


def test_gold_where_there_is_gold_and_the_vote_elsewhere(
    tiny_recipe: Recipe, tiny_corpus: Corpus
) -> None:
    recipe = taught_by(tiny_recipe, Aggregated(minimum=3))
    (bundle,) = bundles(recipe.nodes, recipe.edges, tiny_corpus).values()
    (labels,) = bundle.sources
    assert labels.name == "gold + vote>=3"
    assert bundle.heads == ("output",)
    assert bundle.counted is tiny_corpus.train.gold
    voted = vote(tiny_corpus.teams, 3, ["11", "12"])
    for page_id in "123456":
        assert labels.on(page_id) == tiny_corpus.train.gold.on(page_id) != frozenset()
    assert labels.on("11") == voted.on("11") != frozenset()
    assert labels.on("7") is None  # a dev page
    assert without_gold(tiny_corpus) == ["11", "12"]


def test_a_page_that_nobody_processed_teaches_nothing(
    tiny_recipe: Recipe, tiny_corpus: Corpus
) -> None:
    recipe = taught_by(tiny_recipe, Aggregated(teams=("partial",)))
    (bundle,) = bundles(recipe.nodes, recipe.edges, tiny_corpus).values()
    assert bundle.sources[0].on("11")
    assert bundle.sources[0].on("12") is None


def test_every_page_teaches_and_the_gold_alone_is_counted(
    tiny_recipe: Recipe, tiny_corpus: Corpus
) -> None:
    prepared = prepare(taught_by(tiny_recipe, Aggregated(minimum=1)), tiny_corpus)
    assert prepared.student.config.head_names == ["output"]
    assert set(prepared.windowed.rows["page_id"]) == {*"123456", "11"}  # page 12 is empty
    assert prepared.windowed.sources == ("gold + vote>=1", "gold")
    (edge,) = prepared.graph.edges.values()
    expected = edge.edge.loss.class_weights(prepared.windowed.class_counts("gold"))
    assert expected is not None
    assert edge.class_weights is not None
    assert torch.equal(edge.class_weights, expected)
    more = prepared.windowed.class_counts("gold + vote>=1")
    assert not torch.equal(more, prepared.windowed.class_counts("gold"))
    for page_id, labels in labels_of(prepared, "gold"):
        assert (labels == IGNORE).all() == (page_id == "11")
    for _, labels in labels_of(prepared, "gold + vote>=1"):
        assert (labels > 0).any() or labels.shape[0] < 40


def test_labels_may_stand_in_for_the_gold_beside_the_teams(
    tiny_recipe: Recipe, tiny_corpus: Corpus
) -> None:
    name, _ = tiny_recipe.student()
    recipe = replace(
        tiny_recipe,
        nodes={**tiny_recipe.nodes, "labels": Aggregated()},
        edges={"teams": Edge("teams", name), "labels": Edge("labels", name)},
        objective=CoTeaching(gold="labels"),
        baselines=(),
    )
    recipe.check()
    assert prepare(recipe, tiny_corpus).student.config.head_names[-1] == "output"
    both = replace(recipe, edges={**recipe.edges, "gold": Edge("gold", name)})
    with pytest.raises(InputError, match="two sources or heads are named 'output'"):
        prepare(both, tiny_corpus)


def test_what_labels_need(
    tiny_recipe: Recipe, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="minimum belongs to method='vote', got 2"):
        Aggregated(method="dawid_skene", minimum=2)
    for node, message in (
        (Aggregated(minimum=4), "minimum: expected 1 to 3 .*got 4"),
        (Aggregated(teams=("none",)), r"nodes\.labels\.teams: no submission of 'none'"),
    ):
        with pytest.raises(InputError, match=message):
            prepare(taught_by(tiny_recipe, node), tiny_corpus)
    without = taught_by(tiny_recipe, Aggregated())
    with pytest.raises(InputError, match=r"data\.submissions: expected a folder, got None"):
        replace(without, data=replace(without.data, submissions=None)).check()
    with pytest.raises(InputError, match=r"nodes\.labels\.method: expected one of .*got 'mode'"):
        taught_by(tiny_recipe, Aggregated(method="mode")).check()  # type: ignore[arg-type]
    monkeypatch.setattr("coteach.aggregation.find_spec", lambda name: None)
    for recipe in (
        taught_by(tiny_recipe, Aggregated(method="dawid_skene")),
        replace(tiny_recipe, baselines=("hidden_markov",)),
    ):
        with pytest.raises(InputError, match=r"pip install coteach\[labels\]"):
            recipe.check()


# Self-teaching


def test_predictions_are_the_student_s_on_pages_without_gold(
    tiny_recipe: Recipe, tiny_corpus: Corpus, student: Path, tmp_path: Path
) -> None:
    recipe = replace(taught_by(tiny_recipe, Predicted(student)), cache=tmp_path)
    found = predictions(recipe, tiny_corpus)["labels"]
    assert found.processed == {"11", "12"}
    assert found.on("12") == frozenset()
    model = Student.from_pretrained(student).eval()
    extractor = Extractor(model, AutoTokenizer.from_pretrained(student))
    (result,) = extractor([tiny_corpus.pages["11"].text])
    assert found.on("11") == {span for span, _ in result["p"]} != frozenset()


def test_predictions_are_kept(
    tiny_recipe: Recipe,
    tiny_corpus: Corpus,
    student: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = replace(taught_by(tiny_recipe, Predicted(student)), cache=tmp_path)
    first = predictions(recipe, tiny_corpus)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_predict", None)
        assert predictions(recipe, tiny_corpus) == first
    (kept,) = tmp_path.iterdir()
    other = replace(tiny_corpus, page_ids=tiny_corpus.page_ids[:-1])
    assert predictions(recipe, other)["labels"].processed == {"11"}
    assert len(list(tmp_path.iterdir())) == 2
    config = student / "config.json"
    before = config.read_text()
    config.write_text(before + "\n")
    predictions(recipe, tiny_corpus)
    config.write_text(before)
    assert len(list(tmp_path.iterdir())) == 3
    assert kept.exists()


def test_a_student_of_a_student_trains(tiny_recipe: Recipe, student: Path, tmp_path: Path) -> None:
    recipe = taught_by(tiny_recipe, Predicted(student))
    recipe = replace(recipe, cache=tmp_path, optimisation=replace(recipe.optimisation, epochs=1))
    summary = run(recipe, tmp_path / "run")
    assert summary["pages"] == {"training": 8, "labelled": 6}
    assert "student:p" in summary["scores"]


def test_a_student_that_cannot_be_used(
    tiny_recipe: Recipe, tiny_corpus: Corpus, student: Path, tmp_path: Path
) -> None:
    recipe = taught_by(tiny_recipe, Predicted(tmp_path / "absent"))
    with pytest.raises(InputError, match=r"nodes\.labels\.student: no student in '.*absent'"):
        prepare(recipe, tiny_corpus)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"nodes\.labels: student '.*broken' cannot be loaded"):
        prepare(taught_by(tiny_recipe, Predicted(broken)), tiny_corpus)


def test_a_student_needs_no_predictions_where_it_does_not_teach(
    tiny_recipe: Recipe, tiny_corpus: Corpus, tmp_path: Path
) -> None:
    nodes = {**tiny_recipe.nodes, "unused": Predicted(tmp_path / "absent"), "gold": Gold()}
    assert predictions(replace(tiny_recipe, nodes=nodes), tiny_corpus) == {}
