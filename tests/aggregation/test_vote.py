from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coteach.data.pages import Annotations
from coteach.evaluation.vote import vote
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
            assert (span in result.on(page)) == (votes >= minimum)


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
