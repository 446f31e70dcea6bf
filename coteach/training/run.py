"""A whole run: read, tokenise, train the baselines and the student, score, write it all down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from rich.console import Console
from transformers import AutoTokenizer

from coteach.data.corpus import Corpus, Split, load_corpus
from coteach.data.shinra import replacing, write_submission
from coteach.errors import InputError
from coteach.evaluation.scoreboard import Scoreboard
from coteach.evaluation.vote import vote
from coteach.model.extraction import Extraction, Extractor
from coteach.model.student import Student
from coteach.recipe import Recipe, gold_only
from coteach.training.checkpoint import replacing_folder
from coteach.training.describe import describe
from coteach.training.loop import fit
from coteach.training.prepare import Prepared, prepare
from coteach.training.record import write_recipe


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
    corpus = load_corpus(recipe.data, recipe.seed)
    accelerator = _accelerator(recipe, folder)
    console = console or Console(highlight=False)
    console.quiet = not accelerator.is_main_process
    if accelerator.is_main_process:
        write_recipe(recipe, folder)
    accelerator.wait_for_everyone()

    if "gold_only" in recipe.baselines:
        console.print("[bold]gold_only[/bold]: the same student, taught by the gold alone")
        _train(prepare(gold_only(recipe), corpus), folder / "gold_only", console)
    console.print(f"[bold]{recipe.name}[/bold]")
    prepared = prepare(recipe, corpus)
    _train(prepared, folder, console)

    split = corpus.report or corpus.dev
    board = Scoreboard(split)
    for source in corpus.teams:
        board.add(source.name, "team", source.values)
    if "vote" in recipe.baselines and len(corpus.teams) > 1:
        for minimum in range(2, len(corpus.teams) + 1):
            voted = vote(corpus.teams, minimum, split.page_ids)
            board.add(voted.name, "baseline", voted.values)
    if "gold_only" in recipe.baselines:
        results = _predict(folder / "gold_only", recipe, split, corpus, accelerator)
        board.add("gold_only", "baseline", _values(split, results, "p"))
    results = _predict(folder, recipe, split, corpus, accelerator)
    for name in results[0] if results else ():
        board.add(f"student:{name}", "student", _values(split, results, name))
    if accelerator.is_main_process:
        pages = (corpus.pages[page_id] for page_id in split.page_ids)
        write_submission(
            folder / f"{split.name}.json",
            zip(pages, (result["p"] for result in results), strict=True),
        )
    summary = {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "pages": {"training": len(corpus.page_ids), "labelled": len(corpus.train.page_ids)},
        "scores": board.as_json(),
    }
    if accelerator.is_main_process:
        with replacing(folder / "summary.json") as file:
            json.dump(summary, file, ensure_ascii=False, indent=2)
    kind = "" if corpus.report else "; selection saw these pages: give data.report for a fair table"
    title = f"{recipe.name}: micro-averaged on the {len(split.page_ids)} {split.name} pages{kind}"
    console.print(board.table(title))
    console.print(f"Student: {folder / 'student'}")
    accelerator.end_training()
    return summary


def _train(prepared: Prepared, folder: Path, console: Console) -> None:
    """Train a prepared student into ``folder/student``, unless that is done already."""
    recipe = prepared.recipe
    folder.mkdir(parents=True, exist_ok=True)
    accelerator = _accelerator(recipe, folder)
    accelerator.init_trackers("tensorboard")
    describe(prepared, console)
    dev = prepared.corpus.dev
    extractor = Extractor(prepared.student, prepared.tokenizer)
    tokens = [extractor.aligner(prepared.corpus.pages[page_id].text) for page_id in dev.page_ids]

    def evaluate() -> dict[str, float]:
        results = extract(extractor, tokens, accelerator)
        board = Scoreboard(dev)
        return {
            name: board.add(name, "student", _values(dev, results, name))
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
    accelerator.end_training()
    accelerator.wait_for_everyone()


def _predict(
    folder: Path, recipe: Recipe, split: Split, corpus: Corpus, accelerator: Accelerator
) -> list[Extraction]:
    """What the kept student of a folder finds on a split."""
    student = Student.from_pretrained(folder / "student").to(accelerator.device)
    tokenizer = AutoTokenizer.from_pretrained(folder / "student")
    extractor = Extractor(student, tokenizer)
    tokens = [extractor.aligner(corpus.pages[page_id].text) for page_id in split.page_ids]
    return extract(extractor, tokens, accelerator)


def extract(
    extractor: Extractor, tokens: Sequence[Any], accelerator: Accelerator
) -> list[Extraction]:
    """Run an extractor in evaluation mode, the pages shared among the processes."""
    extractor.student.eval()
    mine = range(accelerator.process_index, len(tokens), accelerator.num_processes)
    with accelerator.autocast():
        results = extractor.from_tokens(tokens[number] for number in mine)
        numbered = list(zip(mine, results, strict=True))
    if accelerator.num_processes > 1:
        numbered = gather_object(numbered)
    return [result for _, result in sorted(numbered, key=lambda it: it[0])]


def _values(split: Split, results: Sequence[Extraction], name: Any) -> dict[str, list[Any]]:
    return {
        page_id: [span for span, _ in result[name]]
        for page_id, result in zip(split.page_ids, results, strict=True)
    }


def _accelerator(recipe: Recipe, folder: Path) -> Accelerator:
    precision = recipe.optimisation.precision
    if precision == "fp16" and not torch.cuda.is_available():
        raise InputError(
            "optimisation.precision: 'fp16' needs a GPU and none was found; expected 'no' or 'bf16'"
        )
    return Accelerator(mixed_precision=precision, log_with="tensorboard", project_dir=folder)
