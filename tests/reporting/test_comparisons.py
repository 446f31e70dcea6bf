from __future__ import annotations

from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
from fake_runs import found, gold, student, teams, write_run
from scipy import stats

from coteach.evaluation.significance import f1_difference
from coteach.reporting.comparisons import UNDECIDED, comparison_table, seed_table
from coteach.reporting.observations import Observation, observe
from coteach.reporting.runs import read_runs
from coteach.reporting.tables import BEST_TEAM, MACRO, Table


def write(folder: Path, category: str, seed: int, skill: float, name: str = "coteach") -> None:
    systems = {**teams(category, [0.5, 0.4]), **student(category, skill, (name, seed))}
    systems["vote>=2"] = ("baseline", found(gold(category), 0.5, "vote"))
    write_run(folder / f"{name}_{category}_{seed}", category, systems, seed=seed, name=name)


def rows(table: Table) -> dict[tuple, dict]:
    names = [column.name for column in table.columns]
    by_name = [dict(zip(names, row, strict=True)) for row in table.rows]
    key = "minus" if "minus" in names else "probability"
    return {(row["system"], row[key], row["category"]): row for row in by_name}


def f1s(observations: list[Observation], system: str, category: str, p: str = "p") -> list[float]:
    """By seed, in their order."""
    seen = [it for it in observations if (it.system, it.category) == (system, category)]
    return [it.f1 for it in sorted(seen, key=lambda it: it.seed or 0) if it.probability == p]


