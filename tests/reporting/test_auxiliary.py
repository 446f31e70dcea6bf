from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest
from fake_runs import write_auxiliary_runs, write_classification_run
from scipy import stats

from coteach.errors import InputError
from coteach.reporting.auxiliary import experiments
from coteach.reporting.classification_runs import read_classification_runs
from coteach.reporting.classification_tables import (
    GAIN,
    LOSS,
    NO_MULTI_TASK,
    NO_SPREAD,
    NO_TWIN,
    ONE_PAIR,
    auxiliary_tables,
    classification_table,
    classification_tables,
)
from coteach.reporting.comparisons import UNDECIDED
from coteach.reporting.render import as_text
from coteach.reporting.tables import Table


def rows(*tables: Table) -> dict[Any, dict[str, Any]]:
    """First cell → column → cell, of tables with the same first cells."""
    found: dict[Any, dict[str, Any]] = {}
    for table in tables:
        names = [column.name for column in table.columns]
        for row in table.rows:
            found.setdefault(row[0], {}).update(zip(names, row, strict=True))
    return found


def tables_of(folder: Path) -> list[Table]:
    (experiment,) = experiments(read_classification_runs([folder]))
    return auxiliary_tables(experiment)


def right(folder: Path) -> dict[str, bool]:
    """Text → whether the student was right, from the run's file."""
    lines = (folder / "report.jsonl").read_text(encoding="utf-8").splitlines()
    return {it["id"]: it["gold"] == it["predicted"] for it in map(json.loads, lines)}


def write_pair(folder: Path, multi: int, single: int, texts: int = 10, **options: Any) -> None:
    """Two runs that are right on their first texts."""
    for weight, count in ((0.5, multi), (0.0, single)):
        correct = [number < count for number in range(texts)]
        name = f"{weight} " + " ".join(map(str, options.values()))
        write_classification_run(folder / name, correct, weight=weight, **options)


def test_every_figure_against_the_files(tmp_path: Path) -> None:
    folder = write_auxiliary_runs(tmp_path, {2: (0.9, 0.7), 11: (0.8, 0.8), 5: (0.6, 0.8)}, folds=6)
    table = rows(*tables_of(folder))
    assert list(table) == [2, 5, 11]
    ps = {}
    for layer, row in table.items():
        by_task = []
        for weight in (0.5, 0.0):
            of = [right(folder / f"layer={layer},weight={weight},fold={fold}") for fold in range(6)]
            by_task.append([fmean(texts.values()) for texts in of])
        multi, single = by_task
        differences = np.subtract(multi, single)
        assert row["multi-task"] == pytest.approx(fmean(multi))
        assert row["multi-task: s.d."] == pytest.approx(stdev(multi))
        assert row["single-task"] == pytest.approx(fmean(single))
        assert row["single-task: s.d."] == pytest.approx(stdev(single))
        assert row["difference"] == pytest.approx(differences.mean())
        ps[layer] = stats.ttest_rel(multi, single, alternative="greater").pvalue
        assert row["p, one-sided"] == pytest.approx(ps[layer])
        assert row["p, two-sided"] == pytest.approx(stats.ttest_rel(multi, single).pvalue)
        assert (row["pairs: low"], row["pairs: high"]) == pytest.approx(
            stats.t.interval(0.95, 5, loc=differences.mean(), scale=stats.sem(differences))
        )
        assert row["pairs"] == 6
        assert row["texts: low"] < row["difference"] < row["texts: high"]
        assert row["detectable"] > 0
    order = sorted(ps, key=ps.__getitem__)
    assert table[order[0]]["p, Holm"] == pytest.approx(3 * ps[order[0]])
    said = {layer: (row["over pairs"], row["over texts"]) for layer, row in table.items()}
    assert said == {2: (GAIN, "higher"), 5: (LOSS, "lower"), 11: (UNDECIDED, UNDECIDED)}


def test_by_hand(tmp_path: Path) -> None:
    """Gains of 1, 2 and 3 texts of 10: t = 2 √3 with 2 degrees of freedom, p = (1 − √(6/7)) / 2."""
    for fold, (multi, single) in enumerate([(6, 5), (7, 5), (8, 5)]):
        write_pair(tmp_path, multi, single, fold=fold)
    tables = tables_of(tmp_path)
    row = rows(*tables)[2]
    assert (row["multi-task"], row["single-task"]) == pytest.approx((0.7, 0.5))
    assert (row["multi-task: s.d."], row["single-task: s.d."]) == pytest.approx((0.1, 0.0))
    assert row["difference"] == pytest.approx(0.2)
    assert row["p, one-sided"] == row["p, Holm"] == pytest.approx((1 - math.sqrt(6 / 7)) / 2)
    assert row["over pairs"] == GAIN
    notes = " ".join(tables[0].notes)
    assert "Highest mean difference: layer 2 (+20.00 points)" in notes
    assert "Highest accuracy of multi-task: layer 2 (70.00 %)" in notes
    assert "for the 1 layers tested, gains at 0.05: layer 2." in notes
    for gain in ("+1.756", "+0.383"):
        assert gain in notes


