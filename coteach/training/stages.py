"""Stages before the main one: what they read, and what the student takes along."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from rich.console import Console
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from coteach.data.augmentation import Augmentation, augmented
from coteach.data.classification import LabelledTexts
from coteach.data.collator import Collator
from coteach.data.corpus import Corpus
from coteach.data.pages import Annotations
from coteach.data.unlabelled import UnlabelledText
from coteach.data.windowed import Windowed
from coteach.graph.build import StudentGraph
from coteach.graph.bundles import bundles
from coteach.graph.gates import Step
from coteach.model.iob2 import IGNORE
from coteach.training.checkpoint import recover_folder
from coteach.training.logs import Tracking
from coteach.training.loop import fit
from coteach.training.prepare import Prepared, Reading, windows_of
from coteach.training.running import Running

__all__ = ["augmented_windows", "fit_stages"]

DEV_BATCH = 32


def fit_stages(
    prepared: Prepared,
    folder: Path,
    console: Console,
    tracking: Tracking,
    keep_in: Callable[[Path], None],
) -> None:
    """Train a prepared student through the stages before the main one.

    Each has the folder ``stages/<name>`` with its log, its checkpoints and the student that it
    ends with; one that is finished is not run again.

    Args:
        prepared: its student is left as the last stage ends.
        folder: of the run.
        console: for what is told.
        tracking: gives a stage's accelerator, and trackers while it trains.
        keep_in: writes the student as it is to a folder.
    """
    recipe = prepared.recipe
    for name, stage in recipe.stages.items():
        place = folder / "stages" / name
        place.mkdir(parents=True, exist_ok=True)
        accelerator = tracking.accelerator(place)
        if accelerator.is_main_process:
            recover_folder(place / "student")
        accelerator.wait_for_everyone()
        windowed = stage_windows(prepared, stage.data, accelerator, console)
        console.print(f"[bold]stage {name}[/bold]: {len(windowed.rows):,} texts or windows")
        with tracking(accelerator, place):
            fit(
                prepared.stages[name],
                windowed,
                prepared.tokenizer,
                stage.optimisation,
                stage.selection,
                recipe.seed,
                accelerator,
                place,
                dev_losses(prepared, prepared.stages[name], accelerator),
                lambda place=place: keep_in(place / "student"),  # type: ignore[misc]
            )
        accelerator.wait_for_everyone()
        prepared.student.load_state_dict(load_file(place / "student" / "model.safetensors"))


def stage_windows(
    prepared: Prepared,
    data: UnlabelledText | Augmentation | None,
    accelerator: Accelerator,
    console: Console,
) -> Windowed:
    """What a stage reads.

    Raises:
        InputError: a file cannot be read, or the masked language model cannot be loaded.
    """
    if data is None:
        return prepared.windowed
    if isinstance(data, Augmentation):
        return augmented_windows(prepared, data, accelerator, console)
    with accelerator.main_process_first():
        texts = data.read(prepared.recipe.seed)
        for line in texts.remarks:
            console.print(line, markup=False, soft_wrap=True)
        labels = None
        if isinstance(prepared.corpus, LabelledTexts):  # one window a text, as in the task
            labels = dict.fromkeys(texts.pages, IGNORE)
        return windows_of(prepared.reading, texts.pages, list(texts.pages), labels=labels)


def augmented_windows(
    prepared: Prepared, augmentation: Augmentation, accelerator: Accelerator, console: Console
) -> Windowed:
    """The windows of the training texts with augmented ones.

    Raises:
        InputError: the masked language model cannot be loaded.
    """
    corpus, recipe = prepared.corpus, prepared.recipe
    assert isinstance(corpus, LabelledTexts)
    with accelerator.main_process_first():
        more = augmented(corpus, augmentation, recipe.seed, recipe.cache)
        for line in more.remarks[len(corpus.remarks) :]:
            console.print(line, markup=False, soft_wrap=True)
        # Parts of speech are found in the new texts as well.
        sources = bundles(recipe.nodes, recipe.every_edge(), more)
        reading = replace(prepared.reading, corpus=more, sources=sources)
        return windows_of(reading, more.pages, list(more.train), labels=more.labels)


def dev_losses(
    prepared: Prepared, graph: StudentGraph, accelerator: Accelerator
) -> Callable[[], Mapping[str, float]]:
    """Gives a graph's loss, and that of each of its edges, on the dev texts.

    Every process computes them over all texts.
    """
    corpus = prepared.corpus
    if isinstance(corpus, LabelledTexts):
        windowed = prepared.everything.only(corpus.dev)
    else:
        reading = _with_dev_gold(prepared.reading, corpus)
        windowed = windows_of(reading, corpus.pages, corpus.dev.page_ids)
    collate = Collator(windowed, prepared.tokenizer)

    @torch.no_grad()
    def evaluate() -> Mapping[str, float]:
        model = prepared.student.eval()
        running, combined, moment = Running(), 0.0, Step(1.0)
        loader = DataLoader(windowed.rows, batch_size=DEV_BATCH, collate_fn=collate)
        batches = [{k: v.to(accelerator.device) for k, v in it.items()} for it in loader]
        totals = torch.stack([graph.totals(batch) for batch in batches]).sum(dim=0)
        for batch in batches:
            with accelerator.autocast():
                output = graph.ask(model, batch)
                sums = graph.losses(output, batch, moment)
            combined += float(graph.combine(sums, totals))
            running += Running.of(sums, torch.zeros(()))
        return {"loss": combined, **running.edge_means()}

    return evaluate


def _with_dev_gold(reading: Reading, corpus: Corpus) -> Reading:
    """The same with the gold of the dev pages in the place of that of the training pages."""
    gold = replace(corpus.dev.gold, name=corpus.train.gold.name)

    def instead(source: Annotations) -> Annotations:
        return gold if source is corpus.train.gold else source

    sources = {
        name: replace(
            bundle,
            sources=tuple(map(instead, bundle.sources)),
            counted=None if bundle.counted is None else instead(bundle.counted),
        )
        for name, bundle in reading.sources.items()
    }
    return replace(reading, sources=sources)
