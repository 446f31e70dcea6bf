"""Text in, spans out: what a trained student is for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from .alignment import Aligner, Tokens
from .iob2 import decode
from .probabilities import TagProbabilities
from .spans import Span
from .windows import merge, windows

PADDED_TO = 8  # a batch's length is rounded up to a multiple of this, which is faster

Extraction = dict[str, list[tuple[Span, float]]]
"""View → (span, confidence), sorted by span."""

Threshold = float | Mapping[str, float]
"""The minimal confidence of a value, for all attributes or by attribute, 0 where left out."""

_Tagged = dict[str, tuple[np.ndarray, np.ndarray]]
"""View → best tags and their probabilities, both (tokens, attributes)."""


class Predictor(Protocol):
    """What texts are read with: a :class:`.student.Student`, or one that was exported to ONNX."""

    @property
    def config(self) -> Any:
        """A student's configuration."""

    @property
    def device(self) -> Any:
        """Where the token ids are to lie."""

    def __call__(self, input_ids: Tensor, attention_mask: Tensor, /) -> Any:
        """As :meth:`.student.Student.forward`; its result has ``logits``."""

    def probabilities(self, logits: Tensor) -> TagProbabilities:
        """As :meth:`.student.Student.probabilities`."""

    def eval(self) -> Any:
        """Answer as in use, not as in training."""

    def to(self, device: Any, /) -> Any:
        """Compute on another device."""


def build_aligner(tokenizer: Any, config: Any) -> Aligner:
    """The alignment that a student was trained with, from its tokenizer and configuration."""
    return Aligner(
        tokenizer,
        words=config.words,
        mecab_options=config.mecab_options,
        part_of_speech=config.part_of_speech,
        trim_head=config.trim_head,
        trim_tail=config.trim_tail,
    )


