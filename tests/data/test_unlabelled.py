from __future__ import annotations

import gzip
import json
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from coteach.data.unlabelled import UnlabelledText
from coteach.errors import InputError


def write(path: Path, content: str | bytes) -> str:
    content = content if isinstance(content, bytes) else content.encode("utf-8")
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def texts_of(seed: int = 0, **fields: Any) -> dict[str, str]:
    pages = UnlabelledText(**fields).read(seed).pages
    assert all(page.page_id == page_id for page_id, page in pages.items())
    return {page_id: page.text for page_id, page in pages.items()}


LINES = "\ufeff# 城 / 人\r\n 一、\u2028二。\r\n\n\u3000\n# \n#三\n城 # 人"
OBJECTS = [{"text": "一\n二"}, {"text": "", "title": "a"}, {"text": "# 三"}]


@pytest.mark.parametrize("name", ["a.b.txt", "a.b.txt.gz", "a.b.TXT"])
def test_a_text_a_line(tmp_path: Path, name: str) -> None:
    data = UnlabelledText(files=write(tmp_path / name, LINES))
    assert texts_of(files=data.files) == {
        "a.b:2": " 一、\u2028二。",
        "a.b:6": "#三",
        "a.b:7": "城 # 人",
    }
    assert data.read(0).remarks == (f"{name}: 2 texts skipped as headings",)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_an_object_a_line(tmp_path: Path, name: str) -> None:
    content = "\n\n".join(map(json.dumps, OBJECTS))
    data = UnlabelledText(files=write(tmp_path / name, content))
    assert texts_of(files=data.files) == {"a:1": "一\n二", "a:5": "# 三"}
    assert data.read(0).remarks == (f"{name}: 1 text dropped as empty",)


def test_a_data_set(tmp_path: Path) -> None:
    rows = {"text": ["一", " ", "二"], "other": [1, 2, 3]}
    Dataset.from_dict(rows).to_parquet(tmp_path / "hub" / "validation.parquet")
    source = f"{tmp_path / 'hub'}:validation"
    assert texts_of(files=source) == {"hub:validation:1": "一", "hub:validation:3": "二"}


