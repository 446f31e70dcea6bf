from __future__ import annotations

from pathlib import Path

import pytest

from coteach.data.formats import Brat, Documents, Losses, read_known
from coteach.data.pages import Page
from coteach.errors import InputError
from coteach.model.spans import Span

TEXT = "🏯青葉城は\n伊達政宗が\n築いた。"


def write(folder: Path, *lines: str, text: str | None = TEXT, name: str = "1") -> Path:
    folder.mkdir(exist_ok=True)
    if text is not None:
        (folder / f"{name}.txt").write_bytes(text.encode())
    (folder / f"{name}.ann").write_bytes("\n".join(lines).encode())
    return folder


def test_values_and_what_is_none(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "a",
        "T1\t城名 1 4\t青葉城",
        "T2\t築城者 6 10\t伊達政宗\r",
        "T3\t文 1 5;6 10\t青葉城は 伊達政宗",  # brat's way over a line break
        "T4\t築城者 6 8;9 10\t伊達 宗",
        "T5\t城名 1 4\t青葉城",
        "R1\tBuiltBy Arg1:T1 Arg2:T2\t",
        "E1\tBuild:T2 Place:T1",
        "A1\tNegation T1",
        "#1\tAnnotatorNotes T1\tメモ",
        "*\tEquiv T1 T5",
        "",
    )
    losses = Losses()
    documents = Brat().read(folder, losses)
    assert documents.pages["1"].text == TEXT
    assert documents.values["1"] == {
        Span("城名", 0, 1, 0, 4),
        Span("築城者", 1, 0, 1, 4),
        Span("文", 0, 1, 1, 4),
    }
    assert losses.counts == {
        "discontinuous": 1,
        "repeated": 1,
        "relation, event, attribute or note": 5,
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("T1\t城名 1 4", r"1\.ann:1: expected T<number>, a tab, a type"),
        ("T1 城名 1 4 青葉城", r"1\.ann:1: expected T<number>"),
        ("T1\t城 名 1 4\t青葉城", r"1\.ann:1: expected T<number>"),
        ("hello", r"1\.ann:1: expected T<number>.* got \"hello\""),
        ("T1\t城名 1 40\t青葉城", r"1\.ann:1: expected 0 ≤ start < end ≤ 16, .* end 40"),
        ("T1\t城名 4 4\t", r"1\.ann:1: expected 0 ≤ start < end"),
        ("T1\t城名 0 3\t青葉城", r'1\.ann:1: text "青葉城" is "🏯青葉" in the page'),
    ],
)
def test_broken_lines(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Brat().read(write(tmp_path / "a", line), Losses())


def test_broken_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Brat().read(tmp_path / "none", Losses())
    write(tmp_path / "a", text=None, name="2")
    with pytest.raises(InputError, match="no page here"):
        Brat().read(tmp_path / "a", Losses())
    write(tmp_path / "a")
    with pytest.raises(InputError, match=r"2\.ann: no text; expected 2\.txt beside it"):
        Brat().read(tmp_path / "a", Losses())


def test_a_teams_annotations_need_no_texts(tmp_path: Path) -> None:
    known = Documents({"1": Page("1", TEXT), "2": Page("2", "")}, {})
    folder = write(tmp_path / "a", "T1\t城名 1 4\t青葉城", text=None)
    documents = read_known(Brat(), folder, known, Losses())
    assert documents.values == {"1": {Span("城名", 0, 1, 0, 4)}}  # and nothing is said of page 2


def test_values_over_lines_and_at_line_breaks(tmp_path: Path) -> None:
    page = Page("1", "城\n\r\n築城 者\n")
    places = [("a b", 0, 0, 2, 3), ("c", 0, 1, 2, 2), ("d", 2, 4, 3, 0), ("e", 2, 0, 3, 0)]
    spans = frozenset(Span(*place) for place in places)
    losses = Losses()
    Brat().write(tmp_path / "a", Documents({"1": page}, {"1": spans}), losses)
    assert (tmp_path / "a/1.txt").read_bytes() == page.text.encode()
    lines = (tmp_path / "a/1.ann").read_bytes().decode().split("\n")
    assert lines[0] == "T1\ta_b 0 1;2 3;4 7\t城 \r 築城 "
    assert losses.counts == {
        "attribute renamed": 1,
        "trimmed of line breaks": 2,
        "white space only": 1,
    }
    assert Span("a_b", 0, 0, 2, 3) in Brat().read(tmp_path / "a", Losses()).values["1"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    folder = write(tmp_path / "a")
    with pytest.raises(InputError, match="exists already; expected a new or an empty folder"):
        Brat().write(folder, Documents({}, {}), Losses())
    bad = Documents({"1": Page("1", ""), "a/b": Page("a/b", "")}, {})
    with pytest.raises(InputError, match='page id "a/b" cannot be the name of a file'):
        Brat().write(tmp_path / "b", bad, Losses())
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
