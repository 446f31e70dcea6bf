from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import fake_runs
import pytest
import tiny_runs
import yaml
from huggingface_hub import ModelCard
from test_markdown import Reader

from coteach.errors import InputError
from coteach.model import StudentConfig
from coteach.publishing.card import Statement, model_card
from coteach.publishing.facts import places, run_facts

HOSTILE = {
    "team1": 'x|y"',
    "人名": "<script>alert(1)</script>",
    "地名": "a: [b]\n# c",
}


def card_of(run: Path, **options: object) -> str:
    student, folder = places(run)
    config = StudentConfig.from_pretrained(student)
    tokenizer = json.loads((student / "tokenizer_config.json").read_text(encoding="utf-8"))
    facts = None if folder is None else run_facts(folder)
    statement = Statement("alice/castles", **options)  # type: ignore[arg-type]
    return model_card(statement, config, tokenizer, facts)


@pytest.fixture(scope="module")
def extraction(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_runs.write_extraction_run(tmp_path_factory.mktemp("runs") / "castles")


@pytest.fixture(scope="module")
def classification(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_runs.write_classification_run(tmp_path_factory.mktemp("runs") / "texts")


def test_the_metadata_is_what_the_hub_reads(extraction: Path) -> None:
    options = {"licence": "cc-by-sa-4.0", "languages": ("ja", "en"), "data_name": "城: Castles"}
    data = ModelCard(card_of(extraction, **options)).data
    scores = json.loads((extraction / "summary.json").read_text(encoding="utf-8"))["scores"]
    assert data.license == "cc-by-sa-4.0"
    assert data.language == ["ja", "en"]
    assert data.library_name == "transformers"
    assert data.pipeline_tag == "token-classification"
    assert data.base_model == "intfloat/multilingual-e5-small"
    assert data.tags == ["coteach", "attribute-extraction"]
    assert data.model_name == "castles"
    assert data.eval_results is not None
    found = {it.metric_type: it for it in data.eval_results}
    assert set(found) == {"precision", "recall", "f1"}
    for name, result in found.items():
        assert result.metric_value == pytest.approx(scores["student:p"][name], abs=1e-6)
        assert (result.dataset_name, result.dataset_split) == ("城: Castles", "report")


def test_the_card_of_a_co_taught_student(extraction: Path) -> None:
    card = card_of(extraction, data_licence="CC BY-SA 3.0")
    summary = json.loads((extraction / "summary.json").read_text(encoding="utf-8"))
    student = summary["scores"]["student:p"]
    assert "Finds the values of 5 attributes in text, with their exact places: 人名, 地名" in card
    assert "(recipe shinra_pos, seed 1)" in card
    assert 'n1 -->|"ClassBalancedFocal"| n2' in card
    assert (
        "| main | part_of_speech | part_of_speech | student | ClassBalancedFocal | 2 | 0.5 |"
        in card
    )
    assert "each team's submission teaches a head of its own by class-balanced focal" in card
    assert "The loss of an example is the mean of the gold's and the teams' where it has" in card
    team = 100 * summary["scores"]["team1"]["f1"]
    assert f"| team1 | 1.50 | {team:.2f} |" in card
    assert "2,000 training pages, 40 of them with gold." in card
    assert "On the 20 pages of the split report" in card
    gap = student["f1_minus_best_team"]
    shown = [f"{100 * student[key]:.2f}" for key in ("precision", "recall", "f1")]
    shown.append(
        "{:+.2f} [{:+.2f}, {:+.2f}]".format(
            *(100 * gap[it] for it in ("difference", "low", "high"))
        )
    )
    assert f"| student:p | student | {' | '.join(shown)} |" in card
    gold = summary["attributes"]["gold"]["施設名"]
    found = summary["attributes"]["predicted"]["student:p"]["施設名"]
    assert re.search(rf"\| 施設名 \| {gold} \| {found} \| [\d.]+ \| [\d.]+ \| [\d.]+ \|", card)
    assert "- Its training data: CC BY-SA 3.0." in card
    assert "- The model: not stated by who published it." in card
    references = card.partition("## References")[2]
    assert references.index("共有タスクへの結果提出") < references.index("重要品詞抽出")
    assert "TinyBERT" not in references


def test_the_card_of_a_distilled_classifier(classification: Path) -> None:
    card = card_of(classification)
    data = ModelCard(card).data
    assert data.pipeline_tag == "text-classification"
    assert {it.metric_name: it.metric_value for it in data.eval_results or []} == {
        "accuracy": 0.75,
        "macro-F1": 0.375,
    }
    assert "Sorts texts into 2 classes: positive, negative." in card
    assert 'pipeline("student-text-classification", model="alice/castles"' in card
    assert "In stage intermediate, before the main one: teacher" in card
    assert "| student | student | 75.00 | 37.50 | 1.0000 |" in card
    assert "30 training texts, 5 for selection." in card
    assert "On the 4 texts of the split report" in card
    references = card.partition("## References")[2]
    assert re.findall(r"^- (\w+)", references, re.MULTILINE) == [
        "TinyBERT",
        "Importance",
        "Integrated",
    ]
    assert "## Teams" not in card


@pytest.mark.parametrize("kind", ["extraction", "classification"])
def test_no_place_of_the_machine_is_told(kind: str, request: pytest.FixtureRequest) -> None:
    run: Path = request.getfixturevalue(kind)
    card = card_of(run)
    assert "someone" not in card
    assert str(run) not in card
    assert not re.search(r"(?<![\w<:])/\w+/", card)


def test_a_student_alone_has_neither_scores_nor_method(extraction: Path, tmp_path: Path) -> None:
    student = tiny_runs.save_student(tmp_path / "alone", tiny_runs.tiny_student(classes=["a", "b"]))
    card = card_of(student)
    assert "no scores are known here" in card
    for part in ("mermaid", "## Scores", "## Data", "## References", "model-index"):
        assert part not in card


def test_names_can_do_nothing(extraction: Path, tmp_path: Path) -> None:
    run = tiny_runs.write_extraction_run(tmp_path / "run")
    files = ("summary.json", "student/config.json", "recipe.json")
    tiny_runs.rename(run, {**HOSTILE, "shinra_pos": "[a](b)|<i>"}, files)
    card = card_of(run, data_licence="<b>&|", data_name="- x: 'y'\n...")
    head, body = card.removeprefix("---\n").split("\n---\n", 1)
    said = yaml.safe_load(head)
    assert said["model-index"][0]["results"][0]["dataset"]["name"] == "- x: 'y'\n..."
    shown, plain = Reader(body), Reader(card_of(extraction).split("\n---\n", 1)[1])
    # The name of the data is a row more in its table; else there is no element more.
    rows = ("tr", "td")
    assert [tag for tag in shown.tags if tag not in rows] == [
        tag for tag in plain.tags if tag not in rows
    ]
    assert len(shown.cells) == len(plain.cells) + 2
    assert {'x|y"', "<script>alert(1)</script>", "a: [b] # c"} <= set(shown.cells)
    assert "recipe [a](b)|<i>, seed 1" in shown.text
    assert "<b>&|" in shown.text


def test_of_a_pair_two_texts_are_given(tmp_path: Path) -> None:
    student = tiny_runs.tiny_student(pair_separator=3, preprocessing=["nfkc"])
    card = card_of(tiny_runs.save_student(tmp_path / "pairs", student), languages=("en",))
    assert 'classify(("Write a text here.", "And another one."))' in card


@pytest.mark.parametrize(
    ("config", "tokenizer", "packages"),
    [
        ({}, {}, 'torch "transformers>=5.14"'),
        ({"words": "mecab"}, {}, 'torch "transformers>=5.14" fugashi unidic-lite'),
        (
            {},
            {"tokenizer_class": "BertJapaneseTokenizer", "mecab_kwargs": {"mecab_dic": "ipadic"}},
            'torch "transformers>=5.14" fugashi ipadic',
        ),
        (
            {"words": "part_of_speech", "part_of_speech": {"analyzer": "sudachi"}},
            {},
            'torch "transformers>=5.14" sudachipy sudachidict-core',
        ),
    ],
)
def test_what_the_words_need_is_installed(config: dict, tokenizer: dict, packages: str) -> None:
    card = model_card(Statement("a/b"), StudentConfig(attributes=["x"], **config), tokenizer, None)
    assert f"`pip install {packages}`" in card


def test_limits_are_those_of_the_configuration() -> None:
    config = StudentConfig(
        attributes=["x"],
        window=62,
        overlap=8,
        trim_head=20,
        thresholds={"x": 0.25},
        mecab_options="-d neologd",
    )
    card = model_card(Statement("a/b"), config, {}, None)
    assert "windows of 62 tokens, of which two share 8" in card
    assert "The first 20 lines of a text are not read." in card
    assert "are left out: x 0.25." in card
    assert "MeCab with -d neologd: this dictionary is not in the repository" in card


def test_folders_that_are_no_one_student_are_refused(extraction: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        places(tmp_path / "nothing")
    with pytest.raises(InputError, match="no student here"):
        places(tmp_path)
    for category in ("Airport", "City"):
        (tmp_path / "categories" / category / "student").mkdir(parents=True)
    for _ in range(2):
        with pytest.raises(InputError, match=r"holds 2 run\(s\).*one by one.*Airport.*City"):
            places(tmp_path / "categories")
        (tmp_path / "categories" / "recipe.json").write_text("{}")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "recipe.json").write_text("{}")
    with pytest.raises(InputError, match="this run is not finished"):
        places(tmp_path / "begun")


def test_the_student_in_a_run_is_that_runs(extraction: Path) -> None:
    assert places(extraction / "student") == (extraction / "student", extraction)
    assert places(extraction) == (extraction / "student", extraction)


def test_an_unfinished_or_broken_run_is_refused(tmp_path: Path) -> None:
    systems = {**fake_runs.teams("Castle", [0.5]), **fake_runs.student("Castle", 0.7, 1)}
    run = fake_runs.write_run(tmp_path / "run", "Castle", systems)
    with pytest.raises(InputError, match=r"recipe\.json: expected a run's recipe"):
        run_facts(run)
    run = tiny_runs.write_extraction_run(tmp_path / "whole")
    tiny_runs.change(run / "summary.json", scores={})
    with pytest.raises(InputError, match=r"summary\.json: expected a run's summary"):
        run_facts(run)
    (run / "summary.json").unlink()
    with pytest.raises(InputError, match="not finished"):
        run_facts(run)


def test_a_student_that_finds_nothing_is_said_to(extraction: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(extraction, run)
    said = "On the pages that were scored it found nothing right."
    assert said not in card_of(run)
    summary = json.loads((run / "summary.json").read_text())
    for of in summary["scores"].values():
        if of["kind"] == "student":
            of["f1"] = 0.0
    (run / "summary.json").write_text(json.dumps(summary))
    assert said in card_of(run)
