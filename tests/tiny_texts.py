"""Sixty short texts of three classes, a tokenizer of their characters, and recipes for them."""

from __future__ import annotations

from pathlib import Path

import tiny_task
from transformers import AutoTokenizer

from coteach.attribution import IntegratedGradients
from coteach.data.classification import ClassificationData
from coteach.data.unlabelled import UnlabelledText
from coteach.graph import Edge, Every, Gold, PartOfSpeech, Student, Teacher
from coteach.losses import (
    AttentionScores,
    CrossEntropy,
    HiddenStates,
    ImportanceJaccard,
    SoftCrossEntropy,
)
from coteach.recipe import Optimisation, Recipe, Selection, Stage

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


def write_teachers(folder: Path) -> None:
    """Beside what ``write`` has written: a student that was never trained, in "teacher", its
    encoder alone in "encoder", and texts without classes in "plain.txt"."""
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    teacher = tiny_task.random_student(
        tokenizer,
        hidden_size=24,
        num_hidden_layers=4,
        initializer_range=0.4,
        classes=sorted(CLASSES),
    )
    for model, name in ((teacher, "teacher"), (teacher.encoder, "encoder")):
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    texts = [text.replace("宿", "城") for text, _ in rows()[::3]]
    (folder / "plain.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")


def distilled(folder: Path) -> Recipe:
    """TinyBERT's stages with importance transfer, in seconds; see ``write_teachers``."""
    teacher = str(folder / "teacher")
    optimisation = Optimisation(epochs=1, batch_size=8, learning_rate=5e-3, clip_norm=1.0)

    def inner(source: str) -> dict[str, Edge]:
        return {
            "attention": Edge(source, "student", AttentionScores()),
            "hidden": Edge(source, "student", HiddenStates()),
        }

    return Recipe(
        name="distilled",
        data=ClassificationData(train=str(folder / "texts.tsv"), folds=5),
        nodes={
            "gold": Gold(),
            "teacher": Teacher(teacher),
            "encoder": Teacher(str(folder / "encoder")),
            "student": Student(
                encoder_config={
                    "model_type": "bert",
                    "hidden_size": 16,
                    "num_hidden_layers": 2,
                    "num_attention_heads": 2,
                    "intermediate_size": 32,
                    "max_position_embeddings": 64,
                    "initializer_range": 0.2,
                },
                tokenizer=teacher,
            ),
        },
        stages={
            "general": Stage(
                edges=inner("encoder"),
                data=UnlabelledText(files=str(folder / "plain.txt")),
                optimisation=optimisation,
            ),
            "intermediate": Stage(
                edges=inner("teacher"),
                optimisation=optimisation,
                selection=Selection(by="last", evaluate_every=0.5),
            ),
        },
        edges={
            "prediction": Edge("teacher", "student", SoftCrossEntropy()),
            "importance": Edge(
                "teacher",
                "student",
                ImportanceJaccard(IntegratedGradients(nodes=1), temperature=0.2),
                gate=Every(2),
            ),
        },
        optimisation=optimisation,
        selection=Selection(evaluate_every=0.5),
        baselines=(),
        processes=1,
        cache=folder / "cache",
    )
