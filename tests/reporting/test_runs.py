from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fake_runs import ATTRIBUTES, found, gold, student, teams, write_run

from coteach.errors import InputError
from coteach.reporting.observations import Observation, observe
from coteach.reporting.runs import read_runs


def one_run(folder: Path, category: str = "Castle", **options) -> Path:
    systems = {**teams(category, [0.5, 0.4]), **student(category, 0.6, options.get("seed", 1))}
    return write_run(folder, category, systems, **options)


def names(observations: list[Observation]) -> list[str]:
    return list(dict.fromkeys(it.system for it in observations if it.kind != "team"))


def test_a_run_holds_the_counts_of_its_pages(tmp_path: Path) -> None:
    (run,) = read_runs([one_run(tmp_path / "run", seed=3)])
    answers = gold("Castle")
    values = found(answers, 0.5, ("Castle", "team1"))
    assert (run.category, run.seed, run.training_pages, run.labelled_pages) == (
        "Castle",
        3,
        2000,
        40,
    )
    assert run.page_ids == tuple(answers)
    expected = [
        (len(answers[page] & values[page]), len(values[page]), len(answers[page]))
        for page in answers
    ]
    np.testing.assert_array_equal(run.pages["team1"], expected)
    assert set(run.attributes["team1"]) == set(ATTRIBUTES)
    for attribute, counts in run.attributes["team1"].items():
        of = {
            (page, span)
            for page in answers
            for span in answers[page]
            if span.attribute == attribute
        }
        given = {
            (page, span) for page in values for span in values[page] if span.attribute == attribute
        }
        assert (counts.true_positives, counts.predicted, counts.gold) == (
            len(of & given),
            len(given),
            len(of),
        )


def test_a_parent_folder_stands_for_its_runs(tmp_path: Path) -> None:
    folders = [one_run(tmp_path / "coteach" / f"{seed}", seed=seed) for seed in (1, 2)]
    other = one_run(tmp_path / "other", category="Lake")
    (other / "gold_only" / "student").mkdir(parents=True)
    found_runs = read_runs([tmp_path])
    assert [run.folder for run in found_runs] == [*folders, other]
    assert len(read_runs([tmp_path, folders[0]])) == 3


def test_a_search_stands_for_its_runs(tmp_path: Path) -> None:
    folders = [one_run(tmp_path / "search" / f"seed={seed}", seed=seed) for seed in (1, 2)]
    shutil.copy(folders[0] / "recipe.json", tmp_path / "search" / "recipe.json")
    assert [run.folder for run in read_runs([tmp_path / "search"])] == folders


def test_a_run_that_is_not_finished_is_refused(tmp_path: Path) -> None:
    folder = one_run(tmp_path / "run")
    (folder / "summary.json").unlink()
    with pytest.raises(InputError, match=r"run/summary\.json: missing: this run is not finished"):
        read_runs([tmp_path])


