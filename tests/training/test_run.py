from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from rich.console import Console
from safetensors.torch import load_file
from transformers import AutoTokenizer

import coteach.training.loop
import coteach.training.run as module
from coteach.data.shinra import read_annotations
from coteach.errors import InputError
from coteach.graph import WeightedSum
from coteach.model import Student
from coteach.recipe import Recipe, gold_only
from coteach.reporting.observations import observe
from coteach.reporting.runs import read_runs
from coteach.training.run import run

STUDENT = ["student:p", "student:p_out", "student:p_mean"]


def shorter(recipe: Recipe, **optimisation: Any) -> Recipe:
    """Without the baselines, and one epoch."""
    options = {"epochs": 1, **optimisation}
    return replace(recipe, baselines=(), optimisation=replace(recipe.optimisation, **options))


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.fixture(scope="module")
def finished(
    tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], str]:
    """A run from end to end: its folder, its summary and what it printed."""
    AcceleratorState._reset_state(reset_partial_state=True)
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    console = quiet()
    summary = run(tiny_recipe, folder, console)
    return folder, summary, console.file.getvalue()  # type: ignore[attr-defined]


def test_files(finished: tuple[Path, dict[str, Any], str]) -> None:
    folder = finished[0]
    training = {"checkpoints", "student", "log.jsonl", "tensorboard"}
    written = {"recipe.json", "summary.json", "pages.json", "report.json", "gold_only"}
    assert {path.name for path in folder.iterdir()} == training | written
    assert {path.name for path in (folder / "gold_only").iterdir()} == training
    for part in (folder, folder / "gold_only"):
        files = {path.name for path in (part / "student").iterdir()}
        assert {"student.py", "pipeline.py"} < files  # and what else its code needs
        assert {name for name in files if not name.endswith(".py")} == {
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        }
        assert [path.name for path in (part / "checkpoints").iterdir()] in (
            ["step-00000008"],
            ["step-00000006"],
        )
    pickled = {".bin", ".pt", ".pth", ".pkl"}
    assert not [path for path in folder.rglob("*") if path.suffix in pickled | {".tmp"}]
    assert json.loads((folder / "recipe.json").read_text())["recipe"]["name"] == "tiny"


def test_summary(finished: tuple[Path, dict[str, Any], str]) -> None:
    folder, summary, _ = finished
    assert json.loads((folder / "summary.json").read_text(encoding="utf-8")) == summary
    assert summary["recipe"] == "tiny"
    assert summary["seed"] == 1234
    assert summary["pages"] == {"training": 8, "labelled": 6}
    parts = {"recipe", "task", "seed", "pages", "dev", "scores", "attributes"}
    assert set(summary) == parts | {"iob2_strict", "input"}
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    devs = {it["step"]: it for it in log if it["event"] == "dev"}
    dev = summary["dev"]
    assert dev["probability"] == "p"
    assert dev["f1"] == {name: devs[dev["step"]][name] for name in ("p", "p_out", "p_mean")}
    assert dev["f1"]["p"] == max(it["p"] for it in devs.values())
    scores = summary["scores"]
    kinds = {name: score["kind"] for name, score in scores.items()}
    assert kinds == {
        **dict.fromkeys(["exact", "hasty", "partial"], "team"),
        **dict.fromkeys(["vote>=2", "vote>=3", "gold_only"], "baseline"),
        **dict.fromkeys(STUDENT, "student"),
    }
    figures = {"kind", "split", "average", "precision", "recall", "f1"}
    for name, score in scores.items():
        assert set(score) == figures | (set() if name == "exact" else {"f1_minus_best_team"})
        assert (score["split"], score["average"]) == ("report", "micro")
        precision, recall = score["precision"], score["recall"]
        assert score["f1"] == pytest.approx(2 * precision * recall / max(precision + recall, 1e-9))
    assert set(scores["hasty"]["f1_minus_best_team"]) == {"best_team", "difference", "low", "high"}
    # Pages 9 and 10 have three values each; "partial" saw page 9 alone.
    for name, precision, recall in [
        ("exact", 1, 1),
        ("hasty", 1 / 2, 1 / 3),
        ("partial", 1, 1 / 2),
        ("vote>=2", 1, 4 / 6),
        ("vote>=3", 1, 1 / 6),
    ]:
        assert (scores[name]["precision"], scores[name]["recall"]) == (precision, recall)
    assert set(summary["iob2_strict"]) == {"split", *STUDENT}


