"""Which windows stand in which batch: seeded, grouped by length, the same for any resume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MEGABATCH = 50  # steps whose windows are sorted by length together


def plan_epoch(
    lengths: Sequence[int],
    batch_size: int,
    pieces: int,
    seed: int,
    epoch: int,
    group_by_length: bool = True,
) -> list[list[list[int]]]:
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

    Returns:
        steps → pieces → window numbers.
    """
    generator = np.random.default_rng((seed, epoch))
    order = generator.permutation(len(lengths))
    size = batch_size * pieces
    if group_by_length:
        sizes = np.asarray(lengths)
        parts = [
            part[np.argsort(-sizes[part], kind="stable")]
            for part in np.split(order, range(size * MEGABATCH, len(order), size * MEGABATCH))
        ]
        order = np.concatenate(parts) if len(order) else order
    steps = [order[start : start + size] for start in range(0, len(order), size)]
    if steps and len(steps[-1]) < pieces:
        steps[-1] = np.concatenate([steps[-1], np.resize(order, pieces - len(steps[-1]))])
    if group_by_length:
        steps = [steps[number] for number in generator.permutation(len(steps))]
    return [[piece.tolist() for piece in np.array_split(step, pieces)] for step in steps]
