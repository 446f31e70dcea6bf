"""A finished student, loaded, and what it finds on the pages of a split, by all processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import gather_object

from coteach.data.corpus import Corpus
from coteach.data.sources import Split
from coteach.model.alignment import Tokens
from coteach.model.extraction import Extraction, Extractor
from coteach.model.spans import Span
from coteach.training.loading import load_extractor

__all__ = ["extract", "predict_split", "values_of"]


def predict_split(
    folder: Path,
    split: Split,
    corpus: Corpus,
    accelerator: Accelerator,
    threshold: float | None = None,
) -> tuple[list[Tokens], list[Extraction]]:
    """The tokens of a split's pages, and what the student in ``folder`` finds in them.

    Arguments as of :func:`extract`.
    """
    extractor = load_extractor(folder)
    extractor.student.to(accelerator.device)  # each process has a GPU of its own
    tokens = [extractor.aligner(corpus.pages[page_id].text) for page_id in split.page_ids]
    return tokens, extract(extractor, tokens, accelerator, threshold)


def extract(
    extractor: Extractor,
    tokens: Sequence[Tokens],
    accelerator: Accelerator,
    threshold: float | None = None,
) -> list[Extraction]:
    """Run an extractor in evaluation mode, the pages shared among the processes.

    Args:
        extractor: of the student.
        tokens: of the pages.
        accelerator: precision and processes.
        threshold: the minimal confidence; None for the student's own.
    """
    extractor.student.eval()
    mine = range(accelerator.process_index, len(tokens), accelerator.num_processes)
    with accelerator.autocast():
        results = extractor.from_tokens((tokens[number] for number in mine), None, threshold)
        numbered = list(zip(mine, results, strict=True))
    if accelerator.num_processes > 1:
        numbered = gather_object(numbered)
    return [result for _, result in sorted(numbered, key=lambda it: it[0])]


def values_of(split: Split, results: Sequence[Extraction], name: str) -> dict[str, list[Span]]:
    """Page id → the spans of one view."""
    return {
        page_id: [span for span, _ in result[name]]
        for page_id, result in zip(split.page_ids, results, strict=True)
    }
