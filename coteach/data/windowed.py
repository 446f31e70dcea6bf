"""Pages and annotations as an Arrow data set of windows, cached by content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, Features, List, Value
from torch import Tensor

from coteach.data.pages import Annotations, Page
from coteach.errors import InputError
from coteach.model.alignment import Aligner
from coteach.model.extraction import assemble
from coteach.model.iob2 import CLASSES, IGNORE, Fit, Locator, encode, fill
from coteach.model.windows import windows

FORMAT = 1  # part of the cache's key: raise it when a row's meaning changes

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
    """

    rows: Dataset
    sources: tuple[str, ...]
    attributes: tuple[str, ...]
    fits: Mapping[str, Fit]

    def class_counts(self, source: str) -> Tensor:
        """How often O, B and I stand in a source's labels, (attributes, 3), int64.

        Counted in every window of the pages it processed, overlaps twice, as in the original
        code (methods A.6).
        """
        number = self.sources.index(source)
        counts = np.zeros((len(self.attributes), CLASSES), dtype=np.int64)
        columns = self.rows.select_columns(["has_text", "spans", "processed"])
        for row in columns:
            if not row["processed"][number]:
                continue
            text = np.asarray(row["has_text"], dtype=bool)
            counts[:, 0] += text.sum()
            for owner, attribute, start, stop in row["spans"]:
                if owner == number:
                    begins = int(start >= 0)
                    inside = int(text[max(start, 0) : stop].sum()) - begins
                    counts[attribute] += (-begins - inside, begins, inside)
        return torch.from_numpy(counts)


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
        InputError: no page has any text, or the cache cannot be written.
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
    shared = _Job(pages, tuple(sources), tuple(attributes), aligner, window, overlap)
    rows = Dataset.from_generator(
        _rows,
        features=FEATURES,
        cache_dir=str(cache),
        gen_kwargs={"page_ids": list(page_ids), "job": shared},
        num_proc=processes if processes > 1 else None,
        fingerprint=key,
    )
    totals = [Fit() for _ in sources]
    for fits in rows.select_columns(["fit"])["fit"]:
        for number, fit in enumerate(fits):
            totals[number] += Fit(*fit)
    names = tuple(source.name for source in sources)
    return Windowed(rows, names, tuple(attributes), dict(zip(names, totals, strict=True)))


@dataclass(frozen=True)
class _Job:
    """What every worker needs."""

    pages: Mapping[str, Page]
    sources: tuple[Annotations, ...]
    attributes: tuple[str, ...]
    aligner: Aligner
    window: int
    overlap: int


def _rows(page_ids: list[str], job: _Job) -> Iterator[dict[str, Any]]:
    for page_id in page_ids:
        yield from _page_rows(page_id, job)


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
    for page_id in page_ids:
        add(page_id, pages[page_id].text)
        for source in sources:
            values = source.on(page_id)
            add(source.name, None if values is None else sorted(values))
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
