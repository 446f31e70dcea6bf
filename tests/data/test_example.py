"""The built-in example: well-formed, as hard as promised, and what its generator writes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[2] / "data"
EXAMPLE = DATA / "example"
TEAMS = sorted(path.name for path in (EXAMPLE / "submissions").iterdir())
GOLD_FILES = {"train": "dist", "dev": "dev", "report": "report"}
NAME_ATTRIBUTES = {"別名", "所在地", "旧国名", "築城者"}


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().decode().split("\n")[:-1]]


def read_gold(split: str) -> list[dict[str, Any]]:
    return read_jsonl(EXAMPLE / "annotation" / f"Castle_{GOLD_FILES[split]}.json")


def read_submission(team: str) -> list[dict[str, Any]]:
    return read_jsonl(EXAMPLE / "submissions" / team / "Castle.json")


def place(line: dict[str, Any], side: str) -> tuple[int, int]:
    return line["text_offset"][side]["line_id"], line["text_offset"][side]["offset"]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {
        path.stem: path.read_bytes().decode() for path in (EXAMPLE / "plain/Castle").glob("*.txt")
    }


@pytest.fixture(scope="module")
def splits() -> dict[str, list[str]]:
    return json.loads((EXAMPLE / "splits.json").read_bytes())


@pytest.fixture(scope="module")
def gold() -> list[dict[str, Any]]:
    return [line for split in GOLD_FILES for line in read_gold(split)]


def test_the_splits_are_disjoint_and_cover_all_pages(
    pages: dict[str, str], splits: dict[str, list[str]]
) -> None:
    listed = [page_id for page_ids in splits.values() for page_id in page_ids]
    assert sorted(listed) == sorted(pages)
    assert len(pages) >= 360
    assert {split: len(page_ids) for split, page_ids in splits.items()} == {
        "train": 70,
        "dev": 40,
        "report": 100,
        "unlabelled": 170,
    }


def test_page_lengths(pages: dict[str, str]) -> None:
    lengths = [len(text) for text in pages.values()]
    assert 15 <= sum(length > 700 for length in lengths) <= 30
    assert sum(150 <= length <= 600 for length in lengths) > 0.85 * len(lengths)
    assert all("\n\n" in text and text.endswith("\n") for text in pages.values())


@pytest.mark.parametrize("source", [*GOLD_FILES, *TEAMS])
def test_every_value_slices_to_its_own_text(
    source: str, pages: dict[str, str], splits: dict[str, list[str]]
) -> None:
    lines = read_gold(source) if source in GOLD_FILES else read_submission(source)
    assert lines
    for line in lines:
        (first, start), (last, end) = place(line, "start"), place(line, "end")
        rows = pages[line["page_id"]].split("\n")
        if first == last:
            text = rows[first][start:end]
        else:
            text = "\n".join([rows[first][start:], *rows[first + 1 : last], rows[last][:end]])
        assert text == line["text_offset"]["text"] != ""
        assert line["title"] == rows[0]
        if source in GOLD_FILES:
            assert line["page_id"] in splits[source]


def test_gold_values_are_varied(gold: list[dict[str, Any]], splits: dict[str, list[str]]) -> None:
    assert len({line["attribute"] for line in gold}) >= 6
    over_lines = [line for line in gold if place(line, "start")[0] < place(line, "end")[0]]
    assert len(over_lines) >= 5
    annotated = {page_id for split in GOLD_FILES for page_id in splits[split]}
    assert annotated - {line["page_id"] for line in gold}, "no page without a value"


def test_values_of_different_attributes_overlap(gold: list[dict[str, Any]]) -> None:
    by_page = defaultdict(list)
    for line in gold:
        by_page[line["page_id"]].append(line)
    overlapping = {
        frozenset((a["attribute"], b["attribute"]))
        for lines in by_page.values()
        for a in lines
        for b in lines
        if a is not b
        and place(a, "start") < place(b, "end")
        and place(b, "start") < place(a, "end")
    }
    assert {frozenset(("所在地", "旧国名")), frozenset(("別名", "築城者"))} == overlapping


def test_most_names_of_report_pages_are_unseen_in_training() -> None:
    known = {line["text_offset"]["text"] for line in read_gold("train")}
    names = [
        line["text_offset"]["text"]
        for line in read_gold("report")
        if line["attribute"] in NAME_ATTRIBUTES
    ]
    assert sum(name not in known for name in names) > 0.6 * len(names)


def test_one_team_is_partial(pages: dict[str, str]) -> None:
    listed = sorted((EXAMPLE / "submissions").glob("*/Castle.processed.txt"))
    assert len(TEAMS) == 4
    assert len(listed) == 1
    processed = listed[0].read_bytes().decode().split()
    assert len(processed) == round(0.7 * len(pages))
    assert set(processed) < set(pages)
    assert {line["page_id"] for line in read_submission(listed[0].parent.name)} <= set(processed)


def test_the_generator_writes_the_same_bytes_again(tmp_path: Path) -> None:
    command = [sys.executable, str(DATA / "generate.py"), "--output", str(tmp_path)]
    run = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")

    def contents(folder: Path) -> dict[str, bytes]:
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }

    assert contents(tmp_path) == contents(EXAMPLE)
    readme = (DATA / "README.md").read_bytes().decode()
    assert run.stdout.strip(), "no table of scores"
    assert all(row in readme for row in run.stdout.split("\n")), "scores in README.md are stale"
