"""A whole run: read, tokenise, train the baselines and the student, score, write it all down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object
from rich.console import Console
from transformers import AutoTokenizer

from coteach.data.corpus import Corpus, load_corpus
from coteach.data.shinra import replacing, write_submission
from coteach.data.sources import Split
from coteach.evaluation.scoreboard import Scoreboard
from coteach.evaluation.tags import tag_counts, tags_of
from coteach.evaluation.vote import vote
from coteach.model.alignment import Tokens
from coteach.model.configuration import Probability
from coteach.model.extraction import Extraction, Extractor
from coteach.model.spans import Span
from coteach.model.student import Student
from coteach.recipe import Recipe
from coteach.training.checkpoint import replacing_folder
from coteach.training.describe import describe
from coteach.training.loop import fit
from coteach.training.prepare import Prepared, prepare, prepare_gold_only
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
    prepared = prepare(recipe, corpus)  # what cannot be trained leaves no folder behind
    accelerator = _accelerator(recipe, folder)
    console = console or Console(highlight=False)
    console.quiet = not accelerator.is_main_process
    if accelerator.is_main_process:
        write_recipe(recipe, folder)
    accelerator.wait_for_everyone()

    if "gold_only" in recipe.baselines:
        console.print("[bold]gold_only[/bold]: the same student, taught by the gold alone")
        _train(prepare_gold_only(prepared), folder / "gold_only", console)
    console.print(f"[bold]{recipe.name}[/bold]")
    _train(prepared, folder, console)

    summary = _score(recipe, corpus, folder, accelerator, console)
    accelerator.end_training()
    return summary


def _score(
    recipe: Recipe, corpus: Corpus, folder: Path, accelerator: Accelerator, console: Console
) -> dict[str, Any]:
    """Score everybody on the report pages; write and print the summary."""
    split = corpus.report or corpus.dev
    board = Scoreboard(split)
    for team in corpus.teams:
        board.add(team.name, "team", team.values)
    if "vote" in recipe.baselines and len(corpus.teams) > 1:
        for minimum in range(2, len(corpus.teams) + 1):
            voted = vote(corpus.teams, minimum, split.page_ids)
            board.add(voted.name, "baseline", voted.values)
    if "gold_only" in recipe.baselines:
        _, found = _predict(folder / "gold_only" / "student", split, corpus, accelerator)
        board.add("gold_only", "baseline", _values(split, found, "p"))
    tokens, found = _predict(folder / "student", split, corpus, accelerator)
    gold_tags = [
        tags_of(split.gold.values.get(page_id, ()), page, corpus.attributes)
        for page_id, page in zip(split.page_ids, tokens, strict=True)
    ]
    tag_figures = {}
    for name in found[0]:
        values = _values(split, found, name)
        board.add(f"student:{name}", "student", values)
        tags = [
            tags_of(spans, page, corpus.attributes)
            for spans, page in zip(values.values(), tokens, strict=True)
        ]
        counts = tag_counts(gold_tags, tags)
        tag_figures[f"student:{name}"] = {
            "precision": counts.precision,
            "recall": counts.recall,
            "f1": counts.f1,
        }
    summary = {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "pages": {"training": len(corpus.page_ids), "labelled": len(corpus.train.page_ids)},
        "scores": board.as_json(),
        "iob2_strict": {"split": split.name, **tag_figures},
    }
    if accelerator.is_main_process:
        pages = (corpus.pages[page_id] for page_id in split.page_ids)
        write_submission(
            folder / f"{split.name}.json",
            zip(pages, (result["p"] for result in found), strict=True),
        )
        with replacing(folder / "summary.json") as file:
            json.dump(summary, file, ensure_ascii=False, indent=2)
    title = f"{recipe.name}: micro-averaged on the {len(split.page_ids)} {split.name} pages"
    if corpus.report is None:
        title += "; selection saw these pages: give data.report for a fair table"
    console.print(board.table(title))
    if corpus.teams:
        console.print("F1 − best team: with its 95 % interval, paired bootstrap over the pages")
    shown = ", ".join(f"{name} {100 * f['f1']:.2f}" for name, f in tag_figures.items())
    console.print(f"F1 of the tags (strict IOB2, on the student's tokens): {shown}")
    console.print(f"Student: {folder / 'student'}", soft_wrap=True)
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
    for tracker in accelerator.trackers:
        tracker.finish()  # end_training would also part the processes, which still score
    accelerator.wait_for_everyone()


def _predict(
    folder: Path, split: Split, corpus: Corpus, accelerator: Accelerator
) -> tuple[list[Tokens], list[Extraction]]:
    """The tokens of a split's pages, and what the student in ``folder`` finds in them."""
    student = Student.from_pretrained(folder).to(accelerator.device)
    extractor = Extractor(student, AutoTokenizer.from_pretrained(folder))
    tokens = [extractor.aligner(corpus.pages[page_id].text) for page_id in split.page_ids]
    return tokens, extract(extractor, tokens, accelerator)


def extract(
    extractor: Extractor, tokens: Sequence[Tokens], accelerator: Accelerator
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


def _values(
    split: Split, results: Sequence[Extraction], name: Probability
) -> dict[str, list[Span]]:
    return {
        page_id: [span for span, _ in result[name]]
        for page_id, result in zip(split.page_ids, results, strict=True)
    }


def _accelerator(recipe: Recipe, folder: Path) -> Accelerator:
    return Accelerator(
        mixed_precision=recipe.optimisation.precision, log_with="tensorboard", project_dir=folder
    )
