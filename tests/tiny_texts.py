"""Sixty short texts of three classes, a tokenizer of their characters, and a recipe for them."""

from __future__ import annotations

from pathlib import Path

import tiny_task

from coteach.data.classification import ClassificationData
from coteach.graph import Edge, Gold, PartOfSpeech, Student
from coteach.losses import CrossEntropy
from coteach.recipe import Optimisation, Recipe, Selection

CLASSES = ("good", "so-so", "bad")
LAYERS = 3

_WORDS = {
    "good": ["とても美しい城", "最高の料理", "親切な人"],
    "so-so": ["普通の部屋", "駅のそば", "朝食がある"],
    "bad": ["狭い風呂", "とても汚い床", "最低の窓"],
}
_PLACES = ["東京", "大阪", "京都", "奈良", "青森", "富山", "石川"]


def rows() -> list[tuple[str, str]]:
    """Texts with their classes; no text stands there twice."""
    return [
        (f"{_PLACES[number % 7]}の宿{number}は{words[number % 3]}でした。", name)
        for name, words in _WORDS.items()
        for number in range(20)
    ]


def write(folder: Path) -> Recipe:
    """Write the texts and their tokenizer; returns their recipe."""
    lines = [f"{text}\t{label}" for text, label in rows()]
    (folder / "texts.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n", encoding="utf-8")
    tokenizer = tiny_task.build_tokenizer(text for text, _ in rows())
    tokenizer.save_pretrained(folder / "tokenizer")
    return recipe_of(folder)


def recipe_of(folder: Path) -> Recipe:
    """A recipe that trains in seconds on what ``write`` has written."""
    return Recipe(
        name="tiny_texts",
        data=ClassificationData(train=str(folder / "texts.tsv"), folds=5),
        nodes={
            "gold": Gold(),
            "part_of_speech": PartOfSpeech(),
            "student": Student(
                encoder_config={
                    "model_type": "bert",
                    "hidden_size": 16,
                    "num_hidden_layers": LAYERS,
                    "num_attention_heads": 2,
                    "intermediate_size": 32,
                    "max_position_embeddings": 64,
                    "initializer_range": 0.2,
                },
                tokenizer=str(folder / "tokenizer"),
                words="part_of_speech",
            ),
        },
        edges={
            "gold": Edge("gold", "student", loss=CrossEntropy()),
            "part_of_speech": Edge(
                "part_of_speech", "student", loss=CrossEntropy(), layer=1, weight=0.5
            ),
        },
        optimisation=Optimisation(epochs=2, batch_size=8, learning_rate=5e-3, schedule="constant"),
        selection=Selection(by="loss"),
        baselines=(),
        processes=1,
        cache=folder / "cache",
    )
