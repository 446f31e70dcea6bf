"""Pages and annotations as an Arrow data set of windows, cached by content."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from datasets import Dataset, Features, List, Value
from datasets.exceptions import DatasetGenerationError
from torch import Tensor

from coteach.data.pages import Annotations, Page
from coteach.errors import InputError
from coteach.model.alignment import Aligner
from coteach.model.classification import shortened
from coteach.model.iob2 import CLASSES, IGNORE, Fit, Locator, encode, tag_pieces
from coteach.model.windows import Window, windows

BATCH = 1000  # windows that are counted together
FORMAT = 3  # part of the cache's key: raise it when a row's meaning changes

FEATURES = Features(
    {
        "page_id": Value("string"),
        "input_ids": List(Value("int32")),  # content tokens, without special tokens
        "has_text": List(Value("bool")),  # per token: a token without text carries no label
        "spans": List(List(Value("int32"))),  # (source, attribute, start, stop) in the window
        "processed": List(Value("bool")),  # per source
        "is_first": Value("bool"),  # whether it is its page's first window
        "is_cut": Value("bool"),  # whether the rest of its text is left out
        "fit": List(List(Value("int32"))),  # per source, on a page's first window only
        "label": Value("int32"),  # the class of the whole text, IGNORE where it has none
    }
)


@dataclass(frozen=True)
class TagSource:
    """A source whose spans, of several classes, become one tag sequence: O, and B and I of each.

    Attributes:
        annotations: what it says; the attributes of its spans are classes.
        classes: names of the classes; ``tags`` is one of O and twice as many.
    """

    annotations: Annotations
    classes: tuple[str, ...]

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of the tags, 2 × classes + 1, in the order of their numbers."""
        return ("O", *(f"{prefix}-{name}" for name in self.classes for prefix in "BI"))


