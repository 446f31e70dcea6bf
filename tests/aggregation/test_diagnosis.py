from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
from rich.console import Console

import coteach.aggregation.diagnosis as module
from coteach.aggregation.diagnosis import Diagnosis, diagnose
from coteach.data.corpus import Corpus
from coteach.data.pages import Annotations, Page
from coteach.data.sources import Split, gold_split
from coteach.errors import InputError
from coteach.model.spans import Span

NAMES = ("人名", "地名")


def person(place: int) -> Span:
    return Span("人名", 0, place, 0, place + 1)


def place(place: int) -> Span:
    return Span("地名", 0, place, 0, place + 1)


GOLD = {"r1": frozenset({person(0), person(1), place(0)}), "r2": frozenset({place(5)})}
UNKNOWN = Span("その他", 0, 0, 0, 1)


def team(name: str, processed: frozenset[str] | None = None, **values: set[Span]) -> Annotations:
    return Annotations(name, {k: frozenset(v) for k, v in values.items()}, processed)


FIRST = team("first", r1={person(0), person(9)}, u1={person(3), place(3)}, u2={place(1)})
SECOND = team("second", r1={person(0), place(0), UNKNOWN}, u1={person(3)})
PARTIAL = team("partial", frozenset({"r2", "u1"}), r2={place(5)}, u1={person(3), place(4)})
SILENT = team("silent")
ABSENT = team("absent", frozenset())


def corpus(*teams: Annotations, unlabelled: tuple[str, ...] = ("u1", "u2")) -> Corpus:
    train = gold_split("train", ["t"], {"t": frozenset({person(0), place(0)})}, None)
    return Corpus(
        pages={page_id: Page(page_id, "") for page_id in ("t", "r1", "r2", "r3", "u1", "u2")},
        attributes=NAMES,
        train=train,
        dev=gold_split("dev", ["r1", "r2", "r3"], GOLD, None),
        report=None,
        teams=teams,
        page_ids=("t",),
        unlabelled=unlabelled,
    )


def diagnosis(*teams: Annotations, by_attribute: bool = False) -> Diagnosis:
    known = corpus(*teams)
    return diagnose(known, known.dev, by_attribute)


def printed(of: Diagnosis) -> str:
    console = Console(file=io.StringIO(), width=150)
    for table in of.tables():
        console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_teams() -> None:
    first, second, partial, silent, absent = diagnosis(FIRST, SECOND, PARTIAL, SILENT, ABSENT).teams
    assert (first.pages, first.pages_with_value, first.values) == (6, 3, 5)
    assert (first.precision, first.recall, first.f1) == (1 / 2, 1 / 4, 1 / 3)
    assert (first.alone, first.alone_right) == (1, 0)  # person 9
    assert (second.pages_with_value, second.values) == (2, 3)  # not the unknown attribute
    assert (second.alone, second.alone_right) == (1, 1)  # the place
    assert (partial.pages, partial.pages_with_value, partial.values) == (2, 2, 3)
    assert (partial.recall, partial.f1, partial.f1_processed) == (1 / 4, 2 / 5, 1)
    assert (silent.pages, silent.values, silent.f1, silent.f1_processed) == (6, 0, 0, 0)
    assert (absent.pages, absent.f1, absent.f1_processed) == (0, 0, None)
    assert absent.f1_by_agreement is None
    assert silent.f1_by_agreement == 0


def test_agreement_is_f1_on_pages_of_no_split_that_both_processed() -> None:
    agreement = diagnosis(FIRST, SECOND, PARTIAL, SILENT, ABSENT).agreement
    # first: u1 two values, u2 one; second: one, which first has; partial saw u1 alone.
    assert agreement[0, 1] == 2 * 1 / 4
    assert agreement[0, 2] == 2 * 1 / 4
    assert agreement[1, 2] == 2 * 1 / 3
    assert agreement[0, 3] == 0
    assert np.isnan(agreement[4]).all()
    assert np.isnan(agreement[3, 3])  # neither found anything
    np.testing.assert_array_equal(agreement, agreement.T)


