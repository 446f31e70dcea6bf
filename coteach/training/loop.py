"""The training loop: steps, evaluations, checkpoints. It names no method."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from coteach.data.batches import plan_epoch
from coteach.data.collator import Collator
from coteach.data.windowed import Windowed
from coteach.graph.build import StudentGraph
from coteach.graph.gates import Step
from coteach.model.student import StudentOutput
from coteach.recipe import Optimisation, Selection
from coteach.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from coteach.training.logs import Log
from coteach.training.optimizers import build_optimizer, build_schedule
from coteach.training.plan import Plan, Progress
from coteach.training.preemption import Preemption, Stopped
from coteach.training.processes import launched
from coteach.training.recomputing import recompute_layers
from coteach.training.running import Running

LOG_EVERY = 10  # steps between two lines of the log
TEACHER_BATCH = 32  # windows that a teacher is asked about at once


def fit(
    graph: StudentGraph,
    windowed: Windowed,
    tokenizer: Any,
    optimisation: Optimisation,
    selection: Selection,
    seed: int,
    accelerator: Accelerator,
    folder: Path,
    evaluate: Callable[[], Mapping[str, float]],
    keep: Callable[[], None],
) -> Progress:
    """Train a graph's student.

    Args:
        graph: the student and the edges into it.
        windowed: the training windows.
        tokenizer: for the special tokens of a batch.
        optimisation: how the weights move.
        selection: when to evaluate, what decides, when to stop.
        seed: of the order of windows and of dropout, which depend on nothing but it, the step
            and the process; so a resumed run sees what an uninterrupted one sees.
        accelerator: device, precision, processes.
        folder: of the run; a checkpoint found there is gone on from.
        evaluate: the figures of the student as it is, by name; on every process.
        keep: called when the figure that selection names is the best so far.

    Raises:
        InputError: the checkpoint is damaged, or something cannot be written.
        Stopped: by a signal, after a step and its checkpoint.
    """
    plan = Plan.of(len(windowed.rows), optimisation, selection, accelerator.num_processes)
    recompute_layers(graph.student, optimisation.gradient_checkpointing)
    optimizer = build_optimizer(graph.student, optimisation, graph.parameters())
    schedule = build_schedule(optimizer, optimisation, plan.total)
    progress = Progress()
    checkpoints = folder / "checkpoints"
    if (checkpoint := latest_checkpoint(checkpoints)) is not None:
        _, state = load_checkpoint(checkpoint, graph.student, optimizer, graph.learned)
        schedule.load_state_dict(state["schedule"])
        progress = Progress(**state["progress"])
        if accelerator.scaler is not None:
            accelerator.scaler.load_state_dict(state["scaler"])
    # First: a loaded optimiser's state goes where its parameters are.
    graph.to(accelerator.device)
    model, optimizer = accelerator.prepare(graph.student, optimizer)
    log = Log(folder / "log.jsonl", accelerator)
    log.keep_until(progress.step)
    engines = {name: edge.engine for name, edge in graph.edges.items() if edge.engine is not None}
    for name, engine in engines.items():
        accelerator.print(f"edge {name!r}: gradients by {engine}")
    if engines and not progress.step:
        log.note("engines", 0, **engines)
    if not _is_over(plan, progress, selection):
        log.note("launch", progress.step, **launched(accelerator))

    collate = Collator(windowed, tokenizer)
    if graph.teachers and progress.step < plan.total:
        _ask_teachers(graph, windowed, collate, accelerator)
    running, since = Running(), time.perf_counter()
    saved = time.monotonic()
    micro_batches = _micro_batches(
        windowed, collate, optimisation, seed, plan, progress, accelerator
    )
    with (
        Preemption() as preemption,
        tqdm(
            total=plan.total,
            initial=progress.step,
            desc="train",
            unit="step",
            mininterval=0.5 if sys.stderr.isatty() else 60,  # a log file needs fewer lines
            disable=not accelerator.is_local_main_process,
        ) as bar,
    ):
        if progress.step:
            bar.write(f"going on from step {progress.step}")
        while not _is_over(plan, progress, selection):
            model.train()
            batches = list(islice(micro_batches, optimisation.accumulation))
            # After the batches: a loader that starts, as a resumed run's does, draws a number too.
            set_seed((seed * 1_000_003 + progress.step) % 2**31, device_specific=True)
            moment = Step(progress=progress.step / plan.total, number=progress.step)
            running += train_step(model, graph, batches, accelerator, moment)
            for parameter in graph.parameters():  # data-parallel training knows the student only
                if parameter.grad is not None:  # its edge's gate may be shut
                    parameter.grad = accelerator.reduce(parameter.grad, "mean")
            if optimisation.clip_norm is not None:
                accelerator.clip_grad_norm_(model.parameters(), optimisation.clip_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            progress.step += 1
            bar.update()
            if progress.step % LOG_EVERY == 0 or progress.step == plan.total:
                losses = running.means(accelerator)
                seconds, since = time.perf_counter() - since, time.perf_counter()
                log(
                    "train",
                    progress.step,
                    epoch=progress.step / plan.per_epoch,
                    learning_rate=float(schedule.get_last_lr()[0]),
                    seconds=seconds,
                    **losses,
                    **graph.figures(),
                )
                bar.set_postfix(loss=f"{losses['loss']:.4f}", refresh=False)
                running = Running()
            evaluated = progress.step % plan.evaluate_every == 0 or progress.step == plan.total
            if evaluated:
                figures = dict(evaluate())
                log("dev", progress.step, epoch=progress.step / plan.per_epoch, **figures)
                progress.history.append({"step": progress.step, **figures})
                figure = selection.figure(figures)
                is_last = selection.by == "last"
                if progress.best is None or figure > progress.best or is_last:
                    progress.best, progress.best_step, progress.waited = figure, progress.step, 0
                    keep()
                else:
                    progress.waited += 1
                bar.write(_line(progress, figures))
            stop = preemption.stop(accelerator)
            by_clock = time.monotonic() - saved >= 60 * selection.checkpoint_every
            if (evaluated or by_clock or stop) and accelerator.is_main_process:
                state = {
                    "schedule": schedule.state_dict(),
                    "progress": asdict(progress),
                }
                if accelerator.scaler is not None:
                    state["scaler"] = accelerator.scaler.state_dict()
                save_checkpoint(
                    checkpoints,
                    progress.step,
                    accelerator.unwrap_model(model),
                    optimizer,
                    state,
                    graph.learned,
                )
                saved = time.monotonic()
            if evaluated or stop:  # all processes; their clocks may differ
                accelerator.wait_for_everyone()
            if stop:
                raise Stopped(stop, progress.step, plan.total, folder)
    # Another stage prepares the same student again: it must not find the autocast of this one.
    accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    return progress


def train_step(
    model: nn.Module,
    graph: StudentGraph,
    batches: list[dict[str, Tensor]],
    accelerator: Accelerator,
    moment: Step,
) -> Running:
    """Forward and backward of one step's micro-batches; the gradients are left in the model."""
    batches = [{k: v.to(accelerator.device) for k, v in batch.items()} for batch in batches]
    totals = torch.stack([graph.totals(batch) for batch in batches]).sum(dim=0)
    totals = accelerator.reduce(totals, "sum")
    running = Running()
    for number, batch in enumerate(batches):
        is_last = number == len(batches) - 1
        with contextlib.nullcontext() if is_last else accelerator.no_sync(model):
            output = graph.ask(model, batch)
            with accelerator.autocast():  # some edges run models themselves
                sums = graph.losses(output, batch, moment)
            loss = graph.combine(sums, totals) + _nothing(output)
            # Data-parallel training averages gradients over processes; ours are shares of a sum.
            accelerator.backward(loss * accelerator.num_processes)
        running += Running.of(sums, loss, int(is_last))
    return running


