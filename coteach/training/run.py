"""A whole run: read, tokenise, train the baselines and the student, score, write it all down."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from rich.console import Console

from coteach.data.classification import LabelledTexts
from coteach.data.corpus import Corpus
from coteach.data.files import replacing
from coteach.evaluation.shinra import total
from coteach.evaluation.thresholds import choose_thresholds, threshold_table
from coteach.model import StudentConfig
from coteach.recipe import Recipe
from coteach.training.checkpoint import recover_folder, replacing_folder
from coteach.training.classifying import class_evaluation, score_texts
from coteach.training.describe import describe, describe_input
from coteach.training.extracting import predict_split
from coteach.training.logs import Tracking, check_trackers
from coteach.training.loop import fit
from coteach.training.prepare import Prepared, load_data, prepare, prepare_gold_only
from coteach.training.processes import check_alone, check_plugins, processes, running_on
from coteach.training.record import write_recipe
from coteach.training.room import check_room, check_writable, size_on_disk
from coteach.training.scoring import score_run, span_evaluation
from coteach.training.stages import augmented_windows, fit_stages


def run(recipe: Recipe, folder: Path, console: Console | None = None) -> dict[str, Any]:
    """Carry a recipe out.

    Args:
        recipe: what to do.
        folder: for all that is written. A run that was interrupted there goes on from its last
            checkpoint, if its recipe was the same.
        console: for the tables; None for the terminal.

    Returns:
        The summary, as ``summary.json`` has it.

    Raises:
        InputError: something given cannot be used.
    """
    recipe.check()
    check_writable(folder, "no place for the run")
    check_writable(recipe.cache, "no place for tokenised pages")
    check_trackers(recipe.trackers)
    check_plugins(os.environ)
    warning = check_alone(os.environ) if processes().num_processes == 1 else None
    corpus = load_data(recipe)
    prepared = prepare(recipe, corpus)  # what cannot be trained leaves no folder behind
    tracking = Tracking(recipe, folder)
    accelerator = tracking.accelerator(folder)
    console = console or Console(highlight=False)
    console.quiet = not accelerator.is_main_process
    main = accelerator.is_main_process
    write_recipe(recipe, folder, accelerator.num_processes, is_main_process=main)
    if main:
        trainings = 1 + len(recipe.stages) + ("gold_only" in recipe.baselines)
        check_room(folder, trainings * size_on_disk(prepared.student))
    accelerator.wait_for_everyone()
    console.print(running_on(accelerator), markup=False)
    if warning is not None:
        console.print(f"warning: {warning}", markup=False, soft_wrap=True)

    describe_input(corpus, console)
    if "gold_only" in recipe.baselines:
        console.print("[bold]gold_only[/bold]: the same student, taught by the gold alone")
        _train(prepare_gold_only(prepared), folder / "gold_only", tracking, console)
    console.print(f"[bold]{recipe.name}[/bold]")
    dev = _train(prepared, folder, tracking, console)

    if isinstance(corpus, LabelledTexts):
        return score_texts(prepared, dev, folder, accelerator, console)
    return score_run(recipe, corpus, dev, folder, accelerator, console)


def _train(
    prepared: Prepared, folder: Path, tracking: Tracking, console: Console
) -> dict[str, Any]:
    """Train a prepared student into ``folder/student``, unless that is done already.

    Returns:
        What it reached on dev: the step of the student that was kept; its "score", by which runs
        are compared, higher being better, and the "score_name"; and its figures. For spans also
        the probability that selects, and as "f1" the micro-F1 of every probability as the student
        now gives it.
    """
    recipe = prepared.recipe
    folder.mkdir(parents=True, exist_ok=True)
    accelerator = tracking.accelerator(folder)
    if accelerator.is_main_process:
        recover_folder(folder / "student")
    describe(prepared, console)
    corpus = prepared.corpus

    def keep_in(place: Path) -> None:
        if accelerator.is_main_process:
            with replacing_folder(place) as target:
                prepared.student.save_pretrained(target)
                prepared.tokenizer.save_pretrained(target)

    fit_stages(prepared, folder, console, tracking, keep_in)
    windowed = prepared.windowed
    if recipe.augmentation is not None:
        windowed = augmented_windows(prepared, recipe.augmentation, accelerator, console)
    evaluation = class_evaluation if isinstance(corpus, LabelledTexts) else span_evaluation
    evaluate = evaluation(prepared, accelerator)

    with tracking(accelerator, folder):
        progress = fit(
            prepared.graph,
            windowed,
            prepared.tokenizer,
            recipe.optimisation,
            recipe.selection,
            recipe.seed,
            accelerator,
            folder,
            evaluate,
            lambda: keep_in(folder / "student"),
        )
    best = next(of for of in progress.history if of["step"] == progress.best_step)
    figures = {name: value for name, value in best.items() if name != "step"}
    result: dict[str, Any] = {"step": progress.best_step}
    if isinstance(corpus, LabelledTexts):
        result |= {"score": figures["accuracy"], "score_name": "accuracy", "figures": figures}
        console.print(
            f"Best dev {'loss' if recipe.selection.by == 'loss' else 'accuracy'}: loss "
            f"{figures['loss']:.4f}, accuracy {100 * figures['accuracy']:.2f} at step "
            f"{progress.best_step} of {progress.step}"
        )
    else:
        probability = recipe.selection.probability
        console.print(
            f"Best dev micro-F1 ({probability}): {100 * figures[probability]:.2f} at step "
            f"{progress.best_step} of {progress.step}"
        )
        if figures[probability] == 0:
            console.print(
                "[bold]Nothing right on the dev pages[/bold]: this student has not learnt the "
                "task; more epochs or other learning rates may help"
            )
        if recipe.selection.thresholds == "f1":
            figures["p"] = _choose_thresholds(
                prepared, corpus, folder / "student", accelerator, console
            )
        name = f"micro-F1 ({probability})"
        result |= {"score": figures[probability], "score_name": name}
        result |= {"probability": probability, "f1": figures}
    accelerator.wait_for_everyone()
    return result


def _choose_thresholds(
    prepared: Prepared,
    corpus: Corpus,
    student: Path,
    accelerator: Accelerator,
    console: Console,
) -> float:
    """Write the thresholds with the highest dev F1 into the kept student's configuration.

    Returns:
        The dev micro-F1 of p with them.
    """
    dev = corpus.dev
    _, results = predict_split(student, dev, corpus, accelerator, threshold=0.0)
    found = {page: result["p"] for page, result in zip(dev.page_ids, results, strict=True)}
    chosen = choose_thresholds(dev.gold.values, found, corpus.attributes)
    console.print(threshold_table(chosen))
    if accelerator.is_main_process:
        config = StudentConfig.from_pretrained(student)
        config.thresholds = {name: choice.threshold for name, choice in chosen.items()}
        with replacing(student / "config.json") as file:
            file.write(config.to_json_string())
    accelerator.wait_for_everyone()
    return total(choice.after for choice in chosen.values()).f1