def test_together() -> None:
    combined = diagnosis(FIRST, SECOND, PARTIAL).combined
    assert list(combined) == ["vote>=1", "vote>=2", "vote>=3", "oracle"]
    counts = {name: (it.true_positives, it.predicted, it.gold) for name, it in combined.items()}
    assert counts == {
        "vote>=1": (3, 4, 4),
        "vote>=2": (1, 1, 4),
        "vote>=3": (0, 0, 4),
        "oracle": (3, 3, 4),
    }


def test_by_attribute_adds_up() -> None:
    found = diagnosis(FIRST, SECOND, PARTIAL, by_attribute=True)
    assert list(found.attributes) == list(NAMES)
    for name in ("oracle", "vote>=1"):
        parts = [scores[name] for scores in found.attributes.values()]
        for key in ("true_positives", "predicted", "gold"):
            assert sum(getattr(part, key) for part in parts) == getattr(found.combined[name], key)
    assert found.attributes["人名"]["first"].f1 == 2 * 1 / 4
    assert "人名" in printed(found)
    assert not diagnosis(FIRST).attributes


def test_names_as_the_scorer_has_them() -> None:
    """職業 counts as 地位職業 there: what one team alone found is right all the same."""
    job = Span("職業", 0, 0, 0, 2)
    known = corpus(team("x", r1={job}), SILENT)
    known = Corpus(**{**vars(known), "attributes": ("職業",)})
    gold = Annotations("gold", {"r1": frozenset({job})}, frozenset({"r1"}))
    found = diagnose(known, Split("report", ("r1",), gold, "1.1"), by_attribute=True)
    assert (found.teams[0].alone, found.teams[0].alone_right, found.teams[0].f1) == (1, 1, 1)
    assert found.combined["oracle"].f1 == 1
    assert list(found.attributes) == ["地位職業"]


def test_estimates_are_near_the_truth_where_teams_err_independently() -> None:
    generator = np.random.default_rng(0)
    pages = [f"p{number}" for number in range(150)]
    gold = {page_id: frozenset(person(n) for n in range(6)) for page_id in pages}
    teams = [
        Annotations(
            f"team{number}",
            {
                page_id: frozenset(
                    person(n) for n in range(20) if generator.random() < (recall if n < 6 else 0.04)
                )
                for page_id in pages
            },
        )
        for number, recall in enumerate([0.9, 0.7, 0.5, 0.6])
    ]
    known = Corpus(**{**vars(corpus(*teams)), "unlabelled": tuple(pages)})
    found = diagnose(known, gold_split("dev", pages, gold, None))
    for entry in found.teams:
        assert entry.f1_by_agreement == pytest.approx(entry.f1, abs=0.05)
        if entry.f1_by_dawid_skene is not None:
            assert entry.f1_by_dawid_skene == pytest.approx(entry.f1, abs=0.05)


def test_without_crowd_kit_that_column_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    found = diagnosis(FIRST, SECOND)
    assert {entry.f1_by_dawid_skene for entry in found.teams} == {None}
    assert None not in {entry.f1_by_agreement for entry in found.teams}


@pytest.mark.parametrize("teams", [(FIRST,), (SILENT,), (SILENT, ABSENT), (ABSENT,)])
def test_few_teams_and_silent_ones(teams: tuple[Annotations, ...]) -> None:
    found = diagnosis(*teams, by_attribute=True)
    assert ("Agreement" in printed(found)) == (len(teams) > 1)
    text = json.dumps(found.as_json(), allow_nan=False)
    assert len(json.loads(text)["teams"]) == len(teams)
    if len(teams) == 1:
        assert found.teams[0].f1_by_agreement is None


def test_without_pages_of_no_split_the_agreement_is_on_those_of_the_split() -> None:
    known = corpus(FIRST, SECOND, unlabelled=())
    found = diagnose(known, known.dev)
    assert found.agreement[0, 1] == 2 * 1 / 4
    assert found.agreement_on == "the dev pages"
    assert not math.isnan(found.agreement[0, 0])
    assert found.teams[0].f1_by_agreement is None


def test_no_team() -> None:
    with pytest.raises(InputError, match="no team to diagnose"):
        diagnosis()
