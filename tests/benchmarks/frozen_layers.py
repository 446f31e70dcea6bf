"""What a step costs when only some layers learn, and what the auxiliary head costs: ratios.

    python tests/benchmarks/frozen_layers.py [--encoder NAME_OR_FOLDER] [--bf16]

A step is forward, backward and AdamW on a batch of texts of one length, by the training loop's own
function, with a class head; "+ head" with an auxiliary head of seven tags on the first layer that
learns. Contestants take turns; the first round of each is thrown away, and the medians of the
others are compared with the step in which the whole encoder learns.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import torch
from accelerate import Accelerator
from training import medians
from transformers import AutoConfig

from coteach.data.pages import Annotations
from coteach.data.windowed import TagSource
from coteach.graph import Edge, WeightedSum
from coteach.graph.build import StudentGraph
from coteach.graph.bundles import Bundle
from coteach.graph.gates import Step
from coteach.losses import CrossEntropy
from coteach.model import Student, StudentConfig
from coteach.recipe import Optimisation
from coteach.training.loop import train_step
from coteach.training.optimizers import build_optimizer

CLASSES = ["positive", "neutral", "negative"]
PARTS_OF_SPEECH = TagSource(Annotations("part_of_speech"), ("名詞", "副詞", "形容詞"))
VOCABULARY = 30_000


def make_student(encoder: str | None, layers: Sequence[int] | None, auxiliary: bool) -> Student:
    """A student that classifies; all of it learns, or some layers."""
    first = layers[0] if layers else 1
    heads = [{"name": "spoken", "layer": first, "tags": list(PARTS_OF_SPEECH.tags)}]
    config = StudentConfig(classes=CLASSES, auxiliary_heads=heads if auxiliary else [])
    if encoder is not None:
        student = Student.from_encoder(encoder, config)
    else:
        config.encoder = AutoConfig.for_model(
            "bert",
            vocab_size=VOCABULARY,
            hidden_size=384,
            num_hidden_layers=12,
            num_attention_heads=12,
            intermediate_size=1536,
        ).to_dict()
        student = Student(config)
    if layers is not None:
        student.train_only(layers)
    return student.train()


def make_step(options: argparse.Namespace, student: Student) -> Callable[[], None]:
    """One step of the loop."""
    ones = torch.ones(1, 1).numpy()
    bundles = {"gold": Bundle((), ("output",), ones)}
    edges = {"gold": Edge("gold", "student", CrossEntropy())}
    if student.config.auxiliary_heads:
        bundles["spoken"] = Bundle((), (), ones, tags=PARTS_OF_SPEECH)
        edges["spoken"] = Edge("spoken", "student", CrossEntropy(), weight=0.5)
    windowed = SimpleNamespace(
        classes=len(CLASSES),
        attributes=(),
        tag_sources={"part_of_speech": PARTS_OF_SPEECH.tags},
        label_counts=lambda: torch.ones(1, len(CLASSES), dtype=torch.int64),
        tag_counts=lambda _: torch.ones(1, len(PARTS_OF_SPEECH.tags), dtype=torch.int64),
    )
    graph = StudentGraph(student, edges, WeightedSum(), bundles, windowed)  # type: ignore[arg-type]
    accelerator = Accelerator(mixed_precision="bf16" if options.bf16 else "no")
    model, optimizer = accelerator.prepare(student, build_optimizer(student, Optimisation()))
    graph.to(accelerator.device)
    shape = (options.batch_size, options.length)
    ids = torch.randint(5, VOCABULARY, shape)
    batch = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.zeros((*shape, 0, 0), dtype=torch.int8),
        "tags": torch.randint(0, len(PARTS_OF_SPEECH.tags), (*shape, 1)).to(torch.int16),
        "classes": torch.randint(0, len(CLASSES), shape[:1]),
    }

    def step() -> None:
        train_step(model, graph, [batch], accelerator, Step(0.0))
        optimizer.step()
        optimizer.zero_grad()

    return step


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", help="pretrained encoder; default: a new one, 12 × 384")
    parser.add_argument("--length", type=int, default=32, help="tokens of a text")
    parser.add_argument("--batch-size", type=int, default=32, help="texts of a step")
    parser.add_argument("--rounds", type=int, default=10, help="counted rounds of a contestant")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    options = parser.parse_args()
    torch.manual_seed(0)
    contestants = {"all of it": make_step(options, make_student(options.encoder, None, False))}
    for layers in ((2, 12), (6, 12), (12,)):
        for auxiliary in (False, True):
            name = " and ".join(map(str, layers)) + (" + head" if auxiliary else "")
            student = make_student(options.encoder, layers, auxiliary)
            contestants[name] = make_step(options, student)
    seconds = medians(contestants, options.rounds)
    print(f"{options.batch_size} texts of {options.length} tokens; layers that learn, step, ratio")
    for name, median in seconds.items():
        print(f"{name:20} {median:.4f} s  {median / seconds['all of it']:.2f}")


if __name__ == "__main__":
    main()
