"""Token scores of many texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch

from coteach.attribution.baselines import SpecialTokens
from coteach.attribution.scores import attribute, evaluating
from coteach.attribution.settings import IntegratedGradients
from coteach.attribution.targets import Targets
from coteach.model.extraction import assemble
from coteach.model.student import Student


@dataclass(frozen=True)
class TokenScores:
    """The attributions of a text.

    Attributes:
        scores: (content + 2,), float32, of each token, [CLS] and [SEP] at the ends.
        target: the numbers of the answers that are explained (``Targets``), int32; empty where
            there is nothing to explain, and the scores are 0.
        value: F(x), their sum.
        gap: the completeness gap.
    """

    scores: np.ndarray
    target: np.ndarray
    value: float
    gap: float


class Attributor:
    """Explains a student's answers to texts.

    Args:
        student: its device and autocast are the caller's.
        tokenizer: the one the student was trained with.
        settings: of the integral.
        batch_size: texts a batch.
        chunk: texts that are sorted by length together; memory grows with it, not with the
            number of texts.

    Raises:
        InputError: the tokenizer does not have the baseline's token.
    """

    def __init__(
        self,
        student: Student,
        tokenizer: Any,
        settings: IntegratedGradients,
        batch_size: int = 32,
        chunk: int = 1024,
    ) -> None:
        self.student = student
        self.tokenizer = tokenizer
        self.tokens = SpecialTokens.of(tokenizer)
        self.tokens.replacement(settings.baseline)
        self.settings = settings
        self.batch_size = batch_size
        self.chunk = chunk

    def __call__(
        self,
        contents: Iterable[Sequence[int]],
        targets: Iterable[Sequence[int] | np.ndarray] | None = None,
    ) -> Iterator[TokenScores]:
        """Each text's scores, in order.

        Args:
            contents: token ids without special tokens at the ends; read as they are needed, up
                to ``chunk`` ahead.
            targets: for each text the numbers of the answers to explain (``Targets``); None for
                the class, or all spans, that the student itself predicts.

        Raises:
            InputError: a target that the student has no answer for, or logits of several heads.
        """
        remaining = iter(contents)
        given = None if targets is None else iter(targets)
        while chunk := list(islice(remaining, self.chunk)):
            chosen = None if given is None else list(islice(given, len(chunk)))
            order = sorted(range(len(chunk)), key=lambda number: -len(chunk[number]))
            results: dict[int, TokenScores] = {}
            for start in range(0, len(order), self.batch_size):
                numbers = order[start : start + self.batch_size]
                scored = self._attribute(
                    [chunk[number] for number in numbers],
                    None if chosen is None else [chosen[number] for number in numbers],
                )
                results.update(zip(numbers, scored, strict=True))
            yield from (results[number] for number in range(len(chunk)))

    def _attribute(
        self,
        contents: list[Sequence[int]],
        targets: list[Sequence[int] | np.ndarray] | None,
    ) -> list[TokenScores]:
        device = self.student.device
        ids, mask = (it.to(device) for it in assemble(contents, self.tokenizer))
        if targets is None:
            with torch.no_grad(), evaluating(self.student):
                logits = self.student(ids, mask).logits
            is_content = self.tokens.are_content(ids)
            explained = Targets.of_predictions(self.student, logits, is_content)
        else:
            explained = Targets.from_lists(targets, device)
        found = attribute(self.student, ids, mask, explained, self.settings, self.tokens)
        scores = found.scores.float().cpu().numpy()
        rows = zip(
            contents,
            scores,
            explained.lists(),
            found.value.tolist(),
            found.gap.tolist(),
            strict=True,
        )
        return [
            TokenScores(row[: len(content) + 2].copy(), target, value, gap)
            for content, row, target, value, gap in rows
        ]
