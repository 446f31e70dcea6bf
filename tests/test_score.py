from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from coteach.errors import InputError
from coteach.score import compare, main

GOLD = [("1", "名前", 0), ("1", "名前", 5), ("2", "場所", 0), ("3", "場所", 2)]
FIRST = [("1", "名前", 0), ("1", "場所", 3), ("2", "場所", 0), ("9", "名前", 0)]
SECOND = [("1", "名前", 5), ("2", "その他", 0)]


def written(path: Path, values: list[tuple[str, str, int]], key: str = "text_offset") -> str:
    path.parent.mkdir(exist_ok=True)
    entries = [
        {
            "page_id": page_id,
            "ENE": "1",
            "attribute": attribute,
            key: {
                "start": {"line_id": 0, "offset": offset},
                "end": {"line_id": 0, "offset": offset + 1},
            },
        }
        for page_id, attribute, offset in values
    ]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    return [
        written(tmp_path / "gold.json", GOLD),
        written(tmp_path / "first" / "Place.json", FIRST),
        written(tmp_path / "second" / "Place.json", SECOND),
    ]


def figures(precision: float, recall: float, f1: float) -> object:
    return pytest.approx({"precision": precision, "recall": recall, "f1": f1})


def test_json(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*files, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == ["scores", "pages", "input"]
    assert list(printed["scores"]) == files[1:]
    assert printed["scores"][files[1]] == {
        "micro": figures(2 / 3, 2 / 4, 4 / 7),
        "macro": figures((1 + 1 / 2) / 2, (1 / 2 + 1 / 2) / 2, (2 / 3 + 1 / 2) / 2),
        "attributes": {"名前": figures(1, 1 / 2, 2 / 3), "場所": figures(1 / 2, 1 / 2, 1 / 2)},
    }
    assert printed["scores"][files[2]]["micro"] == figures(1, 1 / 4, 2 / 5)
    assert printed["pages"] == "pages of the gold file (3)"


def test_json_of_given_pages(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("1\n9\n")
    assert main([*files[:2], "--pages", str(ids), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["scores"][files[1]]["micro"] == figures(1 / 3, 1 / 2, 2 / 5)
    assert printed["pages"] == f"the 2 pages of {ids}"


def test_tables(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(files) == 0
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines()]
    assert ["1", "first", "66.7", "50.0", "57.1", "75.0", "50.0", "58.3"] in rows
    second = next(row for row in rows if row[:2] == ["2", "second"])
    assert second[2:9] == ["100.0", "25.0", "40.0", "50.0", "25.0", "33.3", "-17.1"]
    assert second[9].startswith("[")
    assert ["名前", "2", "66.7", "66.7"] in rows
    assert "Scored on pages of the gold file (3)." in printed
    assert "paired bootstrap" in printed


def test_one_system_has_no_comparison(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(files[:2]) == 0
    printed = capsys.readouterr().out
    assert "Place.json" in printed
    assert "bootstrap" not in printed


def test_html_offsets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold = written(tmp_path / "gold.json", GOLD, key="html_offset")
    system = written(tmp_path / "system.json", FIRST, key="html_offset")
    assert main([gold, system, "--offsets", "html"]) == 0
    assert "57.1" in capsys.readouterr().out
    assert main([gold, system]) == 2
    assert "gold.json: no line gives a value: 4 without text_offset" in capsys.readouterr().err


def test_lines_without_a_place_are_told(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with Path(files[1]).open("a") as file:
        file.write('{"page_id": "1", "attribute": "名前", "text_offset": null}\n')
    assert main(files[:2]) == 0
    assert "Place.json: 1 without a place" in capsys.readouterr().out


def test_names_are_kept_as_given(files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(files[0]).parent)
    comparison = compare("gold.json", ["./first/Place.json", Path("second/Place.json")])
    assert list(comparison.scores) == ["./first/Place.json", "second/Place.json"]
    assert list(comparison.differences()) == ["second/Place.json"]
    with pytest.raises(InputError, match="given twice"):
        compare("gold.json", ["first/Place.json", "./first/Place.json"])


def test_errors_are_one_line_and_exit_with_2(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.write_text("")
    broken = tmp_path / "broken"
    broken.write_text('\n{"page_id": "1"}\n')
    for arguments, message in [
        ([files[0]], "no system given"),
        ([files[0], "absent.json"], "absent.json: cannot be read"),
        ([files[0], str(broken)], "broken:2: key 'attribute' is missing"),
        ([str(empty), files[1]], "empty: no annotation here; expected the gold"),
        ([*files, "--pages", str(empty)], "empty: no page id"),
        (
            [*files, "--pages", str(broken)],
            "broken: none of its 1 page ids has a value in the gold",
        ),
    ]:
        assert main(arguments) == 2
        captured = capsys.readouterr()
        assert message in captured.err
        assert captured.err.count("\n") == 1
        assert captured.out == ""


def test_a_gold_of_two_categories_is_refused(files: list[str]) -> None:
    with Path(files[0]).open("a") as file:
        file.write('{"page_id": "1", "ENE": "1.1", "attribute": "名前"}\n')
    with pytest.raises(InputError, match=r'gold\.json:5: expected one ENE.*got "1.1", .* "1"'):
        compare(files[0], files[1:])
    comparison = compare(files[0], files[1:], on_bad_line="skip")
    assert comparison.scores[files[1]].micro.gold == len(GOLD)
    assert comparison.defects.skipped == {files[0]: {"another ENE": 1}}


def test_bad_lines_can_be_skipped_and_are_told(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with Path(files[1]).open("a") as file:
        file.write('{"page_id": "1"\n{"page_id": "\\ud800", "attribute": "名前"}\n')
    assert main(files) == 2
    assert "Place.json:5: not JSON" in capsys.readouterr().err
    assert main([*files, "--on-bad-line", "skip"]) == 0
    printed = capsys.readouterr().out
    assert "57.1" in printed
    assert f"{files[1]}: 2 of 6 lines skipped: 1 not JSON, 1 lone surrogate" in printed
    assert f"for example {files[1]}:5: not JSON" in printed
    assert main([*files, "--on-bad-line", "skip", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["input"]
    assert told["skipped"] == {files[1]: {"not JSON": 1, "lone surrogate": 1}}


def test_a_system_that_found_nothing_scores_zero(files: list[str], tmp_path: Path) -> None:
    empty = tmp_path / "empty.json"
    empty.write_text("")
    assert compare(files[0], [empty]).scores[str(empty)].micro.f1 == 0.0


def test_the_module_is_a_command(files: list[str]) -> None:
    command = [sys.executable, "-m", "coteach.score"]
    root = Path(__file__).parents[1]
    shown = subprocess.run([*command, "--help"], cwd=root, capture_output=True, text=True)
    assert shown.returncode == 0
    assert all(
        word in shown.stdout for word in ("GOLD", "SYSTEM", "--pages", "--offsets", "--json")
    )
    failed = subprocess.run([*command, files[0], "no"], cwd=root, capture_output=True, text=True)
    assert failed.returncode == 2
    assert failed.stderr == "error: no: cannot be read: No such file or directory\n"
