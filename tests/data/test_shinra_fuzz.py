"""Whatever stands in a file: spans inside of their pages, or one error, or a counted line.

COTEACH_FUZZ_LINES sets the number of mutated lines, for a long run.
"""

from __future__ import annotations

import json
import os
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from coteach.data.corpus import load_corpus
from coteach.data.defects import Defects
from coteach.data.pages import Page
from coteach.data.shinra import AnnotationFile, read_annotation_file, read_gold
from coteach.data.shinra_task import ShinraData
from coteach.data.windowed import build_windows
from coteach.errors import InputError
from coteach.model.alignment import Aligner
from coteach.model.spans import Span

LINES = int(os.environ.get("COTEACH_FUZZ_LINES", "12000"))
PAGES = {
    page.page_id: page
    for page in [
        Page("7", "東京駅\r\n\u2028大阪\u3000🗼駅\n\nend"),
        Page("w12", "\ufeff城は abc にある。\n" * 3),
        Page("305", "日本語\x00の\rページ"),
    ]
}
ATTRIBUTES = ("名前", "別名", "築城年")


def valid_line(random_: random.Random) -> dict[str, Any]:
    """A line that can be used, some of them with keys that do not matter."""
    page = random_.choice(list(PAGES.values()))
    lines = page.lines
    points = [(i, j) for i, text in enumerate(lines) for j in range(len(text) + 1)]
    start, end = sorted(random_.sample(points, 2))
    span = Span(random_.choice(ATTRIBUTES), *start, *end)
    offset = {
        "start": {"line_id": span.start_line, "offset": span.start_offset},
        "end": {"line_id": span.end_line, "offset": span.end_offset},
        "text": span.text(lines),
    }
    entry: dict[str, Any] = {"page_id": page.page_id, "title": "駅", "ENE": "1.6.5"}
    entry["attribute"] = span.attribute
    entry["text_offset"] = offset
    if random_.random() < 0.3:
        entry["html_offset"] = offset | {"text": "<b>"}
    if random_.random() < 0.1:
        entry["text_offset"] = None
    return entry


def check(path: Path, read: Callable[..., AnnotationFile]) -> tuple[AnnotationFile, Defects]:
    """Read by both ways; every promise that holds for any file."""
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    lines = sum(1 for line in content.split(b"\n") if line.strip())
    defects = Defects()
    file = AnnotationFile({}, {}, frozenset(), 0)
    try:
        file = read(path, pages=PAGES, defects=defects)
    except InputError as error:
        message = str(error)
    else:
        message = f"{path}: no error"
        values = sum(map(len, file.values.values()))
        skipped = defects.skipped[str(path)].total() if str(path) in defects.skipped else 0
        assert defects.lines[str(path)] == lines
        assert lines == values + file.repeated + file.without_place + skipped
    assert message.startswith(f"{path}: no ")
    for page_id, spans in file.values.items():
        page_lines = PAGES[page_id].lines
        for span in spans:
            start, end = span[1:3], span[3:5]
            assert (0, 0) <= start < end
            assert end[0] < len(page_lines)
            assert 0 <= end[1] <= len(page_lines[end[0]])
            assert 0 <= start[1] <= len(page_lines[start[0]])
            assert span.attribute.encode()
    assert all(line.isprintable() for line in defects.report())
    assert json.dumps(defects.as_json(), ensure_ascii=False).encode()

    if defects.skipped:
        with pytest.raises(InputError, match=r"\A[^\n]*\Z") as caught:
            read(path, pages=PAGES)
        first = min(
            (example for examples in defects.examples.values() for example in examples),
            key=lambda example: int(example.removeprefix(f"{path}:").split(":")[0]),
        )
        if read is read_annotation_file:
            assert str(caught.value) == first
    elif file.values:
        assert read(path, pages=PAGES) == file
    return file, defects


# Any JSON value in any place

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-3, 12)
    | st.just(10**400)
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.sampled_from(["7", "名前", "\ud800", "\0", "\u2028", "1.6.5", "\r\n"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["start", "end", "line_id", "offset", "text", "page_id", "x"]), inner
        )
    ),
    max_leaves=6,
)
places = st.sampled_from(
    [
        (),
        ("page_id",),
        ("title",),
        ("ENE",),
        ("attribute",),
        ("html_offset",),
        ("text_offset",),
        ("text_offset", "start"),
        ("text_offset", "end"),
        ("text_offset", "start", "line_id"),
        ("text_offset", "start", "offset"),
        ("text_offset", "end", "line_id"),
        ("text_offset", "end", "offset"),
        ("text_offset", "text"),
    ]
)


def replaced(entry: Any, place: tuple[str, ...], value: Any) -> Any:
    if not place:
        return value
    inner = entry.get(place[0]) or {}
    return entry | {place[0]: replaced(inner, place[1:], value)}


@settings(max_examples=200)
@given(places, json_values, st.integers(0, 20), st.booleans(), st.booleans())
def test_any_json_value_in_any_place(
    tmp_path_factory: pytest.TempPathFactory,
    place: tuple[str, ...],
    value: Any,
    seed: int,
    ascii_only: bool,
    with_a_good_line: bool,
) -> None:
    random_ = random.Random(seed)
    entries = [replaced(valid_line(random_), place, value)]
    if with_a_good_line:
        entries.append(valid_line(random_))
    content = "\n".join(json.dumps(entry, ensure_ascii=ascii_only) for entry in entries)
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    check(path, read_annotation_file)
    check(path, read_gold)