def test_the_counts_are_those_of_the_scores(finished: tuple[Path, dict[str, Any], str]) -> None:
    folder, summary, _ = finished
    pages = json.loads((folder / "pages.json").read_text(encoding="utf-8"))
    attributes = summary["attributes"]
    assert (pages["split"], pages["page_ids"]) == ("report", ["9", "10"])
    assert pages["gold"] == [3, 3]
    assert attributes["gold"] == {"場所": 2, "築城年": 2, "築城者": 2}
    for name, score in summary["scores"].items():
        for part in ("true_positives", "predicted"):
            assert sum(pages[part][name]) == sum(attributes[part][name].values())
        right, given = (sum(pages[part][name]) for part in ("true_positives", "predicted"))
        assert score["f1"] == pytest.approx(2 * right / (given + 6))
    (run_there,) = read_runs([folder])
    f1s = {it.system: it.f1 for it in observe([run_there]) if it.probability in (None, "p")}
    expected = {name: score["f1"] for name, score in summary["scores"].items()}
    expected["tiny"] = expected["student:p"]
    assert f1s == pytest.approx({name: expected[name] for name in f1s})


def test_everything_is_printed(finished: tuple[Path, dict[str, Any], str]) -> None:
    folder, summary, text = finished
    table = text[text.index("tiny: micro-averaged on the 2 report pages") :].splitlines()
    for name, score in summary["scores"].items():
        line = next(line for line in table if f"│ {name} " in line)
        assert f"{100 * score['f1']:.2f}" in line
    assert f"Student: {folder / 'student'}" in text
    assert text.count("Who teaches whom") == 2


def test_the_submission_is_what_was_scored(
    finished: tuple[Path, dict[str, Any], str], tiny_recipe: Recipe
) -> None:
    folder, summary, _ = finished
    found = read_annotations(folder / "report.json", name="student").values
    assert tiny_recipe.data.report is not None
    gold = read_annotations(tiny_recipe.data.report, name="gold").values
    hits = sum(len(gold[page_id] & found.get(page_id, frozenset())) for page_id in gold)
    score = summary["scores"]["student:p"]
    assert score["recall"] == hits / 6
    assert score["precision"] == hits / max(sum(map(len, found.values())), 1)


def test_a_finished_run_is_only_scored_again(
    finished: tuple[Path, dict[str, Any], str], tiny_recipe: Recipe
) -> None:
    folder, summary, _ = finished
    files = [folder / "log.jsonl", folder / "student" / "model.safetensors", folder / "recipe.json"]
    before = [(file.read_bytes(), file.stat().st_mtime_ns) for file in files[1:]]
    log = files[0].read_bytes()
    assert run(tiny_recipe, folder, quiet()) == summary
    assert [(file.read_bytes(), file.stat().st_mtime_ns) for file in files[1:]] == before
    assert files[0].read_bytes() == log


def test_another_recipe_does_not_go_on(
    finished: tuple[Path, dict[str, Any], str], tiny_recipe: Recipe
) -> None:
    other = replace(tiny_recipe, optimisation=replace(tiny_recipe.optimisation, epochs=3))
    with pytest.raises(InputError, match=r"recipe\.json: .*: optimisation\.epochs was 2, now 3$"):
        run(other, finished[0], quiet())