def test_a_run_of_an_older_version_is_refused(tmp_path: Path) -> None:
    folder = one_run(tmp_path / "run")
    summary = json.loads((folder / "summary.json").read_text())
    attributes = summary.pop("attributes")
    (folder / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(InputError, match=r"summary\.json: no counts .* --output .*run, which only"):
        read_runs([folder])
    (folder / "summary.json").write_text(json.dumps({**summary, "attributes": attributes}))
    (folder / "pages.json").unlink()
    with pytest.raises(InputError, match=r"pages\.json: no counts here: an older version"):
        read_runs([folder])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("recipe.json", "{", r"recipe\.json: expected JSON"),
        ("recipe.json", "[]", "run: not the files of a run"),
        ("summary.json", '{"attributes": {}}', "run: not the files of a run: KeyError"),
        ("pages.json", '{"page_ids": [1]}', "run: not the files of a run"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, file: str, content: str, message: str) -> None:
    folder = one_run(tmp_path / "run")
    (folder / file).write_text(content)
    with pytest.raises(InputError, match=message):
        read_runs([folder])


def test_folders_without_a_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder"):
        read_runs([tmp_path / "nowhere"])
    with pytest.raises(InputError, match=r"no run here; expected a folder with recipe\.json"):
        read_runs([tmp_path])


def test_runs_of_a_category_share_pages_and_gold(tmp_path: Path) -> None:
    one_run(tmp_path / "a")
    answers = gold("Castle")
    fewer = dict(list(answers.items())[:-1])
    for number, other in enumerate((fewer, dict.fromkeys(answers, answers["Castle0"]))):
        folder = write_run(
            tmp_path / f"b{number}",
            "Castle",
            {"student:p": ("student", other)},
            answers=other,
        )
        with pytest.raises(InputError, match="other pages or another gold"):
            read_runs([tmp_path / "a", folder])


def test_seeds_of_one_recipe_share_a_name(tmp_path: Path) -> None:
    for seed in (1, 2):
        one_run(tmp_path / f"{seed}", seed=seed)
    seen = observe(read_runs([tmp_path]))
    assert names(seen) == ["coteach"]
    assert {(it.probability, it.seed) for it in seen if it.kind == "student"} == {
        (probability, seed) for probability in ("p", "p_out", "p_mean") for seed in (1, 2)
    }
    assert [it.system for it in seen if it.kind == "team"] == ["team1", "team2"]


def test_settings_on_which_no_weight_depends_are_in_no_name(tmp_path: Path) -> None:
    for seed in (1, 2):
        path = one_run(tmp_path / f"{seed}", seed=seed) / "recipe.json"
        described = json.loads(path.read_text(encoding="utf-8"))
        described["recipe"] |= {"processes": seed, "selection": {"checkpoint_every": seed}}
        path.write_text(json.dumps(described), encoding="utf-8")
    assert names(observe(read_runs([tmp_path]))) == ["coteach"]


def test_settings_that_differ_on_a_category_part_the_recipes(tmp_path: Path) -> None:
    one_run(tmp_path / "a", settings={"rate": 0.5, "loss": {"type": "Focal", "gamma": 2}})
    one_run(tmp_path / "b", settings={"rate": 0.25, "schedule": "linear"})
    assert names(observe(read_runs([tmp_path]))) == [
        "coteach (rate=0.5, loss=Focal, schedule=none)",
        "coteach (rate=0.25, loss=none, schedule=linear)",
    ]


def test_places_with_the_same_last_name_are_written_out(tmp_path: Path) -> None:
    for number in (1, 2):
        same = {"teams": {"beta": number}, "gold": {"beta": number}}
        one_run(tmp_path / f"{number}", settings=same)
    assert names(observe(read_runs([tmp_path])))[0] == (
        "coteach (optimisation.teams.beta=1, optimisation.gold.beta=1)"
    )


def test_settings_searched_for_each_category_do_not_part_the_recipe(tmp_path: Path) -> None:
    one_run(tmp_path / "a", settings={"batch_size": 8})
    one_run(tmp_path / "b", category="Lake", settings={"batch_size": 32})
    assert names(observe(read_runs([tmp_path]))) == ["coteach"]


def test_the_number_of_pages_is_in_the_name_but_not_in_that_of_the_sweep(tmp_path: Path) -> None:
    for count, batch in ((2000, 8), (5000, 20)):
        options = {"training": count, "settings": {"batch_size": batch}}
        one_run(tmp_path / f"{count}", **options)
    seen = [it for it in observe(read_runs([tmp_path])) if it.probability == "p"]
    assert [(it.system, it.sweep, it.training_pages) for it in seen] == [
        ("coteach (max_pages=2000)", "coteach", 2000),
        ("coteach (max_pages=5000)", "coteach", 5000),
    ]


def test_the_same_run_twice_is_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        one_run(tmp_path / folder)
    with pytest.raises(InputError, match=r"b and .*a are the same recipe with the same seed \(1\)"):
        observe(read_runs([tmp_path]))


def test_a_recipe_with_the_name_of_a_team_is_refused(tmp_path: Path) -> None:
    one_run(tmp_path / "a", name="team1")
    with pytest.raises(InputError, match="'team1' is the name of a team and of a recipe"):
        observe(read_runs([tmp_path]))


def test_gold_only_within_a_run_and_as_a_run_of_its_own_are_one(tmp_path: Path) -> None:
    for seed in (1, 2):
        inner = {"gold_only": ("baseline", found(gold("Castle"), 0.2, seed))}
        write_run(
            tmp_path / f"{seed}", "Castle", {**student("Castle", 0.6, seed), **inner}, seed=seed
        )
    own = {"student:p": ("student", found(gold("Castle"), 0.3, "own"))}
    write_run(tmp_path / "own", "Castle", own, name="gold_only", training=40)
    seen = [it for it in observe(read_runs([tmp_path])) if it.system == "gold_only"]
    assert {it.kind for it in seen} == {"baseline"}
    assert {it.seed: it.training_pages for it in seen} == {1: 40, 2: 40}
    first = next(it for it in seen if it.seed == 1)
    expected = next(run for run in read_runs([tmp_path / "own"])).pages["student:p"]
    np.testing.assert_array_equal(first.counts, expected)


def test_what_taught_a_self_taught_student_is_no_team(tmp_path: Path) -> None:
    one_run(tmp_path / "a")
    taught = {**teams("Castle", [0.9, 0.9, 0.9]), **student("Castle", 0.5, 4)}
    write_run(tmp_path / "b", "Castle", taught, name="self_teaching")
    seen = observe(read_runs([tmp_path]))
    assert {it.system: it.kind for it in seen} == {
        "coteach": "student",
        "self_teaching": "baseline",
        "team1": "team",
        "team2": "team",
    }
