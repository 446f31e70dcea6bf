from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coteach.data.defects import Defects
from coteach.data.files import replacing
from coteach.data.page_folder import PageFolder
from coteach.data.pages import Page
from coteach.data.shinra import (
    read_annotation_file,
    read_annotations,
    read_gold,
    read_submissions,
    write_submission,
)
from coteach.errors import InputError
from coteach.model.spans import Span

SHARED = Path(__file__).parents[2] / ".." / "shared" / "task"
PAGE = Page("7", "東京駅\r\n\u2028大阪\u3000🗼駅\n\nend")


def line(**changes: object) -> dict:
    """A valid annotation of PAGE; a key whose change is ... is left out."""
    entry = {
        "page_id": "7",
        "title": "駅",
        "ENE": "1.6.5",
        "attribute": "名前",
        "text_offset": offset(0, 0, 0, 2),
    } | changes
    return {key: value for key, value in entry.items() if value is not ...}


def offset(
    start_line: object, start: object, end_line: object, end: object, **more: object
) -> dict:
    return {
        "start": {"line_id": start_line, "offset": start},
        "end": {"line_id": end_line, "offset": end},
        **more,
    }


def written(path: Path, *entries: object, start: bytes = b"") -> Path:
    lines = [e if isinstance(e, str) else json.dumps(e, ensure_ascii=False) for e in entries]
    path.write_bytes(start + "\n".join(lines).encode())
    return path


# Annotations


def test_annotations(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.json",
        line(),
        "",
        line(page_id=7),  # the same value, its page as a number
        line(text_offset=offset(1, 4, 3, 1), attribute="別名"),
        line(text_offset=..., title="flag"),
        line(text_offset=None),
        start=b"\xef\xbb\xbf",
    )
    expected = {"7": {Span("名前", 0, 0, 0, 2), Span("別名", 1, 4, 3, 1)}}
    annotations = read_annotations(path, name="gold", pages={"7": PAGE})
    assert annotations.name == "gold"
    assert annotations.values == expected
    assert annotations.processed is None
    file = read_annotation_file(path)
    assert file.values == expected
    assert file.without_place == 2
    assert file.titles == {"7": "駅"}
    assert file.entity_types == {"1.6.5"}


def test_a_file_without_a_line_says_nothing(tmp_path: Path) -> None:
    assert read_annotations(written(tmp_path / "a.json"), name="a").values == {}


def test_html_offsets_are_read_unchecked(tmp_path: Path) -> None:
    html = offset(90, 5, 90, 900, text="<b>")
    path = written(tmp_path / "a.json", line(html_offset=html), line())
    file = read_annotation_file(path, pages={"7": PAGE}, offsets="html")
    assert file.values == {"7": {Span("名前", 90, 5, 90, 900)}}
    assert file.without_place == 1


def valid(*changes: tuple[str, str]) -> str:
    """The JSON of a valid line with pieces of it replaced."""
    text = json.dumps(line())
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