@dataclass(frozen=True)
class Windowed:
    """Windows of the training pages with the labels of every source.

    Attributes:
        rows: one window a row, as FEATURES has it.
        sources: names of the annotation sources, in the order of every source axis.
        attributes: names of the attributes, in the order of every attribute axis.
        fits: per source, tag sources among them, how its spans fit the tokens.
        processed: per source, likewise, how many of the pages with text it processed.
        tag_sources: the sources of one tag sequence each: name → its tags, in the order of the
            axis of tag sources.
        classes: how many classes a text can be of; 0 where texts have none.
    """

    rows: Dataset
    sources: tuple[str, ...]
    attributes: tuple[str, ...]
    fits: Mapping[str, Fit]
    processed: Mapping[str, int]
    tag_sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    classes: int = 0

    def only(self, page_ids: Collection[str]) -> Windowed:
        """The windows of some pages; figures of the sources stay those of all."""
        wanted = frozenset(page_ids)
        numbers = [n for n, page_id in enumerate(self.rows["page_id"]) if page_id in wanted]
        return replace(self, rows=self.rows.select(numbers))

    @property
    def cut(self) -> int:
        """How many texts are longer than the one window that each has, where texts have classes."""
        return sum(int(pc.sum(it).as_py()) for (it,) in _batches(self.rows, "is_cut"))

    @property
    def pages(self) -> int:
        """How many pages have text."""
        return sum(int(pc.sum(first).as_py()) for (first,) in _batches(self.rows, "is_first"))

    @cached_property
    def lengths(self) -> np.ndarray:
        """Content tokens of every window, (windows,), int32."""
        return np.concatenate(
            [ids.value_lengths().to_numpy() for (ids,) in _batches(self.rows, "input_ids")]
        )

    def label_counts(self) -> Tensor:
        """How many windows are of each class, (1, classes), int64."""
        labels = np.concatenate(
            [found.to_numpy(zero_copy_only=False) for (found,) in _batches(self.rows, "label")]
        )
        counts = np.bincount(labels[labels != IGNORE], minlength=self.classes)
        return torch.from_numpy(counts.astype(np.int64)).unsqueeze(0)

    def tag_counts(self, source: str) -> Tensor:
        """How often each tag of a tag source stands in its labels, (1, tags), int64."""
        counts = self._counts(source, len(self.tag_sources[source]) // 2)
        outside = counts[0].sum() - counts[:, 1:].sum()  # of all tokens that it knows
        return torch.from_numpy(np.array([[outside, *counts[:, 1:].flatten()]]))

    def class_counts(self, source: str) -> Tensor:
        """How often O, B and I stand in a source's labels, (attributes, 3), int64.

        Counted in every window of the pages it processed, overlaps twice, as in the original
        code.
        """
        return torch.from_numpy(self._counts(source, len(self.attributes)))

    def _counts(self, source: str, attributes: int) -> np.ndarray:
        """O, B and I of each of a source's attributes, or of a tag source's classes."""
        names = [*self.sources, *self.tag_sources]
        number = names.index(source)
        counts = np.zeros((attributes, CLASSES), dtype=np.int64)
        for has_text, spans, processed in _batches(self.rows, "has_text", "spans", "processed"):
            sizes = has_text.value_lengths().to_numpy()
            known = _flat(processed).reshape(-1, len(names))[:, number]
            text = _flat(has_text) & np.repeat(known, sizes)
            # Labelled tokens with text before each token of the batch.
            before = np.concatenate([[0], np.cumsum(text)])
            counts[:, 0] += before[-1]
            window = np.repeat(np.arange(len(spans)), spans.value_lengths().to_numpy())
            owner, attribute, start, stop = _flat(spans.flatten()).reshape(-1, 4).T
            mine = (owner == number) & known[window]
            attribute, start, stop = attribute[mine], start[mine], stop[mine]
            place = (np.cumsum(sizes) - sizes)[window[mine]]
            begins = (start >= 0).astype(np.int64)
            inside = before[place + stop] - before[place + np.maximum(start, 0)] - begins
            np.add.at(counts, attribute, np.stack([-begins - inside, begins, inside], axis=1))
        return counts

    def labelled_rate(self, source: str) -> float:
        """The share of all tokens with text that lie in windows of pages a source processed."""
        labelled = int(self.class_counts(source)[0].sum())
        total = sum(int(_flat(has_text).sum()) for (has_text,) in _batches(self.rows, "has_text"))
        return labelled / total


def build_windows(
    pages: Mapping[str, Page],
    page_ids: Sequence[str],
    sources: Sequence[Annotations],
    attributes: Sequence[str],
    aligner: Aligner,
    window: int,
    overlap: int,
    cache: Path,
    processes: int = 1,
    *,
    tag_sources: Sequence[TagSource] = (),
    labels: Mapping[str, int] | None = None,
    classes: int = 0,
    pairs: bool = False,
) -> Windowed:
    """Tokenise, align and cut pages; read from ``cache`` where the same was done before.

    Args:
        pages: by id.
        page_ids: which of them, in this order.
        sources: whose labels to hold; values of other attributes are left out.
        attributes: of the labels.
        aligner: the student's.
        window: content tokens a window; ``overlap`` of them shared by two.
        cache: folder of the Arrow files.
        processes: that share the work.
        tag_sources: whose labels to hold as one tag sequence each.
        labels: the class of each page, where pages are texts to classify. Each is then one
            window, and what that does not hold is left out.
        classes: how many there are.
        pairs: whether each text is a pair, a line each.

    Raises:
        InputError: no page has any text, a page cannot be read, or the cache cannot be written.
    """
    if not any(pages[page_id].text.strip() for page_id in page_ids):
        raise InputError("data: no training page has any text; expected at least one")
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError.at(
            cache, None, f"no place for tokenised pages: {error.strerror}"
        ) from None
    job = _Job(
        pages,
        tuple(page_ids),
        tuple(sources),
        tuple(attributes),
        aligner,
        window,
        overlap,
        tuple(tag_sources),
        labels,
        pairs,
    )
    key = _fingerprint(job)
    # One part a process: the library would take a longer list apart, page by page, in memory.
    cuts = np.linspace(0, len(page_ids), min(processes, len(page_ids)) + 1, dtype=int).tolist()
    parts = [range(start, stop) for start, stop in pairwise(cuts)]
    # What is in memory already is not to be looked through, nor copied for that by the workers.
    gc.freeze()
    try:
        rows = Dataset.from_generator(
            _rows,
            features=FEATURES,
            cache_dir=str(cache),
            gen_kwargs={"parts": parts, "job": job},
            num_proc=len(parts) if len(parts) > 1 else None,
            fingerprint=key,
        )
    except (OSError, DatasetGenerationError) as error:
        raise _why(error, cache) from None
    finally:
        gc.unfreeze()
    everyone = [*sources, *(source.annotations for source in tag_sources)]
    fits = np.zeros((len(everyone), 4), dtype=np.int64)
    processed = np.zeros(len(everyone), dtype=np.int64)
    for fit, flags, is_first in _batches(rows, "fit", "processed", "is_first"):
        first = is_first.to_numpy(zero_copy_only=False)
        fits += _flat(fit.flatten()).reshape(first.sum(), *fits.shape).sum(axis=0)
        processed += _flat(flags).reshape(len(first), len(everyone))[first].sum(axis=0)
    names = [source.name for source in everyone]
    return Windowed(
        rows,
        tuple(source.name for source in sources),
        tuple(attributes),
        {name: Fit(*fit) for name, fit in zip(names, fits.tolist(), strict=True)},
        dict(zip(names, processed.tolist(), strict=True)),
        {source.annotations.name: source.tags for source in tag_sources},
        classes,
    )


def _batches(rows: Dataset, *columns: str) -> Iterator[list[Any]]:
    """Columns of some windows at a time, without Python objects."""
    for table in rows.select_columns(list(columns)).with_format("arrow").iter(BATCH):
        yield [table.column(name).combine_chunks() for name in columns]


def _flat(lists: pa.ListArray) -> np.ndarray:
    """The values of all lists, one after the other."""
    return lists.flatten().to_numpy(zero_copy_only=False)


def _why(error: Exception, cache: Path) -> InputError:
    """What lies behind an error of the library, which says of itself only that there was one."""
    cause = error.__cause__ or error
    if isinstance(cause, InputError):
        return cause
    # A worker process sends its error as text: a traceback, the first error of a chain first.
    lines = [line for line in str(cause).splitlines() if line.strip('" ') and line[0] != " "]
    reason = next((line for line in lines if not line.startswith("Traceback")), repr(cause))
    return InputError.at(cache, None, f"pages cannot be tokenised: {reason}")


@dataclass(frozen=True)
class _Job:
    """What every worker needs."""

    pages: Mapping[str, Page]
    page_ids: tuple[str, ...]
    sources: tuple[Annotations, ...]
    attributes: tuple[str, ...]
    aligner: Aligner
    window: int
    overlap: int
    tag_sources: tuple[TagSource, ...]
    labels: Mapping[str, int] | None
    pairs: bool


def _rows(parts: list[range], job: _Job) -> Iterator[dict[str, Any]]:
    for part in parts:
        for number in part:
            yield from _page_rows(job.page_ids[number], job)


def _page_rows(page_id: str, job: _Job) -> Iterator[dict[str, Any]]:
    tokens, is_cut = job.aligner(job.pages[page_id].text), False
    if job.labels is not None:  # a text of a class is one window
        whole, tokens = tokens, shortened(tokens, job.window, job.pairs)
        is_cut = len(tokens) < len(whole)
    has_text = [start < end for start, end in zip(tokens.starts, tokens.ends, strict=True)]
    locate = Locator(tokens)
    spans: list[tuple[int, int, int, int]] = []
    processed: list[bool] = []
    fits: list[list[int]] = []
    for number, source in enumerate(job.sources):
        values = source.on(page_id)
        processed.append(values is not None)
        known = [span for span in values or () if span.attribute in job.attributes]
        found, fit = encode(known, locate, job.attributes)
        fits.append([fit.exact, fit.grown, fit.overlapping, fit.lost])
        spans += [(number, *token_span) for token_span in found]
    for number, tagged in enumerate(job.tag_sources, start=len(job.sources)):
        values = tagged.annotations.on(page_id)
        processed.append(values is not None)
        found, fit = tag_pieces(values or (), tokens, tagged.classes)
        fits.append([fit.exact, fit.grown, fit.overlapping, fit.lost])
        spans += [(number, *token_span) for token_span in found]
    cuts = windows(len(tokens.ids), job.window, job.overlap)
    label = IGNORE if job.labels is None else job.labels.get(page_id, IGNORE)
    if job.labels is not None and not cuts:  # a text without a token is of a class, too
        cuts = [Window(0, 0, 0, 0)]
    for index, cut in enumerate(cuts):
        yield {
            "page_id": page_id,
            "input_ids": tokens.ids[cut.start : cut.stop],
            "has_text": has_text[cut.start : cut.stop],
            "spans": [
                [number, attribute, start - cut.start, min(stop, cut.stop) - cut.start]
                for number, attribute, start, stop in spans
                if start < cut.stop and stop > cut.start
            ],
            "processed": processed,
            "is_first": index == 0,
            "is_cut": is_cut,
            "fit": fits if index == 0 else [],
            "label": label,
        }


def _fingerprint(job: _Job) -> str:
    """A key that changes with anything the rows depend on."""
    digest = hashlib.sha256()
    sources = [*job.sources, *(source.annotations for source in job.tag_sources)]

    def add(*parts: object) -> None:
        digest.update(json.dumps(parts, ensure_ascii=True, default=str).encode())

    add(FORMAT, job.aligner.fingerprint, job.window, job.overlap, list(job.attributes))
    add([source.classes for source in job.tag_sources], job.labels is None, job.pairs)
    held = []  # values on disk, or yet to be computed, have a digest that stands for them
    for source in sources:
        known = getattr(source.values, "digest", None)
        add(source.name, known)
        if known is None:
            held.append(source.values)
    for page_id in job.page_ids:
        processed = [it.processed is None or page_id in it.processed for it in sources]
        values = [sorted(it.get(page_id, ())) for it in held]
        label = (job.labels or {}).get(page_id)
        add(page_id, job.pages[page_id].text, processed, values, label)
    return digest.hexdigest()[:32]