def test_texts_are_pooled_over_folds_and_averaged_over_seeds(tmp_path: Path) -> None:
    """Of 40 texts one seed gains 4 in each of two folds, the other seed 2 in the second alone."""
    for fold, seed, gained in [(0, 1, 4), (1, 1, 4), (0, 2, 0), (1, 2, 2)]:
        write_pair(tmp_path, 10 + gained, 10, texts=20, fold=fold, seed=seed)
    (experiment,) = experiments(read_classification_runs([tmp_path]))
    (layer,) = experiment.layers
    values = sorted(layer.text_differences)
    assert values == [0.0] * 32 + [0.5] * 6 + [1.0] * 2
    row = rows(*auxiliary_tables(experiment))[2]
    assert row["pairs"] == 4
    assert row["difference"] == pytest.approx(fmean(values))
    means = np.random.default_rng(3).choice(values, (20_000, 40)).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    assert (row["texts: low"], row["texts: high"]) == pytest.approx((low, high), abs=0.015)


@pytest.mark.filterwarnings("error")
def test_what_cannot_be_tested_is_said_in_words(tmp_path: Path) -> None:
    write_pair(tmp_path, 8, 6, layer=1)
    for fold in range(3):
        write_pair(tmp_path, 7, 7, layer=2, fold=fold)
        write_pair(tmp_path, 7 + fold, 5 + fold, layer=3, fold=fold)
    write_pair(tmp_path, 1, 0, texts=1, layer=6)
    write_classification_run(tmp_path / "multi", [True, False], layer=4)
    write_classification_run(tmp_path / "single", [True, False], layer=5, weight=0.0)
    tables = tables_of(tmp_path)
    said = {layer: row["over pairs"] for layer, row in rows(*tables).items()}
    assert said == {
        1: ONE_PAIR,
        2: NO_SPREAD,
        3: NO_SPREAD,
        4: NO_TWIN,
        5: NO_MULTI_TASK,
        6: ONE_PAIR,
    }
    by_layer = rows(*tables)
    for row in by_layer.values():
        tested = ("p, one-sided", "p, two-sided", "p, Holm", "pairs: low", "detectable")
        assert [row[name] for name in tested] == [None] * 5
    assert by_layer[1]["difference"] == pytest.approx(0.2)
    assert by_layer[1]["multi-task: s.d."] is None
    assert by_layer[2]["difference"] == 0
    assert (by_layer[2]["texts: low"], by_layer[2]["texts: high"]) == (0, 0)
    assert by_layer[3]["difference"] == pytest.approx(0.2)
    assert (by_layer[4]["multi-task"], by_layer[4]["single-task"]) == (0.5, None)
    assert (by_layer[5]["multi-task"], by_layer[5]["single-task"]) == (None, 0.5)
    assert by_layer[6]["over texts"] is None
    assert "Runs without the other of their pair: 2 (multi, single)." in tables[0].notes
    assert not any("nan" in as_text(table) for table in tables)
    assert not any("Holm's correction" in note for note in tables[0].notes)


def test_only_common_folds_are_compared(tmp_path: Path) -> None:
    for fold, (multi, single) in enumerate([(6, 5), (7, 5), (8, 5)]):
        write_pair(tmp_path, multi, single, fold=fold)
    before = rows(*tables_of(tmp_path))
    write_classification_run(tmp_path / "more", [True] * 10, fold=3)
    write_classification_run(tmp_path / "other seed", [True] * 10, weight=0.0, seed=2)
    tables = tables_of(tmp_path)
    assert rows(*tables) == before
    assert "Runs without the other of their pair: 2 (more, other seed)." in tables[0].notes


def test_everything_else_parts_the_experiments(tmp_path: Path) -> None:
    for fold in range(2):
        write_pair(tmp_path / "a", 6 + fold, 5, fold=fold)
        write_pair(
            tmp_path / "b", 5 + fold, 4, fold=fold, settings={"train": ["/x/y/b.tsv", "c.tsv"]}
        )
    # Another weight, with one of the same twins.
    write_classification_run(tmp_path / "a" / "weight=1", [True] * 9 + [False], weight=1.0)
    tables = classification_tables(read_classification_runs([tmp_path]))
    assert [table.name for table in tables] == [
        "classification",
        "auxiliary_pos-weight=0.5-on-news-train.tsv",
        "auxiliary_pos-weight=0.5-on-news-train.tsv_tests",
        "auxiliary_pos-weight=1-on-news-train.tsv",
        "auxiliary_pos-weight=1-on-news-train.tsv_tests",
        "auxiliary_pos-weight=0.5-on-y-b.tsv,-c.tsv",
        "auxiliary_pos-weight=0.5-on-y-b.tsv,-c.tsv_tests",
    ]
    assert tables[5].title.endswith("by its layer: pos (weight=0.5) on y/b.tsv, c.tsv")
    differences = [rows(table)[2]["difference"] for table in tables[1::2]]
    assert differences == pytest.approx([0.15, 0.4, 0.15])


