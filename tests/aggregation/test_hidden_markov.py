from __future__ import annotations

import importlib

import pytest
from invented_teams import NAMES, Invented

from coteach.data.pages import Annotations
from coteach.evaluation.shinra import score
from coteach.model.spans import Span

pytest.importorskip("skweak")
module = importlib.import_module("coteach.aggregation.hidden_markov")


def found(*spans: Span) -> dict[str, frozenset[Span]]:
    return {"1": frozenset(spans)}


def test_it_beats_every_team(invented: Invented, capsys: pytest.CaptureFixture[str]) -> None:
    def f1(source: Annotations) -> float:
        return score(invented.gold, source.values, pages=invented.page_ids).micro.f1

    labels = module.hidden_markov(invented.teams, invented.page_ids, invented.page_ids, NAMES)
    assert labels.name == "hidden_markov"
    assert labels.processed == set(invented.page_ids)
    assert f1(labels) > max(map(f1, invented.teams)) + 0.05
    assert capsys.readouterr().out == ""  # skweak would tell every step
    some = module.hidden_markov(invented.teams, ["000", "003"], invented.page_ids, NAMES)
    assert some.processed == {"000", "003"}
    assert some.values == {page_id: labels.values[page_id] for page_id in ("000", "003")}


def test_what_all_say_comes_back_whatever_its_place() -> None:
    """Also spans that touch, that cross lines, and two attributes at one place."""
    spans = [
        Span("人名", 0, 2, 0, 4),
        Span("人名", 0, 4, 0, 5),
        Span("人名", 1, 0, 3, 2),
        Span("地名", 0, 3, 0, 9),
        Span("地名", 5, 1, 5, 2),
    ]
    teams = [Annotations(name, found(*spans)) for name in ("team1", "team10", "x")]
    labels = module.hidden_markov(teams, ["1", "2"], ["1", "2"], ["人名", "地名", "年"])
    assert labels.on("1") == set(spans)
    assert labels.on("2") == frozenset()


def test_attributes_that_overlap_go_to_different_models() -> None:
    first = Annotations("first", found(Span("a", 0, 0, 0, 4), Span("b", 0, 3, 0, 6)))
    second = Annotations("second", found(Span("c", 0, 0, 0, 4), Span("b", 0, 4, 0, 6)))
    names = ["a", "b", "c", "d"]
    assert module._groups([second], ["1"], names) == [names]
    assert module._groups([first, second], ["1"], names) == [["a", "c", "d"], ["b"]]
    assert module._groups([first], ["2"], names) == [names]


def test_tags_of_a_page() -> None:
    model = module._build_model(["a", "b"])
    teams = [
        Annotations("x", found(Span("a", 0, 1, 0, 3), Span("b", 0, 5, 1, 2))),
        Annotations("y", found(Span("a", 0, 1, 0, 5), Span("a", 0, 2, 0, 3))),  # the longer counts
        Annotations("z", {}, frozenset({"2"})),
        Annotations("silent", {}),
    ]
    ((table, places),) = module._tables(model, teams, ["1", "2", "3"], ["a", "b"])
    points = [(0, 1), (0, 2), (0, 3), (0, 5), *[(1, 2)] * 3]  # what nobody tagged counts thrice
    assert places == [
        *(("1", point) for point in points),
        *[("2", (0, 0))] * 3,
        *[("3", (0, 0))] * 3,
    ]
    tag = {label: number for number, label in enumerate(model.observed_labels)}
    begin_a, inside_a, begin_b = tag["B-a"], tag["I-a"], tag["B-b"]
    assert table.iloc[:, 0].tolist() == [begin_a, inside_a, 0, begin_b, *[0] * 9]
    assert table.iloc[:, 1].tolist() == [begin_a, inside_a, inside_a, 0, *[0] * 9]
    assert table.iloc[:, 2].tolist() == [-1, -1, -1, -1, *[0] * 9]
    assert table.iloc[:, 3].tolist() == [0] * 13


def test_the_empty_and_the_degenerate() -> None:
    span = Span("a", 0, 0, 0, 2)
    silent = Annotations("silent")
    absent = Annotations("absent", {}, frozenset())
    nothing = module.hidden_markov([silent, absent], ["1"], ["1"], ["a"])
    assert (nothing.values, nothing.processed) == ({}, {"1"})
    assert module.hidden_markov([absent], ["1"], ["1"], ["a"]).on("1") is None
    alone = Annotations("alone", found(span))
    assert module.hidden_markov([alone, absent], ["1"], ["1"], ["a", "b"]).on("1") == {span}
    # Nothing to fit on: nothing is said.
    assert module.hidden_markov([alone], ["1"], ["2"], ["a"]).on("1") == frozenset()


def test_no_source_is_taken_for_a_version_of_another() -> None:
    """skweak takes names that begin or end each other for one source: "1" and "10"."""
    model = module._build_model(["a"])
    teams = [Annotations(f"team{number}", found(Span("a", 0, 0, 0, 1))) for number in range(12)]
    ((table, _),) = module._tables(model, teams, ["1"], ["a"])
    names = list(table.columns)
    assert len(set(names)) == 12
    for name in names:
        others = [other for other in names if other != name]
        assert not any(other.startswith(name) or other.endswith(name) for other in others)