def longest_window(encoder: Any) -> int:
    """How many content tokens, beside two special ones, the encoder's positions hold."""
    positions = getattr(encoder.config, "max_position_embeddings", 512)
    embeddings = getattr(encoder, "embeddings", None)
    padding = getattr(getattr(embeddings, "position_embeddings", None), "padding_idx", None)
    if padding is not None:  # RoBERTa's first position comes after that of its padding
        positions -= padding + 1
    return positions // PADDED_TO * PADDED_TO - 2


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

    What it is asked for are views of a page: a final probability ("p", "p_out", "p_mean") or what
    one teacher head believes ("teacher:NAME").

    Args:
        student: in evaluation mode while it is used; its device and autocast are the caller's.
        tokenizer: the one the student was trained with.
        batch_size: windows a batch.
        chunk: pages that are windowed and sorted by length together; memory grows with it, not
            with the number of pages.
    """

    def __init__(
        self, student: Predictor, tokenizer: Any, batch_size: int = 16, chunk: int = 256
    ) -> None:
        if student.config.classes:
            raise ValueError("expected a student that extracts attributes, got one that classifies")
        self.student = student
        self.tokenizer = tokenizer
        self.aligner = build_aligner(tokenizer, student.config)
        self.batch_size = batch_size
        self.chunk = chunk

    def __call__(
        self,
        texts: Iterable[str],
        views: Sequence[str] | None = None,
        threshold: Threshold | None = None,
    ) -> Iterator[Extraction]:
        """Each text's values, in order.

        Args:
            texts: read as they are needed, up to ``chunk`` ahead.
            views: None for the final probabilities that the student has.
            threshold: of every view; None for the student's own ``thresholds``, which are for p.

        Raises:
            ValueError: the student has no such view, or the threshold no such attribute.
        """
        return self.from_tokens(self._tokens(iter(texts)), views, threshold)

    def _tokens(self, texts: Iterator[str]) -> Iterator[Tokens]:
        while chunk := list(islice(texts, self.chunk)):
            yield from self.aligner.each(chunk)

    def from_tokens(
        self,
        pages: Iterable[Tokens],
        views: Sequence[str] | None = None,
        threshold: Threshold | None = None,
    ) -> Iterator[Extraction]:
        """The same for pages that are tokenised already."""
        config = self.student.config
        if views is None:
            views = config.probability_names
        known = [*config.probability_names, *config.teacher_views]
        for view in views:
            if view not in known:
                raise ValueError(f"view {view!r}: this student has {', '.join(known)}")
        minima = {view: _minima(view, threshold, config) for view in views}
        return self._in_chunks(iter(pages), minima)

    def _in_chunks(
        self, pages: Iterator[Tokens], minima: dict[str, dict[str, float]]
    ) -> Iterator[Extraction]:
        while chunk := list(islice(pages, self.chunk)):
            for extraction in self._extract(chunk, list(minima)):
                yield {
                    view: [
                        (span, confidence)
                        for span, confidence in found
                        if confidence >= minima[view].get(span.attribute, 0.0)
                    ]
                    for view, found in extraction.items()
                }

    def _extract(self, pages: list[Tokens], views: Sequence[str]) -> Iterator[Extraction]:
        config = self.student.config
        cuts = [windows(len(page.ids), config.window, config.overlap) for page in pages]
        jobs = [(page, window) for page, cut in enumerate(cuts) for window in range(len(cut))]
        jobs.sort(key=lambda job: cuts[job[0]][job[1]].start - cuts[job[0]][job[1]].stop)
        results: dict[tuple[int, int], _Tagged] = {}
        for start in range(0, len(jobs), self.batch_size):
            batch = jobs[start : start + self.batch_size]
            contents = [
                pages[page].ids[cuts[page][window].start : cuts[page][window].stop]
                for page, window in batch
            ]
            for job, tagged in zip(batch, self._tag(contents, views), strict=True):
                results[job] = tagged
        for index, (page, cut) in enumerate(zip(pages, cuts, strict=True)):
            parts = [results[index, window] for window in range(len(cut))]
            yield {
                view: decode(
                    merge([part[view][0] for part in parts], cut),
                    merge([part[view][1] for part in parts], cut),
                    page,
                    config.attributes,
                )
                if parts
                else []
                for view in views
            }

    @torch.no_grad()
    def _tag(self, contents: list[list[int]], views: Sequence[str]) -> list[_Tagged]:
        """What each window, given by its content tokens' ids, is tagged with."""
        ids, mask = assemble(contents, self.tokenizer)
        device = self.student.device
        logits = self.student(ids.to(device), mask.to(device)).logits
        results: list[_Tagged] = [{} for _ in contents]
        probabilities = self.student.probabilities(logits)
        for view in views:
            best, tags = _of_view(view, probabilities, self.student.config).max(dim=-1)
            best, tags = best.cpu(), tags.to(torch.int8).cpu()
            for row, content in enumerate(contents):
                place = slice(1, len(content) + 1)
                results[row][view] = (tags[row, place].numpy(), best[row, place].numpy())
        return results


def _of_view(view: str, probabilities: TagProbabilities, config: Any) -> Tensor:
    """The tag probabilities of one view, (windows, tokens, attributes, 3)."""
    if view in config.teacher_views:
        return probabilities.teachers[..., config.teacher_views.index(view), :, :]
    return getattr(probabilities, view)


def _minima(view: str, threshold: Threshold | None, config: Any) -> dict[str, float]:
    """The minimal confidence of a view's values, by attribute."""
    if threshold is None:
        threshold = (config.thresholds or {}) if view == "p" else {}
    if not isinstance(threshold, Mapping):
        threshold = dict.fromkeys(config.attributes, threshold)
    for attribute in threshold:
        if attribute not in config.attributes:
            known = ", ".join(config.attributes)
            raise ValueError(f"threshold of {attribute!r}: this student's attributes are {known}")
    return {**threshold, **dict.fromkeys(_untaught(view, config), math.inf)}


def _untaught(view: str, config: Any) -> list[str]:
    """The attributes for which a teacher weighs nothing: there its head has learnt nothing."""
    if view not in config.teacher_views or config.teacher_weights is None:
        return []
    weights = np.array(config.teacher_weights[config.teacher_views.index(view)])
    none = np.broadcast_to(weights == 0, len(config.attributes))
    return [name for name, silent in zip(config.attributes, none, strict=True) if silent]
