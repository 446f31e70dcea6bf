"""One category of a SHINRA-style shared task as the data of a recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coteach.data.pages import Annotations, Page
from coteach.data.shinra import read_annotation_file, read_pages, read_submissions
from coteach.data.sources import Sources, Split, TaskData, gold_split
from coteach.errors import InputError

__all__ = ["ShinraData"]


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

    def read(self) -> Sources:
        pages = read_pages(self.pages)
        listed = _read_splits(self.splits, pages) if self.splits else {}
        teams: tuple[Annotations, ...] = ()
        if self.submissions is not None:
            category = Path(self.pages).name
            teams = tuple(read_submissions(self.submissions, category, pages=pages))
        return Sources(
            pages=pages,
            train=_read_split("train", self.gold, listed, pages),
            dev=_read_split("dev", self.dev, listed, pages) if self.dev else None,
            report=_read_split("report", self.report, listed, pages) if self.report else None,
            teams=teams,
            listed=listed,
        )


def _read_splits(path: Path, pages: Mapping[str, Page]) -> dict[str, list[str]]:
    try:
        listed = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError.at(path, None, f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InputError.at(path, None, f"expected JSON: {error}") from None
    if not isinstance(listed, dict) or not all(isinstance(ids, list) for ids in listed.values()):
        raise InputError.at(path, None, 'expected {"split": ["page id", …], …}')
    result = {name: list(dict.fromkeys(map(str, ids))) for name, ids in listed.items()}
    for name, ids in result.items():
        # A split without any page of ours may describe pages that are not handed out.
        missing = [page_id for page_id in ids if page_id not in pages]
        if missing and len(missing) < len(ids):
            raise InputError.at(path, None, f"split {name!r}: no page {missing[0]!r}")
    return result


def _read_split(
    name: str, path: Path, listed: Mapping[str, Sequence[str]], pages: Mapping[str, Page]
) -> Split:
    file = read_annotation_file(path, pages=pages)
    if not file.values:
        raise InputError.at(path, None, f"no annotation here; expected the gold of {name!r}")
    if len(file.entity_types) > 1:
        found = ", ".join(sorted(file.entity_types))
        raise InputError.at(path, None, f"expected one ENE, that of the category, got {found}")
    page_ids = tuple(listed.get(name, file.values))
    outside = sorted(set(file.values) - set(page_ids))
    if outside:
        raise InputError.at(
            path, None, f"page {outside[0]!r} has gold but is not in split {name!r}"
        )
    return gold_split(name, page_ids, file.values, next(iter(file.entity_types), None))
