from __future__ import annotations

import json
from pathlib import Path

import pytest

from coteach.data.entity_definitions import find_definition, read_definitions
from coteach.errors import InputError


def definition(entity_type: str, name: str, **attributes: bool) -> dict[str, object]:
    given = [{"name": key, "extraction_task": value} for key, value in attributes.items()]
    return {"ENE_id": entity_type, "name": {"en": name, "ja": "名"}, "attributes": given}


def written(path: Path, *entries: object) -> Path:
    path.write_text("\n".join(json.dumps(entry) for entry in entries) + "\n\n", encoding="utf-8")
    return path


def test_definitions(tmp_path: Path) -> None:
    path = written(
        tmp_path / "ene.jsonl",
        definition("1.6.5.3", "Airport", 別名=True, 注釈=False),
        definition("1.4.6.2", "Sports Team", 所属=True),
        definition("0", "CONCEPT"),
    )
    definitions = read_definitions(path)
    assert [it.category for it in definitions] == ["Airport", "Sports_Team", "CONCEPT"]
    assert definitions[0].attributes == {"別名"}
    for name in ("1.6.5.3", "Airport", "airport"):
        assert find_definition(definitions, name) is definitions[0]
    for name in ("sports team", "SPORTS_TEAM"):
        assert find_definition(definitions, name) is definitions[1]
    assert find_definition(definitions, "1.6.5") is None


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "no definition here"),
        ([definition("1", "A"), definition("1", "B")], "ene.jsonl:2: ENE_id '1' is given twice"),
        ([definition("1", "A"), {"ENE_id": "2"}], "ene.jsonl:2: expected"),
        ([["1"]], "ene.jsonl:1: expected"),
        ([definition(1, "A")], "ene.jsonl:1: expected"),  # type: ignore[arg-type]
        ([definition("", "A")], "ene.jsonl:1: expected"),
    ],
)
def test_broken_definitions(tmp_path: Path, entries: list[object], message: str) -> None:
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        read_definitions(written(tmp_path / "ene.jsonl", *entries))


def test_definitions_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_definitions(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff\n")
    with pytest.raises(InputError, match="not UTF-8"):
        read_definitions(tmp_path / "bytes")
