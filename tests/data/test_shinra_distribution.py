from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coteach.data.corpus import load_corpus
from coteach.data.shinra_distribution import ShinraDistribution
from coteach.data.shinra_task import ShinraData
from coteach.errors import InputError
from coteach.model.spans import Span
from coteach.score import main as score

SHARED = Path(__file__).parents[2] / ".." / "shared" / "task"

HTML = {
    "1": "<p>東京<b>駅</b></p>\n大阪 &amp; 京都",
    "2": "<i>名古屋</i>\n<u>岐阜</u>",
    "3": "津\n\n四日市",
    "4": "",
}
TEXT = {"1": "東京駅\n大阪 & 京都", "2": "名古屋\n岐阜", "3": "津\n\n四日市", "4": ""}

# Page, attribute, and the places in the text and in the HTML.
VALUES = [
    ("1", "別名", (0, 0, 0, 3), (0, 3, 0, 9)),
    ("1", "所在地", (0, 1, 1, 2), (0, 4, 1, 2)),  # over the line break
    ("2", "別名", (0, 0, 0, 3), (0, 3, 0, 6)),
    ("3", "所在地", (2, 0, 2, 3), (2, 0, 2, 3)),
]


def place(start_line: int, start: int, end_line: int, end: int) -> dict[str, Any]:
    return {
        "start": {"line_id": start_line, "offset": start},
        "end": {"line_id": end_line, "offset": end},
    }


def entry(value: tuple, key: str = "page_id", **more: object) -> dict[str, Any]:
    page_id, attribute, text, html = value
    return {
        key: page_id,
        "attribute": attribute,
        "text_offset": place(*text),
        "html_offset": place(*html),
        "ENE": "1.6.5.3",
    } | more


def write_lines(path: Path, entries: Iterable[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(it) + "\n" for it in entries), encoding="utf-8")


