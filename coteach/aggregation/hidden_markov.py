"""A hidden Markov model of the true tags behind several systems' tags, by skweak.

The true tag of each piece of text (O, or B or I of an attribute) is hidden and depends on the one
before; each team's tag depends on it alone (Lison et al., ACL 2020). Fitted without gold.

The pieces are not words or characters but what lies between the ends of any team's spans: so
every span keeps its ends, and a long one counts no more than a short one. What nobody tagged
counts as several pieces. As one, it would alternate with what somebody tagged, and the model would
learn that after each gap there is a value: it keeps nearly everything. On the dev pages of a
shared task with eight teams this matters little (F1 72.7, 73.3, 72.6 and 72.3 with 1, 2, 3 and 5
pieces; 71.8 with MeCab's words); of teams that err independently much (82, 85, 93 and 95).

A sequence of tags cannot hold two spans at one place. Attributes whose values overlap in some
team's output go to different models; the others share one, where they compete for the text. One
model for each attribute came out at 62.8 on those dev pages.
"""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from coteach.data.pages import Annotations
from coteach.model.spans import Span

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["hidden_markov"]

_PAGES_AT_ONCE = 500  # that form one sequence, which saves most of the time
_PIECES_OF_A_GAP = 3
_UNSEEN = -1  # in skweak's tables: this source did not look here

Point = tuple[int, int]
"""A place in a page: line and offset."""


def hidden_markov(
    sources: Sequence[Annotations],
    page_ids: Sequence[str],
    fit_on: Sequence[str],
    attributes: Sequence[str],
) -> Annotations:
    """Keeps the spans of the most probable true tags.

    Arguments and errors as in :func:`coteach.aggregation.dawid_skene.dawid_skene`; of a team's own
    spans that overlap in one attribute, the earlier and longer counts.

    Returns:
        Annotations named ``hidden_markov``.

    Raises:
        ModuleNotFoundError: skweak is not installed.
    """
    processed = [
        page_id for page_id in page_ids if any(source.on(page_id) is not None for source in sources)
    ]
    found: dict[str, set[Span]] = {}
    bar = tqdm(
        _groups(sources, {*fit_on, *processed}, attributes),
        desc="hidden_markov: models",
        unit="model",
        leave=False,
        delay=2,
    )
    for group in bar:
        model = _build_model(group)
        tables = [table for table, _ in _tables(model, sources, fit_on, group)]
        if not any((table > 0).to_numpy().any() for table in tables):
            continue  # nothing of these attributes was ever found
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # it reports each step
            model.fit(tables)
        for table, places in _tables(model, sources, processed, group):
            for page_id, span in _spans(model, table, places):
                found.setdefault(page_id, set()).add(span)
    values = {page_id: frozenset(spans) for page_id, spans in found.items()}
    return Annotations("hidden_markov", values, frozenset(processed))


def _groups(
    sources: Sequence[Annotations], page_ids: Collection[str], attributes: Sequence[str]
) -> list[list[str]]:
    """Attributes shared out among models, so that no source's values overlap within one."""
    conflicts = set()
    for source in sources:
        for page_id in page_ids:
            spans = sorted(source.on(page_id) or (), key=lambda span: span[1:])
            for number, span in enumerate(spans):
                for later in spans[number + 1 :]:
                    if later[1:3] >= span[3:5]:
                        break
                    conflicts.add(frozenset((span.attribute, later.attribute)))
    groups: list[list[str]] = []
    for attribute in attributes:
        for group in groups:
            if not any(frozenset((attribute, other)) in conflicts for other in group):
                group.append(attribute)
                break
        else:
            groups.append([attribute])
    return groups


def _build_model(attributes: list[str]) -> Any:
    """skweak's model, reading tables instead of spaCy's documents."""
    from skweak.generative import HMM

    class TableModel(HMM):
        def get_observation_df(self, table: pd.DataFrame) -> pd.DataFrame:
            # Its own table leaves out the sources that found nothing, as if they had not looked.
            return table

        def to_one_hots(self, table: pd.DataFrame) -> dict[str, np.ndarray]:
            # The same as its own, token by token, in a tenth of the time.
            labels = np.arange(len(self.observed_labels))
            return {name: table[name].to_numpy()[:, None] == labels for name in table.columns}

    return TableModel("hidden_markov", attributes)


def _tables(
    model: Any, sources: Sequence[Annotations], page_ids: Sequence[str], attributes: Sequence[str]
) -> Iterator[tuple[pd.DataFrame, list[tuple[str, Point]]]]:
    """Pages as tables of tags: one row a piece of text, one column a source.

    With each table come the pages and the starts of its pieces. Each page ends with rows in which
    every source says O, so that no span crosses to the next.
    """
    import pandas as pd

    # Of one width: where a name begins or ends another, skweak takes both for one source.
    names = [f"{number:04}" for number in range(len(sources))]
    for start in range(0, len(page_ids), _PAGES_AT_ONCE):
        rows: list[np.ndarray] = []
        places: list[tuple[str, Point]] = []
        for page_id in page_ids[start : start + _PAGES_AT_ONCE]:
            said = [source.on(page_id) for source in sources]
            if all(values is None for values in said):
                continue
            known = [
                None if values is None else [s for s in values if s.attribute in attributes]
                for values in said
            ]
            ends = {p for spans in known for s in spans or () for p in (s[1:3], s[3:5])}
            points: list[Point] = sorted(ends) or [(0, 0)]
            tags = np.stack([_tags(model, spans, points) for spans in known], axis=1)
            pieces = np.where((tags > 0).any(axis=1), 1, _PIECES_OF_A_GAP)
            rows.append(np.repeat(tags, pieces, axis=0))
            places += [
                (page_id, points[number]) for number in np.repeat(range(len(pieces)), pieces)
            ]
        if rows:
            yield pd.DataFrame(np.concatenate(rows), columns=names), places


def _tags(model: Any, spans: list[Span] | None, points: list[Point]) -> np.ndarray:
    """One source's tags of a page's pieces and of the row at its end, (points,)."""
    tags = np.zeros(len(points), dtype=np.int16)
    if spans is None:
        tags[:-1] = _UNSEEN
        return tags
    free = 0
    for span in sorted(spans, key=lambda s: (s.start_line, s.start_offset, -s[3], -s[4])):
        first, stop = (bisect_left(points, point) for point in (span[1:3], span[3:5]))
        if first >= free:
            tags[first] = model.observed_labels.index(f"B-{span.attribute}")
            tags[first + 1 : stop] = model.observed_labels.index(f"I-{span.attribute}")
            free = stop
    return tags


def _spans(
    model: Any, table: pd.DataFrame, places: list[tuple[str, Point]]
) -> Iterator[tuple[str, Span]]:
    """The spans of the most probable tags; I goes on what B of the same attribute began."""
    best = model.aggregate(table).to_numpy().argmax(axis=1)
    labels = [model.out_labels[tag].partition("-") for tag in best]
    start, opened = None, ""
    for place, (tag, _, attribute) in enumerate(labels):
        if start is not None and (tag, attribute) != ("I", opened):
            page_id, first = places[start]
            yield page_id, Span(opened, *first, *places[place][1])
            start = None
        if tag == "B":
            start, opened = place, attribute
