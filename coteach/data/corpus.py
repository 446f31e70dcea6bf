"""What a run learns from: pages, the gold of three splits, and the teams' submissions."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coteach.data.defects import Defects
from coteach.data.pages import Annotations, Page
from coteach.data.shinra_lines import Offsets
from coteach.data.sources import Split, TaskData, gold_split
from coteach.errors import InputError

__all__ = ["Corpus", "load_corpus"]


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
        defects: what was wrong or remarkable in the files; also how many of a team's values are
            of attributes that the training gold lacks, which nobody learns.
        offsets: what the pages are: plain text, or the raw HTML.
    """

    pages: Mapping[str, Page]
    attributes: tuple[str, ...]
    train: Split
    dev: Split
    report: Split | None
    teams: tuple[Annotations, ...]
    page_ids: tuple[str, ...]
    unlabelled: tuple[str, ...]
    defects: Defects = field(default_factory=Defects)
    offsets: Offsets = "text"


def load_corpus(data: TaskData, seed: int, cache: Path | None = None) -> Corpus:
    """Read and check everything a run needs.

    Args:
        data: where it lies.
        seed: of the sample of pages and, without dev pages, of those set aside.
        cache: a folder for what the teams found, which may be more than memory holds; None: it
            is held in memory.

    Raises:
        InputError: a file is missing or wrong, or two splits share a page.
    """
    sources = data.read(cache)
    train, dev, report = sources.train, sources.dev, sources.report
    if dev is None:
        train, dev = _set_aside(train, data.dev_fraction, seed)
    _check_disjoint([train, dev, *([report] if report else [])])
    attributes = sorted({span.attribute for spans in train.gold.values.values() for span in spans})
    if not attributes:
        raise InputError("data: the training gold has no value; expected at least one")
    for team in sources.teams:
        found = Counter(span.attribute for spans in team.values.values() for span in spans)
        unknown = sum(count for attribute, count in found.items() if attribute not in attributes)
        sources.defects.note(f"team {team.name}", "of attributes not in the training gold", unknown)
    for page_id in (*dev.page_ids, *(report.page_ids if report else ())):
        sources.pages[page_id]  # a page that cannot be read is an error now, not after training
    listed = sources.listed
    kept_apart = {*train.page_ids, *dev.page_ids, *(report.page_ids if report else ())}
    kept_apart.update(listed.get("dev", ()), listed.get("report", ()))
    unlabelled = tuple(page_id for page_id in sources.pages if page_id not in kept_apart)
    candidates = _candidates(data, listed, unlabelled) if sources.teams else []
    return Corpus(
        pages=sources.pages,
        attributes=tuple(attributes),
        train=train,
        dev=dev,
        report=report,
        teams=sources.teams,
        page_ids=_sample(train.page_ids, candidates, data.max_pages, seed),
        unlabelled=unlabelled,
        defects=sources.defects,
        offsets=sources.offsets,
    )


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
        gold_split("train", rest, train.gold.values, train.entity_type),
        gold_split("dev", sorted(dev), train.gold.values, train.entity_type),
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
    data: TaskData, listed: Mapping[str, Sequence[str]], unlabelled: Sequence[str]
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
