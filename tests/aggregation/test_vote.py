from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coteach.aggregation.vote import choose_minimum, choose_minimums, vote, vote_per_attribute
from coteach.data.pages import Annotations
from coteach.data.sources import Split
from coteach.model.spans import Span

A, B, C = (Span("名前", 0, start, 0, 9) for start in range(3))
PAGES = ["1", "2", "3"]
sources = st.lists(
    st.builds(
        Annotations,
        st.just("team"),
        st.dictionaries(st.sampled_from(PAGES), st.frozensets(st.sampled_from([A, B, C]))),
        st.none() | st.frozensets(st.sampled_from(PAGES)),
    ),
    min_size=1,
    max_size=4,
)


@given(sources, st.data())
def test_a_span_needs_the_votes(teams: list[Annotations], data: st.DataObject) -> None:
    minimum = data.draw(st.integers(1, len(teams)))
    result = vote(teams, minimum, PAGES)
    for page in PAGES:
        for span in (A, B, C):
            processing = [t for t in teams if t.processed is None or page in t.processed]
            votes = sum(span in team.values.get(page, ()) for team in processing)
            assert (span in (result.on(page) or ())) == (votes >= minimum)
        assert (result.on(page) is None) == (not processing)


def test_only_the_pages_asked_for() -> None:
    team = Annotations("team", {"1": frozenset({A}), "2": frozenset({B})})
    result = vote([team, team], 2, iter(["2", "3"]))
    assert result.name == "vote>=2"
    assert result.values == {"2": {B}}
    assert (result.on("1"), result.on("3")) == (None, frozenset())


@pytest.mark.parametrize("minimum", [0, 3])
def test_the_minimum_is_checked(minimum: int) -> None:
    team = Annotations("team", {})
    with pytest.raises(ValueError, match=f"expected 1 to 2 .*got {minimum}"):
        vote([team, team], minimum, PAGES)


# One number for each attribute

GOLD = {"1": frozenset({A, B}), "2": frozenset({Span("場所", 0, 0, 0, 9)})}
SPLIT = Split("dev", tuple(PAGES), Annotations("gold", GOLD, frozenset(PAGES)))


@given(sources, st.data())
def test_each_attribute_has_its_vote(teams: list[Annotations], data: st.DataObject) -> None:
    both = [
        Annotations(
            team.name,
            {k: v | {s._replace(attribute="場所") for s in v} for k, v in team.values.items()},
            team.processed,
        )
        for team in teams
    ]
    minimums = {
        name: data.draw(st.integers(1, len(teams)), label=name) for name in ("名前", "場所")
    }
    result = vote_per_attribute(both, minimums, PAGES)
    assert result.name == "vote_per_attribute"
    for name, minimum in minimums.items():
        alone = vote(both, minimum, PAGES)
        for page in PAGES:
            expected = {s for s in alone.on(page) or () if s.attribute == name}
            assert {s for s in result.on(page) or () if s.attribute == name} == expected
            assert (result.on(page) is None) == (alone.on(page) is None)
    only = vote_per_attribute(both, {"名前": 1}, PAGES)
    assert all(span.attribute == "名前" for spans in only.values.values() for span in spans)


def test_the_minimums_are_those_best_on_dev() -> None:
    wrong = [Span("名前", 3, start, 3, 9) for start in range(4)]
    # Names: a wrong one has at most two votes, a right one three. Places: one team alone is right.
    place = Span("場所", 0, 0, 0, 9)
    teams = [
        Annotations("x", {"1": frozenset({A, B}), "3": frozenset(wrong), "2": frozenset({place})}),
        Annotations("y", {"1": frozenset({A, B}), "3": frozenset(wrong)}),
        Annotations("z", {"1": frozenset({A, B})}),
    ]
    assert choose_minimums(teams, SPLIT, ["名前", "場所", "年"]) == {"名前": 3, "場所": 1, "年": 3}
    assert choose_minimum(teams, SPLIT) == 3
    nothing = [Annotations("x"), Annotations("y")]
    assert choose_minimums(nothing, SPLIT, ["名前"]) == {"名前": 1}
    assert choose_minimum(nothing, SPLIT) == 1


def test_the_scorer_s_names_are_understood() -> None:
    """ASCII is full-width in the score, and some names are others, or none, there."""
    team = {"1": frozenset({Span("職業", 0, 0, 0, 2), Span("ID", 0, 3, 0, 4)})}
    gold = Annotations("gold", team, frozenset({"1"}))
    wrong = Annotations("x", {"1": frozenset({Span("職業", 1, 0, 1, 2), Span("ID", 1, 0, 1, 1)})})
    teams = [Annotations("y", team), Annotations("z", team), wrong]
    split = Split("dev", ("1",), gold, "1.1")
    assert choose_minimums(teams, split, ["職業", "ID"]) == {"職業": 2, "ID": 2}


@pytest.mark.parametrize("minimum", [0, 3])
def test_every_minimum_is_checked(minimum: int) -> None:
    team = Annotations("team", {})
    with pytest.raises(ValueError, match=f"expected 1 to 2 .*got {minimum}"):
        vote_per_attribute([team, team], {"名前": 1, "場所": minimum}, PAGES)
