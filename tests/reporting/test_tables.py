from __future__ import annotations

import csv
import math
from pathlib import Path
from statistics import fmean

import pytest
from fake_runs import ATTRIBUTES, Values, found, gold, student, teams, write_run

from coteach.reporting.observations import Observation, observe
from coteach.reporting.render import as_text, write_csv, write_text
from coteach.reporting.runs import read_runs
from coteach.reporting.tables import (
    BEST_TEAM,
    BEST_TEAM_BY_ATTRIBUTE,
    MACRO,
    Column,
    Table,
    attribute_table,
    category_table,
    group_table,
)

CATEGORIES = {"Castle": [0.6, 0.3, 0.4], "湖沼名": [0.2, 0.5], "Airport": [0.3, 0.7, 0.5]}
SEEDS = (1, 2)


def f1(answers: Values, values: Values, attribute: str | None = None) -> float:
    """Straight from the definition."""

    def pick(of: Values) -> set:
        return {
            (page, span)
            for page, spans in of.items()
            for span in spans
            if attribute in (None, span.attribute)
        }

    right = len(pick(answers) & pick(values))
    total = len(pick(answers)) + len(pick(values))
    return 2 * right / total if total else 0.0


def team_values(category: str) -> dict[str, Values]:
    return {name: values for name, (_, values) in teams(category, CATEGORIES[category]).items()}


def student_values(category: str, seed: int) -> Values:
    return student(category, 0.6, seed)["student:p"][1]


@pytest.fixture
def observations(tmp_path: Path) -> list[Observation]:
    """Three categories, a team that left one out, a vote, two seeds, the gold alone in one seed."""
    for category, skills in CATEGORIES.items():
        for seed in SEEDS:
            systems = {**teams(category, skills), **student(category, 0.6, seed)}
            systems["vote>=2"] = ("baseline", found(gold(category), 0.5, "vote"))
            if seed == 1:
                systems["gold_only"] = ("baseline", found(gold(category), 0.2, category))
            write_run(tmp_path / f"{category}{seed}", category, systems, seed=seed)
    return observe(read_runs([tmp_path]))


def cells(table: Table) -> dict[str, dict[str, float]]:
    """row → column → cell."""
    names = [column.name for column in table.columns[1:]]
    return {str(row[0]): dict(zip(names, row[1:], strict=True)) for row in table.rows}


def expected_category(category: str) -> dict[str, float]:
    answers = gold(category)
    result = {team: f1(answers, values) for team, values in team_values(category).items()}
    result[BEST_TEAM] = max(result.values())
    oracle: Values = {page: frozenset() for page in answers}
    for attribute in ATTRIBUTES:
        best = max(team_values(category).values(), key=lambda v: f1(answers, v, attribute))
        for page in answers:
            oracle[page] |= {span for span in best[page] if span.attribute == attribute}
    result[BEST_TEAM_BY_ATTRIBUTE] = f1(answers, oracle)
    result["vote>=2"] = f1(answers, found(answers, 0.5, "vote"))
    result["gold_only"] = f1(answers, found(answers, 0.2, category))
    result["coteach"] = fmean(f1(answers, student_values(category, seed)) for seed in SEEDS)
    return result


def test_table_2_is_a_naive_recomputation(observations: list[Observation]) -> None:
    table = category_table(observations)
    found_cells = cells(table)
    assert set(found_cells) == {*CATEGORIES, MACRO}
    for category in CATEGORIES:
        expected = expected_category(category)
        shown = {name: value for name, value in found_cells[category].items() if value is not None}
        assert shown == pytest.approx(expected)
    assert found_cells["湖沼名"]["team3"] is None
    assert found_cells[MACRO]["team3"] is None
    for system in ("team1", BEST_TEAM, BEST_TEAM_BY_ATTRIBUTE, "gold_only", "coteach"):
        mean = fmean(expected_category(category)[system] for category in CATEGORIES)
        assert found_cells[MACRO][system] == pytest.approx(mean)
    assert [column.name for column in table.columns[1:]] == [
        *("team1", "team2", "team3", BEST_TEAM, BEST_TEAM_BY_ATTRIBUTE),
        *("vote>=2", "gold_only", "coteach"),
    ]
    assert any("gold_only is the paper's" in note for note in table.notes)


