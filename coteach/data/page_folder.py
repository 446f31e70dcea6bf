"""A category's pages, ``<page_id>.txt`` in one folder: their ids in memory, their texts not."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from coteach.data.defects import LineError
from coteach.data.files import byte_lines, not_utf8, whole
from coteach.data.pages import Page
from coteach.data.shinra_lines import decoded, has_lone_surrogate
from coteach.errors import InputError, quote

__all__ = [
    "PageFolder",
    "list_page_ids",
    "page_path",
    "read_page",
    "read_page_ids",
]


class PageFolder(Mapping[str, Page]):
    """The pages ``<page_id>.txt`` of a folder, sorted by id; each is read when it is asked for.

    Args:
        folder: of the pages.
        suffix: of their files; pages of raw HTML have ".html".
        page_ids: the ids of the pages; None: of all files with that suffix in the folder.

    Raises:
        InputError: the folder does not exist or has no page; on access, the page is not UTF-8.
    """

    def __init__(
        self, folder: str | Path, suffix: str = ".txt", page_ids: Collection[str] | None = None
    ) -> None:
        self.folder = Path(folder)
        self.suffix = suffix
        self._page_ids = list_page_ids(folder, suffix) if page_ids is None else sorted(page_ids)

    def __getitem__(self, page_id: str) -> Page:
        if page_id not in self:
            raise KeyError(page_id)
        return read_page(page_path(self.folder, page_id, self.suffix))

    def __contains__(self, page_id: object) -> bool:
        # By bisection: a set would take as much memory again as the ids.
        if not isinstance(page_id, str):
            return False
        place = bisect_left(self._page_ids, page_id)
        return place < len(self._page_ids) and self._page_ids[place] == page_id

    def __iter__(self) -> Iterator[str]:
        return iter(self._page_ids)

    def __len__(self) -> int:
        return len(self._page_ids)


def list_page_ids(folder: str | Path, suffix: str = ".txt") -> list[str]:
    """The ids of the pages ``<page_id>.txt`` in a category's folder, sorted as strings.

    Args:
        folder: of the pages.
        suffix: of their files.

    Raises:
        InputError: the folder does not exist or has no page, or a name is not UTF-8.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError.at(folder, None, f"no such folder; expected one of <page_id>{suffix}")
    with os.scandir(folder) as entries:  # one by one: a category may have 300,000
        names = (entry.name for entry in entries)
        page_ids = sorted(name.removesuffix(suffix) for name in names if name.endswith(suffix))
    if not page_ids:
        raise InputError.at(folder, None, f"no page here; expected files <page_id>{suffix}")
    for page_id in page_ids:
        if has_lone_surrogate(page_id):  # what Python makes of bytes that are not UTF-8
            raise InputError.at(folder, None, f"page id {quote(page_id)}: the name is not UTF-8")
    return page_ids


def page_path(folder: Path, page_id: str, suffix: str = ".txt") -> Path:
    """Where a page lies: in the folder itself, whatever its id, which may come from anybody.

    Raises:
        InputError: with this id the page would lie elsewhere, for example "../page".
    """
    name = f"{page_id}{suffix}"
    if Path(name).name != name or "\0" in name:
        raise InputError(f"page id {quote(page_id)} is not the name of a file in {folder}")
    return folder / name


def read_page(path: str | Path) -> Page:
    """One page; its id is the file's name without ``.txt``. The text may be empty.

    Raises:
        InputError: the file does not exist, is larger than 1 GiB or is not UTF-8.
    """
    path = Path(path)
    content = whole(path)
    try:
        # Decoded from bytes: newline translation would move every offset after a carriage return.
        return Page(path.stem, content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError.at(path, None, not_utf8(error)) from None


def read_page_ids(path: str | Path) -> list[str]:
    """Page ids from a text file, one a line; blank lines and repeated ids are dropped.

    Raises:
        InputError: the file cannot be read or is not UTF-8.
    """
    page_ids: dict[str, None] = {}
    for number, line in byte_lines(Path(path)):
        try:
            page_ids[decoded(line).strip()] = None
        except LineError as error:
            raise InputError.at(path, number, str(error)) from None
    return list(page_ids)
