"""Pages on disk: what is read as it is, and what is refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from coteach.data.page_folder import PageFolder, list_page_ids, read_page, read_page_ids
from coteach.errors import InputError


def test_pages_keep_every_character_and_are_sorted(tmp_path: Path) -> None:
    texts = {"9": "", "10": "東京駅\r\n\u2028大阪", "w2": "\ufeffa\r\nb\x0bc"}
    for page_id, text in texts.items():
        (tmp_path / f"{page_id}.txt").write_bytes(text.encode())
    (tmp_path / "notes.md").write_text("not a page")
    assert list_page_ids(tmp_path) == ["10", "9", "w2"]
    pages = PageFolder(tmp_path)
    assert list(pages) == ["10", "9", "w2"]
    assert {page_id: page.text for page_id, page in pages.items()} == texts
    assert pages["w2"].lines == ["\ufeffa\r", "b\x0bc"]
    assert pages["9"].lines == [""]


def test_pages_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such folder"):
        PageFolder(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no page here"):
        PageFolder(tmp_path)
    with pytest.raises(InputError, match=r"1\.txt: cannot be read"):
        read_page(tmp_path / "1.txt")
    (tmp_path / "1.txt").write_bytes("東".encode() + b"a\xff")
    with pytest.raises(InputError, match=r"1\.txt: not UTF-8: byte 0xff at position 4"):
        read_page(tmp_path / "1.txt")
    (tmp_path / "1.txt").unlink()
    (tmp_path / "1.txt").mkdir()
    with pytest.raises(InputError, match=r"1\.txt: cannot be read: Is a directory"):
        read_page(tmp_path / "1.txt")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt")).touch()
    with pytest.raises(InputError, match=r'page id "\\udcff": the name is not UTF-8'):
        PageFolder(tmp_path)


def test_page_ids(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_bytes(b"\xef\xbb\xbf12\r\n\n 3 \n12\nw1")
    assert read_page_ids(path) == ["12", "3", "w1"]
    path.write_bytes(b"")
    assert read_page_ids(path) == []
    with pytest.raises(InputError, match="cannot be read"):
        read_page_ids(tmp_path / "none")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for page_id, text in {"10": "a\r\nb", "9": "", "ページ": "城"}.items():
        (tmp_path / f"{page_id}.txt").write_bytes(text.encode())
    (tmp_path / "notes.md").touch()
    return tmp_path


def test_a_folder_is_a_mapping(folder: Path) -> None:
    pages = PageFolder(folder)
    assert list(pages) == ["10", "9", "ページ"]
    assert pages == {page_id: read_page(folder / f"{page_id}.txt") for page_id in pages}
    assert len(pages) == 3
    for absent in ("1", "9.txt", "notes", "../10", 9, None):
        assert absent not in pages
        with pytest.raises(KeyError):
            pages[absent]  # type: ignore[index]
    assert pickle.loads(pickle.dumps(pages)) == pages


def test_a_page_is_read_when_asked_for(folder: Path) -> None:
    pages = PageFolder(folder)
    (folder / "9.txt").write_bytes(b"later")
    assert pages["9"].text == "later"
    (folder / "9.txt").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"9\.txt: not UTF-8"):
        pages["9"]
    (folder / "9.txt").unlink()
    with pytest.raises(InputError, match=r"9\.txt: cannot be read"):
        pages["9"]
