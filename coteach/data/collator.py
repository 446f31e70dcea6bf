"""Windows as batches of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coteach.data.windowed import Windowed
from coteach.model.extraction import assemble
from coteach.model.iob2 import IGNORE, fill

__all__ = ["Collator"]


class Collator:
    """Rows of a ``Windowed`` as one batch of tensors.

    The batch holds ``input_ids`` and ``attention_mask`` (batch, tokens), and ``labels``
    (batch, tokens, sources, attributes), int8: O, B, I, or −100 on special tokens, padding,
    tokens without text, and wherever the source did not process the page. Where there are any,
    also ``tags`` (batch, tokens, tag sources), int16, likewise: the numbers of ``TagSource.tags``;
    and ``classes`` (batch,), int64: the class of the text.
    """

    def __init__(self, windowed: Windowed, tokenizer: Any) -> None:
        self.shape = (len(windowed.sources), len(windowed.attributes))
        self.tag_sources = len(windowed.tag_sources)
        self.has_classes = windowed.classes > 0
        self.tokenizer = tokenizer

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        ids, mask = assemble([row["input_ids"] for row in rows], self.tokenizer)
        labels = np.full((*ids.shape, *self.shape), IGNORE, dtype=np.int8)
        tags = np.full((*ids.shape, self.tag_sources), IGNORE, dtype=np.int16)
        for number, row in enumerate(rows):
            # Views on the window's content: what is written here is written into the batch.
            content = labels[number, 1 : len(row["input_ids"]) + 1]
            sequences = tags[number, 1 : len(row["input_ids"]) + 1]
            processed = np.asarray(row["processed"], dtype=bool)
            content[:, processed[: self.shape[0]]] = 0
            sequences[:, processed[self.shape[0] :]] = 0
            for source, *span in row["spans"]:
                if source < self.shape[0]:
                    fill(content[:, source], [span])
                else:
                    _fill_sequence(sequences[:, source - self.shape[0]], *span)
            without_text = ~np.asarray(row["has_text"], dtype=bool)
            content[without_text] = IGNORE
            sequences[without_text] = IGNORE
        batch = {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": torch.from_numpy(labels),
        }
        if self.tag_sources:
            batch["tags"] = torch.from_numpy(tags)
        if self.has_classes:
            batch["classes"] = torch.tensor([row["label"] for row in rows])
        return batch


def _fill_sequence(tags: np.ndarray, kind: int, start: int, stop: int) -> None:
    """Write a span of a class into a window's one tag sequence, (tokens,), in place."""
    tags[max(start, 0) : stop] = 2 * kind + 2
    if start >= 0:  # one that begins before the window continues in it
        tags[start] = 2 * kind + 1
