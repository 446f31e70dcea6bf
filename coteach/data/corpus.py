"""What a run reads: pages, the gold of three splits, and the teams' submissions."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coteach.data.pages import Annotations, Page
from coteach.data.shinra import read_annotation_file, read_pages, read_submissions
from coteach.errors import InputError
from coteach.model.spans import Span


@dataclass(frozen=True)
class ShinraData:
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
    teach_on: tuple[str, ...] = ()
    """Splits whose pages the teams teach on, beside the training pages; none named: all pages
    that are neither dev nor report."""
    max_pages: int = 2000
    """Training pages: all labelled ones, and others up to this number in all (co-teaching paper,
    §4.2)."""
    dev_fraction: float = 0.1
    """The share of the labelled pages set aside for dev (co-teaching paper, §4.2)."""

    def __post_init__(self) -> None:
        if self.max_pages < 1:
            raise InputError(f"data.max_pages must be at least 1, got {self.max_pages}")


@dataclass(frozen=True)
class Split:
    """Gold of some pages: the only pages that figures of this split speak of."""

    name: str
    page_ids: tuple[str, ...]
    gold: Annotations
    entity_type: str | None = None
    """The category's ENE id, where the gold has it: the scorer renames attributes by it."""


@dataclass(frozen=True)
class Corpus:
    """Everything read, and who may learn from what.

    Attributes:
        pages: every page, by id.
        attributes: the attributes of the training gold, sorted.
        train: the labelled training pages; its gold is masked on all other pages.
        dev: pages for selection.
        report: pages for the final table; None where the data has none.
        teams: the submissions, sorted by team.
        page_ids: the training pages, labelled ones first: what edges are evaluated on.
        unlabelled: ids of all pages that belong to none of these splits; unlike the rest they
            show how the teams do on pages they did not train on.
    """

    pages: Mapping[str, Page]
    attributes: tuple[str, ...]
    train: Split
    dev: Split
    report: Split | None
    teams: tuple[Annotations, ...]
    page_ids: tuple[str, ...]
    unlabelled: tuple[str, ...]


def load_corpus(data: ShinraData, seed: int) -> Corpus:
    """Read and check everything a run needs.

    Args:
        data: where it lies.
        seed: of the sample of pages and, without a dev file, of the dev pages.

    Raises:
        InputError: a file is missing or wrong, or two splits share a page.
    """
    pages = read_pages(data.pages)
    listed = _read_splits(data.splits, pages) if data.splits else {}
    train = _read_split("train", data.gold, listed, pages)
    dev = _read_split("dev", data.dev, listed, pages) if data.dev else None
    report = _read_split("report", data.report, listed, pages) if data.report else None
    if dev is None:
        train, dev = _set_aside(train, data.dev_fraction, seed)
    _check_disjoint([train, dev, *([report] if report else [])])
    attributes = sorted({span.attribute for spans in train.gold.values.values() for span in spans})
    if not attributes:
        raise InputError.at(data.gold, None, "no annotation here; expected the training gold")

    teams: tuple[Annotations, ...] = ()
    if data.submissions is not None:
        category = Path(data.pages).name
        teams = tuple(read_submissions(data.submissions, category, pages=pages))
    kept_apart = {*train.page_ids, *dev.page_ids, *(report.page_ids if report else ())}
    kept_apart.update(listed.get("dev", ()), listed.get("report", ()))
    unlabelled = tuple(page_id for page_id in pages if page_id not in kept_apart)
    candidates = _candidates(data, listed, unlabelled)
    return Corpus(
        pages=pages,
        attributes=tuple(attributes),
        train=train,
        dev=dev,
        report=report,
        teams=teams,
        page_ids=_sample(train.page_ids, candidates if teams else [], data.max_pages, seed),
        unlabelled=unlabelled,
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
    return _split(name, page_ids, file.values, next(iter(file.entity_types), None))


def _split(
    name: str,
    page_ids: Sequence[str],
    values: Mapping[str, frozenset[Span]],
    entity_type: str | None,
) -> Split:
    """A split whose gold is masked outside of its pages."""
    known = {page_id: values[page_id] for page_id in page_ids if page_id in values}
    gold = Annotations("gold", known, frozenset(page_ids))
    return Split(name, tuple(page_ids), gold, entity_type)


def _set_aside(train: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """Take the dev pages out of the training pages."""
    if not 0 < fraction < 1:
        raise InputError(f"data.dev_fraction: expected a share in (0, 1), got {fraction}")
    shuffled = sorted(train.page_ids)
    random.Random(seed).shuffle(shuffled)
    count = max(1, int(len(shuffled) * fraction))
    if count >= len(shuffled):
        raise InputError(
            f"data.dev: {len(shuffled)} labelled page(s) cannot give both training and dev pages; "
            "expected a dev file or more gold"
        )
    dev = set(shuffled[:count])
    rest = [page_id for page_id in train.page_ids if page_id not in dev]
    return (
        _split("train", rest, train.gold.values, train.entity_type),
        _split("dev", sorted(dev), train.gold.values, train.entity_type),
    )


def _check_disjoint(splits: Sequence[Split]) -> None:
    owner: dict[str, str] = {}
    for split in splits:
        for page_id in split.page_ids:
            if owner.setdefault(page_id, split.name) != split.name:
                raise InputError(
                    f"page {page_id!r} is in both {owner[page_id]!r} and {split.name!r}; "
                    "expected splits without a common page"
                )


def _candidates(
    data: ShinraData, listed: Mapping[str, Sequence[str]], unlabelled: Sequence[str]
) -> list[str]:
    """Pages that only the teams teach on."""
    if not data.teach_on:
        return list(unlabelled)
    unknown = [name for name in data.teach_on if name not in listed]
    if unknown:
        raise InputError(
            f"data.teach_on: no split {unknown[0]!r}; expected some of {sorted(listed)}"
        )
    allowed = {page_id for name in data.teach_on for page_id in listed[name]}
    return [page_id for page_id in unlabelled if page_id in allowed]


def _sample(
    labelled: Sequence[str], candidates: Sequence[str], maximum: int, seed: int
) -> tuple[str, ...]:
    """All labelled pages, then a uniform sample of the others, ``maximum`` in all."""
    room = max(0, maximum - len(labelled))
    if len(candidates) > room:
        chosen = set(random.Random(seed).sample(sorted(candidates), room))
        candidates = [page_id for page_id in candidates if page_id in chosen]
    return (*labelled, *candidates)
