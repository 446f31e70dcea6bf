"""A task of twelve pages, three attributes and three teams, one of which left pages out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from coteach.model import Student, StudentConfig
from coteach.recipe import Recipe, load_recipe

SPLITS = {
    "train": ["1", "2", "3", "4", "5", "6"],
    "dev": ["7", "8"],
    "report": ["9", "10"],
    "unlabelled": ["11", "12"],
}
ATTRIBUTES = ["場所", "築城年", "築城者"]
PARTIAL = ["1", "3", "5", "7", "9", "11"]
"""The pages that the team "partial" processed."""
EMPTY = "12"
"""The page without text."""

_PLACES = ["青森", "岩手", "富山", "石川"]
_PEOPLE = ["山本一郎", "佐藤次郎", "高橋三郎", "鈴木四郎", "田中五郎"]
_FILLER = "堀と石垣と門と櫓が今も残る。\n"

Value = tuple[str, int, int, str]
"""Attribute, line, offset, and the characters there."""


def page(page_id: str) -> tuple[str, list[Value]]:
    """The text of a page and its true values; odd pages fill several windows."""
    if page_id == EMPTY:
        return "", []
    number = int(page_id)
    place, person = _PLACES[number % len(_PLACES)], _PEOPLE[number % len(_PEOPLE)]
    year = str(1500 + 13 * number)
    text = f"この城は{place}にある。\n\n{year}年に{person}が築いた。\n" + _FILLER * (
        2 * (number % 2)
    )
    return text, [("場所", 0, 4, place), ("築城年", 2, 0, year), ("築城者", 2, 6, person)]


def hasty(values: Iterable[Value]) -> list[Value]:
    """What a team finds that cuts names short and has no eye for years."""
    return [
        (attribute, line, offset, text[:-2] if attribute == "築城者" else text)
        for attribute, line, offset, text in values
        if attribute != "築城年"
    ]


def write(folder: Path) -> Path:
    """Write the task, its tokenizer and its recipe; returns the path of the recipe."""
    pages = {page_id: page(page_id) for page_ids in SPLITS.values() for page_id in page_ids}
    plain = folder / "plain" / "Castle"
    plain.mkdir(parents=True)
    for page_id, (text, _) in pages.items():
        (plain / f"{page_id}.txt").write_bytes(text.encode())

    def write_values(path: Path, page_ids: Iterable[str], change: Callable = list) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            json.dumps(_entry(page_id, *value), ensure_ascii=False) + "\n"
            for page_id in page_ids
            for value in change(pages[page_id][1])
        ]
        path.write_text("".join(lines), encoding="utf-8")

    for split in ("train", "dev", "report"):
        write_values(folder / "annotation" / f"{split}.json", SPLITS[split])
    submissions = folder / "submissions"
    write_values(submissions / "exact" / "Castle.json", pages)
    write_values(submissions / "hasty" / "Castle.json", pages, hasty)
    write_values(submissions / "partial" / "Castle.json", PARTIAL)
    (submissions / "partial" / "Castle.processed.txt").write_text("\n".join(PARTIAL))
    (folder / "splits.json").write_text(json.dumps(SPLITS))
    build_tokenizer(text for text, _ in pages.values()).save_pretrained(folder / "tokenizer")
    return Path(shutil.copy(Path(__file__).with_name("tiny_recipe.py"), folder / "recipe.py"))


def load(folder: Path) -> Recipe:
    """Write the task and load its recipe."""
    return load_recipe(str(write(folder)))


def save_student(folder: Path, texts: Iterable[str], **options: Any) -> str:
    """Save a student that was never trained, its tokenizer with it; returns its folder.

    Args:
        folder: for the student.
        texts: whose characters the tokenizer knows.
        **options: of ``random_student``.
    """
    tokenizer = build_tokenizer(texts)
    random_student(tokenizer, **options).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def random_student(tokenizer: PreTrainedTokenizerFast, **options: Any) -> Student:
    """A student that was never trained; options of its configuration, or of its encoder's."""
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "initializer_range": 0.02}
    encoder = {
        "model_type": "bert",
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "vocab_size": len(tokenizer),
        **{name: options.pop(name, default) for name, default in shape.items()},
    }
    torch.manual_seed(0)
    return Student(StudentConfig(encoder=encoder, **options))


def build_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """One token a character."""
    characters = sorted(set("".join(texts)) - {"\n"})
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *characters]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


def _entry(page_id: str, attribute: str, line: int, offset: int, text: str) -> dict[str, object]:
    return {
        "page_id": page_id,
        "attribute": attribute,
        "text_offset": {
            "start": {"line_id": line, "offset": offset},
            "end": {"line_id": line, "offset": offset + len(text)},
            "text": text,
        },
    }
