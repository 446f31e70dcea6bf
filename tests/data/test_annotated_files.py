from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from tiny_task import build_tokenizer

from coteach.data.annotated_files import AnnotatedFiles
from coteach.data.corpus import load_corpus
from coteach.data.formats import Brat, Columns, Hub, JsonLines
from coteach.errors import InputError
from coteach.model.spans import Span
from coteach.recipe import Recipe, load_recipe

PLACES = ["青森", "岩手", "富山", "石川", "福島", "秋田"]


def sentence(place: str, tags: tuple[str, str] = ("B-場所", "I-場所")) -> str:
    rows = ["城\tO", "は\tO", f"{place[0]}\t{tags[0]}", f"{place[1]}\t{tags[1]}", "。\tO"]
    return "\n".join(rows) + "\n\n"


@pytest.fixture
def task(tmp_path: Path) -> AnnotatedFiles:
    """Column files of three splits and three teams: with tokens, with tags alone, one file."""
    files = {
        "train": "".join(map(sentence, PLACES)),
        "dev": "".join(map(sentence, PLACES[:2])),
        "test": "".join(map(sentence, PLACES[2:4])),
        "more": "".join(f"{c}\n" for c in "城は青森。"),
    }
    for name, text in files.items():
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    teams = tmp_path / "submissions"
    for team in ("same", "tags"):
        (teams / team).mkdir(parents=True)
    for name in ("train", "dev", "test"):
        (teams / "same" / f"{name}.txt").write_text(files[name], encoding="utf-8")
    (teams / "tags" / "train.txt").write_text("O\nO\nS-場所\nO\nO\n\n" * len(PLACES))
    (teams / "tags" / "more.txt").write_text("O\nO\nB-場所\nE-場所\nO\n")
    everything = "".join(files[name] for name in ("train", "dev", "test"))
    (teams / "whole.txt").write_text(everything + sentence(PLACES[0]), encoding="utf-8")
    (teams / "README.md").write_text("not a team")
    (teams / ".hidden.txt").write_text("not a team")
    return AnnotatedFiles(
        format=Columns(),
        train=tmp_path / "train.txt",
        dev=tmp_path / "dev.txt",
        report=tmp_path / "test.txt",
        unlabelled=tmp_path / "more.txt",
        submissions=teams,
    )


def test_splits_and_teams(task: AnnotatedFiles) -> None:
    sources = task.read()
    assert len(sources.pages) == 11
    assert sources.pages["train-1"].text == "城は青森。"
    assert sources.train.gold.on("train-1") == {Span("場所", 0, 2, 0, 4)}
    assert sources.train.gold.on("dev-1") is None
    assert sources.dev is not None
    assert sources.dev.page_ids == ("dev-1", "dev-2")
    assert sources.listed["unlabelled"] == ("unlabelled-1",)
    same, tags, whole = sources.teams
    assert [team.name for team in sources.teams] == ["same", "tags", "whole"]
    assert same.on("report-2") == {Span("場所", 0, 2, 0, 4)}
    assert same.on("unlabelled-1") is None  # no such file
    assert tags.on("train-1") == {Span("場所", 0, 2, 0, 3)}
    assert tags.on("dev-1") is None
    assert tags.on("unlabelled-1") == {Span("場所", 0, 2, 0, 4)}
    assert whole.on("unlabelled-1") == {Span("場所", 0, 2, 0, 4)}


def test_a_corpus_is_made_of_it(task: AnnotatedFiles) -> None:
    corpus = load_corpus(dataclasses.replace(task, teach_on=("unlabelled",)), seed=1)
    assert corpus.attributes == ("場所",)
    assert corpus.unlabelled == ("unlabelled-1",)
    assert set(corpus.page_ids) == {*corpus.train.page_ids, "unlabelled-1"}


def test_what_did_not_fit_is_reported(task: AnnotatedFiles) -> None:
    path = task.train.parent / "submissions/same/dev.txt"
    path.write_text(sentence(PLACES[0], ("B-場所", "I-人名")) * 2, encoding="utf-8")
    with pytest.raises(InputError, match=r"same/dev\.txt: page .* its text is not that"):
        task.read()
    text = "".join(sentence(place, ("B-場所", "I-人名")) for place in PLACES[:2])
    path.write_text(text, encoding="utf-8")
    assert task.read().defects.report() == [f"{path}: 2 invalid tag repaired"]


