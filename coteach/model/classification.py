"""Text in, classes out: what a student that classifies is for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch

from .alignment import Tokens
from .extraction import Predictor, assemble, build_aligner
from .preprocessing import joined_pair, preprocess


def shortened(tokens: Tokens, window: int, pairs: bool) -> Tokens:
    """The tokens of a text, or of a pair, that a window holds.

    Of a text they are the first ones. Of a pair (a line each, with the separator at the end of the
    first) the longer of the two loses its last tokens until both fit, as with ``longest_first`` of
    transformers, so that neither is lost whole.

    Args:
        tokens: of the text.
        window: how many are held, without [CLS] and [SEP] at the ends.
        pairs: whether it is a pair.
    """
    if len(tokens) <= window:
        return tokens
    if not pairs:
        return tokens.at(range(window))
    first = sum(line == 0 for line in tokens.lines)  # with the separator
    second = len(tokens) - first
    if not first or not second:
        return tokens.at(range(window))
    # Without the separator, half of the rest each, or what the other one leaves.
    room = window - 1
    kept_first = min(first - 1, max(room - room // 2, room - second))
    places = [*range(kept_first), first - 1, *range(first, first + room - kept_first)]
    return tokens.at(places)


class Classifier:
    """Runs a student over texts.

    Args:
        student: in evaluation mode while it is used; its device and autocast are the caller's.
        tokenizer: the one the student was trained with.
        batch_size: texts a batch.
        chunk: texts that are sorted by length together; memory grows with it, not with the
            number of texts.

    Raises:
        ValueError: the student does not classify.
    """

    def __init__(
        self, student: Predictor, tokenizer: Any, batch_size: int = 32, chunk: int = 1024
    ) -> None:
        if not student.config.classes:
            raise ValueError("expected a student that classifies, got one that extracts attributes")
        self.student = student
        self.tokenizer = tokenizer
        self.aligner = build_aligner(tokenizer, student.config)
        self.batch_size = batch_size
        self.chunk = chunk

    def __call__(self, texts: Iterable[str | tuple[str, str]]) -> Iterator[np.ndarray]:
        """Each text's class probabilities, (classes,), float32, in order.

        Args:
            texts: or pairs of texts, where the student was trained with pairs; read as they are
                needed, up to ``chunk`` ahead. What a window does not hold is not read.

        Raises:
            ValueError: a pair for a student of single texts, or the other way round.
        """
        return self.from_contents(map(self.content, texts))

    def content(self, text: str | tuple[str, str]) -> list[int]:
        """A text's token ids, preprocessed and cut to the window, without special tokens."""
        config = self.student.config
        if isinstance(text, str) == (config.pair_separator is not None):
            expected = "a text" if config.pair_separator is None else "a pair of texts"
            raise ValueError(f"expected {expected}, as in training, got {text!r}")
        steps = config.preprocessing
        if isinstance(text, str):
            prepared = preprocess(text, steps)
        else:
            prepared = joined_pair(*(preprocess(part, steps) for part in text))
        pairs = config.pair_separator is not None
        return shortened(self.aligner(prepared), config.window, pairs).ids

    def from_contents(self, contents: Iterable[Sequence[int]]) -> Iterator[np.ndarray]:
        """The same for texts whose token ids are known."""
        remaining = iter(contents)
        while chunk := list(islice(remaining, self.chunk)):
            order = sorted(range(len(chunk)), key=lambda number: -len(chunk[number]))
            results: dict[int, np.ndarray] = {}
            for start in range(0, len(order), self.batch_size):
                numbers = order[start : start + self.batch_size]
                answers = self._classify([chunk[number] for number in numbers])
                results.update(zip(numbers, answers, strict=True))
            yield from (results[number] for number in range(len(chunk)))

    @torch.no_grad()
    def _classify(self, contents: list[Sequence[int]]) -> np.ndarray:
        ids, mask = assemble(contents, self.tokenizer)
        device = self.student.device
        logits = self.student(ids.to(device), mask.to(device)).logits
        return logits.float().softmax(dim=-1).cpu().numpy()
