"""What a prepared recipe is, for people: the graph, the data, and what training would cost."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from accelerate import Accelerator
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from coteach.data.batches import plan_epoch
from coteach.data.classification import LabelledTexts
from coteach.data.collator import Collator
from coteach.data.corpus import Corpus
from coteach.data.windowed import Windowed
from coteach.graph.build import StudentGraph
from coteach.graph.edges import BoundEdge
from coteach.graph.gates import Step
from coteach.graph.objectives import LearnedWeighting
from coteach.model.configuration import OUTPUT_HEAD
from coteach.model.layers import absolute
from coteach.recipe import Recipe, Stage
from coteach.training.logs import check_trackers
from coteach.training.loop import train_step
from coteach.training.optimizers import build_optimizer
from coteach.training.plan import Plan
from coteach.training.prepare import Prepared, load_data, prepare, prepare_gold_only
from coteach.training.recomputing import recompute_layers
from coteach.training.room import check_writable
from coteach.training.stages import stage_windows

TRIAL_STEPS = 5
MANY = 0.1  # the share of words that miss their tokens from which on it is said


def dry_run(recipe: Recipe, console: Console | None = None) -> None:
    """Check a recipe, describe it, and estimate its time and memory; write nothing but the cache.

    The estimate comes from some steps that are really taken: one of the longest windows, for the
    memory, and a seeded sample of the others, for the time. They are thrown away.
    """
    console = console or Console(highlight=False)
    recipe.check()
    check_trackers(recipe.trackers)
    check_writable(recipe.cache, "no place for tokenised pages")
    corpus = load_data(recipe)
    describe_input(corpus, console)
    prepared = prepare(recipe, corpus)
    parts = [prepared]
    if "gold_only" in recipe.baselines:
        parts.append(prepare_gold_only(prepared))
    for part in parts:
        console.print(f"[bold]{part.recipe.name}[/bold]")
        describe(part, console)
        for stage in part.recipe.stages:
            console.print(f"stage {stage}: {estimate(part, console, stage)}")
        console.print(estimate(part, console))


def estimate(prepared: Prepared, console: Console, name: str | None = None) -> str:
    """Time and memory of a stage, measured on a few steps.

    Args:
        prepared: its student is changed.
        console: for what is to be told of the texts that the stage reads.
        name: of the stage; None: the main one.
    """
    recipe = prepared.recipe
    stage: Recipe | Stage = recipe if name is None else recipe.stages[name]
    graph = prepared.graph if name is None else prepared.stages[name]
    data = stage.augmentation if isinstance(stage, Recipe) else stage.data
    optimisation = stage.optimisation
    accelerator = Accelerator(mixed_precision=optimisation.precision)
    windowed = stage_windows(prepared, data, accelerator, console)
    plan = Plan.of(len(windowed.rows), optimisation, stage.selection, accelerator.num_processes)
    recompute_layers(prepared.student, optimisation.gradient_checkpointing)
    optimizer = build_optimizer(prepared.student, optimisation, graph.parameters())
    graph.to(accelerator.device)
    model, optimizer = accelerator.prepare(prepared.student, optimizer)
    collate = Collator(windowed, prepared.tokenizer)
    lengths = windowed.lengths
    longest = np.argsort(-lengths, kind="stable")[: optimisation.batch_size].tolist()
    sample = plan_epoch(
        lengths, optimisation.batch_size, 1, recipe.seed, 0, optimisation.group_by_length
    )
    chosen = [longest, *(step[0] for step in islice(sample, TRIAL_STEPS))]
    batches = [collate([windowed.rows[row] for row in rows]) for rows in chosen]
    if graph.teachers:  # who in a training are asked before
        graph.remember(windowed, batches, accelerator.device)
    seconds, tokens = 0.0, 0
    model.train()
    for number, (rows, batch) in enumerate(zip(chosen, batches, strict=True)):
        start = time.perf_counter()
        train_step(model, graph, [batch], accelerator, Step(0.0, number))
        optimizer.step()
        optimizer.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if number > 0:  # the first step also warms up
            seconds += time.perf_counter() - start
            tokens += int(lengths[rows].sum())
    total = seconds / max(tokens, 1) * int(lengths.sum()) * optimisation.epochs
    total /= accelerator.num_processes
    accelerator.unwrap_model(model, keep_fp32_wrapper=False)  # for the next stage
    return (
        f"{plan.total:,} steps, {plan.per_epoch:,} an epoch; about {_duration(total)} for the "
        f"steps on this machine, evaluations apart; peak memory {_peak_memory()}"
    )


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def _peak_memory() -> str:
    if torch.cuda.is_available():
        return f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB of the GPU"
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes elsewhere
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30:.1f} GiB"


def describe_input(corpus: Corpus | LabelledTexts, console: Console) -> None:
    """Print what was skipped, changed or remarkable in the files that were read."""
    lines = corpus.remarks if isinstance(corpus, LabelledTexts) else corpus.defects.report()
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def describe(prepared: Prepared, console: Console) -> None:
    """Print the graph, the data and how the spans fit the tokens."""
    for name, graph in prepared.stages.items():
        console.print(_edges(prepared, graph, f"Who teaches whom in stage {escape(name)}"))
    console.print(_edges(prepared, prepared.graph, "Who teaches whom"))
    for name, edge in prepared.graph.edges.items():
        if (
            isinstance(edge, BoundEdge)
            and edge.class_weights is not None
            and edge.answer.unit == "attributes"
        ):
            classes = ", ".join(f"{w:.3f}" for w in edge.class_weights.mean(dim=0).tolist())
            console.print(
                f"Class weights of edge {name!r} (O, B, I; mean over attributes): {classes}"
            )

    sources = [source.name for of in prepared.sources.values() for source in of.sources]
    tagged = [of.tags.annotations.name for of in prepared.sources.values() if of.tags is not None]
    if sources or tagged:
        console.print(_fits(prepared.everything, [*sources, *tagged]))
    for line in _remarks(prepared, tagged):
        console.print(line, soft_wrap=True)
    gold_fit = prepared.windowed.fits.get("gold")
    if gold_fit is not None and gold_fit.total:
        missed = gold_fit.total - gold_fit.exact
        console.print(
            f"{missed} of {gold_fit.total} gold spans ({100 * missed / gold_fit.total:.1f} %) "
            "cannot be hit exactly with these tokens."
        )
    if adopted := prepared.student.adopted:
        config = prepared.student.config
        heads = [OUTPUT_HEAD] if config.classes else config.head_names
        heads = [*heads, *(head["name"] for head in config.auxiliary_heads)]
        new = [name for name in heads if name not in adopted]
        console.print(
            f"Goes on from a student: heads that keep what they know: {', '.join(adopted)}; "
            f"new: {', '.join(new) or 'none'}"
        )
    console.print(_size(prepared))


def _edges(prepared: Prepared, graph: StudentGraph, title: str) -> Table:
    """The edges of a stage."""
    table = Table(
        title=title,
        title_justify="left",
        caption="weight: the edge's × the source's, mean over attributes (lowest to highest)",
        caption_justify="left",
    )
    for heading in ("edge", "from", "to head", "layer", "loss", "weight"):
        table.add_column(heading, overflow="fold")
    for name, edge in graph.edges.items():
        spec = edge.edge
        for number, (member, head) in enumerate(zip(edge.members, edge.names, strict=True)):
            weights = edge.weights[number]
            shown = f"{spec.weight:g} × {float(weights.mean()):.2f}"
            if float(weights.max() - weights.min()) > 1e-6:
                shown += f" ({float(weights.min()):.2f} to {float(weights.max()):.2f})"
            loss = type(spec.loss).__name__ if number == 0 else "″"
            if isinstance(graph.objective, LearnedWeighting):
                shown = f"learned × {shown}"
            where = edge.where
            if isinstance(edge, BoundEdge):
                where = str(absolute(spec.layer, prepared.student.encoder.config.num_hidden_layers))
            table.add_row(name, member, head, where, loss, shown)
    return table


def _fits(windowed: Windowed, sources: Sequence[str]) -> Table:
    """How the spans of sources fit the tokens."""
    data = Table(
        title="Data",
        title_justify="left",
        caption="grown: an end lies inside a token, which is taken whole; overlapping: left out "
        "for another span of the same attribute; lost: without a token",
        caption_justify="left",
    )
    for heading in ("source", "pages", "spans", "exact", "grown", "overlapping", "lost"):
        data.add_column(heading, justify="left" if heading == "source" else "right")
    for name in sources:
        fit = windowed.fits[name]
        figures = (fit.total, fit.exact, fit.grown, fit.overlapping, fit.lost)
        shown = (f"{figure:,}" for figure in (windowed.processed[name], *figures))
        data.add_row(name, *shown)
    return data


def _remarks(prepared: Prepared, tagged: Sequence[str]) -> Iterator[str]:
    """What a user of parts of speech should know of their labels."""
    windowed = prepared.everything
    for name in tagged:
        fit = windowed.fits[name]
        tags, (counts,) = windowed.tag_sources[name], windowed.tag_counts(name).tolist()
        for tag, count in zip(tags, counts, strict=True):
            if tag.startswith("B-") and not count:
                kind = tag.removeprefix("B-")
                yield f"[bold]No word of class {escape(kind)}[/bold] in what {name} reads."
        missed = (fit.grown + fit.lost) / max(fit.total, 1)
        if missed > MANY:
            yield (
                f"{100 * missed:.0f} % of the words of {name} do not begin and end with tokens; "
                'with words="part_of_speech" they would.'
            )


def _size(prepared: Prepared) -> str:
    """How much there is to learn from, and how many parameters learn."""
    corpus, windowed = prepared.corpus, prepared.windowed
    if isinstance(corpus, LabelledTexts):
        splits = {"training": corpus.train, "dev": corpus.dev, "report": corpus.report or ()}
        shown = ", ".join(f"{len(ids):,} {name}" for name, ids in splits.items())
        cut = prepared.everything.cut
        text = f"{shown} texts, {len(corpus.classes)} classes"
        if cut:
            text += f"; {cut:,} are longer than a window of {prepared.student.config.window} tokens"
            text += ", of which the rest is not read"
    else:
        text = (
            f"{windowed.pages:,} training pages with text, {len(windowed.rows):,} windows, "
            f"{len(corpus.attributes)} attributes"
        )
    parameters = list(prepared.student.parameters())
    learning = sum(p.numel() for p in parameters if p.requires_grad)
    text += f"; {sum(p.numel() for p in parameters) / 1e6:.1f} M parameters"
    frozen = any(not p.requires_grad for p in parameters)
    return text + (f", of which {learning / 1e6:.2f} M learn" if frozen else "")