def test_table_1_averages_over_groups(observations: list[Observation]) -> None:
    groups = {"建物": ["Castle", "Airport"], "自然": ["湖沼名"]}
    rows = cells(group_table(observations, groups))
    assert list(rows) == ["建物", "自然", "all"]
    for group, members in {**groups, "all": list(CATEGORIES)}.items():
        for system in ("team2", BEST_TEAM, "coteach"):
            mean = fmean(expected_category(category)[system] for category in members)
            assert rows[group][system] == pytest.approx(mean)
    assert rows["建物"]["team3"] is not None
    assert rows["all"]["team3"] is None
    assert list(cells(group_table(observations))) == ["all"]


def test_the_table_of_attributes_is_a_naive_recomputation(observations: list[Observation]) -> None:
    rows = cells(attribute_table(observations, "Castle"))
    answers = gold("Castle")
    assert list(rows) == [*sorted(ATTRIBUTES), MACRO, "micro-average"]
    for attribute in ATTRIBUTES:
        by_team = {
            team: f1(answers, values, attribute) for team, values in team_values("Castle").items()
        }
        mean = fmean(f1(answers, student_values("Castle", seed), attribute) for seed in SEEDS)
        expected = {**by_team, BEST_TEAM: max(by_team.values()), "coteach": mean}
        assert {name: rows[attribute][name] for name in expected} == pytest.approx(expected)
    for system in ("team1", BEST_TEAM, "coteach"):
        mean = fmean(rows[attribute][system] for attribute in ATTRIBUTES)
        assert rows[MACRO][system] == pytest.approx(mean)
    whole = expected_category("Castle")
    assert rows["micro-average"]["team1"] == pytest.approx(whole["team1"])
    assert rows["micro-average"]["coteach"] == pytest.approx(whole["coteach"])
    assert rows["micro-average"][BEST_TEAM] == pytest.approx(whole[BEST_TEAM_BY_ATTRIBUTE])


def test_without_teams_there_is_no_best_one(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "Castle", student("Castle", 0.6, 1))
    observations = observe(read_runs([tmp_path]))
    for table in (category_table(observations), attribute_table(observations, "Castle")):
        assert [column.name for column in table.columns[1:]] == ["coteach"]
        assert table.notes == ()


def test_csv_reads_back(observations: list[Observation], tmp_path: Path) -> None:
    table = category_table(observations)
    write_csv(table, tmp_path / "new" / "table.csv")
    with (tmp_path / "new" / "table.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == [column.name for column in table.columns]
    for row, original in zip(rows, table.rows, strict=True):
        assert row[0] == original[0]
        values = [float(cell) if cell else None for cell in row[1:]]
        assert values == list(original[1:])  # nothing is lost


def test_text_is_percent_and_has_no_trailing_spaces(tmp_path: Path) -> None:
    columns = (
        Column("名前", "text"),
        Column("n", "count"),
        Column("F1"),
        Column("gain", "difference"),
        Column("t", "number"),
    )
    rows = (("[b]城", 1200, 0.98765, -0.012, -3.38123), ("空", 3, None, 0.0, math.inf))
    table = Table("name", "Title", columns, rows, ("A note. " * 20,))
    write_text(table, tmp_path / "t.txt")
    text = (tmp_path / "t.txt").read_text(encoding="utf-8")
    assert text == as_text(table)
    lines = text.splitlines()
    assert lines[0] == "Title"
    assert [line.split() for line in lines if line.startswith((" [b]城", " 空"))] == [
        ["[b]城", "1200", "98.77", "-1.20", "-3.38"],
        ["空", "3", "-", "+0.00", "inf"],
    ]
    assert all(line == line.rstrip() and len(line) <= 100 for line in lines)
    assert " ".join(text.split()).count("A note.") == 20


def test_a_wide_table_of_scores_is_turned_on_its_side() -> None:
    columns = (Column("category", "text"), *(Column(f"team{n}") for n in range(4)))
    text = as_text(Table("t", "Title", columns, (("Castle", 0.1, 0.2, 0.3, None),)))
    lines = [line.split() for line in text.splitlines()]
    assert ["Castle"] in lines
    assert ["team0", "10.00"] in lines
    assert ["team3", "-"] in lines