@pytest.mark.parametrize("checkpoint", [1, 2, 3])  # in the baseline, before and in the student
def test_an_interrupted_run_goes_on(
    finished: tuple[Path, dict[str, Any], str],
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    checkpoint: int,
) -> None:
    folder, summary, _ = finished
    real, saved = coteach.training.loop.save_checkpoint, 0

    def save_and_interrupt(*arguments: Any) -> None:
        nonlocal saved
        real(*arguments)
        saved += 1
        if saved == checkpoint:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(coteach.training.loop, "save_checkpoint", save_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(tiny_recipe, tmp_path / "run", quiet())
    assert not (tmp_path / "run" / "summary.json").exists()
    assert run(tiny_recipe, tmp_path / "run", quiet()) == summary
    for part in (".", "gold_only"):
        weights = [
            load_file(f / part / "student" / "model.safetensors")
            for f in (folder, tmp_path / "run")
        ]
        for name, value in weights[0].items():
            assert torch.equal(weights[1][name], value), name


def test_the_student_is_the_best_checkpoint(
    tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures, seen = [0.2, 0.9, 0.4], []
    real = module.fit

    def fit(graph: Any, *arguments: Any) -> Any:
        *others, evaluate, keep = arguments

        def dictated() -> Mapping[str, float]:
            found = evaluate()
            seen.append({k: v.clone() for k, v in graph.student.state_dict().items()})
            return dict.fromkeys(found, figures[len(seen) - 1])

        return real(graph, *others, dictated, keep)

    monkeypatch.setattr(module, "fit", fit)
    run(shorter(tiny_recipe, epochs=3), tmp_path / "run", quiet())
    kept = load_file(tmp_path / "run" / "student" / "model.safetensors")
    assert all(torch.equal(kept[name], value) for name, value in seen[1].items())
    assert not torch.equal(kept["heads.2.weight"], seen[2]["heads.2.weight"])
    student = Student.from_pretrained(tmp_path / "run" / "student")
    assert student.config.teachers == ["exact", "hasty", "partial"]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "student")
    assert tokenizer.cls_token_id == 2


def test_without_report_pages_dev_is_shown_with_a_warning(
    tiny_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = shorter(replace(tiny_recipe, data=replace(tiny_recipe.data, report=None)))
    console = quiet()
    summary = run(recipe, tmp_path / "run", console)
    assert {score["split"] for score in summary["scores"].values()} == {"dev"}
    assert list(summary["scores"]) == ["exact", "hasty", "partial", *STUDENT]
    assert (tmp_path / "run" / "dev.json").exists()
    assert "selection saw these pages" in console.file.getvalue()  # type: ignore[attr-defined]


def only_teams(recipe: Recipe) -> Recipe:
    return replace(recipe, edges={"teams": recipe.edges["teams"]}, objective=WeightedSum())


@pytest.mark.parametrize("change", [gold_only, only_teams])
def test_students_with_one_kind_of_teacher(
    tiny_recipe: Recipe, tmp_path: Path, change: Callable[[Recipe], Recipe]
) -> None:
    summary = run(shorter(change(tiny_recipe)), tmp_path / "run", quiet())
    assert [name for name in summary["scores"] if "student" in name] == ["student:p"]


def test_bfloat16(tiny_recipe: Recipe, tmp_path: Path) -> None:
    summary = run(shorter(tiny_recipe, precision="bf16"), tmp_path / "run", quiet())
    assert summary["scores"]["student:p"]["f1"] >= 0
    kept = load_file(tmp_path / "run" / "student" / "model.safetensors")
    assert {value.dtype for value in kept.values()} == {torch.float32}
    assert all(torch.isfinite(value).all() for value in kept.values())


def test_what_cannot_run_leaves_no_folder(tiny_recipe: Recipe, tmp_path: Path) -> None:
    name, node = tiny_recipe.student()
    nowhere = replace(node, encoder=str(tmp_path / "no" / "encoder"), encoder_config={})
    gold = tmp_path / "absent.json"
    for recipe, message in [
        (replace(tiny_recipe, edges={}), "expected at least one edge"),
        (replace(tiny_recipe, data=replace(tiny_recipe.data, gold=gold)), "absent.json: cannot be"),
        (replace(tiny_recipe, nodes={**tiny_recipe.nodes, name: nowhere}), "no/encoder"),
    ]:
        with pytest.raises(InputError, match=message):
            run(recipe, tmp_path / "run", quiet())
    assert not any(tmp_path.iterdir())
