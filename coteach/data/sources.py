"""What a description of data reads: pages, the gold of its splits, and the teams' submissions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coteach.data.defects import Defects
from coteach.data.pages import Annotations, Page
from coteach.data.shinra_lines import Offsets
from coteach.errors import InputError
from coteach.model.spans import Span

__all__ = ["Sources", "Split", "TaskData", "gold_split"]


@dataclass(frozen=True)
class Split:
    """Gold of some pages: the only pages that figures of this split speak of."""

    name: str
    page_ids: tuple[str, ...]
    gold: Annotations
    entity_type: str | None = None
    """The category's ENE id, where the gold has it: the scorer renames attributes by it."""


def gold_split(
    name: str,
    page_ids: Sequence[str],
    values: Mapping[str, frozenset[Span]],
    entity_type: str | None,
) -> Split:
    """A split of some pages, whose gold is masked on all others."""
    known = {page_id: values[page_id] for page_id in page_ids if page_id in values}
    gold = Annotations("gold", known, frozenset(page_ids))
    return Split(name, tuple(page_ids), gold, entity_type)


@dataclass(frozen=True)
class Sources:
    """Everything that was read, before anything is set aside or sampled.

    Attributes:
        pages: every page, by id.
        train: the labelled pages.
        dev: pages for selection; None to set some of the labelled ones aside.
        report: pages for the final table; None where there are none.
        teams: the submissions, sorted by team.
        listed: page ids of every split that the data names, also of those without gold.
        defects: what was wrong or remarkable in the files.
        offsets: what the pages are: plain text, or the raw HTML.
    """

    pages: Mapping[str, Page]
    train: Split
    dev: Split | None = None
    report: Split | None = None
    teams: tuple[Annotations, ...] = ()
    listed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    defects: Defects = field(default_factory=Defects)
    offsets: Offsets = "text"


@dataclass(frozen=True, kw_only=True)
class TaskData(ABC):
    """Where a task's data lies. A subclass a kind of layout; its ``read`` is all that differs."""

    submissions: Path | None = None
    """The teams' outputs."""
    teach_on: tuple[str, ...] = ()
    """Splits whose pages the teams teach on, beside the training pages; none named: all pages
    that are neither dev nor report."""
    max_pages: int = 2000
    """Training pages: all labelled ones, and others up to this number in all (co-teaching paper,
    §4.2)."""
    dev_fraction: float = 0.1
    """The share of the labelled pages set aside for dev (co-teaching paper, §4.2), where the data
    has no dev pages of its own."""

    def __post_init__(self) -> None:
        if self.max_pages < 1:
            raise InputError(f"data.max_pages must be at least 1, got {self.max_pages}")

    def parts(self) -> Mapping[str, TaskData]:
        """Where this is several tasks, each a run of its own: name → task."""
        return {}

    @abstractmethod
    def read(self, cache: Path | None = None) -> Sources:
        """Read and check everything.

        Args:
            cache: a folder for values that may outgrow memory; None: they are held in memory.

        Raises:
            InputError: a file is missing or wrong.
        """