def test_seeds(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        write(tmp_path, "Castle", seed, 0.6)
    observations = observe(read_runs([tmp_path]))
    table = rows(seed_table(observations))
    assert list(table) == [("coteach", p, "Castle") for p in ("p", "p_out", "p_mean")]
    for probability in ("p", "p_out", "p_mean"):
        values = f1s(observations, "coteach", "Castle", probability)
        row = table["coteach", probability, "Castle"]
        low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
        assert row["seeds"] == "1, 2, 3"
        assert row["mean F1"] == pytest.approx(fmean(values))
        assert row["standard deviation"] == pytest.approx(stdev(values))
        assert (row["low"], row["high"]) == pytest.approx((low, high))


def test_one_seed_has_no_spread(tmp_path: Path) -> None:
    write(tmp_path, "Castle", 7, 0.6)
    observations = observe(read_runs([tmp_path]))
    row = rows(seed_table(observations))["coteach", "p", "Castle"]
    assert row["seeds"] == "7"
    assert row["mean F1"] == f1s(observations, "coteach", "Castle")[0]
    assert row["standard deviation"] is row["low"] is row["high"] is None
    against = rows(comparison_table(observations))["coteach", BEST_TEAM, "Castle"]
    assert against["seeds: low"] is against["seeds: high"] is against["over seeds"] is None
    assert against["over pages"] is not None


def test_several_categories_have_a_macro_average_over_seeds_that_all_have(tmp_path: Path) -> None:
    for category, seeds in (("Castle", (1, 2, 3)), ("Lake", (1, 3))):
        for seed in seeds:
            write(tmp_path, category, seed, 0.6)
    observations = observe(read_runs([tmp_path]))
    row = rows(seed_table(observations))["coteach", "p", MACRO]
    first, _, third = f1s(observations, "coteach", "Castle")
    values = [
        fmean(pair)
        for pair in zip([first, third], f1s(observations, "coteach", "Lake"), strict=True)
    ]
    assert row["seeds"] == "1, 3"
    assert row["mean F1"] == pytest.approx(fmean(values))
    assert row["standard deviation"] == pytest.approx(stdev(values))


def test_differences_between_recipes(tmp_path: Path) -> None:
    for seed in (1, 2):
        write(tmp_path, "Castle", seed, 0.9, "strong")
        write(tmp_path, "Castle", seed, 0.3, "weak")
    observations = observe(read_runs([tmp_path]))
    table = rows(comparison_table(observations))
    row = table["weak", "strong", "Castle"]
    weak, strong = (f1s(observations, name, "Castle") for name in ("weak", "strong"))
    differences = np.subtract(weak, strong)
    low, high = stats.t.interval(0.95, 1, loc=differences.mean(), scale=stats.sem(differences))
    assert row["seeds"] == "1, 2"
    assert row["difference"] == pytest.approx(differences.mean())
    assert (row["seeds: low"], row["seeds: high"]) == pytest.approx((low, high))
    assert row["pages: low"] < row["difference"] < row["pages: high"] < 0
    assert row["over pages"] == "lower"
    assert row["over seeds"] == ("lower" if high < 0 else UNDECIDED)
    assert table["strong", BEST_TEAM, "Castle"]["over pages"] == "higher"
    assert ("strong", "vote>=2", "Castle") in table
    assert ("strong", "weak", "Castle") not in table  # once is enough


def test_the_page_interval_of_one_seed_is_that_of_two_runs(tmp_path: Path) -> None:
    write(tmp_path, "Castle", 1, 0.6, "a")
    write(tmp_path, "Castle", 1, 0.55, "b")
    observations = observe(read_runs([tmp_path]))
    row = rows(comparison_table(observations))["b", "a", "Castle"]
    a, b = (
        next(it.counts for it in observations if it.system == name and it.probability == "p")
        for name in ("a", "b")
    )
    interval = f1_difference(b, a)
    assert (row["difference"], row["pages: low"], row["pages: high"]) == (
        interval.estimate,
        interval.low,
        interval.high,
    )


def test_an_interval_with_0_is_too_small_to_decide(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for seed in (1, 2, 3):
            systems = student("Castle", 0.6, seed)  # the same values under two names
            write_run(tmp_path / f"{name}{seed}", "Castle", systems, seed=seed, name=name)
    row = rows(comparison_table(observe(read_runs([tmp_path]))))["b", "a", "Castle"]
    assert row["difference"] == 0
    assert row["over pages"] == row["over seeds"] == UNDECIDED == "too small to decide"


def test_recipes_are_paired_by_the_seeds_that_both_have(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        write(tmp_path, "Castle", seed, 0.6, "a")
    for seed in (3, 2, 9):
        write(tmp_path, "Castle", seed, 0.6, "b")
    observations = observe(read_runs([tmp_path]))
    row = rows(comparison_table(observations))["b", "a", "Castle"]
    assert row["seeds"] == "2, 3"
    a, b = f1s(observations, "a", "Castle"), f1s(observations, "b", "Castle")
    assert row["difference"] == pytest.approx(fmean([b[0] - a[1], b[1] - a[2]]))


def test_recipes_without_a_common_seed_have_only_the_page_interval(tmp_path: Path) -> None:
    write(tmp_path, "Castle", 1, 0.6, "a")
    write(tmp_path, "Castle", 2, 0.6, "b")
    row = rows(comparison_table(observe(read_runs([tmp_path]))))["b", "a", "Castle"]
    assert row["seeds"] == "2 / 1"
    assert row["over pages"] is not None
    assert row["over seeds"] is None


def test_the_best_team_is_that_of_each_category(tmp_path: Path) -> None:
    for category, skills in (("Castle", [0.9, 0.2]), ("Lake", [0.2, 0.9])):
        systems = {**teams(category, skills), **student(category, 0.5, 1)}
        write_run(tmp_path / category, category, systems)
    observations = observe(read_runs([tmp_path]))
    table = rows(comparison_table(observations))
    for category, team in (("Castle", "team1"), ("Lake", "team2")):
        best = next(it.f1 for it in observations if (it.system, it.category) == (team, category))
        (own,) = f1s(observations, "coteach", category)
        row = table["coteach", BEST_TEAM, category]
        assert row["difference"] == pytest.approx(own - best)
    macro = table["coteach", BEST_TEAM, MACRO]
    pair = [table["coteach", BEST_TEAM, category] for category in ("Castle", "Lake")]
    assert macro["difference"] == pytest.approx(fmean(row["difference"] for row in pair))
    assert macro["pages: high"] - macro["pages: low"] < max(
        row["pages: high"] - row["pages: low"] for row in pair
    )