def test_tables_of_one_name_do_not_replace_each_other(tmp_path: Path) -> None:
    for number in (1, 2):
        settings = {"train": f"/{number}/" + "長" * 100 + "/train.tsv"}
        write_classification_run(tmp_path / f"{number}", [True], settings=settings)
    names = [it.name for it in classification_tables(read_classification_runs([tmp_path]))]
    assert len(set(names)) == 5
    assert all(len(f"{name}.csv".encode()) < 255 for name in names)


def test_names_and_processes_do_not_part_a_pair(tmp_path: Path) -> None:
    write_classification_run(tmp_path / "a", [True, True], name="multi")
    write_classification_run(tmp_path / "b", [True, False], name="single", weight=0.0)
    path = tmp_path / "b" / "recipe.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    described["recipe"] |= {"processes": 99}
    path.write_text(json.dumps(described), encoding="utf-8")
    (experiment,) = experiments(read_classification_runs([tmp_path]))
    assert experiment.label == "multi"
    assert [len(layer.pairs) for layer in experiment.layers] == [1]


def test_without_an_auxiliary_task_there_is_no_experiment(tmp_path: Path) -> None:
    folder = write_classification_run(tmp_path / "a", [True, False])
    described = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
    del described["recipe"]["edges"]["part_of_speech"]
    (folder / "recipe.json").write_text(json.dumps(described), encoding="utf-8")
    runs = read_classification_runs([folder])
    assert experiments(runs) == []
    assert [table.name for table in classification_tables(runs)] == ["classification"]
    assert classification_tables([]) == []


def test_a_pair_on_different_texts_is_refused(tmp_path: Path) -> None:
    write_classification_run(tmp_path / "multi", [True] * 4)
    write_classification_run(tmp_path / "single", [True] * 3, weight=0.0)
    with pytest.raises(InputError, match=r"multi and .*single: other texts or another gold"):
        experiments(read_classification_runs([tmp_path]))


def test_the_same_run_under_two_names_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_classification_run(tmp_path / name, [True, False], name=name)
    runs = read_classification_runs([tmp_path])
    with pytest.raises(InputError, match=r"b and .*a are the same recipe with the same fold \(0\)"):
        experiments(runs)


def test_settings_with_their_baselines(tmp_path: Path) -> None:
    folder = write_auxiliary_runs(tmp_path, {10: (0.9, 0.7), 2: (0.8, 0.6)}, folds=3)
    table = classification_table(read_classification_runs([folder]))
    by_name = rows(table)
    assert list(by_name) == [
        "majority",
        "pos (layer=2, weight=0)",
        "pos (layer=2, weight=0.5)",
        "pos (layer=10, weight=0)",
        "pos (layer=10, weight=0.5)",
    ]
    values = [
        fmean(right(folder / f"layer=10,weight=0.5,fold={fold}").values()) for fold in range(3)
    ]
    row = by_name["pos (layer=10, weight=0.5)"]
    assert (row["data"], row["runs"]) == ("news/train.tsv", 3)
    assert row["accuracy"] == pytest.approx(fmean(values))
    assert row["accuracy: s.d."] == pytest.approx(stdev(values))
    assert row["macro-F1"] == pytest.approx(fmean(values) / 2)
    assert (by_name["majority"]["runs"], by_name["majority"]["accuracy"]) == (3, 0.5)


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("matplotlib", "matplotlib_fontja")),
    reason="needs the extra report",
)
@pytest.mark.filterwarnings("error")
def test_the_figure(tmp_path: Path) -> None:
    from matplotlib import image

    from coteach.reporting.figures import draw_auxiliary

    write_auxiliary_runs(tmp_path / "a", {1: (0.9, 0.8), 2: (0.9, 0.7)}, folds=3)
    write_classification_run(tmp_path / "b", [True, False], settings={"train": "文.tsv"})
    found = experiments(read_classification_runs([tmp_path]))
    draw_auxiliary(found[:1], tmp_path / "one.png")
    draw_auxiliary(found, tmp_path / "two.png")
    one, two = (image.imread(tmp_path / name)[..., :3] for name in ("one.png", "two.png"))
    assert two.shape[1] == 2 * one.shape[1]
    assert one.shape[0] > 500
    assert (one.std(axis=2) > 0.1).any()  # something is in colour
