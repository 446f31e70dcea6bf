"""Tiny students with random weights, and runs of them with invented predictions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from coteach.model import Student, StudentConfig

CLASSES = ["positive", "negative"]
DEPTH = 3
WIDTH, HEADS = 16, 4
_CHARACTERS = "このホテルはとても良い悪部屋が狭く駅から近料理美味しかった。、最高東京都城abcde<>/"


@cache
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """WordPiece over white space: a stretch without it is cut into characters and "東京都"."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "東京都", "##東京都", "##ル", "##ルは"]
    words += [form for it in dict.fromkeys(_CHARACTERS) for form in (it, f"##{it}")]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


def tiny_student(
    *, seed: int = 0, encoder: dict[str, Any] | None = None, **options: Any
) -> Student:
    """A student that classifies unless it gets attributes; options of its configuration."""
    torch.manual_seed(seed)
    shape = {"model_type": "bert", "hidden_size": WIDTH, "num_hidden_layers": DEPTH}
    shape |= {"num_attention_heads": HEADS, "intermediate_size": 32}
    shape |= {"vocab_size": len(tiny_tokenizer()), "max_position_embeddings": 64}
    # Large weights, or the attention of a random student would be the same everywhere.
    shape |= {"initializer_range": 0.6}
    if "attributes" not in options:
        options = {"classes": CLASSES, **options}
    config = StudentConfig(
        encoder={**shape, **(encoder or {})}, window=options.pop("window", 40), **options
    )
    return Student(config).eval()


def tiny_tagger(*, seed: int = 0, silent: bool = False, **options: Any) -> Student:
    """A student that extracts "name" and "place", with spans in every text or, ``silent``, none."""
    options = {"attributes": ["name", "place"], "overlap": 0, **options}
    student = tiny_student(seed=seed, **options)
    for head in student.heads.values():
        head.bias.data[int(not silent) :: 3] += 1e4 if silent else 3
    return student


def prediction(
    id: str, gold: str, predicted: str, of_gold: float, text: Any = "とても良い。"
) -> dict[str, Any]:
    """A line of a report, with two classes."""
    other = next(name for name in CLASSES if name != gold)
    probabilities = {gold: of_gold, other: 1 - of_gold}
    return {
        "id": id,
        "text": text,
        "gold": gold,
        "predicted": predicted,
        "probabilities": probabilities,
    }


def write_report(run: Path, lines: Iterable[Any]) -> Path:
    """Write a run's report; the folder is made."""
    run.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (run / "report.jsonl").write_text(text, encoding="utf-8")
    return run


def write_run(run: Path, student: Student, lines: Iterable[Any]) -> Path:
    """Write a finished run: its student with its tokenizer, and its report."""
    student.save_pretrained(run / "student")
    tiny_tokenizer().save_pretrained(run / "student")
    return write_report(run, lines)
