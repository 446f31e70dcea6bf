from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
from fake_runs import ATTRIBUTES, student, teams, write_run
from scipy import stats

from coteach.errors import InputError
from coteach.reporting.figure_data import (
    Lead,
    correlation,
    correlation_table,
    lead_table,
    leads,
    sweep_table,
    sweeps,
)
from coteach.reporting.observations import Observation, observe
from coteach.reporting.runs import read_runs

# The paper's Table 2: best team, second-best team, co-teaching.
PAPER = """
89.55 88.03 90.49  66.49 66.40 65.88  66.13 63.25 58.49  50.72 50.32 58.69  76.40 72.31 76.19
67.47 60.86 67.62  56.38 53.71 59.87  64.26 61.27 65.70  50.49 48.55 52.38  62.65 58.98 60.45
56.45 49.07 55.85  67.40 66.31 70.29  63.09 59.63 67.47  49.00 41.10 50.37  62.73 61.46 64.59
67.25 66.18 71.14  64.92 61.30 64.73  65.65 62.90 64.15  74.24 73.18 76.28  65.03 61.55 65.49
56.71 51.05 57.54  69.66 62.78 67.97  51.20 50.24 56.95  52.71 51.97 57.45  67.52 60.12 63.97
59.75 47.53 53.99  53.95 52.87 51.05  47.55 40.60 42.82  52.24 47.48 49.79  71.43 68.33 69.26
56.94 56.81 57.47  63.86 58.42 53.95  54.92 51.44 58.04
"""
needs_drawing = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("matplotlib", "matplotlib_fontja")),
    reason="needs the extra report",
)


def observations(folder: Path, categories: int = 1, seeds: int = 1) -> list[Observation]:
    for number in range(categories):
        category = f"城{number}"
        for seed in range(seeds):
            for training, skill in ((2000, 0.5), (5000, 0.7)):
                skills = [0.3 + 0.1 * (number % 3), 0.4, 0.2]
                systems = {
                    **teams(category, skills),
                    **student(category, skill, (seed, training)),
                }
                name = folder / f"{category}_{seed}_{training}"
                write_run(name, category, systems, seed=seed, training=training)
    return observe(read_runs([folder]))


def test_the_paper_s_correlation() -> None:
    figures = np.array(PAPER.split(), dtype=float).reshape(-1, 3) / 100
    points = [Lead(str(n), own, best, second) for n, (best, second, own) in enumerate(figures)]
    test = correlation(points)
    assert test is not None
    assert test.count == 33
    # The paper has r = −0.519 and p = 1.99e-3, from scores before they were rounded.
    assert test.r == pytest.approx(-0.519, abs=0.001)
    assert test.r_p == pytest.approx(1.99e-3, abs=2e-5)
    assert 100 * test.gain == pytest.approx(62.01 - 61.96, abs=0.005)


def test_both_t_tests_are_those_of_the_definition() -> None:
    dice = np.random.default_rng(0)
    points = [Lead("", *sorted(dice.random(3), key=lambda it: -it)) for _ in range(9)]
    test = correlation(points)
    assert test is not None
    x = np.array([point.best - point.second for point in points])
    y = np.array([point.f1 - point.best for point in points])
    r = np.corrcoef(x, y)[0, 1]
    assert test.r == pytest.approx(r)
    assert test.r_t == pytest.approx(r * math.sqrt(7 / (1 - r**2)))
    assert test.r_p == pytest.approx(2 * stats.t.sf(abs(test.r_t), 7))
    t = y.mean() / (y.std(ddof=1) / 3)
    assert (test.gain, test.gain_t) == pytest.approx((y.mean(), t))
    assert test.gain_p == pytest.approx(2 * stats.t.sf(abs(t), 8))
    assert test.gain_p == pytest.approx(stats.ttest_1samp(y, 0).pvalue)


@pytest.mark.parametrize(
    "points",
    [
        [],
        [Lead("a", 0.5, 0.4, 0.3), Lead("b", 0.6, 0.4, 0.2)],
        [Lead("a", 0.5, 0.4, 0.3)] * 5,
    ],
)
def test_too_few_or_equal_points_have_no_correlation(points: list[Lead]) -> None:
    assert correlation(points) is None
    assert correlation_table({"student": points}).rows == ()


