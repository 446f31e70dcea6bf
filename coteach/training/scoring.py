"""Students that extract spans: their figures on dev, the table at the end of a run, its files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from rich.console import Console

from coteach.aggregation import label_baselines
from coteach.data.corpus import Corpus
from coteach.data.files import replacing
from coteach.data.shinra import write_submission
from coteach.evaluation.scoreboard import Scoreboard
from coteach.evaluation.tags import tag_counts, tags_of
from coteach.model.extraction import Extractor
from coteach.recipe import Recipe
from coteach.training.extracting import extract, predict_split, values_of
from coteach.training.prepare import Prepared

__all__ = ["score_run", "span_evaluation"]


def span_evaluation(
    prepared: Prepared, accelerator: Accelerator
) -> Callable[[], Mapping[str, float]]:
    """Gives the micro-F1 on the dev pages of a prepared student, as it is, by probability."""
    corpus = prepared.corpus
    assert isinstance(corpus, Corpus)
    extractor = Extractor(prepared.student, prepared.tokenizer)
    tokens = [extractor.aligner(corpus.pages[page_id].text) for page_id in corpus.dev.page_ids]

    def evaluate() -> Mapping[str, float]:
        results = extract(extractor, tokens, accelerator)
        board = Scoreboard(corpus.dev)
        return {
            name: board.add(name, "student", values_of(corpus.dev, results, name))
            for name in prepared.student.config.probability_names
        }

    return evaluate


def score_run(
    recipe: Recipe,
    corpus: Corpus,
    dev: Mapping[str, Any],
    folder: Path,
    accelerator: Accelerator,
    console: Console,
) -> dict[str, Any]:
    """Score everybody on the report pages; write and print the summary.

    Args:
        recipe: what was run.
        corpus: its data.
        dev: what the kept student reached on dev, for the summary.
        folder: of the run.
        accelerator: precision and processes.
        console: for the tables.

    Returns:
        The summary.
    """
    split = corpus.report or corpus.dev
    board = Scoreboard(split)
    for team in corpus.teams:
        board.add(team.name, "team", team.values)
    for labels in label_baselines(recipe.baselines, corpus, split):
        board.add(labels.name, "baseline", labels.values)
    if "gold_only" in recipe.baselines:
        _, found = predict_split(folder / "gold_only" / "student", split, corpus, accelerator)
        board.add("gold_only", "baseline", values_of(split, found, "p"))
    tokens, found = predict_split(folder / "student", split, corpus, accelerator)
    gold_tags = [
        tags_of(split.gold.values.get(page_id, ()), page, corpus.attributes)
        for page_id, page in zip(split.page_ids, tokens, strict=True)
    ]
    tag_figures = {}
    for name in found[0]:
        values = values_of(split, found, name)
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
        "task": "extraction",
        "seed": recipe.seed,
        "pages": {"training": len(corpus.page_ids), "labelled": len(corpus.train.page_ids)},
        "dev": dict(dev),
        "scores": board.as_json(),
        "attributes": board.by_attribute(),
        "iob2_strict": {"split": split.name, **tag_figures},
        "input": corpus.defects.as_json(),
    }
    if accelerator.is_main_process:
        pages = (corpus.pages[page_id] for page_id in split.page_ids)
        write_submission(
            folder / f"{split.name}.json",
            zip(pages, (result["p"] for result in found), strict=True),
            offsets=corpus.offsets,
        )
        with replacing(folder / "pages.json") as file:
            json.dump(board.by_page(), file, ensure_ascii=False)
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
