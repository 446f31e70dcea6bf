from __future__ import annotations

import json
from pathlib import Path

import pytest

from coteach.data.formats import Documents, Hub, JsonLines, Losses, read_known
from coteach.data.pages import Page
from coteach.errors import InputError
from coteach.model.spans import Span

TEXT = "青葉城は仙台にある。"
VALUES = {Span("城名", 0, 0, 0, 3), Span("場所", 0, 4, 0, 6)}


def write(path: Path, *entries: object) -> Path:
    lines = [it if isinstance(it, str) else json.dumps(it, ensure_ascii=False) for it in entries]
    path.write_bytes("\n".join(lines).encode(errors="surrogatepass"))
    return path


DOCCANO_OLD = {"id": 7, "text": TEXT, "label": [[0, 3, "城名"], [4, 6, "場所"]]}
DOCCANO = {
    "id": 7,
    "text": TEXT,
    "entities": [
        {"id": 1, "label": "城名", "start_offset": 0, "end_offset": 3},
        {"id": 2, "label": "場所", "start_offset": 4, "end_offset": 6},
    ],
    "relations": [],
}
PRODIGY = {
    "id": "7",
    "text": TEXT,
    "tokens": [{"text": "青葉城", "start": 0, "end": 3, "id": 0}],
    "spans": [
        {"start": 0, "end": 3, "label": "城名", "token_start": 0},
        {"start": 4, "end": 6, "label": "場所"},
    ],
    "answer": "accept",
}
SPACY = [TEXT, {"id": "7", "entities": [[0, 3, "城名"], [4, 6, "場所"]]}]
STOCKMARK = {
    "id": "7",
    "text": TEXT,
    "entities": [
        {"name": "青葉城", "span": [0, 3], "type": "城名"},
        {"name": "仙台", "span": [4, 6], "type": "場所"},
    ],
}


@pytest.mark.parametrize("entry", [DOCCANO_OLD, DOCCANO, PRODIGY, SPACY, STOCKMARK])
def test_all_ways_to_write_values(tmp_path: Path, entry: object) -> None:
    documents = JsonLines().read(write(tmp_path / "a.jsonl", entry), Losses())
    assert documents == Documents({"7": Page("7", TEXT)}, {"7": frozenset(VALUES)})


def test_one_list_in_a_json_file_and_another_key_of_the_id(tmp_path: Path) -> None:
    path = tmp_path / "ner.json"
    entry = {"curid": "1", "text": "a\nb", "entities": [{"name": "b", "span": [2, 3], "type": "X"}]}
    path.write_text(json.dumps([entry, {"curid": "2", "text": ""}], indent=1), encoding="utf-8")
    documents = JsonLines(id="curid").read(path, Losses())
    assert documents.values == {"1": {Span("X", 1, 0, 1, 1)}, "2": frozenset()}
    numbered = JsonLines().read(path, Losses())
    assert (list(numbered.pages), numbered.named) == (["1", "2"], False)
    path.write_text(json.dumps([entry, {"curid": "2"}]), encoding="utf-8")
    with pytest.raises(InputError, match=r"ner\.json: record 2: text: expected a text, got null"):
        JsonLines().read(path, Losses())


