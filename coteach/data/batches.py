"""Which windows stand in which batch: seeded, grouped by length, the same for any resume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

MEGABATCH = 50  # steps whose windows are sorted by length together


def plan_epoch(
    lengths: Sequence[int] | np.ndarray,
    batch_size: int,
    pieces: int,
    seed: int,
    epoch: int,
    group_by_length: bool = True,
) -> Iterator[list[list[int]]]:
    """The windows of every step of an epoch.

    A step takes ``batch_size`` × ``pieces`` windows; its pieces are the micro-batches of all
    processes, so that two processes see what one process with two accumulation steps sees.
    Every window comes once, but for a last step too short to give every piece one.

    Args:
        lengths: tokens of every window.
        batch_size: windows of a micro-batch.
        pieces: micro-batches of a step, over accumulation and processes.
        seed: with ``epoch`` it fixes the order.
        epoch: counts from 0.
        group_by_length: let windows of similar length share a step, which saves padding.

    Yields:
        A step: pieces → window numbers.
    """
    generator = np.random.default_rng((seed, epoch))
    order = generator.permutation(len(lengths))
    size = batch_size * pieces
    starts = np.arange(0, len(order), size)
    if group_by_length:
        sizes = np.asarray(lengths)
        for first in range(0, len(order), size * MEGABATCH):
            part = order[first : first + size * MEGABATCH]
            part[:] = part[np.argsort(-sizes[part], kind="stable")]
        starts = generator.permutation(starts)
    for start in starts:
        step = order[start : start + size]
        if len(step) < pieces:
            step = np.concatenate([step, np.resize(order, pieces - len(step))])
        yield [piece.tolist() for piece in np.array_split(step, pieces)]
