"""What ``test_processes`` starts in each of two processes, or calls in one: a step in which half
of the micro-batches have nothing to learn from, and evaluations of few texts.

Arguments: the recipe, and a file for what the main process found.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from tiny_loop import exactly
from torch import Tensor

from coteach.data.classification import LabelledTexts
from coteach.data.collator import Collator
from coteach.graph.gates import Step
from coteach.model.extraction import Extractor
from coteach.model.iob2 import IGNORE
from coteach.recipe import load_recipe
from coteach.training.classifying import class_evaluation
from coteach.training.extracting import extract
from coteach.training.loop import train_step
from coteach.training.prepare import Prepared, load_data, prepare


def gradients(prepared: Prepared, accelerator: Accelerator) -> dict[str, Tensor]:
    """Of two micro-batches, the second without labels; a process each, or both in one."""
    prepared.student.train()
    collate = Collator(prepared.windowed, prepared.tokenizer)
    batches = [collate([prepared.windowed.rows[n] for n in rows]) for rows in ((0, 1, 2), (3, 4))]
    for name in {"labels", "classes", "tags"} & batches[1].keys():
        batches[1][name] = torch.full_like(batches[1][name], IGNORE)
    mine = batches[accelerator.process_index :: accelerator.num_processes]
    model = accelerator.prepare(prepared.student)
    train_step(model, prepared.graph, mine, accelerator, Step(0.5, number=2))
    own = {f"graph.{n}": it for n, it in enumerate(prepared.graph.parameters())}
    found = {}
    for name, it in {**dict(prepared.student.named_parameters()), **own}.items():
        if it.grad is not None:
            found[name] = accelerator.reduce(it.grad, "mean") if name in own else it.grad
    return found


def evaluations(prepared: Prepared, accelerator: Accelerator) -> dict[str, Tensor]:
    """What the student says of five, three and one of the texts, on all processes."""
    prepared.student.eval()
    results: dict[str, Tensor] = {}
    for count in (5, 3, 1):
        of = _classes if isinstance(prepared.corpus, LabelledTexts) else _spans
        results[f"evaluation.{count}"] = of(prepared, accelerator, count)
    return results


def _classes(prepared: Prepared, accelerator: Accelerator, count: int) -> Tensor:
    corpus = prepared.corpus
    assert isinstance(corpus, LabelledTexts)
    fewer = replace(prepared, corpus=replace(corpus, dev=corpus.dev[:count]))
    evaluate: Callable[[], Mapping[str, float]] = class_evaluation(fewer, accelerator)
    return torch.tensor(list(evaluate().values()), dtype=torch.float64)


def _spans(prepared: Prepared, accelerator: Accelerator, count: int) -> Tensor:
    extractor = Extractor(prepared.student, prepared.tokenizer)
    texts = [prepared.corpus.pages[page].text for page in list(prepared.corpus.pages)[:count]]
    found = extract(extractor, [extractor.aligner(text) for text in texts], accelerator)
    assert len(found) == count
    rows: Sequence[tuple[float, ...]] = [
        (page, *span[1:], confidence)
        for page, result in enumerate(found)
        for span, confidence in result["p"]
    ]
    assert rows
    return torch.tensor(rows, dtype=torch.float64)


def measured(recipe: str) -> dict[str, Tensor]:
    """Both, of the processes that there are."""
    loaded = load_recipe(recipe)
    prepared = prepare(loaded, load_data(loaded))
    exactly(prepared)  # a text is padded to others in one process than in two
    accelerator = Accelerator()
    prepared.graph.to(accelerator.device)
    found = {**evaluations(prepared, accelerator), **gradients(prepared, accelerator)}
    found["processes"] = torch.tensor(accelerator.num_processes)
    return {name: it.detach().contiguous() for name, it in found.items()}


if __name__ == "__main__":
    everything = measured(sys.argv[1])
    state = Accelerator().state
    if state.is_main_process:
        save_file(everything, Path(sys.argv[2]))
    state.destroy_process_group()