def test_several_files(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    one, other = write(tmp_path / "a.txt", "一\n二"), write(tmp_path / "b" / "c.txt", "三")
    assert list(texts_of(files=(other, one)).items()) == [
        ("c:1", "三"),
        ("a:1", "一"),
        ("a:2", "二"),
    ]
    same = write(tmp_path / "b" / "a.jsonl", '{"text": "四"}')
    assert texts_of(files=(one, same)) == {f"{one}:1": "一", f"{one}:2": "二", f"{same}:1": "四"}


def test_preprocessing(tmp_path: Path) -> None:
    source = write(tmp_path / "a.txt", "１２人\n！！\n城")
    data = UnlabelledText(files=source, preprocessing=("nfkc", "symbols", "digits"))
    assert [page.text for page in data.read(0).pages.values()] == ["0人", "城"]
    assert data.read(0).remarks == (
        "a.txt: 2 texts changed by preprocessing",
        "a.txt: 1 text dropped as empty",
    )


def test_texts_are_drawn_by_chance(tmp_path: Path) -> None:
    files = tuple(
        write(tmp_path / f"{name}.txt", "# a\n" + "".join(f"{name}{n}\n\n" for n in range(10)))
        for name in "ab"
    )
    every = list(texts_of(files=files).values())
    assert len(every) == 20
    counts: Counter[str] = Counter()
    for seed in range(200):
        drawn = list(texts_of(seed, files=files, maximum=5).values())
        assert sorted(drawn, key=every.index) == drawn
        assert len(set(drawn)) == 5
        assert drawn == list(texts_of(seed, files=files, maximum=5).values())
        counts.update(drawn)
    # 50 of each are expected; the standard deviation is √(200 · ¼ · ¾) = 6.1.
    assert all(28 < counts[text] < 72 for text in every)
    assert list(texts_of(files=files, maximum=20).values()) == every
    headings = ("a.txt: 1 text skipped as headings", "b.txt: 1 text skipped as headings")
    drawn = UnlabelledText(files=files, maximum=5).read(0)
    assert drawn.remarks == (*headings, "5 of 20 texts drawn by chance")
    assert UnlabelledText(files=files, maximum=20).read(0).remarks == headings


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl.gz"])
def test_memory_holds_only_what_is_drawn(tmp_path: Path, name: str) -> None:
    text = "城" * 1000
    line = json.dumps({"text": text}) if "jsonl" in name else text
    source = write(tmp_path / name, f"{line}\n" * 1000)  # 3 MB
    UnlabelledText(files=source, maximum=1).read(0)  # what is imported when it is needed
    tracemalloc.start()
    try:
        assert list(texts_of(files=source, maximum=20).values()) == [text] * 20
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5e5


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", r"a\.txt: no text here; expected at least one"),
        ("a.txt", "# a\n\n", r"a\.txt: no text here; expected at least one"),
        ("a.txt", b"a\n# \xff\n", r"a\.txt:2: not UTF-8: byte 0xff at position 2 of the line"),
        ("a.txt.gz", b"a\n\xff\n", r"a\.txt\.gz:2: not UTF-8: byte 0xff"),
        ("a.jsonl", '{"text": "a"}\n{"text', r'a\.jsonl:2: not JSON: .* in "\{\\"text"'),
        ("a.jsonl.gz", '\n{"texts": "a"}', r'a\.jsonl\.gz:2: no column "text"; .* \["texts"\]'),
        ("a.jsonl", '{"text": ["a"]}', r'a\.jsonl:1: text: expected a text, got \["a"\]'),
        ("a.jsonl", '{"text": "\\udfff"}', r"a\.jsonl:1: text: half of a surrogate pair"),
        ("a.jsonl", '{"text": " "}', r"data\.files: every text is empty"),
        ("a.csv", "text\na\n", r"a\.csv: expected a file \.txt, \.txt\.gz, \.jsonl, \.jsonl\.gz"),
    ],
)
def test_a_file_that_cannot_be_used(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    source = write(tmp_path / name, content)
    with pytest.raises(InputError, match=message):
        UnlabelledText(files=source).read(0)


@pytest.mark.parametrize("kept", [1, 8, 40, -4])
def test_a_compressed_file_that_is_cut_off(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress("".join(map(str, range(999))).encode())[:kept])
    with pytest.raises(InputError, match=r"a\.txt\.gz: expected a whole gzip file"):
        UnlabelledText(files=str(path)).read(0)


def test_a_file_that_is_not_compressed_or_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_text("plain")
    with pytest.raises(InputError, match=r"expected a whole gzip file: Not a gzipped file"):
        UnlabelledText(files=str(path)).read(0)
    content = bytearray(gzip.compress("".join(map(str, range(999))).encode()))
    content[20] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"expected a whole gzip file|not UTF-8"):
        UnlabelledText(files=str(path)).read(0)


@pytest.mark.parametrize("name", ["none.txt", "none.jsonl.gz"])
def test_no_such_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=rf"{name}: cannot be read: No such file"):
        UnlabelledText(files=str(tmp_path / name)).read(0)


def test_a_data_set_that_cannot_be_used(tmp_path: Path) -> None:
    Dataset.from_dict({"text": ["a", None]}).to_parquet(tmp_path / "hub" / "train.parquet")
    with pytest.raises(InputError, match=r"hub: row 2: text: expected a text, got null"):
        UnlabelledText(files=str(tmp_path / "hub")).read(0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: cannot be loaded"):
        UnlabelledText(files=str(tmp_path / "empty")).read(0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"files": ()}, r"data\.files: expected at least one file, got none"),
        ({"files": ("a.txt", "a.txt")}, r"data\.files: 'a\.txt' is named twice"),
        ({"files": "a.txt", "maximum": 0}, r"data\.maximum: expected at least 1, got 0"),
        (
            {"files": "a.txt", "preprocessing": ("nfkc", "lower")},
            r"data\.preprocessing: expected some of \['nfkc'.*, got 'lower'",
        ),
    ],
)
def test_a_description_that_makes_no_sense(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        UnlabelledText(**fields)