BROKEN: list[tuple[str, object, str]] = [
    ("not JSON", "{", r"not JSON: .* at character 2, in .*\{"),
    ("not JSON", json.dumps(line())[:-9], "not JSON"),
    ("not JSON", valid(('"7"', "NaN")), "NaN is no value of JSON"),
    ("not JSON", valid(('"7"', "-Infinity")), "-Infinity is no value of JSON"),
    ("not JSON", valid(('"title"', '"page_id"')), 'key "page_id" stands twice'),
    ("not JSON", valid(('"7"', "1" * 5000)), "not JSON: a number of too many digits, in .*1111"),
    ("not JSON", "[" * 100_000, r"not JSON: nested too deeply, in \"\[\[\["),
    ("not JSON", valid(('"7"', '"\0"')), r"control character.*\\u0000"),
    ("not JSON", "\0", "not JSON"),
    ("wrong type", "[1]", r"expected an object.*\[1\]"),
    ("wrong type", "[" * 800 + "]" * 800, r"expected an object"),
    ("key missing", line(page_id=...), "'page_id' is missing"),
    ("wrong type", line(page_id=True), "page_id: .*true"),
    ("wrong type", line(page_id=1.5), r"page_id: .*1\.5"),
    ("wrong type", line(page_id=""), 'page_id: .*""'),
    ("wrong type", line(title=["a"]), r'title: .*\["a"\]'),
    ("wrong type", line(ENE=1.6), r"ENE: .*1\.6"),
    ("key missing", line(attribute=...), "'attribute' is missing"),
    ("wrong type", line(attribute=3), "attribute: .*3"),
    ("lone surrogate", valid(('"7"', r'"7\ud800"')), r'page_id: .*"7\\ud800"'),
    ("lone surrogate", valid((r"\u540d", r"\udfff")), r"attribute: .*\\udfff"),
    ("lone surrogate", valid((r"\u99c5", r"\udc00")), r"title: .*\\udc00"),
    ("wrong type", line(text_offset=3), "object with 'start', got 3"),
    ("key missing", line(text_offset={"start": {"line_id": 0, "offset": 0}}), "'end' is missing"),
    ("wrong type", line(text_offset=offset(0, "0", 0, 1)), 'start offset: .*"0"'),
    ("wrong type", line(text_offset=offset(0, 0, 0, 1.0)), r"end offset: .*1\.0"),
    ("wrong type", line(text_offset=offset(0, 0, 0, 10**4000)), "end offset: .*whole.* 1000"),
    ("wrong type", line(text_offset=offset(-1, 0, 0, 1)), "start line_id: .*-1"),
    ("start not before end", line(text_offset=offset(0, 2, 0, 2)), "line 0 offset 2 to line 0"),
    ("start not before end", line(text_offset=offset(1, 0, 0, 2)), "line 1 offset 0 to line 0"),
    ("unknown page", line(page_id="8"), 'unknown page "8"'),
    ("unknown page", line(page_id=10**4000), "unknown page "),
    ("outside of the page", line(text_offset=offset(0, 0, 4, 0)), "the page has 4 lines, got 4"),
    ("outside of the page", line(text_offset=offset(0, 1, 0, 5)), "line 0 has 4 char.*, got 5"),
    ("outside of the page", line(text_offset=offset(0, 5, 1, 1)), "start .* 4 char.*, got 5"),
    (
        "text not that of the page",
        line(text_offset=offset(0, 0, 0, 2, text="東\u2028\x85")),
        r'text "東\\u2028\\x85" is "東京" in the page',
    ),
]


@pytest.mark.parametrize(("defect", "entry", "message"), BROKEN)
def test_broken_lines_stop_with_their_place_or_are_skipped(
    tmp_path: Path, defect: str, entry: object, message: str
) -> None:
    path = written(tmp_path / "broken.json", line(), entry)
    with pytest.raises(InputError, match=rf"broken\.json:2: .*{message}") as caught:
        read_annotations(path, name="a", pages={"7": PAGE})
    assert len(str(caught.value)) < len(str(path)) + 250
    assert str(caught.value).encode().decode().splitlines() == [str(caught.value)]

    defects = Defects()
    annotations = read_annotations(path, name="a", pages={"7": PAGE}, defects=defects)
    assert annotations.values == {"7": {Span("名前", 0, 0, 0, 2)}}
    assert defects.skipped == {str(path): {defect: 1}}
    assert defects.report() == [
        f"{path}: 1 of 2 lines skipped: 1 {defect}",
        f"  for example {caught.value}",
    ]
    assert json.dumps(defects.as_json(), ensure_ascii=False).encode()


def test_annotations_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(json.dumps(line()).encode() + b"\n{\xff")
    with pytest.raises(InputError, match=r"a\.json:2: not UTF-8: byte 0xff at position 1 of"):
        read_annotations(path, name="a")
    defects = Defects()
    read_annotations(path, name="a", defects=defects)
    assert defects.skipped == {str(path): {"not UTF-8": 1}}


@pytest.mark.parametrize("defects", [None, Defects()])
def test_a_file_that_cannot_be_read_at_all_always_stops(
    tmp_path: Path, defects: Defects | None
) -> None:
    with pytest.raises(InputError, match=r"none\.json: cannot be read: No such file"):
        read_annotations(tmp_path / "none.json", name="a", defects=defects)
    with pytest.raises(InputError, match=r"cannot be read: Is a directory"):
        read_annotations(tmp_path, name="a", defects=defects)
    path = tmp_path / "a.json"
    path.write_bytes((json.dumps(line()) + "\n").encode("utf-16"))
    with pytest.raises(InputError, match=r"a\.json.*not UTF-8"):
        read_annotations(path, name="a", defects=defects)
    path = written(tmp_path / "b.json", line(text_offset=None), line(text_offset=None))
    with pytest.raises(InputError, match="no line gives a value: 2 without text_offset, 0 of 2"):
        read_annotations(path, name="a", defects=defects)