def write_pages(folder: Path, suffix: str, pages: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for page_id, text in pages.items():
        (folder / f"{page_id}{suffix}").write_bytes(text.encode())


def in_upper_case(root: Path) -> None:
    """As in 2019: several zips side by side, upper case, the gold once more for reading."""
    for zip_, category in (("JP-5", "Airport"), ("JP-30", "Bay")):
        folder = root / zip_
        write_lines(folder / "annotation" / f"{category}_dist.json", map(entry, VALUES))
        view = folder / "annotation" / f"{category}_dist_for_view.json"
        view.write_text(json.dumps([entry(value) for value in VALUES], indent=1))
        write_pages(folder / "PLAIN" / category, ".txt", TEXT)
        write_pages(folder / "HTML" / category, ".html", HTML)


def in_lower_case(root: Path) -> None:
    """As in 2020: folders of groups."""
    write_lines(root / "annotation" / "JP-5" / "Airport_dist.json", map(entry, VALUES))
    write_pages(root / "plain" / "JP-5" / "Airport", ".txt", TEXT)
    write_pages(root / "html" / "JP-5" / "Airport", ".html", HTML)


def in_2022(root: Path) -> None:
    """JSON lines by name, "pageid", and flags without a place."""
    lines = [entry(value, "pageid") for value in VALUES]
    lines.append({"pageid": "4", "attribute": "別名", "ENE": "1.6.5.3", "text_offset": None})
    write_lines(root / "annotation" / "Airport_dist.jsonl", lines)
    write_pages(root / "plain" / "Airport", ".txt", TEXT)
    write_pages(root / "html" / "Airport", ".html", HTML)


def in_one_folder(root: Path) -> None:
    """Pages of all categories together."""
    write_lines(root / "annotation" / "Airport_dist.jsonl", map(entry, VALUES))
    write_pages(root / "plain", ".txt", {**TEXT, "99": "他"})
    write_pages(root / "html", ".html", {**HTML, "99": "他"})


LAYOUTS = [in_upper_case, in_lower_case, in_2022, in_one_folder]


def spans(offsets: str = "text") -> dict[str, set[Span]]:
    found: dict[str, set[Span]] = {}
    for page_id, attribute, text, html in VALUES:
        span = Span(attribute, *(text if offsets == "text" else html))
        found.setdefault(page_id, set()).add(span)
    return found


@pytest.mark.parametrize("write", LAYOUTS)
@pytest.mark.parametrize("offsets", ["text", "html"])
def test_layouts(tmp_path: Path, write: Callable[[Path], None], offsets: Any) -> None:
    write(tmp_path)
    sources = ShinraDistribution(root=tmp_path, category="airport", offsets=offsets).read()
    pages = TEXT if offsets == "text" else HTML
    named = {page_id: text for page_id, text in pages.items() if page_id != "4"}
    expected = named if write is in_one_folder else pages
    assert {page_id: page.text for page_id, page in sources.pages.items()} == expected
    assert sources.train.gold.values == spans(offsets)
    assert sources.train.page_ids == ("1", "2", "3")
    assert sources.train.entity_type == "1.6.5.3"
    assert sources.dev is sources.report is None
    assert sources.defects.skipped == {}


def test_several_categories_are_parts(tmp_path: Path) -> None:
    in_upper_case(tmp_path)
    data = ShinraDistribution(root=tmp_path)
    parts = data.parts()
    assert parts == {name: replace(data, category=name) for name in ("Airport", "Bay")}
    assert parts["Bay"].parts() == {}
    assert [*replace(data, category=("Bay",)).parts()] == ["Bay"]
    with pytest.raises(InputError, match=r"data\.category: expected one category here"):
        data.read()
    with pytest.raises(InputError, match=r"data\.category: expected a name"):
        replace(data, category=())


# Submissions


def merged(offsets: Iterable[str]) -> list[dict[str, Any]]:
    """Both teams found everything, and 02 one value more."""
    pages = []
    for page_id in TEXT:
        result: dict[str, list] = {}
        for value in VALUES:
            if value[0] == page_id:
                full = entry(value)
                places = {key: full[key] for key in offsets}
                result.setdefault(value[1], []).append({**places, "system": ["01", "02"]})
        if page_id == "2":
            full = entry(("2", "所在地", (1, 0, 1, 2), (1, 3, 1, 5)))
            places = {key: full[key] for key in offsets}
            result["所在地"] = [{**places, "system": ["02"]}]
        pages.append({"page_id": page_id, "result": result})
    return pages


def per_team(folder: Path, offsets: Iterable[str]) -> None:
    for team in ("01", "02"):
        lines = [
            {"page_id": page["page_id"], "attribute": attribute, **value}
            for page in merged(offsets)
            for attribute, values in page["result"].items()
            for value in values
            if team in value["system"]
        ]
        write_lines(folder / team / "Airport.json", lines)


@pytest.mark.parametrize("form", ["team", "merged"])
@pytest.mark.parametrize("keys", [["text_offset", "html_offset"], ["html_offset"], ["text_offset"]])
def test_submissions_in_both_forms_and_by_either_offset(
    tmp_path: Path, form: str, keys: list[str]
) -> None:
    in_lower_case(tmp_path)
    folder = tmp_path / "submissions"
    if form == "merged":
        write_lines(folder / "Airport.json", merged(keys))
    else:
        per_team(folder, keys)
    (folder / "02").mkdir(exist_ok=True)
    (folder / "02" / "Airport.processed.txt").write_text("1\n2\n3\n")
    data = ShinraDistribution(root=tmp_path, category="Airport", submissions=folder)
    first, second = data.read().teams
    assert (first.name, second.name) == ("01", "02")
    assert first.values == spans()
    assert first.processed is None
    assert second.values == spans() | {"2": spans()["2"] | {Span("所在地", 1, 0, 1, 2)}}
    assert second.processed == {"1", "2", "3"}
    if keys != ["text_offset"]:
        in_html = replace(data, offsets="html").read().teams
        assert in_html[0].values == spans("html")


def test_html_offsets_without_a_place_in_the_text_are_counted(tmp_path: Path) -> None:
    in_lower_case(tmp_path)
    path = tmp_path / "submissions" / "01" / "Airport.json"
    lines = [
        {"page_id": "1", "attribute": "別名", "html_offset": place(0, 3, 0, 5)},
        {"page_id": "1", "attribute": "別名", "html_offset": place(0, 1, 0, 5)},  # inside <p>
        {"page_id": "99", "attribute": "別名", "html_offset": place(0, 1, 0, 5)},
    ]
    write_lines(path, lines)
    data = ShinraDistribution(root=tmp_path, category="Airport", submissions=path.parents[1])
    sources = data.read()
    assert sources.teams[0].values == {"1": {Span("別名", 0, 0, 0, 2)}}
    assert sources.defects.notes[str(path)] == {
        "read by its html_offset": 1,
        "html_offset without a place in the text": 2,
    }
    # As raw HTML, a place inside a tag is a place; a page that is not there is none.
    with pytest.raises(InputError, match=r'Airport\.json: unknown page "99"'):
        replace(data, offsets="html").read()
    write_lines(path, [*lines[:2], {**lines[0], "html_offset": place(7, 0, 7, 1)}])
    with pytest.raises(InputError, match=r"start line_id: the page has 2 lines, got 7"):
        replace(data, offsets="html").read()
    sources = replace(data, offsets="html", on_bad_line="skip").read()
    assert len(sources.teams[0].values["1"]) == 2
    assert sources.defects.skipped[str(path)] == {"outside of the page": 1}


# Splits


def test_splits_by_files_lists_and_share(tmp_path: Path) -> None:
    in_2022(tmp_path)
    data = ShinraDistribution(root=tmp_path, category="Airport")
    (tmp_path / "splits").mkdir()
    listed = {"train": ["1", "4"], "dev": ["2"], "report": ["3"]}
    (tmp_path / "splits" / "Airport.json").write_text(json.dumps(listed))
    for splits in (tmp_path / "splits", tmp_path / "splits" / "Airport.json"):
        sources = replace(data, splits=splits).read()
        assert sources.train.page_ids == ("1", "4")
        assert sources.train.gold.processed == {"1", "4"}
        assert sources.dev is not None
        assert sources.dev.gold.values == {"2": spans()["2"]}
        assert sources.report is not None
        assert sources.report.page_ids == ("3",)
    (tmp_path / "splits" / "Airport.json").write_text(json.dumps({**listed, "report": ["4"]}))
    with pytest.raises(InputError, match="page '3' has gold but is in no split"):
        replace(data, splits=tmp_path / "splits").read()
    for old in ("annotation/Airport_dist.jsonl", "plain/Airport", "html/Airport"):
        (tmp_path / old).rename(tmp_path / old.replace("Airport", "Bay"))
    with pytest.raises(InputError, match=r"no Bay\.json here"):
        replace(data, category="Bay", splits=tmp_path / "splits").read()


def test_a_share_for_the_report_is_the_same_for_every_seed(tmp_path: Path) -> None:
    pages = {str(number): "東京駅" for number in range(40)}
    write_pages(tmp_path / "plain" / "Airport", ".txt", pages)
    values = [(page_id, "別名", (0, 0, 0, 3), (0, 0, 0, 3)) for page_id in pages]
    write_lines(tmp_path / "annotation" / "Airport_dist.json", map(entry, values))
    data = ShinraDistribution(root=tmp_path, category="Airport", report_fraction=0.3)
    one, two = load_corpus(data, 1), load_corpus(data, 2)
    assert one.report is not None
    assert two.report is not None
    assert one.report.page_ids == two.report.page_ids
    assert 4 <= len(one.report.page_ids) <= 20
    assert one.dev.page_ids != two.dev.page_ids
    parts = [one.train.page_ids, one.dev.page_ids, one.report.page_ids]
    assert sorted(page_id for part in parts for page_id in part) == sorted(pages)
    with pytest.raises(InputError, match=r"data\.report_fraction"):
        replace(data, report_fraction=1.0)


# Definitions


def test_definitions_choose_attributes_category_and_lines(tmp_path: Path) -> None:
    in_lower_case(tmp_path)
    definitions = tmp_path / "ene.jsonl"
    attributes = [
        {"name": "別名", "extraction_task": True},
        {"name": "所在地", "extraction_task": False},
    ]
    airport = {"ENE_id": "1.6.5.3", "name": {"en": "Airport"}, "attributes": attributes}
    write_lines(definitions, [airport])
    per_team(tmp_path / "submissions", ["text_offset"])
    data = ShinraDistribution(
        root=tmp_path,
        category="1.6.5.3",
        definitions=definitions,
        submissions=tmp_path / "submissions",
    )
    names = {"1": {Span("別名", 0, 0, 0, 3)}, "2": {Span("別名", 0, 0, 0, 3)}}
    sources = data.read()
    assert sources.train.gold.values == names
    assert [team.values for team in sources.teams] == [names, names]
    gold = tmp_path / "annotation" / "JP-5" / "Airport_dist.json"
    assert sources.defects.notes[str(gold)]["attribute that is not to be extracted"] == 2

    other = entry(("3", "別名", (0, 0, 0, 1), (0, 0, 0, 1)), ENE="1.6.5.0")
    write_lines(gold, [*map(entry, VALUES), other])
    sources = data.read()
    assert sources.train.gold.values == names
    assert sources.train.entity_type == "1.6.5.3"
    with pytest.raises(InputError, match=r"1\.6\.5\.0"):
        replace(data, category="Airport", definitions=None).read()
    write_lines(definitions, [{**airport, "ENE_id": "1.9"}])
    with pytest.raises(InputError, match=r"expected lines of ENE 1\.9, got 1\.6\.5\.0, 1\.6\.5\.3"):
        replace(data, category="Airport").read()
    with pytest.raises(InputError, match="no category 'Bay'; expected a name or an ENE id"):
        replace(data, category="Bay").read()


# What is not there


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    data = ShinraDistribution(root=tmp_path / "none", category="Airport")
    with pytest.raises(InputError, match="none: no such folder"):
        data.read()
    with pytest.raises(InputError, match=r"no folder annotation/ here .* there is nothing"):
        replace(data, root=tmp_path).read()
    data = replace(data, root=tmp_path)
    (tmp_path / "Annotation").mkdir()
    with pytest.raises(InputError, match=r"no folder plain/ here"):
        data.read()
    (tmp_path / "Plain").mkdir()
    (tmp_path / "Plain" / "Bay").mkdir()
    with pytest.raises(InputError, match=r"expected Airport/<page_id>\.txt; there is Bay"):
        data.read()
    with pytest.raises(InputError, match=r"no file <Category>_dist\.json"):
        replace(data, category="*").parts()
    write_pages(tmp_path / "Plain" / "Airport", ".txt", {})
    with pytest.raises(InputError, match=r"no page in .*Airport; expected <page_id>\.txt"):
        data.read()
    write_pages(tmp_path / "Plain" / "Airport", ".txt", TEXT)
    write_lines(tmp_path / "Annotation" / "Bay_dist.json", [])
    with pytest.raises(InputError, match=r"no Airport_dist\.json .* there is gold of Bay"):
        data.read()
    write_lines(tmp_path / "Annotation" / "Airport_dist.json", [])
    with pytest.raises(InputError, match=r"Airport_dist\.json: no annotation here"):
        data.read()
    write_lines(tmp_path / "Annotation" / "Airport_dist.jsonl", map(entry, VALUES))
    with pytest.raises(InputError, match="annotations of 'Airport' are there twice"):
        data.read()
    (tmp_path / "Annotation" / "Airport_dist.json").unlink()
    assert data.read().train.gold.values == spans()
    (tmp_path / "submissions").mkdir()
    with pytest.raises(InputError, match=r"expected <team>/Airport\.json or, merged"):
        replace(data, submissions=tmp_path / "submissions").read()
    with pytest.raises(InputError, match="none: no such folder"):
        replace(data, submissions=tmp_path / "none").read()
    write_pages(tmp_path / "more" / "plain" / "Airport", ".txt", TEXT)
    with pytest.raises(InputError, match="pages of 'Airport' are there twice"):
        data.read()


# Real data


@pytest.fixture
def airport(tmp_path: Path) -> Path:
    """The real pages, laid out as in the distribution of 2019."""
    sample = (SHARED / "shinra-airport-sample").resolve()
    if not sample.is_dir():
        pytest.skip("the real sample is not there")
    for link, target in (
        ("annotation/Airport_dist.json", "Airport_Mini_Answer.json"),
        ("PLAIN/Airport", "Airport_TEXT"),
        ("HTML/Airport", "Airport_HTML"),
        ("submissions/dummy/Airport.json", "Airport_Dummy_Result.json"),
    ):
        (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / link).symlink_to(sample / target)
    return tmp_path


@pytest.mark.parametrize(("offsets", "f1"), [("text", 0.753), ("html", 0.760)])
def test_real_pages_are_read_and_scored(
    airport: Path, offsets: Any, f1: float, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ShinraDistribution(root=airport, category="Airport", offsets=offsets)
    sources = replace(data, submissions=airport / "submissions", on_bad_line="skip").read()
    assert len(sources.pages) == len(sources.train.page_ids) == 7
    assert sum(map(len, sources.train.gold.values.values())) == 178
    gold, team = (
        str(airport / path)
        for path in ("annotation/Airport_dist.json", "submissions/dummy/Airport.json")
    )
    assert score([gold, team, "--offsets", offsets, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)["scores"][team]
    assert result["micro"]["f1"] == pytest.approx(f1, abs=5e-4)
    assert len(result["attributes"]) == 21


def test_the_merged_form_of_a_whole_task() -> None:
    root = SHARED / "jawiki-ner"
    if not root.is_dir():
        pytest.skip("the real task is not there")
    splits = root / "splits.json"
    task = ShinraData(
        pages=root / "plain/JAWIKI",
        gold=root / "annotation/JAWIKI_dist.json",
        dev=root / "annotation/JAWIKI_dev.json",
        report=root / "annotation/JAWIKI_report.json",
        splits=splits,
    ).read()
    data = ShinraDistribution(root=root, category="JAWIKI", splits=splits)
    sources = replace(data, submissions=root / "merged").read()
    assert (sources.train, sources.dev, sources.report) == (task.train, task.dev, task.report)
    assert len(sources.teams) == 8
    assert sum(len(spans) for spans in sources.teams[0].values.values()) == 13_100


def test_a_category_may_be_without_html(tmp_path: Path) -> None:
    in_upper_case(tmp_path)
    shutil.rmtree(tmp_path / "JP-30" / "HTML")
    sources = ShinraDistribution(root=tmp_path, category="Bay").read()
    assert sources.train.gold.values == spans()
