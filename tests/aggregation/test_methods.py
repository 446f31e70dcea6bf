from __future__ import annotations

from importlib.util import find_spec
from typing import get_args

import pytest
from invented_teams import NAMES, Invented

import coteach.aggregation as module
from coteach.aggregation import Method, aggregate, check_installed, label_baselines
from coteach.aggregation.vote import choose_minimum, choose_minimums, vote, vote_per_attribute
from coteach.data.corpus import Corpus
from coteach.data.pages import Annotations
from coteach.data.sources import gold_split
from coteach.errors import InputError

METHODS = get_args(Method)


@pytest.fixture(scope="module")
def corpus(invented: Invented) -> Corpus:
    """40 pages of each split, and 80 of none."""
    pages = invented.page_ids
    train, dev, report = (
        gold_split(name, pages[start : start + 40], invented.gold, None)
        for name, start in (("train", 0), ("dev", 40), ("report", 80))
    )
    return Corpus(
        pages={},
        attributes=NAMES,
        train=train,
        dev=dev,
        report=report,
        teams=tuple(invented.teams),
        page_ids=tuple(pages[:40] + pages[120:]),
        unlabelled=tuple(pages[120:]),
    )


def test_votes_are_chosen_on_dev(corpus: Corpus) -> None:
    page_ids = corpus.page_ids
    best = choose_minimum(corpus.teams, corpus.dev)
    assert aggregate("vote", corpus.teams, corpus, page_ids) == vote(corpus.teams, best, page_ids)
    assert aggregate("vote", corpus.teams, corpus, page_ids, 4).name == "vote>=4"
    minimums = choose_minimums(corpus.teams, corpus.dev, NAMES)
    expected = vote_per_attribute(corpus.teams, minimums, page_ids)
    assert aggregate("vote_per_attribute", corpus.teams, corpus, page_ids) == expected


@pytest.mark.parametrize("method", METHODS)
def test_a_page_that_nobody_processed_is_not_processed(corpus: Corpus, method: Method) -> None:
    _needs(method)
    odd = corpus.page_ids[41::2]
    partial = [corpus.teams[-1]]  # saw the even pages alone
    labels = aggregate(method, partial, corpus, corpus.page_ids)
    assert labels.processed == set(corpus.page_ids[::2])
    assert not set(labels.values) & set(odd)
    # And one team alone is believed.
    assert all(labels.on(page_id) == partial[0].on(page_id) for page_id in corpus.page_ids)


@pytest.mark.parametrize("method", ["dawid_skene", "hidden_markov"])
def test_label_models_learn_nothing_from_the_training_pages(
    corpus: Corpus, invented: Invented, method: Method
) -> None:
    """Where teams repeat the gold by memory, they look as if they never erred."""
    _needs(method)
    memory = {page_id: invented.gold[page_id] for page_id in corpus.train.page_ids}
    remembering = [
        Annotations(team.name, {**team.values, **memory}, team.processed) for team in corpus.teams
    ]
    asked = corpus.dev.page_ids
    labels = aggregate(method, corpus.teams, corpus, asked)
    assert labels == aggregate(method, remembering, corpus, asked)
    assert labels.processed == set(asked)


def test_baselines(corpus: Corpus) -> None:
    assert corpus.report is not None
    names = [it.name for it in label_baselines(("gold_only", "vote"), corpus, corpus.report)]
    assert names == ["vote>=2", "vote>=3", "vote>=4", "vote>=5"]
    (only,) = label_baselines(("vote_per_attribute",), corpus, corpus.report)
    assert only.processed == set(corpus.report.page_ids)
    assert not list(label_baselines((), corpus, corpus.report))
    for teams in ((), corpus.teams[:1]):
        few = Corpus(**{**vars(corpus), "teams": teams})
        assert not list(label_baselines(("vote", "vote_per_attribute"), few, corpus.report))


def test_errors(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no team to aggregate"):
        aggregate("vote", [], corpus, corpus.page_ids)
    for minimum in (0, 6):
        with pytest.raises(InputError, match=f"minimum: expected 1 to 5 .*got {minimum}"):
            aggregate("vote", corpus.teams, corpus, corpus.page_ids, minimum)
    with pytest.raises(InputError, match="minimum: for the method 'vote' only, got 2"):
        aggregate("vote_per_attribute", corpus.teams, corpus, corpus.page_ids, 2)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    for method, package in (("dawid_skene", "crowdkit"), ("hidden_markov", "skweak")):
        with pytest.raises(InputError, match=rf"{package}: pip install coteach\[labels\]"):
            check_installed(method)
    for method in ("vote", "vote_per_attribute", "gold_only"):
        check_installed(method)


def _needs(method: str) -> None:
    package = module._PACKAGES.get(method)
    if package is not None and find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