def test_line_ends_a_byte_order_mark_and_what_is_not_held(tmp_path: Path) -> None:
    entry = {"text": "a\u2028b", "spans": [[2, 3, "X"], [2, 3, "X"]], "relations": [{"type": "r"}]}
    path = write(tmp_path / "a.jsonl", "\ufeff" + json.dumps(entry, ensure_ascii=False) + "\r", "")
    losses = Losses()
    assert JsonLines().read(path, losses).values == {"1": {Span("X", 0, 2, 0, 3)}}
    assert losses.counts == {"repeated": 1, "relation, event, attribute or note": 1}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("", r"no record here"),
        ("{", r"a\.jsonl:2: not JSON"),
        ("3", r"a\.jsonl:2: expected an object with 'text', got 3"),
        ({"id": "1"}, r"a\.jsonl:2: text: expected a text, got null"),
        ({"text": "a", "spans": {}}, r"a\.jsonl:2: spans: expected a list of values"),
        ({"text": "a", "spans": [[0, 2, "X"]]}, r"a\.jsonl:2: expected 0 ≤ start < end ≤ 1"),
        ({"text": "a", "spans": [[0, 0, "X"]]}, r"a\.jsonl:2: expected 0 ≤ start < end ≤ 1"),
        ({"text": "a", "spans": [[0, 1]]}, r"a\.jsonl:2: expected a value such as"),
        ({"text": "a", "spans": [[0, "1", "X"]]}, r"a\.jsonl:2: expected whole numbers"),
        ({"text": "a", "spans": [{"span": 3}]}, r"a\.jsonl:2: expected whole numbers"),
        ({"text": "a", "spans": [[0, 1, None]]}, r"a\.jsonl:2: expected a label"),
        ({"text": "a", "spans": [{"span": [0, 1], "type": "X", "name": "b"}]}, r'text "b" is "a"'),
        ({"text": "a\ud800"}, r"a\.jsonl:2: (half of a surrogate|not UTF-8)"),
        ('{"text": "\\ud800"}', r"a\.jsonl:2: half of a surrogate pair"),
        ({"text": "a", "id": ["1"]}, r"a\.jsonl:2: id: expected a number or a text"),
    ],
)
def test_broken_records(tmp_path: Path, entry: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        JsonLines().read(write(tmp_path / "a.jsonl", "", entry), Losses())


def test_ids_stand_once_and_everywhere(tmp_path: Path) -> None:
    one, two = {"id": 1, "text": "a"}, {"text": "b"}
    with pytest.raises(InputError, match=r'a\.jsonl: record 2: id "1" stands here a second time'):
        JsonLines().read(write(tmp_path / "a.jsonl", one, one), Losses())
    with pytest.raises(InputError, match=r"a\.jsonl: record 2: expected an id in every record"):
        JsonLines().read(write(tmp_path / "a.jsonl", one, two), Losses())


def test_a_teams_records_need_no_texts(tmp_path: Path) -> None:
    known = Documents({"1": Page("1", TEXT), "2": Page("2", "")}, {})
    path = write(tmp_path / "a.jsonl", {"id": 1, "spans": [[0, 3, "城名"]]})
    assert read_known(JsonLines(), path, known, Losses()).values == {
        "1": {Span("城名", 0, 0, 0, 3)}
    }
    path = write(tmp_path / "a.jsonl", {"id": 3, "text": TEXT})
    with pytest.raises(InputError, match=r'a\.jsonl: unknown page "3"'):
        read_known(JsonLines(), path, known, Losses())


# The Hub, by way of local folders


@pytest.fixture
def quiet_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("quiet_cache")
def test_tokens_and_class_labels(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, List, Value

    labels = List(ClassLabel(names=["O", "B-場所", "I-場所"]))
    features = Features({"tokens": List(Value("string")), "ner_tags": labels})
    rows = {"tokens": [["東", "京", "へ"], ["a"]], "ner_tags": [[1, 2, 0], [2]]}
    (tmp_path / "set").mkdir()
    Dataset.from_dict(rows, features).to_parquet(tmp_path / "set/validation.parquet")
    losses = Losses()
    documents = Hub().read(Path(f"{tmp_path}/set:validation"), losses)
    assert [page.text for page in documents.pages.values()] == ["東京へ", "a"]
    assert documents.values == {"1": {Span("場所", 0, 0, 0, 2)}, "2": {Span("場所", 0, 0, 0, 1)}}
    assert losses.counts == {"invalid tag repaired": 1}
    with pytest.raises(InputError, match=r"set: cannot be loaded: .*train"):
        Hub().read(Path(f"{tmp_path}/set"), Losses())
    with pytest.raises(InputError, match='tags: no column "pos"; expected one of'):
        Hub(tags="pos").read(Path(f"{tmp_path}/set:validation"), Losses())


@pytest.mark.usefixtures("quiet_cache")
def test_values_come_back_from_a_written_folder(tmp_path: Path) -> None:
    pages = {"7": Page("7", TEXT + "\n終"), "8": Page("8", "")}
    values = {"7": frozenset({*VALUES, Span("全", 0, 0, 1, 1)}), "8": frozenset()}
    Hub().write(tmp_path / "set", Documents(pages, values), Losses())
    assert Hub().read(tmp_path / "set", Losses()) == Documents(pages, values)
