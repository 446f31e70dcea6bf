from __future__ import annotations

import json
from pathlib import Path

import pytest

from coteach.data.formats import Documents, Losses, Shinra, read_known
from coteach.data.pages import Page
from coteach.errors import InputError
from coteach.model.spans import Span


def line(page_id: str, end: int, text: str, **more: object) -> str:
    start_and_end = {
        "start": {"line_id": 0, "offset": 0},
        "end": {"line_id": 0, "offset": end},
        "text": text,
    }
    entry = {"page_id": page_id, "attribute": "城名", "text_offset": start_and_end, **more}
    return json.dumps(entry, ensure_ascii=False) + "\n"


@pytest.fixture
def task(tmp_path: Path) -> Path:
    (tmp_path / "plain").mkdir()
    for page_id, text in {"1": "青葉城", "2": "江戸城", "3": "空"}.items():
        (tmp_path / "plain" / f"{page_id}.txt").write_text(text, encoding="utf-8")
    values = [
        line("1", 3, "青葉城", title="青葉城", ENE="1.6"),
        line("1", 3, "青葉城"),
        line("1", 2, "careless"),
        line("2", 2, "江戸", title="2"),
        json.dumps({"page_id": "3", "attribute": "総称"}) + "\n",
    ]
    (tmp_path / "gold.json").write_text("".join(values), encoding="utf-8")
    return tmp_path


def test_what_the_lines_say_beside_values_is_counted(task: Path) -> None:
    losses = Losses()
    documents = Shinra(pages=task / "plain").read(task / "gold.json", losses)
    assert list(documents.pages) == ["1", "2", "3"]
    assert documents.values["1"] == {Span("城名", 0, 0, 0, 3), Span("城名", 0, 0, 0, 2)}
    assert losses.counts == {
        "title": 1,
        "ENE": 1,
        "repeated": 1,
        "generic term flag": 1,
        "with a text not that of the page": 1,
    }


def test_only_some_pages(task: Path) -> None:
    (task / "ids").write_text("1\n3\n")
    losses = Losses()
    format = Shinra(pages=task / "plain", page_ids=task / "ids")
    documents = format.read(task / "gold.json", losses)
    assert list(documents.pages) == ["1", "3"]
    assert losses.counts["outside of the known pages"] == 1
    (task / "gold.processed.txt").write_text("2\n")
    known = Documents(
        {i: Page(i, text) for i, text in [("1", "青葉城"), ("2", "江戸城"), ("3", "空")]}, {}
    )
    team = read_known(Shinra(), task / "gold.json", known, Losses())
    assert team.values == {"2": {Span("城名", 0, 0, 0, 2)}}  # and nothing is said of the others
    (task / "ids").write_text("1\n4\n")
    with pytest.raises(InputError, match='ids: unknown page "4"'):
        format.read(task / "gold.json", Losses())


def test_lines_alone_do_not_list_pages_without_a_value(tmp_path: Path) -> None:
    losses = Losses()
    documents = Documents({"1": Page("1", "空")}, {})
    Shinra().write(tmp_path / "a.json", documents, losses)
    assert losses.counts == {"page without a value": 1}
    with pytest.raises(InputError, match="pages: expected the folder of the plain pages"):
        Shinra().read(tmp_path / "a.json", Losses())