def test_carriage_returns_marks_and_separators_are_characters(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    entry = line(text_offset=offset(0, 0, 1, 3, text="東京駅\r\n\u2028大阪"))
    content = json.dumps(entry, ensure_ascii=False) + "\r\n\r\n"
    path.write_bytes(b"\xef\xbb\xbf" + 2 * content.encode())
    defects = Defects()
    file = read_annotation_file(path, pages={"7": PAGE}, defects=defects)
    assert file.values == {"7": {Span("名前", 0, 0, 1, 3)}}
    assert (file.repeated, defects.lines[str(path)]) == (1, 2)
    assert defects.report() == [f"{path}: 1 repeated"]


def test_the_report_counts_by_kind_and_quotes_the_first_examples(tmp_path: Path) -> None:
    bad = [line(page_id=str(number)) for number in range(10, 1510)]
    path = written(tmp_path / "a.json", line(), line(), *bad, "{", line(text_offset=None))
    defects = Defects()
    read_annotations(path, name="a", pages={"7": PAGE}, defects=defects)
    first, *examples, last = defects.report()
    assert first == f"{path}: 1,501 of 1,504 lines skipped: 1,500 unknown page, 1 not JSON"
    assert [example.split(": ")[0] for example in examples] == [
        f"  for example {path}:{number}" for number in (3, 4, 5, 1503)
    ]
    assert last == f"{path}: 1 repeated, 1 without a place"
    assert Defects().report() == []


def test_gold_is_of_one_category_and_in_its_split(tmp_path: Path) -> None:
    other = line(ENE="1.1", text_offset=offset(0, 0, 0, 1))
    path = written(tmp_path / "a.json", other, line(), line(ENE=None), line())
    with pytest.raises(InputError, match=r'a\.json:1: expected one ENE.*"1\.1".*"1\.6\.5"'):
        read_gold(path)
    defects = Defects()
    file = read_gold(path, defects=defects)
    assert file.values == {"7": {Span("名前", 0, 0, 0, 2)}}
    assert file.entity_types == {"1.6.5"}
    assert defects.skipped == {str(path): {"another ENE": 1}}
    written(path, line(), line(page_id="8"))
    with pytest.raises(InputError, match=r'a\.json:2: value on page "8", not among'):
        read_gold(path, split=["7"])
    with pytest.raises(InputError, match="no annotation here"):
        read_gold(written(path))


# Submissions of teams


def test_submissions(tmp_path: Path) -> None:
    for team in ("team10", "team2", "absent"):
        (tmp_path / team).mkdir()
    written(tmp_path / "team10" / "Station.json", line())
    written(tmp_path / "team2" / "Station.json")
    written(tmp_path / "absent" / "Airport.json", line())
    (tmp_path / "team10" / "Station.processed.txt").write_text("7\n9\n")
    first, second = read_submissions(tmp_path, "Station", {"7": PAGE})
    assert (first.name, second.name) == ("team10", "team2")
    assert first.processed == {"7", "9"}
    assert first.on("7") == {Span("名前", 0, 0, 0, 2)}
    assert (first.on("9"), first.on("8")) == (frozenset(), None)
    assert second.processed is None
    assert second.on("7") == frozenset()


def test_no_submission_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected <team>/Station\.json"):
        read_submissions(tmp_path, "Station")


def test_a_value_on_a_page_that_was_not_processed_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", line())
    (tmp_path / "ids.txt").write_text("8")
    with pytest.raises(InputError, match=r'a\.json:1: value on page "7", not among .*ids\.txt'):
        read_annotations(path, name="a", processed=tmp_path / "ids.txt")
    written(path, line(), line(page_id="8"))
    defects = Defects()
    annotations = read_annotations(path, name="a", processed=tmp_path / "ids.txt", defects=defects)
    assert list(annotations.values) == ["8"]
    assert defects.skipped == {str(path): {"page not listed": 1}}


def test_careless_texts_of_teams_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "Station.json"
    written(path, line(), line(text_offset=offset(0, 1, 0, 2, text="東")))
    defects = Defects("stop")
    (team,) = read_submissions(tmp_path, "Station", {"7": PAGE}, defects)
    assert len(team.values["7"]) == 2
    assert defects.report() == [f"{path}: 1 with a text not that of the page"]


# Our own submission


@st.composite
def page_and_spans(draw: st.DrawFn) -> tuple[Page, set[Span]]:
    text = draw(st.text(alphabet='あa🗼\n\r\u2028 "\\', min_size=1, max_size=30))
    page = Page(draw(st.sampled_from(["1", "w2"])), text)
    spans = set()
    points = [(i, j) for i, chars in enumerate(page.lines) for j in range(len(chars) + 1)]
    for _ in range(draw(st.integers(0, 4))):
        pair = draw(st.lists(st.sampled_from(points), min_size=2, max_size=2))
        start, end = sorted(pair)
        if start < end:
            spans.add(Span(draw(st.sampled_from(["名前", "A b"])), *start, *end))
    return page, spans


@given(page_and_spans())
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, example: tuple[Page, set[Span]]
) -> None:
    page, spans = example
    path = tmp_path_factory.mktemp("submission") / "new" / "a.json"
    write_submission(path, [(page, [(span, None) for span in spans])])
    # Reading with the pages also compares every text with the page.
    values = read_annotations(path, name="a", pages={page.page_id: page}).values
    assert values == ({page.page_id: spans} if spans else {})