def _nothing(output: StudentOutput) -> Tensor:
    """0, which depends on the heads' answers: where no open edge reads them, what they depend on
    has a gradient of 0, not none, for which data-parallel training would wait."""
    answers = [it for it in (output.logits, *(output.tags or ())) if it is not None]
    return torch.stack([answer[:0].sum() for answer in answers]).sum()


def _ask_teachers(
    graph: StudentGraph, windowed: Windowed, collate: Collator, accelerator: Accelerator
) -> None:
    """Let frozen teachers answer about all windows, once; the main process writes it down."""
    order = np.argsort(-windowed.lengths, kind="stable")
    pieces = [order[n : n + TEACHER_BATCH].tolist() for n in range(0, len(order), TEACHER_BATCH)]
    loader = DataLoader(windowed.rows, batch_sampler=pieces, collate_fn=collate)
    with accelerator.main_process_first():
        bar = tqdm(
            loader,
            desc="ask the teacher",
            unit="batch",
            leave=False,
            mininterval=0.5 if sys.stderr.isatty() else 60,
            disable=not accelerator.is_local_main_process,
        )
        for line in graph.remember(windowed, bar, accelerator.device):
            accelerator.print(line)


def _micro_batches(
    windowed: Windowed,
    collate: Collator,
    optimisation: Optimisation,
    seed: int,
    plan: Plan,
    progress: Progress,
    accelerator: Accelerator,
) -> Iterator[dict[str, Tensor]]:
    """This process's micro-batches from the next step on, epoch after epoch."""
    epoch, done = divmod(progress.step, plan.per_epoch)
    while True:
        steps = plan_epoch(
            windowed.lengths,
            optimisation.batch_size,
            optimisation.accumulation * accelerator.num_processes,
            seed,
            epoch,
            optimisation.group_by_length,
        )
        mine = (
            piece
            for step in islice(steps, done, None)
            for piece in step[accelerator.process_index :: accelerator.num_processes]
        )
        yield from DataLoader(windowed.rows, batch_sampler=mine, collate_fn=collate)
        epoch, done = epoch + 1, 0


def _is_over(plan: Plan, progress: Progress, selection: Selection) -> bool:
    out_of_patience = selection.patience is not None and progress.waited >= selection.patience
    return progress.step >= plan.total or out_of_patience


def _line(progress: Progress, figures: Mapping[str, float]) -> str:
    shown = "  ".join(
        f"{name} {value:.4f}" if name.startswith("loss") else f"{name} {100 * value:.2f}"
        for name, value in figures.items()
    )
    what = "" if "loss" in figures else "micro-F1  "
    mark = "  (best)" if progress.best_step == progress.step else ""
    return f"step {progress.step}: dev {what}{shown}{mark}"
