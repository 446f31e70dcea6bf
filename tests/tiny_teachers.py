"""Tiny teachers in folders, students for them, and windows of texts that both read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tiny_students import CLASSES, tiny_student, tiny_tokenizer
from torch import Tensor

from coteach.data.collator import Collator
from coteach.data.pages import Annotations, Page
from coteach.data.windowed import Windowed, build_windows
from coteach.graph import Edge, Teacher, WeightedSum
from coteach.graph.build import StudentGraph
from coteach.graph.bundles import Bundle
from coteach.graph.gates import Step
from coteach.graph.teachers import FrozenTeacher
from coteach.model import Student
from coteach.model.alignment import Aligner
from coteach.model.spans import Span

TEXTS = ["とても良い。", "部屋が狭く、駅から近い。", "料理は美味しかった。最高。", "東京都の城"]
"""Of 6 tokens to 14."""
ATTRIBUTES = ("name", "place")
GOLD = Annotations(
    "gold",
    {"0": frozenset({Span("name", 0, 0, 0, 3)}), "3": frozenset({Span("place", 0, 0, 0, 3)})},
    processed=frozenset({"0", "2", "3"}),
)
LARGE = {"num_hidden_layers": 4, "hidden_size": 24, "intermediate_size": 24}
SMALL = {"num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 24}
TAGGING: Mapping[str, Any] = {
    "attributes": list(ATTRIBUTES),
    "heads": [{"name": "team", "layer": 1}, {"name": "output", "layer": -1}],
}


def write_teacher(folder: Path, **options: Any) -> Path:
    """Write a random student of four layers with its tokenizer; returns the folder."""
    encoder = {**LARGE, **options.pop("encoder", {})}
    return save(tiny_student(encoder=encoder, **{"seed": 1, **options}), folder)


def save(model: Any, folder: Path) -> Path:
    """Write a student, or any model, with the tokenizer; returns the folder."""
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def frozen(folder: Path, name: str = "teacher", **options: Any) -> FrozenTeacher:
    return FrozenTeacher(name, Teacher(str(folder), **options))


def small_student(**options: Any) -> Student:
    """A random one of two layers, in float64."""
    return tiny_student(encoder={**SMALL, **options.pop("encoder", {})}, **options).double()


def windowed_of(cache: Path, of_texts: bool) -> Windowed:
    """The texts with classes in turn, or with the gold's spans."""
    pages = {str(number): Page(str(number), text) for number, text in enumerate(TEXTS)}
    return build_windows(
        pages,
        list(pages),
        [] if of_texts else [GOLD],
        [] if of_texts else ATTRIBUTES,
        Aligner(tiny_tokenizer()),
        40,
        0 if of_texts else 8,
        cache,
        labels={page_id: int(page_id) % 2 for page_id in pages} if of_texts else None,
        classes=len(CLASSES) if of_texts else 0,
    )


def batch_of(windowed: Windowed, *numbers: int) -> dict[str, Tensor]:
    """Some windows, or all of them, as a batch."""
    chosen = numbers or range(len(windowed.rows))
    return Collator(windowed, tiny_tokenizer())([windowed.rows[number] for number in chosen])


def graph_of(
    student: Student,
    edges: Mapping[str, Edge],
    teacher: FrozenTeacher,
    windowed: Windowed,
    cache: Path,
) -> StudentGraph:
    """Edges from one teacher, whose projections are no small numbers, in float64."""
    sources = {}
    if not windowed.classes:
        sources["gold"] = Bundle((GOLD,), ("output",), torch.ones(1, len(ATTRIBUTES)).numpy())
    torch.manual_seed(2)
    graph = StudentGraph(
        student,
        edges,
        WeightedSum(),
        sources,
        windowed,
        {teacher.name: teacher},
        tiny_tokenizer(),
        cache,
    )
    graph.learned.double()
    with torch.no_grad():
        for parameter in graph.parameters():
            parameter.normal_()
    graph.to(torch.device("cpu"))
    return graph


def loss_of(graph: StudentGraph, *batches: Mapping[str, Tensor], step: int = 0) -> Tensor:
    """The loss of a step with these micro-batches."""
    totals = torch.stack([graph.totals(batch) for batch in batches]).sum(dim=0)
    shares = [
        graph.combine(graph.losses(graph.ask(graph.student, batch), batch, Step(0.0, step)), totals)
        for batch in batches
    ]
    return torch.stack(shares).sum()


def gradients_of(graph: StudentGraph, loss: Tensor) -> dict[str, Tensor]:
    """Of the student's parameters and the graph's own, by name; 0 where there is none."""
    named = dict(graph.student.named_parameters())
    named |= {f"graph.{name}": of for name, of in graph.learned.named_parameters()}
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {
        name: torch.zeros_like(of) if gradient is None else gradient
        for (name, of), gradient in zip(named.items(), found, strict=True)
    }