def test_points_are_the_attributes_of_one_category(tmp_path: Path) -> None:
    seen = observations(tmp_path)
    points = leads(seen)
    assert list(points) == ["coteach (max_pages=2000)", "coteach (max_pages=5000)"]
    for student_name, group in points.items():
        assert [point.unit for point in group] == sorted(ATTRIBUTES)
        own = next(it for it in seen if it.system == student_name and it.probability == "p")
        for point in group:
            by_team = sorted(it.attributes[point.unit].f1 for it in seen if it.kind == "team")
            assert (point.second, point.best) == pytest.approx(tuple(by_team[-2:]))
            assert point.f1 == own.attributes[point.unit].f1
    table = lead_table(points)
    assert len(table.rows) == 2 * len(ATTRIBUTES)
    for row in table.rows:
        assert row[-2:] == pytest.approx((row[3] - row[4], row[2] - row[3]))  # type: ignore[operator]


def test_points_are_the_categories_from_three_on(tmp_path: Path) -> None:
    names = {
        count: [
            p.unit for p in next(iter(leads(observations(tmp_path / f"{count}", count)).values()))
        ]
        for count in (2, 3)
    }
    assert names[2] == [f"城{n}: {name}" for n in (0, 1) for name in sorted(ATTRIBUTES)]
    assert names[3] == ["城0", "城1", "城2"]


def test_one_team_has_no_lead(tmp_path: Path) -> None:
    systems = {**teams("城", [0.5]), **student("城", 0.5, 1)}
    write_run(tmp_path / "run", "城", systems)
    assert leads(observe(read_runs([tmp_path]))) == {}


def test_sweep(tmp_path: Path) -> None:
    seen = observations(tmp_path, seeds=3)
    (panel,) = sweeps(seen)
    assert (panel.student, panel.category) == ("coteach", "城0")
    assert panel.best_team == max(it.f1 for it in seen if it.kind == "team")
    assert list(panel.lines) == ["p", "p_out", "p_mean"]
    for probability, points in panel.lines.items():
        assert [point.training_pages for point in points] == [2000, 5000]
        for point in points:
            values = [
                it.f1
                for it in seen
                if (it.probability, it.training_pages) == (probability, point.training_pages)
            ]
            assert len(values) == 3
            assert point.mean == pytest.approx(fmean(values))
            assert point.spread == pytest.approx(stdev(values))
    assert len(sweep_table([panel]).rows) == 6


def test_one_number_of_pages_is_no_sweep(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "城", {**teams("城", [0.5]), **student("城", 0.5, 1)})
    assert sweeps(observe(read_runs([tmp_path]))) == []
    assert sweep_table([]).rows == ()


@needs_drawing
@pytest.mark.parametrize(("categories", "seeds"), [(1, 1), (3, 2)])
def test_figures_are_drawn_without_a_trace(tmp_path: Path, categories: int, seeds: int) -> None:
    import matplotlib
    from matplotlib import image

    from coteach.reporting.figures import draw_leads, draw_sweeps

    before = dict(matplotlib.rcParams)
    seen = observations(tmp_path / "runs", categories, seeds)
    draw_leads(leads(seen), tmp_path / "leads.png")
    draw_sweeps(sweeps(seen), tmp_path / "sweeps.png")
    assert dict(matplotlib.rcParams) == before
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )
    assert sorted(path.name for path in tmp_path.glob("*png*")) == ["leads.png", "sweeps.png"]
    for name in ("leads", "sweeps"):
        pixels = image.imread(tmp_path / f"{name}.png")[..., :3]
        assert pixels.shape[0] > 500
        assert pixels.std() > 0.05
        assert (pixels.std(axis=2) > 0.1).any()  # something is in colour


@needs_drawing
@pytest.mark.filterwarnings("error:Glyph")
def test_japanese_names_have_their_glyphs(tmp_path: Path) -> None:
    from coteach.reporting.figures import draw_leads

    points = {"生徒 −": [Lead(f"市区町村名＿その他{n}", n / 10, n / 20, n / 30) for n in range(5)]}
    draw_leads(points, tmp_path / "leads.png")


@needs_drawing
def test_a_figure_that_cannot_be_written(tmp_path: Path) -> None:
    from coteach.reporting.figures import draw_leads

    with pytest.raises(InputError, match=r"nowhere/x\.png: cannot be written"):
        draw_leads({"a": [Lead("b", 0.1, 0.2, 0.1)]}, tmp_path / "nowhere" / "x.png")


@pytest.mark.parametrize("package", ["matplotlib", "matplotlib_fontja"])
def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    from coteach.reporting.figures import check_available

    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=r"pip install coteach\[report\]"):
        check_available()
