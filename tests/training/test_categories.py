from __future__ import annotations

import json
import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import tiny_task
from rich.console import Console

import coteach.training.categories
from coteach.data.shinra_distribution import ShinraDistribution
from coteach.errors import InputError
from coteach.recipe import Recipe, load_recipe
from coteach.train import main
from coteach.training.categories import categories_of, describe_categories, run_categories

RECIPE = """
from dataclasses import replace

from coteach.data.shinra_distribution import ShinraDistribution
from coteach.recipe import Optimisation

data = ShinraDistribution(root=HERE, submissions=HERE / "submissions", splits=HERE / "splits.json")
optimisation = Optimisation(epochs=1, batch_size=4, learning_rate=5e-3)
recipe = replace(recipe, data=data, optimisation=optimisation, baselines=("vote",))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A recipe of two categories that are the tiny task."""
    path = tiny_task.write(tmp_path)
    path.write_text(path.read_text(encoding="utf-8") + RECIPE, encoding="utf-8")
    for category in ("Castle", "Tower"):
        for part, name in (("dist", "train"), ("dev", "dev"), ("report", "report")):
            source = tmp_path / "annotation" / f"{name}.json"
            shutil.copy(source, tmp_path / "annotation" / f"{category}_{part}.json")
    shutil.copytree(tmp_path / "plain" / "Castle", tmp_path / "plain" / "Tower")
    for team in (tmp_path / "submissions").iterdir():
        if team.name != "hasty":  # who has no part in the second category
            shutil.copy(team / "Castle.json", team / "Tower.json")
    return path


def summary_of(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def test_a_run_of_several_categories(path: Path, tmp_path: Path) -> None:
    recipes = categories_of(load_recipe(str(path)))
    assert [*recipes] == ["Castle", "Tower"]
    console = Console(file=StringIO(), width=120)
    folder = tmp_path / "run"
    summary = run_categories(recipes, folder, console)
    assert summary == summary_of(folder)
    own = {category: summary_of(folder / category) for category in recipes}
    assert own["Castle"]["recipe"] == "tiny/Castle"
    for category, of in own.items():
        f1s = {system: row["f1"] for system, row in of["scores"].items()}
        assert summary["categories"][category]["f1"] == f1s
    scores = [of["scores"] for of in own.values()]
    student = summary["macro"]["student:p"]
    for figure in ("precision", "recall", "f1"):
        assert student[figure] == pytest.approx(sum(of["student:p"][figure] for of in scores) / 2)
    best = [max(row["f1"] for row in of.values() if row["kind"] == "team") for of in scores]
    gap = student["f1_minus_best_teams"]
    assert gap["difference"] == pytest.approx(student["f1"] - sum(best) / 2)
    assert gap["low"] <= gap["difference"] <= gap["high"]
    assert gap["categories"] == student["categories"] == 2
    assert summary["macro"]["hasty"]["categories"] == 1
    assert summary["macro"]["hasty"]["f1"] == scores[0]["hasty"]["f1"]
    assert "mean" in console.file.getvalue()  # type: ignore[attr-defined]


def test_what_fails_is_reported_and_what_is_finished_is_not_run_again(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gold = tmp_path / "annotation" / "Castle_dist.json"
    good = gold.read_text(encoding="utf-8")
    gold.write_text("{\n", encoding="utf-8")
    folder = tmp_path / "run"
    command = [str(path), "--output", str(folder)]
    assert main(command) == 1
    summary = summary_of(folder)
    assert "Castle_dist.json:1: not JSON" in summary["categories"]["Castle"]["error"]
    assert summary["macro"]["student:p"]["categories"] == 1
    assert not (folder / "Castle").exists()
    assert "Castle failed: " in capsys.readouterr().out

    gold.write_text(good, encoding="utf-8")
    ran = []
    original = coteach.training.categories.run

    def counted(recipe: Recipe, folder: Path, console: Console) -> object:
        ran.append(folder.name)
        return original(recipe, folder, console)

    monkeypatch.setattr(coteach.training.categories, "run", counted)
    assert main(command) == 0
    assert ran == ["Castle"]
    assert "Tower: finished before" in capsys.readouterr().out
    assert [*summary_of(folder)["categories"]] == ["Castle", "Tower"]
    assert main(command) == 0
    assert ran == ["Castle"]

    assert main([*command, "--seed", "5"]) == 2
    assert "this run was begun with another recipe: seed" in capsys.readouterr().err


def test_any_error_leaves_the_others_their_turn(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = coteach.training.categories.run

    def broken(recipe: Recipe, folder: Path, console: Console) -> object:
        if folder.name == "Castle":
            raise RuntimeError("out of memory")
        return original(recipe, folder, console)

    monkeypatch.setattr(coteach.training.categories, "run", broken)
    recipes = categories_of(load_recipe(str(path)))
    summary = run_categories(recipes, tmp_path / "run", Console(file=StringIO()))
    assert summary["categories"]["Castle"] == {"error": "RuntimeError: out of memory"}
    assert "f1" in summary["categories"]["Tower"]


def test_a_dry_run_lists_the_data(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipes = categories_of(load_recipe(str(path)))
    console = Console(file=StringIO(), width=120)
    assert describe_categories(recipes, console) == {}
    text = console.file.getvalue()  # type: ignore[attr-defined]
    rows = {line.split("│")[1].strip(): line for line in text.splitlines() if "│" in line}
    cells = [cell.strip() for cell in rows["Tower"].strip("│").split("│")]
    assert cells == ["Tower", "12", "6", "2", "2", "30", "3", "exact, partial"]
    assert "exact, hasty, partial" in rows["Castle"]

    assert main([str(path), "--dry-run"]) == 0
    (tmp_path / "annotation" / "Castle_dist.json").write_text("")
    assert main([str(path), "--dry-run"]) == 1
    assert "Castle cannot be run: " in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_one_category_is_a_run_of_its_own(path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(str(path))
    assert isinstance(recipe.data, ShinraDistribution)
    assert categories_of(replace(recipe, data=replace(recipe.data, category="Tower"))) == {}
    assert main([str(path), "--data.category", "Tower", "--output", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "student").is_dir()
    with pytest.raises(InputError, match="nodes: expected one student"):
        categories_of(replace(recipe, nodes={}))


def test_html_pages_train_and_score(path: Path, tmp_path: Path) -> None:
    """Pages of raw HTML, here without markup, so that both offsets are one."""
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "Tower").mkdir()
    for page in (tmp_path / "plain" / "Tower").iterdir():
        shutil.copy(page, tmp_path / "html" / "Tower" / f"{page.stem}.html")
    for file in (*tmp_path.glob("annotation/Tower_*.json"), *tmp_path.glob("*/*/Tower.json")):
        file.write_text(file.read_text(encoding="utf-8").replace("text_offset", "html_offset"))
    folders = {offsets: tmp_path / offsets for offsets in ("text", "html")}
    for offsets, folder in folders.items():
        # With text, the values are read by their html_offset and become those of the text.
        options = ["--data.category", "Tower", "--data.offsets", offsets, "--output", str(folder)]
        assert main([str(path), *options]) == 0
    text, html = (summary_of(folder) for folder in folders.values())
    assert text["scores"] == html["scores"]
    assert html["scores"]["exact"]["f1"] == 1.0
    for offsets, folder in folders.items():
        (written,) = folder.rglob("report.json")
        wrong = {"text": "html", "html": "text"}[offsets]
        assert f"{offsets}_offset" in written.read_text(encoding="utf-8")
        assert f"{wrong}_offset" not in written.read_text(encoding="utf-8")
