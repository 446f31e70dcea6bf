"""Pages and annotations: what every file format becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from coteach.model.spans import Span


@dataclass(frozen=True)
class Page:
    """A page of plain text. ``text`` is kept as it is in the file; lines split on "\\n" only."""

    page_id: str
    text: str

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")


@dataclass(frozen=True)
class Annotations:
    """What one source (the gold, or one team) says about pages.

    Attributes:
        name: the source's name, for example the team's id.
        values: page id → the spans found there. A page without a value may be missing.
        processed: ids of the pages that the source looked at; None means every page. On a page
            outside of it the source said nothing, which is not the same as "found nothing".
    """

    name: str
    values: Mapping[str, frozenset[Span]] = field(default_factory=dict)
    processed: frozenset[str] | None = None

    def on(self, page_id: str) -> frozenset[Span] | None:
        """The spans on a page: empty where nothing was found, None where it was not processed."""
        if self.processed is not None and page_id not in self.processed:
            return None
        return self.values.get(page_id, frozenset())
