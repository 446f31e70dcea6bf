from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from coteach.convert import main
from coteach.data.formats import Columns, Losses, Shinra
from coteach.model.spans import Span

SHARED = Path(__file__).parents[1] / ".." / "shared" / "task"
TEXT = "大阪城 は\n\n大坂に\nある"


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    spans = [[0, 3, "城 名"], [0, 2, "場所"], [7, 9, "場所"]]
    path = tmp_path / "gold.jsonl"
    record = {"id": "城", "text": TEXT, "spans": spans}
    path.write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
    return path


def convert(*arguments: str | Path) -> int:
    return main([str(argument) for argument in arguments])


def test_there_and_back(
    gold: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    columns, back, pages = tmp_path / "a.txt", tmp_path / "a.json", tmp_path / "pages"
    to_shinra = ["--from", "jsonl", "--to", "shinra", "--to.pages", pages]
    assert convert(gold, tmp_path / "x.json", *to_shinra) == 0
    assert capsys.readouterr().out == f"1 pages and 3 of 3 values written to {tmp_path}/x.json\n"
    arguments = "--from jsonl --to columns --to.scheme IOBES --to.cut characters"
    assert convert(gold, columns, *arguments.split()) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"1 pages and 2 of 3 values written to {columns}\n")
    assert re.search(r"writing overlaps another value +1 value lost +page 城, line 0: 場所", out)
    assert "B-城_名" in columns.read_text(encoding="utf-8")
    assert convert(columns, back, "--from", "columns", "--to", "shinra", "--pages", pages) == 0
    documents = Shinra(pages=pages).read(back, Losses())
    assert documents.values["城"] == {Span("城_名", 0, 0, 0, 3), Span("場所", 2, 0, 2, 2)}


def test_a_teams_tags_alone(tmp_path: Path) -> None:
    (tmp_path / "gold.txt").write_text("城 B-X\nは O\n\n", encoding="utf-8")
    (tmp_path / "team.txt").write_text("O\nB-Y\n")
    gold = ["--gold", tmp_path / "gold.txt"]
    formats = ["--from", "columns", "--to", "columns"]
    assert convert(tmp_path / "team.txt", tmp_path / "out.txt", *formats, *gold) == 0
    assert Columns().read(tmp_path / "out.txt", Losses()).values == {"1": {Span("Y", 0, 1, 0, 2)}}


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "FORMAT is one of columns, conllu, brat, jsonl, hub, shinra" in capsys.readouterr().out
    assert main([]) == 2
    with pytest.raises(SystemExit):
        main(["--from", "columns", "--to", "brat", "--help"])
    assert "--from.spaces" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "x", "--from", "brat"], "--to: expected one of columns, conllu"),
        (["--from", "columns", "--to", "jsonl"], "gold.jsonl:1: expected a tag"),
        (["--from", "shinra", "--to", "jsonl"], "pages: expected the folder of the plain pages"),
        (["--from", "jsonl", "--to", "brat", "--pages", "a", "--gold", "b"], "gold and pages"),
    ],
)
def test_errors(
    gold: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert convert(gold, tmp_path / "out", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared task's data is not beside the checkout")
def test_real_pages_there_and_back(tmp_path: Path) -> None:
    pages = SHARED / "shinra-airport-sample/Airport_TEXT"
    gold = SHARED / "shinra-airport-sample/Airport_Mini_Answer.json"
    source = ["--from", "shinra", "--from.pages", pages]
    original = Shinra(pages=pages).read(gold, Losses())
    lost = {"jsonl": 0, "brat": 0, "columns": 4}
    for name, count in lost.items():
        options = ["--to.cut", "characters"] if name == "columns" else []
        assert convert(gold, tmp_path / name, *source, "--to", name, *options) == 0
        back = tmp_path / f"{name}.json"
        own = ["--from", name, "--to", "shinra", "--pages", pages]
        assert convert(tmp_path / name, back, *own) == 0
        found = Shinra(pages=pages).read(back, Losses())
        missing = [original.values[i] - found.values.get(i, frozenset()) for i in original.values]
        assert sum(map(len, missing)) == count
        assert found.count == original.count - count