def test_a_submission_has_title_text_and_score(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    other = Page("8", "ab")
    write_submission(
        path,
        iter(
            [
                (PAGE, [(Span("名前", 0, 1, 0, 3), 0.12345678), (Span("名前", 0, 0, 0, 1), None)]),
                (other, [(Span("別名", 0, 0, 0, 2), 1)]),
            ]
        ),
        titles={"7": "駅"},
    )
    first, second, third = map(json.loads, path.read_text("utf-8").splitlines())
    assert first == {
        "page_id": "7",
        "title": "駅",
        "attribute": "名前",
        "text_offset": offset(0, 1, 0, 3, text="京駅"),
        "score": 0.123457,
    }
    assert "score" not in second
    assert (third["title"], third["score"]) == ("8", 1.0)
    assert "駅" in path.read_text("utf-8")


@pytest.mark.parametrize(
    ("span", "score"),
    [
        (Span("名前", 0, 0, 0, 99), None),
        (Span("名前", 0, 1, 0, 1), None),
        (Span("名前", 0, 0, 0, 1), float("nan")),
    ],
)
def test_a_failing_submission_leaves_the_old_one(
    tmp_path: Path, span: Span, score: float | None
) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(ValueError):  # noqa: PT011 - two messages, one promise
        write_submission(path, [(PAGE, [(Span("名前", 0, 0, 0, 2), 0.5), (span, score)])])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_replacing_appears_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with replacing(path) as file:
        file.write("あ\n")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == "あ\n".encode()


# The real data


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared task's data is not beside the checkout")
def test_the_airport_sample() -> None:
    folder = SHARED / "shinra-airport-sample"
    pages = PageFolder(folder / "Airport_TEXT")
    gold = read_annotation_file(folder / "Airport_Mini_Answer.json", pages=pages)
    values = [span for spans in gold.values.values() for span in spans]
    assert len(pages) == 7
    assert len(values) == 186 - 8  # eight lines are exact repetitions
    assert len({span.attribute for span in values}) == 21
    assert gold.entity_types == {"1.6.5.3"}
    # One text of the dummy system is not what its offsets mark.
    with pytest.raises(InputError, match=r'json:86: text "カナダ" is "カナダのノ" in the page'):
        read_annotation_file(folder / "Airport_Dummy_Result.json", pages=pages)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared task's data is not beside the checkout")
def test_the_teams_of_jawiki_ner() -> None:
    folder = SHARED / "jawiki-ner"
    pages = PageFolder(folder / "plain" / "JAWIKI")
    assert len(pages) == 3835
    teams = read_submissions(folder / "submissions", "JAWIKI", pages)
    assert [team.name for team in teams] == [f"team0{number}" for number in range(1, 9)]
    assert [team.name for team in teams if team.processed is not None] == ["team03"]
