from __future__ import annotations

import json
from io import StringIO

import pytest
from rich.console import Console

from coteach.data.pages import Annotations
from coteach.data.sources import Split
from coteach.evaluation.scoreboard import Scoreboard
from coteach.evaluation.shinra import page_counts
from coteach.evaluation.significance import f1_difference
from coteach.model.spans import Span

Values = dict[str, frozenset[Span]]
PAGES = tuple(f"{number}" for number in range(12))


def found(pages: tuple[str, ...], *places: int, attribute: str = "name") -> Values:
    spans = frozenset(Span(attribute, 0, place, 0, place + 1) for place in places)
    return dict.fromkeys(pages, spans)


# Ten pages have two values, the last two none.
GOLD = found(PAGES[:10], 0, 1)
STRONG = found(PAGES[:10], 0)  # F1 = 2 · 10 / (10 + 20)
WEAK = found(PAGES[:3], 0, 5)  # F1 = 2 · 3 / (6 + 20)
STUDENT = found(PAGES[:9], 0, 1)  # F1 = 2 · 18 / (18 + 20)


def board() -> Scoreboard:
    return Scoreboard(Split("report", PAGES, Annotations("gold", GOLD, frozenset(PAGES))))


def filled() -> Scoreboard:
    result = board()
    result.add("weak", "team", WEAK)
    result.add("strong", "team", STRONG)
    result.add("vote", "baseline", STRONG)
    result.add("student:p", "student", STUDENT)
    return result


def printed(scoreboard: Scoreboard) -> list[list[str]]:
    console = Console(file=StringIO(), width=200)
    console.print(scoreboard.table("Title"))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return [
        [cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")] for line in lines
    ]


def test_scores_are_micro_averages_over_the_split() -> None:
    scoreboard = board()
    assert scoreboard.add("strong", "team", STRONG) == pytest.approx(20 / 30)
    assert scoreboard.add("weak", "team", WEAK) == pytest.approx(6 / 26)
    assert scoreboard.add("silent", "team", {}) == 0
    entry = scoreboard.as_json()["weak"]
    assert (entry["precision"], entry["recall"], entry["f1"]) == pytest.approx(
        (3 / 6, 3 / 20, 6 / 26)
    )
    assert (entry["kind"], entry["split"], entry["average"]) == ("team", "report", "micro")


def test_pages_of_the_split_without_gold_count_and_others_do_not() -> None:
    noise = STRONG | found(PAGES[10:], 0)
    assert board().add("noise", "team", noise) == pytest.approx(2 * 10 / (12 + 20))
    assert board().add("elsewhere", "team", STRONG | found(("99",), 0)) == pytest.approx(20 / 30)


def test_values_of_attributes_without_gold_do_not_count() -> None:
    foreign = {p: spans | found((p,), 3, attribute="x")[p] for p, spans in STRONG.items()}
    assert board().add("foreign", "team", foreign) == pytest.approx(20 / 30)


def test_the_best_of_each_kind() -> None:
    scoreboard = filled()
    assert scoreboard.best("team") == "strong"
    assert scoreboard.best("student") == "student:p"
    assert board().best("team") is None


def test_everyone_is_compared_with_the_best_team() -> None:
    entries = filled().as_json()
    assert list(entries) == ["weak", "strong", "vote", "student:p"]
    assert "f1_minus_best_team" not in entries["strong"]
    for name, values in (("weak", WEAK), ("vote", STRONG), ("student:p", STUDENT)):
        counts = [page_counts(GOLD, system, pages=PAGES) for system in (values, STRONG)]
        interval = f1_difference(*counts)
        assert entries[name]["f1_minus_best_team"] == {
            "best_team": "strong",
            "difference": interval.estimate,
            "low": interval.low,
            "high": interval.high,
        }
    gap = entries["student:p"]["f1_minus_best_team"]
    assert gap["difference"] == pytest.approx(36 / 38 - 20 / 30)
    assert gap["low"] < gap["difference"] < gap["high"]
    assert entries["vote"]["f1_minus_best_team"]["difference"] == 0


def test_without_a_team_there_is_nothing_to_compare_with() -> None:
    scoreboard = board()
    scoreboard.add("student:p", "student", STUDENT)
    assert "f1_minus_best_team" not in scoreboard.as_json()["student:p"]
    assert len(printed(scoreboard)[2]) == 4


def test_a_system_that_is_added_again_is_replaced() -> None:
    scoreboard = filled()
    scoreboard.add("weak", "team", STUDENT)
    assert scoreboard.best("team") == "weak"


def test_the_table_shows_percent_and_the_interval() -> None:
    title, _, header, _, *rows = printed(filled())
    assert title == ["Title"]
    assert header == ["system", "P", "R", "F1", "F1 − best team"]
    cells = {row[0]: row[1:] for row in rows if len(row) == 5}
    assert cells["weak"][:3] == ["50.00", "15.00", "23.08"]
    assert cells["strong"] == ["100.00", "50.00", "66.67", ""]
    assert cells["vote"][3] == "+0.00 [+0.00, +0.00]"
    gap = filled().as_json()["weak"]["f1_minus_best_team"]
    low, high = (f"{100 * gap[key]:+.2f}" for key in ("low", "high"))
    assert cells["weak"][3] == f"-43.59 [{low}, {high}]"


def test_a_name_in_brackets_is_no_markup() -> None:
    scoreboard = board()
    scoreboard.add("[red]team", "team", STRONG)
    scoreboard.add("[b]", "student", STUDENT)
    header, *rows = printed(scoreboard)[2:]
    assert header[-1] == "F1 − best team"
    assert {row[0] for row in rows} >= {"[red]team", "[b]"}


def test_counts_by_attribute_and_by_page_are_those_of_the_scores() -> None:
    scoreboard = board()
    gold = scoreboard.split.gold.values
    mixed = {page: WEAK.get(page, frozenset()) for page in PAGES}
    scoreboard.add("weak", "team", mixed)
    scoreboard.add("silent", "student", {})
    pages, attributes = scoreboard.by_page(), scoreboard.by_attribute()
    assert pages["split"] == "report"
    assert pages["page_ids"] == list(PAGES)
    assert pages["gold"] == [len(gold.get(page, ())) for page in PAGES]
    assert pages["true_positives"]["weak"] == [1, 1, 1] + [0] * 9
    assert pages["predicted"] == {"weak": [2, 2, 2] + [0] * 9, "silent": [0] * 12}
    assert attributes == {
        "gold": {"ｎａｍｅ": 20},  # the scorer compares full-width names
        "true_positives": {"weak": {"ｎａｍｅ": 3}, "silent": {"ｎａｍｅ": 0}},
        "predicted": {"weak": {"ｎａｍｅ": 6}, "silent": {"ｎａｍｅ": 0}},
    }


def test_counts_of_an_empty_board() -> None:
    assert board().by_attribute() == {"gold": {}, "true_positives": {}, "predicted": {}}
    assert board().by_page()["true_positives"] == {}


def test_counts_are_json() -> None:
    scoreboard = filled()
    for counts in (scoreboard.by_page(), scoreboard.by_attribute()):
        assert json.loads(json.dumps(counts)) == counts