def test_records_are_matched_by_their_ids(tmp_path: Path) -> None:
    records = [{"id": i, "text": f"{i}城", "spans": [[1, 2, "城"]]} for i in range(6)]
    lines = [json.dumps(record) + "\n" for record in records]
    (tmp_path / "train.jsonl").write_text("".join(lines[:4]))
    (tmp_path / "dev.jsonl").write_text("".join(lines[4:]))
    (tmp_path / "teams").mkdir()
    (tmp_path / "teams/one.jsonl").write_text(lines[5] + lines[1])
    data = AnnotatedFiles(
        format=JsonLines(),
        train=tmp_path / "train.jsonl",
        dev=tmp_path / "dev.jsonl",
        submissions=tmp_path / "teams",
    )
    (team,) = data.read().teams
    assert team.processed == {"1", "5"}
    (tmp_path / "dev.jsonl").write_text("".join(lines[3:]))
    with pytest.raises(InputError, match=r'dev\.jsonl: page "3" is also in another split'):
        data.read()


def test_folders_are_files_too(tmp_path: Path) -> None:
    for name in ("gold", "teams/one/gold"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.ann").write_text("T1\t城 0 1\t城\n", encoding="utf-8")
    (tmp_path / "gold/1.txt").write_text("城", encoding="utf-8")
    (tmp_path / "gold/2.txt").write_text("町", encoding="utf-8")
    data = AnnotatedFiles(format=Brat(), train=tmp_path / "gold", submissions=tmp_path / "teams")
    (team,) = data.read().teams
    assert team.on("1") == {Span("城", 0, 0, 0, 1)}
    assert team.on("2") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"submissions": Path("none")}, "none: no such folder; expected the teams' files"),
        ({"train": Path("none")}, "none: cannot be read"),
        ({"format": JsonLines()}, "train.txt:1: not JSON"),
    ],
)
def test_what_is_missing(task: AnnotatedFiles, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        dataclasses.replace(task, **change).read()


def test_teams_without_files(task: AnnotatedFiles) -> None:
    assert task.submissions is not None
    (task.submissions / "none").mkdir()
    with pytest.raises(InputError, match="none: no file of this team; expected some of"):
        task.read()
    (task.submissions / "none").rename(task.submissions / "whole")
    (task.submissions / "whole/dev.txt").write_text("O\nO\nO\nO\nO\n\n" * 2)
    with pytest.raises(InputError, match='team "whole" has both a file and a folder'):
        task.read()
    empty = task.submissions / "same"
    with pytest.raises(InputError, match=r"no team's file here; expected <team>/train.txt or"):
        dataclasses.replace(task, submissions=_emptied(empty)).read()


def _emptied(folder: Path) -> Path:
    for path in folder.iterdir():
        path.unlink()
    return folder


def test_files_of_one_name(task: AnnotatedFiles, tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    other = (tmp_path / "dev.txt").rename(tmp_path / "dev/train.txt")
    with pytest.raises(InputError, match=r"data\.dev: train and dev have the same file name"):
        dataclasses.replace(task, dev=other).read()


def test_the_recipe_trains(task: AnnotatedFiles, tmp_path: Path) -> None:
    from coteach.training.run import run

    assert task.submissions is not None
    (task.submissions / "tags/dev.txt").write_text("O\nO\nS-場所\nO\nO\n\n" * 2)  # for its weight
    tokenizer = build_tokenizer(["城は。" + "".join(PLACES)])
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    recipe: Recipe = load_recipe("recipes.conll")
    student = dataclasses.replace(
        recipe.student()[1],
        encoder=None,
        encoder_config={
            "model_type": "bert",
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "max_position_embeddings": 32,
        },
        tokenizer=str(tmp_path / "tokenizer"),
        words=None,
        window=30,
        overlap=8,
    )
    recipe = dataclasses.replace(
        recipe,
        data=task,
        nodes={**recipe.nodes, "student": student},
        optimisation=dataclasses.replace(recipe.optimisation, epochs=1, precision="no"),
        processes=1,
        cache=tmp_path / "cache",
    )
    summary = run(recipe, tmp_path / "run")
    assert (tmp_path / "run/student/model.safetensors").exists()
    assert summary


def test_a_data_set_of_the_hub_has_its_split_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "teams/one/set").mkdir(parents=True)
    hub = Hub()
    assert hub.exists(tmp_path / "teams/one/set:test")
    assert not hub.exists(tmp_path / "teams/two/set:test")
