from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest

from coteach.explaining.comparing import ACCURACY, SAME, TOP_OVER_RANDOM, Compared, RunFigures, fall
from coteach.reporting.agreement import agreement_tables, as_json, lines
from coteach.reporting.render import as_markdown, as_text
from coteach.reporting.tables import Column, Table

NAN = math.nan
FALLS = {
    fall("top"): np.array([0.5, 0.7, NAN]),
    fall("random"): np.array([0.1, 0.1, NAN]),
    fall("bottom"): np.array([0.0, 0.0, NAN]),
    TOP_OVER_RANDOM: np.array([0.4, 0.6, NAN]),
}


def run(name: str, kendall: list[float], right: list[float]) -> RunFigures:
    figures = {
        ACCURACY: np.array(right),
        SAME: np.array([1.0, 1.0, 0.0]),
        **FALLS,
        "Kendall": np.array(kendall),
    }
    return RunFigures(
        name, figures, {"Kendall": np.array([0.0, 0.1, NAN])}, None, 2_000_000, 3, 0.2
    )


def compared() -> Compared:
    teacher = RunFigures(
        "t", {ACCURACY: np.ones(3), **FALLS}, {}, ["a", "b", "a"], 4_000_000, 9, 0.1
    )
    return Compared(
        teacher,
        {
            "plain": [run("p1", [0.1, 0.3, NAN], [1, 0, 0]), run("p2", [0.3, 0.5, NAN], [1, 0, 1])],
            "ours": [run("o1", [0.5, 0.7, NAN], [1, 1, 0]), run("o2", [0.8, 1.0, NAN], [1, 1, 1])],
        },
    )


def test_models() -> None:
    table = agreement_tables(compared(), "T", ["Texts: three."])[0]
    rows = {
        row[0]: dict(zip([it.name for it in table.columns], row, strict=True)) for row in table.rows
    }
    assert list(rows) == ["T", "plain", "ours"]
    assert rows["T"]["runs"] == 1
    assert rows["T"][SAME] is None
    assert rows["plain"][ACCURACY] == pytest.approx(0.5)
    assert rows["ours"][SAME] == pytest.approx(2 / 3)
    assert rows["T"]["parameters (M)"] == 4
    assert rows["ours"]["s / 1,000 texts"] == 3
    assert rows["ours"][fall("top")] == pytest.approx(0.6)
    low, high = (rows["ours"][f"top − random: {bound}"] for bound in ("low", "high"))
    assert 0.4 <= low < high <= 0.6
    assert rows["T"]["gap"] == 0.1
    assert table.notes[-1] == "Texts: three."


def test_agreement_leaves_out_texts_without_a_figure() -> None:
    table = agreement_tables(compared(), "T")[1]
    (plain, ours) = table.rows
    assert plain[:3] == ("Kendall", "plain", pytest.approx(0.3))
    assert ours[2] == pytest.approx(0.75)
    assert 0.65 <= ours[3] <= ours[2] <= ours[4] <= 0.85
    assert ours[5] == pytest.approx(0.05)
    assert ours[6] == pytest.approx(0.3 / math.sqrt(2))
    assert ours[7] == 2


def test_differences_to_the_first_student() -> None:
    table = agreement_tables(compared(), "T")[2]
    rows = {row[0]: row for row in table.rows}
    assert set(rows) == {ACCURACY, SAME, TOP_OVER_RANDOM, "Kendall"}
    assert rows["Kendall"][:4] == ("Kendall", "ours", "plain", pytest.approx(0.45))
    assert rows["Kendall"][4:7] == (pytest.approx(0.45), pytest.approx(0.45), "higher")
    # Seeds: differences 0.4 and 0.5, of which t's 97.5 % point with 1 degree of freedom is 12.7.
    margin = 12.706205 * 0.1 / math.sqrt(2) / math.sqrt(2)
    assert rows["Kendall"][7:] == (
        pytest.approx(0.45 - margin),
        pytest.approx(0.45 + margin),
        "too small to decide",
    )
    assert rows[SAME][6] == "too small to decide"


def test_one_student_has_no_differences() -> None:
    one = Compared(compared().teacher, {"plain": compared().systems["plain"][:1]})
    tables = agreement_tables(one, "T")
    assert [table.name for table in tables] == ["agreement_models", "agreement"]
    assert tables[1].rows[0][6] is None


def test_json_has_no_nan() -> None:
    written = as_json(compared(), "T")
    assert written["students"]["ours"]["figures"]["Kendall"]["runs"] == pytest.approx([0.6, 0.9])
    assert written["students"]["ours"]["figures"]["Kendall"]["by_chance"] == pytest.approx(0.05)
    assert written["differences"]["ours"]["Kendall"]["over_texts"]["low"] == pytest.approx(0.45)
    assert "by_chance" not in written["teacher"]["figures"][ACCURACY]
    found = list(lines(compared(), "T", ["x", "y", "z"]))
    assert len(found) == 3 * 5
    assert found[0]["predicted"] == "a"
    assert found[2]["figures"][fall("top")] is None
    assert found[-1] == {
        "id": "z",
        "system": "ours",
        "run": "o2",
        "figures": {
            ACCURACY: 1.0,
            SAME: 0.0,
            **dict.fromkeys(FALLS),
            "Kendall": None,
        },
        "by_chance": {"Kendall": None},
    }


def test_figures_that_no_text_has() -> None:
    empty = {name: np.full(2, NAN) for name in (*FALLS, "Kendall")}
    nothing = RunFigures("t", empty, {"Kendall": np.full(2, NAN)}, None, 1, 1.0, NAN)
    only = Compared(nothing, {"a": [nothing] * 2, "b": [nothing] * 2})
    for table in agreement_tables(only, "T"):
        as_text(table)
        as_markdown(table)
    assert as_json(only, "T")["students"]["a"]["figures"]["Kendall"]["mean"] is None
    assert "NaN" not in json.dumps(as_json(only, "T"))


def test_markdown() -> None:
    table = Table(
        "x",
        "F1 (%) | <b>",
        (Column("system|name", "text"), Column("F1"), Column("gain", "difference")),
        (("a_*b*", 0.5, 0.01), ("`c`", None, -0.02)),
        ("A note.", "Another [link](x)."),
    )
    assert as_markdown(table) == (
        "## F1 (%) \\| \\<b\\>\n\n"
        "| system\\|name | F1 | gain |\n"
        "| --- | ---: | ---: |\n"
        "| a\\_\\*b\\* | 50.00 | +1.00 |\n"
        "| \\`c\\` | - | -2.00 |\n\n"
        "A note.\n\nAnother \\[link\\](x).\n"
    )
    rows = [it for it in as_markdown(table).splitlines() if it.startswith("|")]
    counts = [it.replace("\\|", "").count("|") for it in rows]
    assert all(one == other for one, other in pairwise(counts))
