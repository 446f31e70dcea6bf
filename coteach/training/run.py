"""A whole run: read, tokenise, train the baselines and the student, score, write it all down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelerate import Accelerator
from rich.console import Console

from coteach.data.corpus import load_corpus
from coteach.data.files import replacing
from coteach.evaluation.scoreboard import Scoreboard
from coteach.evaluation.shinra import total
from coteach.evaluation.thresholds import choose_thresholds, threshold_table
from coteach.model import StudentConfig
from coteach.model.extraction import Extractor
from coteach.recipe import Recipe
from coteach.training.checkpoint import recover_folder, replacing_folder
from coteach.training.describe import describe, describe_defects
from coteach.training.extracting import extract, predict_split, values_of
from coteach.training.loop import fit
from coteach.training.prepare import Prepared, prepare, prepare_gold_only
from coteach.training.record import write_recipe
from coteach.training.room import check_room, check_writable, size_on_disk
from coteach.training.scoring import score_run


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
    corpus = load_corpus(recipe.data, recipe.seed, recipe.cache)
    prepared = prepare(recipe, corpus)  # what cannot be trained leaves no folder behind
    accelerator = _accelerator(recipe, folder)
    console = console or Console(highlight=False)
    console.quiet = not accelerator.is_main_process
    if accelerator.is_main_process:
        write_recipe(recipe, folder)
        trainings = 2 if "gold_only" in recipe.baselines else 1
        check_room(folder, trainings * size_on_disk(prepared.student))
    accelerator.wait_for_everyone()

    describe_defects(corpus, console)
    if "gold_only" in recipe.baselines:
        console.print("[bold]gold_only[/bold]: the same student, taught by the gold alone")
        _train(prepare_gold_only(prepared), folder / "gold_only", console)
    console.print(f"[bold]{recipe.name}[/bold]")
    dev = _train(prepared, folder, console)

    return score_run(recipe, corpus, dev, folder, accelerator, console)


def _train(prepared: Prepared, folder: Path, console: Console) -> dict[str, Any]:
    """Train a prepared student into ``folder/student``, unless that is done already.

    Returns:
        What it reached on dev: the probability that selects, the step of the student that was
        kept, and the micro-F1 of every probability as the student now gives it.
    """
    recipe = prepared.recipe
    folder.mkdir(parents=True, exist_ok=True)
    accelerator = _accelerator(recipe, folder)
    if accelerator.is_main_process:
        recover_folder(folder / "student")
    accelerator.init_trackers("tensorboard")
    describe(prepared, console)
    dev = prepared.corpus.dev
    extractor = Extractor(prepared.student, prepared.tokenizer)
    tokens = [extractor.aligner(prepared.corpus.pages[page_id].text) for page_id in dev.page_ids]

    def evaluate() -> dict[str, float]:
        results = extract(extractor, tokens, accelerator)
        board = Scoreboard(dev)
        return {
            name: board.add(name, "student", values_of(dev, results, name))
            for name in prepared.student.config.probability_names
        }

    def keep() -> None:
        if accelerator.is_main_process:
            with replacing_folder(folder / "student") as target:
                prepared.student.save_pretrained(target)
                prepared.tokenizer.save_pretrained(target)

    progress = fit(
        prepared.graph,
        prepared.windowed,
        prepared.tokenizer,
        recipe.optimisation,
        recipe.selection,
        recipe.seed,
        accelerator,
        folder,
        evaluate,
        keep,
    )
    console.print(
        f"Best dev micro-F1 ({recipe.selection.probability}): {100 * progress.best:.2f} at step "
        f"{progress.best_step} of {progress.step}"
    )
    if progress.best == 0:
        console.print(
            "[bold]Nothing right on the dev pages[/bold]: this student has not learnt the task; "
            "more epochs or other learning rates may help"
        )
    best = next(of for of in progress.history if of["step"] == progress.best_step)
    figures = {name: f1 for name, f1 in best.items() if name != "step"}
    if recipe.selection.thresholds == "f1":
        figures["p"] = _choose_thresholds(prepared, folder / "student", accelerator, console)
    for tracker in accelerator.trackers:
        tracker.finish()  # end_training would also part the processes, which still score
    accelerator.wait_for_everyone()
    return {
        "probability": recipe.selection.probability,
        "step": progress.best_step,
        "f1": figures,
    }


def _choose_thresholds(
    prepared: Prepared, student: Path, accelerator: Accelerator, console: Console
) -> float:
    """Write the thresholds with the highest dev F1 into the kept student's configuration.

    Returns:
        The dev micro-F1 of p with them.
    """
    dev = prepared.corpus.dev
    _, results = predict_split(student, dev, prepared.corpus, accelerator, threshold=0.0)
    found = {page: result["p"] for page, result in zip(dev.page_ids, results, strict=True)}
    chosen = choose_thresholds(dev.gold.values, found, prepared.corpus.attributes)
    console.print(threshold_table(chosen))
    if accelerator.is_main_process:
        config = StudentConfig.from_pretrained(student)
        config.thresholds = {name: choice.threshold for name, choice in chosen.items()}
        with replacing(student / "config.json") as file:
            file.write(config.to_json_string())
    accelerator.wait_for_everyone()
    return total(choice.after for choice in chosen.values()).f1


def _accelerator(recipe: Recipe, folder: Path) -> Accelerator:
    return Accelerator(
        mixed_precision=recipe.optimisation.precision, log_with="tensorboard", project_dir=folder
    )
