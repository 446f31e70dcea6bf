"""Pages and annotations as an Arrow data set of windows, cached by content."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from coteach.data.store import StoredValues
from coteach.errors import InputError
from coteach.model.alignment import Aligner
from coteach.model.extraction import assemble
from coteach.model.iob2 import CLASSES, IGNORE, Fit, Locator, encode, fill
from coteach.model.windows import windows

BATCH = 1000  # windows that are counted together
FORMAT = 2  # part of the cache's key: raise it when a row's meaning changes

FEATURES = Features(
    {
        "page_id": Value("string"),
        "input_ids": List(Value("int32")),  # content tokens, without special tokens
        "has_text": List(Value("bool")),  # per token: a token without text carries no label
        "spans": List(List(Value("int32"))),  # (source, attribute, start, stop) in the window
        "processed": List(Value("bool")),  # per source
        "fit": List(List(Value("int32"))),  # per source, on a page's first window only
    }
)


@dataclass(frozen=True)
class Windowed:
    """Windows of the training pages with the labels of every source.

    Attributes:
        rows: one window a row, as FEATURES has it.
        sources: names of the annotation sources, in the order of every source axis.
        attributes: names of the attributes, in the order of every attribute axis.
        fits: per source, how its spans fit the tokens.
        processed: per source, how many of the pages with text it processed.
    """

    rows: Dataset
    sources: tuple[str, ...]
    attributes: tuple[str, ...]
    fits: Mapping[str, Fit]
    processed: Mapping[str, int]

    @property
    def pages(self) -> int:
        """How many pages have text."""
        fits = pc.list_value_length(self.rows.data.column("fit"))  # a page's first window has some
        return pc.sum(pc.greater(fits, 0)).as_py()

    @cached_property
    def lengths(self) -> np.ndarray:
        """Content tokens of every window, (windows,), int32."""
        return pc.list_value_length(self.rows.data.column("input_ids")).to_numpy()

    def class_counts(self, source: str) -> Tensor:
        """How often O, B and I stand in a source's labels, (attributes, 3), int64.

        Counted in every window of the pages it processed, overlaps twice, as in the original
        code.
        """
        number = self.sources.index(source)
        counts = np.zeros((len(self.attributes), CLASSES), dtype=np.int64)
        for has_text, spans, processed in _batches(self.rows, "has_text", "spans", "processed"):
            sizes = has_text.value_lengths().to_numpy()
            known = _flat(processed).reshape(-1, len(self.sources))[:, number]
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
        return torch.from_numpy(counts)

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
    key = _fingerprint(pages, page_ids, sources, attributes, aligner, window, overlap)
    job = _Job(pages, tuple(page_ids), tuple(sources), tuple(attributes), aligner, window, overlap)
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
    fits = np.zeros((len(sources), 4), dtype=np.int64)
    processed = np.zeros(len(sources), dtype=np.int64)
    for fit, flags in _batches(rows, "fit", "processed"):
        first = fit.value_lengths().to_numpy() > 0  # of a page's windows
        fits += _flat(fit.flatten()).reshape(-1, *fits.shape).sum(axis=0)
        processed += _flat(flags).reshape(-1, len(sources))[first].sum(axis=0)
    names = tuple(source.name for source in sources)
    return Windowed(
        rows,
        names,
        tuple(attributes),
        {name: Fit(*fit) for name, fit in zip(names, fits.tolist(), strict=True)},
        dict(zip(names, processed.tolist(), strict=True)),
    )


def _batches(rows: Dataset, *columns: str) -> Iterator[list[pa.ListArray]]:
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


def _rows(parts: list[range], job: _Job) -> Iterator[dict[str, Any]]:
    for part in parts:
        for number in part:
            yield from _page_rows(job.page_ids[number], job)


def _page_rows(page_id: str, job: _Job) -> Iterator[dict[str, Any]]:
    tokens = job.aligner(job.pages[page_id].text)
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
    for index, cut in enumerate(windows(len(tokens.ids), job.window, job.overlap)):
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
            "fit": fits if index == 0 else [],
        }


def _fingerprint(
    pages: Mapping[str, Page],
    page_ids: Sequence[str],
    sources: Sequence[Annotations],
    attributes: Sequence[str],
    aligner: Aligner,
    window: int,
    overlap: int,
) -> str:
    """A key that changes with anything the rows depend on."""
    digest = hashlib.sha256()

    def add(*parts: object) -> None:
        digest.update(json.dumps(parts, ensure_ascii=True, default=str).encode())

    add(FORMAT, aligner.fingerprint, window, overlap, list(attributes))
    held = []  # on disk are too many values to be read here once more
    for source in sources:
        add(source.name, source.values.digest if isinstance(source.values, StoredValues) else None)
        if not isinstance(source.values, StoredValues):
            held.append(source.values)
    for page_id in page_ids:
        processed = [it.processed is None or page_id in it.processed for it in sources]
        values = [sorted(it.get(page_id, ())) for it in held]
        add(page_id, pages[page_id].text, processed, values)
    return digest.hexdigest()[:32]


class Collator:
    """Rows of a ``Windowed`` as one batch of tensors.

    The batch holds ``input_ids`` and ``attention_mask`` (batch, tokens), and ``labels``
    (batch, tokens, sources, attributes), int8: O, B, I, or −100 on special tokens, padding,
    tokens without text, and wherever the source did not process the page.
    """

    def __init__(self, windowed: Windowed, tokenizer: Any) -> None:
        self.shape = (len(windowed.sources), len(windowed.attributes))
        self.tokenizer = tokenizer

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        ids, mask = assemble([row["input_ids"] for row in rows], self.tokenizer)
        labels = np.full((*ids.shape, *self.shape), IGNORE, dtype=np.int8)
        for number, row in enumerate(rows):
            # A view on the window's content: what is written here is written into the batch.
            content = labels[number, 1 : len(row["input_ids"]) + 1]
            content[:, np.asarray(row["processed"], dtype=bool)] = 0
            for source, *span in row["spans"]:
                fill(content[:, source], [span])
            content[~np.asarray(row["has_text"], dtype=bool)] = IGNORE
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": torch.from_numpy(labels),
        }
