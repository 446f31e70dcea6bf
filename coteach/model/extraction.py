"""Text in, spans out: what a trained student is for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .alignment import Aligner, Tokens
from .configuration import Probability
from .iob2 import decode
from .spans import Span
from .student import Student
from .windows import merge, windows

PADDED_TO = 8  # a batch's length is rounded up to a multiple of this, which is faster

Extraction = dict[Probability, list[tuple[Span, float]]]


def build_aligner(tokenizer: Any, config: Any) -> Aligner:
    """The alignment that a student was trained with, from its tokenizer and configuration."""
    return Aligner(tokenizer, words=config.words, mecab_options=config.mecab_options)


def assemble(
    contents: Sequence[Sequence[int]], tokenizer: Any, multiple: int = PADDED_TO
) -> tuple[Tensor, Tensor]:
    """Windows' token ids as one padded batch, each between the two special tokens.

    Args:
        contents: per window, its content tokens' ids.
        tokenizer: gives the ids of [CLS] (or <s>), [SEP] (or </s>) and padding.
        multiple: the padded length is rounded up to a multiple of this.

    Returns:
        ids and attention mask, (windows, tokens), int64; content token i stands at i + 1.
    """
    longest = max(len(ids) for ids in contents) + 2
    length = -(-longest // multiple) * multiple
    ids = torch.full((len(contents), length), tokenizer.pad_token_id)
    mask = torch.zeros_like(ids)
    for row, content in enumerate(contents):
        stop = len(content) + 2
        ids[row, 0], ids[row, stop - 1] = tokenizer.cls_token_id, tokenizer.sep_token_id
        ids[row, 1 : stop - 1] = torch.as_tensor(content)
        mask[row, :stop] = 1
    return ids, mask


class Extractor:
    """Runs a student over pages of any length.

    Args:
        student: in evaluation mode while it is used; its device and autocast are the caller's.
        tokenizer: the one the student was trained with.
        batch_size: windows a batch.
        chunk: pages that are windowed and sorted by length together; memory grows with it, not
            with the number of pages.
    """

    def __init__(
        self, student: Student, tokenizer: Any, batch_size: int = 16, chunk: int = 256
    ) -> None:
        self.student = student
        self.tokenizer = tokenizer
        self.aligner = build_aligner(tokenizer, student.config)
        self.batch_size = batch_size
        self.chunk = chunk

    def __call__(self, texts: Iterable[str]) -> Iterator[Extraction]:
        """For each text, in order: probability name → (span, confidence), sorted by span."""
        return self.from_tokens(self.aligner(text) for text in texts)

    def from_tokens(self, pages: Iterable[Tokens]) -> Iterator[Extraction]:
        """The same for pages that are tokenised already."""
        pages = iter(pages)
        while chunk := list(islice(pages, self.chunk)):
            yield from self._extract(chunk)

    def _extract(self, pages: list[Tokens]) -> Iterator[Extraction]:
        config = self.student.config
        cuts = [windows(len(page.ids), config.window, config.overlap) for page in pages]
        jobs = [(page, window) for page, cut in enumerate(cuts) for window in range(len(cut))]
        jobs.sort(key=lambda job: cuts[job[0]][job[1]].start - cuts[job[0]][job[1]].stop)
        results: dict[tuple[int, int], dict[Probability, tuple[np.ndarray, np.ndarray]]] = {}
        for start in range(0, len(jobs), self.batch_size):
            batch = jobs[start : start + self.batch_size]
            contents = [
                pages[page].ids[cuts[page][window].start : cuts[page][window].stop]
                for page, window in batch
            ]
            for job, tagged in zip(batch, self._tag(contents), strict=True):
                results[job] = tagged
        for index, (page, cut) in enumerate(zip(pages, cuts, strict=True)):
            parts = [results[index, window] for window in range(len(cut))]
            yield {
                name: decode(
                    merge([part[name][0] for part in parts], cut),
                    merge([part[name][1] for part in parts], cut),
                    page,
                    config.attributes,
                )
                if parts
                else []
                for name in config.probability_names
            }

    @torch.no_grad()
    def _tag(
        self, contents: list[list[int]]
    ) -> list[dict[Probability, tuple[np.ndarray, np.ndarray]]]:
        """Per window and name: best tags and their probabilities, both (tokens, attributes)."""
        ids, mask = assemble(contents, self.tokenizer)
        device = self.student.device
        logits = self.student(ids.to(device), mask.to(device)).logits
        results: list[dict[Probability, tuple[np.ndarray, np.ndarray]]] = [{} for _ in contents]
        probabilities = self.student.probabilities(logits)
        for name in self.student.config.probability_names:
            best, tags = getattr(probabilities, name).max(dim=-1)
            best, tags = best.cpu(), tags.to(torch.int8).cpu()
            for row, content in enumerate(contents):
                place = slice(1, len(content) + 1)
                results[row][name] = (tags[row, place].numpy(), best[row, place].numpy())
        return results