# Damaged lines

TOKENS = [
    *(b"\xff", b"\x00", b"\r", b"\t", b" ", b"\n", b"\xef\xbb\xbf", b"\xed\xa0\x80"),
    *(b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"-", b"1e999", b"0", b"9" * 30),
    *(b"NaN", b"Infinity", b"null", b"true", rb"\ud83d", rb"\u0000", "\u2028駅".encode()),
    *(b"[" * 2000, b"9" * 5000, b'"page_id":', b'"start": {},'),
]


def damaged(line: bytes, random_: random.Random) -> bytes:
    """A line with one piece of damage."""
    at, to = sorted(random_.choices(range(len(line) + 1), k=2))
    kind = random_.randrange(8)
    if kind == 0:  # some bits of a byte
        changed = bytearray(line)
        if changed:
            changed[at % len(changed)] ^= random_.randrange(1, 256)
        return bytes(changed)
    if kind == 1:
        return line[:at]
    if kind == 2:
        return line[:at] + random_.choice(TOKENS) + line[at:]
    if kind == 3:
        return line[:at] + line[min(to, at + 8) :]
    if kind == 4:
        return line[:at] + line[at:to] + line[at:]
    try:
        entry = json.loads(line)
        place = entry["text_offset"]
        if kind == 5:  # two values change places
            one, other = random_.sample(sorted(entry), 2)
            entry[one], entry[other] = entry[other], entry[one]
        elif kind == 6:
            place["start"], place["end"] = place["end"], place["start"]
        else:
            number = random_.choice([-1, 0, 1, 2, 4, 9, 40, 3.0, 10**20, float("nan")])
            place[random_.choice(["start", "end"])][random_.choice(["line_id", "offset"])] = number
        return json.dumps(entry, ensure_ascii=random_.random() < 0.5).encode()
    except (ValueError, RecursionError, LookupError, TypeError):
        return line


def fuzzed(count: int, random_: random.Random) -> tuple[bytes, list[dict[str, Any]]]:
    """Lines of which a part is damaged, some of them out of order; and those left whole."""
    lines, whole = [], []
    for _ in range(count):
        entry = valid_line(random_)
        line = json.dumps(entry, ensure_ascii=random_.random() < 0.5).encode()
        if random_.random() < 0.25:
            whole.append(entry)
        else:
            for _ in range(random_.choice([1, 1, 1, 2, 4])):
                line = damaged(line, random_)
        lines.append(line)
    random_.shuffle(lines)
    return random_.choice([b"\n", b"\r\n"]).join(lines), whole


def test_damaged_lines(tmp_path: Path) -> None:
    random_ = random.Random(20191101)
    path = tmp_path / "fuzzed.json"
    totals: dict[str, int] = {"lines": 0, "values": 0}
    while totals["lines"] < LINES:
        # Short files stop at different lines; an error's place is compared with the first skip.
        content, whole = fuzzed(random_.choice([3, 30, 300]), random_)
        path.write_bytes(content)
        file, defects = check(path, read_annotation_file)
        totals["lines"] += defects.lines[str(path)]
        totals["values"] += sum(map(len, file.values.values()))
        for kind, count in defects.skipped.get(str(path), {}).items():
            totals[kind] = totals.get(kind, 0) + count
        for entry in whole:  # no harm is done to the lines beside
            place = entry["text_offset"]
            if place is not None:
                start, end = place["start"].values(), place["end"].values()
                assert Span(entry["attribute"], *start, *end) in file.values[entry["page_id"]]
    print(totals)
    assert len(totals) == 2 + 9  # every kind of defect that this reader knows came up


@pytest.mark.parametrize("seed", range(2))
def test_damaged_files_go_through_to_windows(
    tmp_path: Path, character_tokenizer: PreTrainedTokenizerFast, seed: int
) -> None:
    random_ = random.Random(seed)
    folder = tmp_path / "Station"
    folder.mkdir()
    for page in PAGES.values():
        (folder / f"{page.page_id}.txt").write_bytes(page.text.encode())
    for name in ("gold", "a/Station", "b/Station"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.json").write_bytes(fuzzed(300, random_)[0])
    (tmp_path / "b" / "Station.processed.txt").write_text("7\nw12\n")
    data = ShinraData(
        pages=folder,
        gold=tmp_path / "gold.json",
        submissions=tmp_path,
        dev_fraction=0.4,
        on_bad_line="skip",
    )
    corpus = load_corpus(data, seed)
    assert len(corpus.defects.skipped) == 3
    assert set(ATTRIBUTES) <= set(corpus.attributes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        windowed = build_windows(
            corpus.pages,
            corpus.page_ids,
            [corpus.train.gold, *corpus.teams],
            corpus.attributes,
            Aligner(character_tokenizer),
            6,
            2,
            tmp_path / "cache",
        )
    assert set(windowed.rows["page_id"]) <= set(PAGES)
    assert min(windowed.fits[name].total for name in windowed.sources) > 0
    with pytest.raises(InputError, match=r"json:\d+: "):
        load_corpus(
            ShinraData(pages=folder, gold=data.gold, submissions=tmp_path, dev_fraction=0.4), seed
        )
