"""Tiny students that classify texts or pairs, or tag, and a batch of ids for them."""

from __future__ import annotations

import torch
from tiny_students import tiny_student
from torch import Tensor

from coteach.attribution import SpecialTokens, Targets
from coteach.model import Student

PAD, UNKNOWN, CLS, SEP, MASK = 0, 1, 2, 3, 4  # of tiny_students; a character stands in for [MASK]
TOKENS = SpecialTokens(padding=PAD, mask=MASK, kept=(PAD, CLS, SEP))
SMALL = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 14,
    "max_position_embeddings": 10,
    "hidden_dropout_prob": 0.3,
    "attention_probs_dropout_prob": 0.3,
}
TAGGING = {
    "attributes": ["name", "place"],
    "heads": [{"name": "team", "layer": 1}, {"name": "output", "layer": -1}],
}
OPTIONS = {
    "texts": {},
    "pairs": {"pair_separator": SEP, "pooling": "mean"},
    "tags": TAGGING,
    "tags of one head": {"attributes": ["name", "place"]},
}


def make_student(kind: str, dtype: torch.dtype = torch.float64) -> Student:
    """Of two layers of width 8; in evaluation mode."""
    return tiny_student(encoder=SMALL, **OPTIONS[kind]).to(dtype)


def batch() -> tuple[Tensor, Tensor]:
    """Ids and mask of three texts, (3, 8): a pair, a text and one of one token."""
    ids = torch.tensor(
        [
            [CLS, 5, 6, SEP, 7, 12, SEP, PAD],
            [CLS, 8, UNKNOWN, 9, SEP, PAD, PAD, PAD],
            [CLS, 10, SEP, PAD, PAD, PAD, PAD, PAD],
        ]
    )
    return ids, (ids != PAD).long()


def targets_of(kind: str) -> Targets:
    """A class of each text, or some tags of each."""
    if kind.startswith("tags"):
        return Targets.from_lists([[7, 14, 26], [8, 10], [10]])
    return Targets.of_classes(torch.tensor([0, 1, 1]))
