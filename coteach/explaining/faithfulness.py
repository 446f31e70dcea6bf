"""Whether what a model is said to look at matters to it: probabilities without some tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coteach.attribution import SpecialTokens
from coteach.evaluation.agreement import deletions
from coteach.model import Student
from coteach.model.extraction import assemble

__all__ = ["FALLS", "batches", "content_places", "falls", "probabilities_without"]

FALLS = ("top", "random", "bottom")
"""Which tokens are deleted: the most important ones, as many at random, the least important."""

Job = tuple[int, np.ndarray]
"""The number of a window, and the places of its tokens that are deleted."""


def content_places(content: Sequence[int], special: SpecialTokens) -> np.ndarray:
    """The places of a window's tokens that are not special, [CLS] standing at 0."""
    inside = ~np.isin(np.asarray(content, dtype=np.int64), special.kept)
    return np.flatnonzero(inside) + 1


def batches(
    lengths: Sequence[int], batch_size: int, advance: Callable[[int], object]
) -> Iterator[list[int]]:
    """Numbers of windows in batches of similar length, the longest first.

    Args:
        lengths: of the windows.
        batch_size: windows a batch.
        advance: is told how many are done.
    """
    order = sorted(range(len(lengths)), key=lambda number: -lengths[number])
    for start in range(0, len(order), batch_size):
        numbers = order[start : start + batch_size]
        yield numbers
        advance(len(numbers))


def falls(
    student: Student,
    tokenizer: Any,
    contents: Sequence[Sequence[int]],
    scores: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    *,
    percent: Sequence[float],
    draws: int,
    seed: int,
    batch_size: int,
    advance: Callable[[int], object],
) -> dict[str, np.ndarray]:
    """How far a model's answers fall when tokens are deleted, by its own importance.

    The mean over the percentages, and over the random draws, of F(text) − F(without the tokens),
    where F is the mean probability of the answers: the area over the perturbation curve of DeYoung
    et al. 2020 (ERASER, §4).

    Args:
        student: in evaluation mode.
        tokenizer: its own.
        contents: of each window, its ids.
        scores: (tokens,) the importance of each window's tokens, with [CLS] and [SEP].
        targets: the numbers of the answers that the importance is of.
        percent: of the tokens that are not special, rounded up.
        draws: random sets for every percentage.
        seed: of these; windows of one number get the same sets, whatever the model.
        batch_size: windows a batch.
        advance: is told how many deletions are done.

    Returns:
        By :data:`FALLS`, (windows,), in [-1, 1]; NaN for a window without answers or without
        tokens to delete.
    """
    special = SpecialTokens.of(tokenizer)
    jobs: list[Job] = []
    sizes: list[list[int]] = []
    for number, (content, values, target) in enumerate(zip(contents, scores, targets, strict=True)):
        places = content_places(content, special)
        if not len(places) or not len(target):
            sizes.append([])
            continue
        random = np.random.default_rng([seed, number])
        chosen = deletions(values, places, percent, random, draws)
        sets = [chosen.top, chosen.random, chosen.bottom]
        sizes.append([len(them) for them in sets])
        jobs.append((number, np.empty(0, dtype=np.int64)))
        jobs += [(number, deleted) for them in sets for deleted in them]
    found = probabilities_without(
        student, tokenizer, contents, targets, jobs, batch_size=batch_size, advance=advance
    )
    result = {name: np.full(len(contents), np.nan) for name in FALLS}
    place = 0
    for number, counts in enumerate(sizes):
        if not counts:
            continue
        whole, place = found[place], place + 1
        for name, count in zip(FALLS, counts, strict=True):
            result[name][number] = whole - found[place : place + count].mean()
            place += count
    return result


@torch.no_grad()
def probabilities_without(
    student: Student,
    tokenizer: Any,
    contents: Sequence[Sequence[int]],
    targets: Sequence[np.ndarray],
    jobs: Sequence[Job],
    *,
    batch_size: int,
    advance: Callable[[int], object],
) -> np.ndarray:
    """The mean probability of windows' answers without some of their tokens, (jobs,), float64.

    A deleted token becomes padding where it stands: [PAD], to which no token attends and which is
    in no mean. The others keep their places, so that tags of tokens can still be told.
    """
    device = student.device
    result = np.empty(len(jobs))
    lengths = [len(contents[number]) for number, _ in jobs]
    for numbers in batches(lengths, batch_size, advance):
        ids, mask = assemble([contents[jobs[number][0]] for number in numbers], tokenizer)
        for row, number in enumerate(numbers):
            deleted = torch.from_numpy(jobs[number][1])
            ids[row, deleted] = tokenizer.pad_token_id
            mask[row, deleted] = 0
        logits = student(ids.to(device), mask.to(device)).logits
        answers = _answers(student, logits).double().cpu().numpy()
        for row, number in enumerate(numbers):
            result[number] = answers[row, targets[jobs[number][0]]].mean()
    return result


def _answers(student: Student, logits: Tensor) -> Tensor:
    """The probability of every answer, (batch, answers), counted as by ``Targets``."""
    if student.config.classes:
        return logits.float().softmax(dim=-1)
    return student.probabilities(logits).p.flatten(1)
