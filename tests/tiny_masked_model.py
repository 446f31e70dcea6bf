"""Tiny masked language models with random weights, and tokenizers whose pieces are known words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
NOUNS = ["部屋", "朝食", "風呂", "東京", "静か"]  # the last is an adjectival noun
OTHERS = ["狭い", "広い", "美味しい", "泊まっ", "食べ", "とても", "かなり", "行っ", "良い", "三"]
REST = [
    "は",
    "が",
    "で",
    "、",
    "。",
    "た",
    "て",
    "です",
    "##顔",
    "##朝",
    "朝",
    "食べた",
    "abc",
    "1",
    "☆",
]
VOCABULARY = [*SPECIAL, *NOUNS, *OTHERS, *REST]

SHAPES: Mapping[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"bos_token_id": 2, "eos_token_id": 3},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "modernbert": {
        "global_attn_every_n_layers": 2,
        "local_attention": 8,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "cls_token_id": 2,
        "sep_token_id": 3,
    },
}
"""What each kind of model needs beside the sizes that most have."""


def word_piece() -> PreTrainedTokenizerFast:
    """Pieces of the vocabulary; punctuation is set apart."""
    vocabulary = {piece: number for number, piece in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[ 、。☆]"), "isolated")
    tokenizer.decoder = decoders.WordPiece()
    return _finished(tokenizer)


def unigram() -> PreTrainedTokenizerFast:
    """The same words with and without the mark of a word's beginning."""
    words = [word for word in VOCABULARY[len(SPECIAL) :] if not word.startswith("##")]
    pieces = [*words, *(f"▁{word}" for word in words)]
    vocabulary = [(piece, 0.0) for piece in SPECIAL] + [(piece, -1.0) for piece in pieces]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=1))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace()
    return _finished(tokenizer)


def _finished(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def write(
    folder: Path,
    kind: str = "bert",
    tokenizer: PreTrainedTokenizerBase | None = None,
    positions: int = 128,
    seed: int = 0,
) -> str:
    """Write a model with its tokenizer; returns the folder."""
    tokenizer = word_piece() if tokenizer is None else tokenizer
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 32, "max_position_embeddings": positions}
    sizes |= {"vocab_size": len(tokenizer), "initializer_range": 0.5, "pad_token_id": 0}
    config = AutoConfig.for_model(kind, **{**sizes, **SHAPES[kind]})
    model = AutoModelForMaskedLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Random biases too, and no weight so small that a token's place would not matter.
            if "bias" in name or "embeddings" in name:
                parameter.normal_(0, 0.7)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
