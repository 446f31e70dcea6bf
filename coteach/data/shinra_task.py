"""One category of a SHINRA-style shared task as the data of a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coteach.data.defects import Defects, OnBadLine
from coteach.data.files import read_json
from coteach.data.page_folder import PageFolder
from coteach.data.pages import Annotations, Page
from coteach.data.shinra import read_gold, read_submissions
from coteach.data.sources import Sources, Split, TaskData, gold_split
from coteach.errors import InputError

__all__ = ["ShinraData", "read_splits"]


@dataclass(frozen=True, kw_only=True)
class ShinraData(TaskData):
    """One category of a SHINRA-style shared task, as it lies on disk."""

    pages: Path
    """Folder of the category's pages, <page_id>.txt."""
    gold: Path
    """Annotation lines of the training pages."""
    submissions: Path | None = None
    """Folder with <team>/<category>.json and, where a team processed only some pages,
    <team>/<category>.processed.txt. The category is the name of the pages' folder."""
    dev: Path | None = None
    """Annotation lines of the pages for selection; without it, dev_fraction is set aside."""
    report: Path | None = None
    """Annotation lines of the pages for the final table; never used to train or to select."""
    splits: Path | None = None
    """JSON: split → page ids, with "train", "dev" and "report" as far as there are such files.
    Without it a split is the pages that have a value in its file."""
    on_bad_line: OnBadLine = "stop"
    """A line that cannot be used: stop with an error, or skip it, count it and go on."""

    def read(self, cache: Path | None = None) -> Sources:
        pages = PageFolder(self.pages)
        listed = read_splits(self.splits, pages) if self.splits else {}
        defects = Defects(self.on_bad_line)

        def split(name: str, path: Path) -> Split:
            return _read_split(name, path, listed, pages, defects)

        teams: tuple[Annotations, ...] = ()
        if self.submissions is not None:
            category = Path(self.pages).name
            teams = tuple(read_submissions(self.submissions, category, pages, defects, cache))
        return Sources(
            pages=pages,
            train=split("train", self.gold),
            dev=split("dev", self.dev) if self.dev else None,
            report=split("report", self.report) if self.report else None,
            teams=teams,
            listed=listed,
            defects=defects,
        )


def read_splits(path: Path, pages: Mapping[str, Page]) -> dict[str, list[str]]:
    """Split → page ids, from a JSON file; of every split all pages are there, or none is.

    Raises:
        InputError: the file cannot be read, is no such JSON, or names a page that is not there.
    """
    listed = read_json(Path(path))
    if not isinstance(listed, dict) or not all(
        isinstance(ids, list) and all(isinstance(page_id, str | int) for page_id in ids)
        for ids in listed.values()
    ):
        raise InputError.at(path, None, 'expected {"split": ["page id", …], …}')
    result = {name: list(dict.fromkeys(map(str, ids))) for name, ids in listed.items()}
    for name, ids in result.items():
        # A split without any page of ours may describe pages that are not handed out.
        missing = [page_id for page_id in ids if page_id not in pages]
        if missing and len(missing) < len(ids):
            raise InputError.at(path, None, f"split {name!r}: no page {missing[0]!r}")
    return result


def _read_split(
    name: str,
    path: Path,
    listed: Mapping[str, Sequence[str]],
    pages: Mapping[str, Page],
    defects: Defects,
) -> Split:
    file = read_gold(path, pages=pages, split=listed.get(name), defects=defects)
    page_ids = tuple(listed.get(name, file.values))
    return gold_split(name, page_ids, file.values, next(iter(file.entity_types), None))
