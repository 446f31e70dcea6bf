"""The pages of a category as they lie on disk: their ids in memory, their texts not."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from coteach.data.pages import Page
from coteach.data.shinra import list_page_ids, read_page

__all__ = ["PageFolder"]


class PageFolder(Mapping[str, Page]):
    """The pages ``<page_id>.txt`` of a folder, sorted by id; each is read when it is asked for.

    Args:
        folder: of the pages.
        suffix: of their files; pages of raw HTML have ".html".
        page_ids: the ids of the pages; None: of all <page_id>.txt in the folder.

    Raises:
        InputError: the folder does not exist or has no page; on access, the page is not UTF-8.
    """

    def __init__(
        self, folder: str | Path, suffix: str = ".txt", page_ids: Collection[str] | None = None
    ) -> None:
        self.folder = Path(folder)
        self.suffix = suffix
        self._page_ids = list_page_ids(folder) if page_ids is None else sorted(page_ids)

    def __getitem__(self, page_id: str) -> Page:
        if page_id not in self:
            raise KeyError(page_id)
        return read_page(self.folder / f"{page_id}{self.suffix}")

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
