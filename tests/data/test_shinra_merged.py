from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coteach.data.defects import Defects
from coteach.data.pages import Page
from coteach.data.shinra_merged import read_merged
from coteach.errors import InputError
from coteach.model.spans import Span

PAGES = {"1": Page("1", "東京駅\n大阪"), "2": Page("2", "")}


def value(line: int, start: int, end: int, *systems: object, **more: object) -> dict[str, Any]:
    place = {
        "start": {"line_id": line, "offset": start},
        "end": {"line_id": line, "offset": end},
    }
    return {"text_offset": place, "system": list(systems), **more}


def page(page_id: object, **result: object) -> dict[str, Any]:
    return {"page_id": page_id, "result": result}


CONTENT = [
    page(1, 名=[value(0, 0, 2, "01", 7), value(1, 0, 2, "01")], 駅=[]),
    page("2"),
]
FOUND = {
    "01": {"1": {Span("名", 0, 0, 0, 2), Span("名", 1, 0, 1, 2)}},
    "7": {"1": {Span("名", 0, 0, 0, 2)}},
}


def lines(*entries: object) -> str:
    return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)


@pytest.mark.parametrize(
    "content",
    [
        lines(*CONTENT),
        "\ufeff\n" + lines(*CONTENT),
        lines(CONTENT[0]),
        json.dumps(CONTENT[0], indent=1),
        json.dumps(CONTENT, indent=1),
        json.dumps({"1": {"result": CONTENT[0]["result"]}, "2": {"result": {}}}, indent=1),
        lines(*CONTENT).replace('"page_id"', '"pageid"'),
    ],
)
def test_its_forms(tmp_path: Path, content: str) -> None:
    path = tmp_path / "Airport.json"
    path.write_bytes(content.encode())
    assert read_merged(path, pages=PAGES) == FOUND


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("{", r"json:2: not JSON"),
        (page("9", 名=[value(0, 0, 1, "01")]), 'json:2: unknown page "9"'),
        (page("1", 名=[value(2, 0, 1, "01")]), "json:2: start line_id: the page has 2 lines"),
        (page("1", 名=[value(0, 0, 1)]), "json:2: system: expected a list"),
        (page("1", 名=[value(0, 1, 1, "01")]), "json:2: expected the start before the end"),
        (page("1", 名=["東京"]), "json:2: .*expected a list of values"),
        ({"page_id": "1"}, 'json:2: expected an object with page_id and "result"'),
        (["1"], "json:2: expected an object"),
        ('{"page_id": "1", "result": {"名": [], "名": []}}', 'json:2: .*key "名" stands twice'),
        ({"result": {"名": [value(0, 0, 1, "01")]}}, "json:2: key 'page_id' is missing"),
    ],
)
def test_what_is_wrong_is_said_or_counted(tmp_path: Path, broken: object, message: str) -> None:
    path = tmp_path / "Airport.json"
    middle = broken + "\n" if isinstance(broken, str) else lines(broken)
    path.write_text(lines(CONTENT[0]) + middle + lines(CONTENT[1]), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_merged(path, pages=PAGES)
    defects = Defects("skip")
    assert read_merged(path, pages=PAGES, defects=defects) == FOUND
    assert defects.skipped[str(path)].total() == 1


def test_values_without_a_place(tmp_path: Path) -> None:
    path = tmp_path / "Airport.json"
    flag = {"html_offset": None, "system": ["01"]}
    path.write_text(lines(*CONTENT, page("1", 名=[flag])), encoding="utf-8")
    defects = Defects("stop")
    assert read_merged(path, pages=PAGES, defects=defects) == FOUND
    assert defects.notes[str(path)] == {"without a place": 1}
    with pytest.raises(InputError, match=r"no value; expected .*html_offset"):
        read_merged(path, offsets="html")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_merged(tmp_path / "none.json")
    (tmp_path / "empty.json").write_bytes(b"\n")
    with pytest.raises(InputError, match="no value"):
        read_merged(tmp_path / "empty.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\n" + lines(CONTENT[0]).encode())
    with pytest.raises(InputError, match=r"bytes\.json:1: not UTF-8"):
        read_merged(tmp_path / "bytes.json", pages=PAGES)
