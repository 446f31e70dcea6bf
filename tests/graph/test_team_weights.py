from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pytest

from coteach.aggregation.agreement import expected_scores
from coteach.data.corpus import Corpus
from coteach.data.pages import Annotations
from coteach.data.sources import Split
from coteach.errors import InputError
from coteach.graph.weights import (
    Agreement,
    DevScore,
    Equal,
    Given,
    TeamWeights,
    dev_scores,
    team_weights,
)
from coteach.model.spans import Span

NAMES = ("a", "b")


def span(attribute: str, place: int) -> Span:
    return Span(attribute, 0, place, 0, place + 1)


def team(
    name: str, values: Mapping[str, Collection[Span]], processed: Sequence[str] | None = None
) -> Annotations:
    spans = {page_id: frozenset(found) for page_id, found in values.items()}
    return Annotations(name, spans, None if processed is None else frozenset(processed))


def corpus(
    dev: Mapping[str, Sequence[Span]] | None = None, unlabelled: Sequence[str] = ()
) -> Corpus:
    """A corpus of which only dev gold and unlabelled pages are known."""
    dev = dev or {}
    return Corpus(
        pages={},
        attributes=NAMES,
        train=Split("train", ("train",), team("gold", {}, ["train"])),
        dev=Split("dev", tuple(dev), team("gold", dev, list(dev))),
        report=None,
        teams=(),
        page_ids=("train", *unlabelled),
        unlabelled=tuple(unlabelled),
    )


# Equal and given weights


def test_equal_weights_are_one() -> None:
    teams = [team("x", {}), team("y", {})]
    assert team_weights(Equal(), teams, NAMES, corpus()).tolist() == [[1, 1], [1, 1]]


def test_given_weights_have_mean_one() -> None:
    teams = [team("x", {}), team("y", {}), team("z", {})]
    weights = team_weights(Given({"y": 4, "x": 2, "z": 0}), teams, NAMES, corpus())
    assert weights.tolist() == [[1, 1], [2, 2], [0, 0]]


@pytest.mark.parametrize(
    "given", [{}, {"x": 1}, {"x": 1, "y": 1, "z": 1}, {"x": 1, "Y": 1}, {"x": 1, "y": -0.5}]
)
def test_given_weights_must_be_of_every_team(given: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"\['x', 'y'\]"):
        team_weights(Given(given), [team("x", {}), team("y", {})], NAMES, corpus())


# Weights by the score on dev

GOLD = {
    "d1": [span("a", 0), span("a", 1), span("b", 0)],
    "d2": [span("a", 0), span("b", 3)],
    "d3": [],
}
TEAMS = [
    # a: 2 right of 3 found and 3 wanted; b: 1 right of 1 found and 2 wanted.
    team(
        "x",
        {
            "d1": [span("a", 0), span("a", 1), span("b", 0)],
            "d3": [span("a", 7)],
            "train": [span("b", 5)],
        },
    ),
    # Saw d2 alone. a: 1 of 1 found and 1 wanted; b: 0 of 1 found and 1 wanted.
    team("y", {"d2": [span("a", 0), span("b", 4)]}, ["d2", "u1"]),
    team("z", {}),
]
F1 = {"x": (2 * 2 / 6, 2 * 1 / 3, 2 * 3 / 9), "y": (1.0, 0.0, 2 * 1 / 4), "z": (0.0, 0.0, 0.0)}


def test_dev_scores_are_f1_on_the_dev_pages_that_were_processed() -> None:
    by_team = dev_scores(TEAMS, NAMES, corpus(GOLD), "team")
    assert by_team == pytest.approx(np.array([[F1[name][2]] for name in "xyz"]))
    by_attribute = dev_scores(TEAMS, NAMES, corpus(GOLD), "attribute")
    assert by_attribute == pytest.approx(np.array([F1[name][:2] for name in "xyz"]))


@pytest.mark.parametrize("power", [0.5, 1, 3])
def test_dev_weights_are_scores_to_a_power(power: float) -> None:
    weights = team_weights(DevScore(power=power), TEAMS, NAMES, corpus(GOLD))
    raw = np.array([F1[name][2] ** power for name in "xyz"])
    expected = 3 * raw / raw.sum()
    assert weights == pytest.approx(np.stack([expected, expected], axis=1))
    by_attribute = team_weights(DevScore("attribute", power), TEAMS, NAMES, corpus(GOLD))
    assert by_attribute[:, 1] == pytest.approx([3, 0, 0])  # x alone found any b
    assert by_attribute.mean(axis=0) == pytest.approx([1, 1])


def test_an_attribute_that_nobody_found_says_nothing() -> None:
    found_a = [team("x", {"d2": [span("a", 0)]}), team("y", {"d2": [span("a", 9)]})]
    weights = team_weights(DevScore(by="attribute"), found_a, NAMES, corpus(GOLD))
    assert weights.tolist() == [[2, 1], [0, 1]]
    assert team_weights(DevScore(), [team("z", {})], NAMES, corpus(GOLD)).tolist() == [[1, 1]]


def test_attributes_are_scored_under_their_full_width_names() -> None:
    # The scorer writes "ID" as "ＩＤ"; the weight must still find its attribute.
    teams = [team("x", {"d1": [span("ID", 0)]}), team("y", {})]
    scores = dev_scores(teams, ("ID",), corpus({"d1": [span("ID", 0)]}), "attribute")
    assert scores.tolist() == [[1], [0]]


