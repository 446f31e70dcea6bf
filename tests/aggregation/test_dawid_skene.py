from __future__ import annotations

import importlib

import numpy as np
import pytest
from invented_teams import NAMES, Invented

from coteach.aggregation.agreement import _posterior
from coteach.aggregation.vote import vote
from coteach.data.pages import Annotations
from coteach.evaluation.shinra import score
from coteach.model.spans import Span

pytest.importorskip("crowdkit")
# The package holds functions of the same name as its modules.
module = importlib.import_module("coteach.aggregation.dawid_skene")
A, B = (Span("人名", 0, start, 0, start + 2) for start in (0, 5))


def team(name: str, *spans: Span, processed: frozenset[str] | None = None) -> Annotations:
    return Annotations(name, {"1": frozenset(spans)} if spans else {}, processed)


def naive(found: np.ndarray, processed: np.ndarray) -> tuple[float, list[float], list[float]]:
    """Dawid and Skene's two steps, cell by cell, started from the share of the votes."""
    found = np.concatenate([found, np.zeros_like(found)])
    processed = np.concatenate([processed, processed])
    spans, teams = found.shape
    right = [found[i].sum() / processed[i].sum() for i in range(spans)]
    for _ in range(100):
        prior = sum(right) / spans
        recall, false = [], []
        for j in range(teams):
            seen = [i for i in range(spans) if processed[i, j]]
            hits = sum(right[i] * found[i, j] for i in seen)
            wrong = sum((1 - right[i]) * found[i, j] for i in seen)
            recall.append(hits / sum(right[i] for i in seen))
            false.append(wrong / sum(1 - right[i] for i in seen))
        for i in range(spans):
            yes, no = prior, 1 - prior
            for j in range(teams):
                if processed[i, j]:
                    yes *= recall[j] if found[i, j] else 1 - recall[j]
                    no *= false[j] if found[i, j] else 1 - false[j]
            right[i] = yes / (yes + no)
    return prior, recall, false


def test_the_model_is_dawid_and_skenes(invented: Invented) -> None:
    known = module.candidates(invented.teams, invented.page_ids, NAMES)
    fitted = module.reliability(known)
    prior, recall, false = naive(known.found, known.processed)
    assert fitted.prior == pytest.approx(prior, abs=1e-4)
    assert fitted.recall == pytest.approx(recall, abs=1e-4)
    assert fitted.false_rate == pytest.approx(false, abs=1e-4)


def test_recall_is_that_among_all_values_not_among_those_found(invented: Invented) -> None:
    known = module.candidates(invented.teams, invented.page_ids, NAMES)
    fitted = module.reliability(known)
    assert fitted.recall == pytest.approx(invented.recall, abs=0.06)
    right = fitted.posterior(known.found, known.processed)
    truth = np.array([span in invented.gold[page_id] for page_id, span in known.spans])
    assert ((right > 0.5) == truth).mean() > 0.9
    # The likelihood of what was found given that somebody did comes to the same.
    other, _ = _posterior(known.found, known.processed)
    assert ((right > 0.5) == (other > 0.5)).mean() > 0.97


def test_expected_f1(invented: Invented) -> None:
    known = module.candidates(invented.teams, invented.page_ids, NAMES)
    expected = module.reliability(known).expected_f1(known)
    for number, source in enumerate(invented.teams):
        pages = [page_id for page_id in invented.page_ids if source.on(page_id) is not None]
        actual = score(invented.gold, source.values, pages=pages).micro.f1
        assert expected[number] == pytest.approx(actual, abs=0.05)


def test_it_beats_every_team_and_is_no_worse_than_the_best_vote(invented: Invented) -> None:
    def f1(source: Annotations) -> float:
        return score(invented.gold, source.values, pages=invented.page_ids).micro.f1

    labels = module.dawid_skene(invented.teams, invented.page_ids, invented.page_ids, NAMES)
    assert labels.name == "dawid_skene"
    assert f1(labels) > max(map(f1, invented.teams)) + 0.02
    votes = [vote(invented.teams, k, invented.page_ids) for k in range(1, 6)]
    assert f1(labels) >= max(map(f1, votes)) - 0.005


def test_only_the_pages_and_attributes_asked_for(invented: Invented) -> None:
    labels = module.dawid_skene(invented.teams, ["000", "001"], invented.page_ids, ["人名"])
    assert labels.processed == {"000", "001"}
    assert set(labels.values) <= {"000", "001"}
    assert {span.attribute for spans in labels.values.values() for span in spans} == {"人名"}


def test_of_two_that_overlap_the_more_probable_stays() -> None:
    long, short, apart = (
        Span("人名", 0, 0, 0, 4),
        Span("人名", 0, 3, 1, 1),
        Span("地名", 0, 0, 0, 4),
    )
    after = Span("人名", 0, 4, 0, 6)
    kept = module.without_overlaps([(0.6, long), (0.9, short), (0.6, apart)])
    assert kept == {short, apart}
    assert module.without_overlaps([(0.9, long), (0.6, short)]) == {long}
    assert module.without_overlaps([(0.6, short), (0.6, long)]) == {long}
    assert module.without_overlaps([(0.6, long), (0.6, after)]) == {long, after}


def test_the_empty_and_the_degenerate() -> None:
    silent, absent = team("silent"), team("absent", processed=frozenset())
    nothing = module.dawid_skene([silent, absent], ["1", "2"], ["1", "2"], ["人名"])
    assert (nothing.values, nothing.processed) == ({}, {"1", "2"})
    assert module.dawid_skene([absent], ["1"], ["1"], ["人名"]).on("1") is None
    # One team alone is believed; one that never finds anything or saw nothing changes nothing.
    alone = team("alone", A, B)
    for teams in ([alone], [alone, absent]):
        assert module.dawid_skene(teams, ["1"], ["1"], ["人名"]).on("1") == {A, B}
    agreeing = [alone, team("same", A, B), silent, absent]
    assert module.dawid_skene(agreeing, ["1"], ["1"], ["人名", "地名"]).on("1") == {A, B}
    # Nothing to fit on: nothing is probable.
    assert module.dawid_skene([alone], ["1"], ["2"], ["人名"]).on("1") == frozenset()
    with pytest.raises(ValueError, match="at least one span"):
        module.reliability(module.candidates([silent], ["1"], ["人名"]))
