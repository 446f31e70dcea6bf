"""Windows over the tokens of a page, and their results put together again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Window(NamedTuple):
    """Token positions ``start`` to ``stop`` of a page; the window answers for ``keep_start`` to
    ``keep_stop`` of them, where its neighbours see less context than it does."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def windows(length: int, size: int, overlap: int) -> list[Window]:
    """Cut ``length`` tokens into windows of at most ``size`` that share ``overlap`` tokens.

    A page that fits is one window. Each position is kept by exactly one window: an overlap is
    halved, and a side without a neighbour is never trimmed (the original code lost up to 50
    positions there).

    Args:
        length: number of tokens of the page; 0 gives no window.
        size: content tokens a window can hold, special tokens not counted.
        overlap: tokens that two neighbouring windows share; less than ``size``.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"overlap must be in [0, window size = {size}), got {overlap}")
    if length == 0:
        return []
    if length <= size:
        return [Window(0, length, 0, length)]
    starts = range(0, length - overlap, size - overlap)
    head, tail = overlap - overlap // 2, overlap // 2
    result = []
    for start in starts:
        stop = min(start + size, length)
        keep_start = start if start == 0 else start + head
        keep_stop = stop if stop == length else stop - tail
        result.append(Window(start, stop, keep_start, keep_stop))
    return result


def merge(pieces: Sequence[np.ndarray], cuts: Sequence[Window]) -> np.ndarray:
    """Join per-window arrays (…, tokens of the window, attributes) to one of the whole page."""
    kept = [
        piece[..., cut.keep_start - cut.start : cut.keep_stop - cut.start, :]
        for piece, cut in zip(pieces, cuts, strict=True)
    ]
    return np.concatenate(kept, axis=-2)