@pytest.mark.parametrize("rule", [DevScore, Agreement])
@pytest.mark.parametrize("by", ["team", "attribute"])
def test_power_zero_is_equal_weights(rule: type[DevScore | Agreement], by: str) -> None:
    known = corpus(GOLD, ["u1", "u2"])
    weights = team_weights(rule(by, power=0), TEAMS, NAMES, known)  # type: ignore[arg-type]
    assert np.array_equal(weights, team_weights(Equal(), TEAMS, NAMES, known))


# Weights by agreement

UNLABELLED = [f"u{number}" for number in range(80)]
PLACES = range(10)  # on every page half of them are right


def reliable(name: str, recall: float, noise: float, seed: int) -> Annotations:
    """A team that finds right spans with one probability and wrong ones with another."""
    draw = np.random.default_rng(seed)
    values = {}
    for page_id in UNLABELLED:
        chance = [recall if place < 5 else noise for place in PLACES]
        values[page_id] = [
            span(attribute, place)
            for attribute in NAMES
            for place in PLACES
            if draw.random() < chance[place]
        ]
    return team(name, values)


def true_f1(annotations: Annotations, attributes: Sequence[str] = NAMES) -> float:
    found = [s for u in UNLABELLED for s in annotations.on(u) or () if s.attribute in attributes]
    right = sum(s.start_offset < 5 for s in found)
    return 2 * right / (len(found) + 5 * len(UNLABELLED) * len(attributes))


RELIABILITY = [(0.95, 0.05), (0.6, 0.1), (0.8, 0.3), (0.3, 0.3), (0.7, 0.05)]
INDEPENDENT = [reliable(f"t{i}", *rates, seed=i) for i, rates in enumerate(RELIABILITY)]


def test_agreement_tells_reliable_teams_from_others() -> None:
    known = corpus(unlabelled=UNLABELLED)
    truth = [true_f1(annotations) for annotations in INDEPENDENT]
    (estimate,) = expected_scores(INDEPENDENT, NAMES, known, "team").T
    assert np.argsort(estimate).tolist() == np.argsort(truth).tolist()
    assert estimate == pytest.approx(truth, abs=0.05)
    weights = team_weights(Agreement(), INDEPENDENT, NAMES, known)
    assert weights == pytest.approx(
        np.repeat(len(truth) * estimate[:, None] / estimate.sum(), 2, axis=1)
    )


def test_agreement_by_attribute() -> None:
    # The first team is good at one attribute only.
    poor = reliable("", 0.3, 0.3, seed=9).values
    mixed = {
        page_id: [s for s in found if s.attribute == "a"]
        + [s for s in poor[page_id] if s.attribute == "b"]
        for page_id, found in INDEPENDENT[0].values.items()
    }
    teams = [team("mixed", mixed), *INDEPENDENT[1:], reliable("t5", 0.85, 0.1, seed=5)]
    known = corpus(unlabelled=UNLABELLED)
    estimate = expected_scores(teams, NAMES, known, "attribute")
    truth = np.array([[true_f1(annotations, name) for name in NAMES] for annotations in teams])
    assert np.argmax(estimate, axis=0).tolist() == np.argmax(truth, axis=0).tolist() == [0, 5]
    assert estimate == pytest.approx(truth, abs=0.1)


@pytest.mark.parametrize("rule", [Agreement(), Agreement(by="attribute")])
def test_agreement_looks_at_pages_without_gold_only(rule: TeamWeights) -> None:
    known = corpus(GOLD, UNLABELLED)
    before = team_weights(rule, INDEPENDENT, NAMES, known)
    elsewhere: dict[str, list[Span]] = {
        "train": [span("a", 1)],
        "d1": GOLD["d1"],
        "other": [span("b", 2)],
    }
    changed = [
        team(t.name, {**t.values, **({} if i % 2 else elsewhere)})
        for i, t in enumerate(INDEPENDENT)
    ]
    assert np.array_equal(team_weights(rule, changed, NAMES, known), before)
    changed[0] = team("t0", {**INDEPENDENT[0].values, "u1": [span("a", 9)]})
    assert not np.array_equal(team_weights(rule, changed, NAMES, known), before)


def test_a_page_that_a_team_did_not_process_is_no_miss() -> None:
    half = UNLABELLED[::2]
    values = {page_id: INDEPENDENT[0].values[page_id] for page_id in half}
    known = corpus(unlabelled=UNLABELLED)

    def estimate(partial: Annotations) -> float:
        return expected_scores([partial, *INDEPENDENT[1:]], NAMES, known, "team")[0, 0]

    whole = estimate(INDEPENDENT[0])
    assert estimate(team("t0", values, half)) == pytest.approx(whole, abs=0.03)
    assert estimate(team("t0", values)) < whole - 0.2  # the rest would count as missed


@pytest.mark.parametrize("by", ["team", "attribute"])
def test_without_anything_to_compare_weights_are_equal(by: str) -> None:
    rule = Agreement(by)  # type: ignore[arg-type]
    for unlabelled in ([], ["u1", "u2"]):
        silent = [team("x", {}), team("y", {}, ["u1"])]
        weights = team_weights(rule, silent, NAMES, corpus(unlabelled=unlabelled))
        assert np.array_equal(weights, np.ones((2, 2)))
