"""Writes the built-in example: a shared task about invented castles, and what four teams found.

``python data/generate.py`` writes ``data/example``, the same bytes on every run, and prints the
teams' scores; ``--output`` names another folder.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from example_pages import SEED, Page, Span, make_page
from example_teams import (
    DictionaryExtractor,
    Extractor,
    PatternExtractor,
    PerceptronTagger,
    WordFeatures,
    character_features,
)
from example_templates import VALUE_SLOTS

CATEGORY = "Castle"
ENE = "1.6.3.2"  # invented
SPLIT_SIZES = {"train": 70, "dev": 40, "report": 100, "unlabelled": 170}
OWN_PAGES = 60  # pages that a learned team annotated itself; not part of the task
ANNOTATED = {"train": "dist", "dev": "dev", "report": "report"}  # split -> name of its gold file
PARTIAL_TEAM, PARTIAL_SHARE = "team_words", 0.7

SPECIAL_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}

Values = Mapping[str, Iterable[Span]]  # page id -> the values found on the page


def make_splits() -> dict[str, list[Page]]:
    """The pages of every split; identifiers are shuffled, so that they do not tell the split."""
    page_ids = [str(number) for number in range(1001, 1001 + sum(SPLIT_SIZES.values()))]
    random.Random(SEED).shuffle(page_ids)
    splits, start = {}, 0
    for split, size in SPLIT_SIZES.items():
        chosen = sorted(page_ids[start : start + size])
        splits[split] = [make_page(page_id, new_names=split != "train") for page_id in chosen]
        start += size
    return splits


def make_teams(train: Sequence[Page]) -> dict[str, Extractor]:
    """The trained extractors by team name; the learned ones have own annotated pages besides."""

    def with_own_pages(team: str) -> list[Page]:
        own = [make_page(f"{team}/{number}", new_names=False) for number in range(OWN_PAGES)]
        return [*train, *own]

    return {
        "team_characters": PerceptronTagger(
            with_own_pages("characters"), character_features, epochs=8
        ),
        "team_patterns": PatternExtractor(),
        "team_dictionary": DictionaryExtractor(train),
        "team_words": PerceptronTagger(with_own_pages("words"), WordFeatures(), epochs=8),
    }


def line_place(text: str, position: int) -> dict[str, int]:
    """The line and the offset in it of a character of the page, both from 0."""
    before = text[:position]
    return {
        "line_id": before.count("\n"),
        "offset": position - before.rfind("\n") - 1,
    }


def annotation_lines(page: Page, spans: Iterable[Span]) -> list[str]:
    """The values of a page as JSON lines; the end is exclusive and on the last character's line."""
    return [
        json.dumps(
            {
                "page_id": page.page_id,
                "title": page.title,
                "ENE": ENE,
                "attribute": span.attribute,
                "text_offset": {
                    "start": line_place(page.text, span.start),
                    "end": line_place(page.text, span.end),
                    "text": page.text[span.start : span.end],
                },
            },
            ensure_ascii=False,
            separators=(",", ":"),
        )
        for span in sorted(spans)
    ]


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes a UTF-8 file of lines, each ended by a newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + "\n" for line in lines).encode())


def write_task(output: Path, splits: Mapping[str, Sequence[Page]]) -> None:
    """Writes the pages, the gold of the annotated splits and the list of splits."""
    for pages in splits.values():
        for page in pages:
            write_lines(
                output / "plain" / CATEGORY / f"{page.page_id}.txt", page.text.split("\n")[:-1]
            )
    for split, name in ANNOTATED.items():
        lines = [line for page in splits[split] for line in annotation_lines(page, page.spans)]
        write_lines(output / "annotation" / f"{CATEGORY}_{name}.json", lines)
    page_ids = {split: [page.page_id for page in pages] for split, pages in splits.items()}
    write_lines(output / "splits.json", [json.dumps(page_ids)])


def write_tokenizer(folder: Path, pages: Iterable[Page]) -> None:
    """Writes a tokenizer of characters within MeCab's words, with the characters of the pages."""
    characters = sorted({character for page in pages for character in page.text} - {"\n"})
    write_lines(folder / "vocab.txt", [*SPECIAL_TOKENS.values(), *characters])
    settings = {
        "tokenizer_class": "BertJapaneseTokenizer",
        "word_tokenizer_type": "mecab",
        "mecab_kwargs": {"mecab_dic": "unidic_lite"},
        "subword_tokenizer_type": "character",
        "do_lower_case": False,
        **{f"{name}_token": token for name, token in SPECIAL_TOKENS.items()},
    }
    write_lines(folder / "tokenizer_config.json", [json.dumps(settings, indent=2)])


def write_submission(folder: Path, pages: Sequence[Page], values: Values, partial: bool) -> None:
    """Writes a team's values; of a partial team also the list of the pages it processed."""
    lines = [
        line
        for page in pages
        if page.page_id in values
        for line in annotation_lines(page, values[page.page_id])
    ]
    write_lines(folder / f"{CATEGORY}.json", lines)
    if partial:
        write_lines(folder / f"{CATEGORY}.processed.txt", values)


def vote(submissions: Iterable[Values], least: int) -> dict[str, set[Span]]:
    """The values that at least ``least`` teams found, by page."""
    counts: dict[str, Counter[Span]] = {}
    for values in submissions:
        for page_id, spans in values.items():
            counts.setdefault(page_id, Counter()).update(set(spans))
    return {page: {s for s, n in count.items() if n >= least} for page, count in counts.items()}


def score(
    pages: Sequence[Page], values: Values, attribute: str | None = None
) -> tuple[float, float, float]:
    """Precision, recall and F1 of exact spans over all values of the pages (0 where undefined)."""
    gold = {(page.page_id, span) for page in pages for span in page.spans}
    found = {(page.page_id, span) for page in pages for span in values.get(page.page_id, ())}
    if attribute is not None:
        gold, found = (
            {item for item in s if item[1].attribute == attribute} for s in (gold, found)
        )
    right = len(gold & found)
    f1 = 2 * right / max(len(gold) + len(found), 1)
    return right / max(len(found), 1), right / max(len(gold), 1), f1


def print_row(cells: Iterable[str]) -> None:
    """Prints a row of a Markdown table."""
    print(f"| {' | '.join(cells)} |")


def print_scores(splits: Mapping[str, Sequence[Page]], systems: Mapping[str, Values]) -> None:
    """Prints two Markdown tables: scores by split, and F1 by attribute on the report pages."""
    print_row(["system", *(f"{split} P / R / F1" for split in ANNOTATED)])
    print_row(["---"] * (1 + len(ANNOTATED)))
    for name, values in systems.items():
        rows = (score(splits[split], values) for split in ANNOTATED)
        print_row([name, *(" / ".join(f"{100 * x:.1f}" for x in row) for row in rows)])
    attributes = list(VALUE_SLOTS.values())
    print()
    print_row(["report F1", *attributes])
    print_row(["---"] * (1 + len(attributes)))
    for name, values in systems.items():
        f1s = (score(splits["report"], values, attribute)[2] for attribute in attributes)
        print_row([name, *(f"{100 * f1:.1f}" for f1 in f1s)])


def main() -> None:
    """Writes everything and prints the table of scores."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "example")
    output = parser.parse_args().output

    splits = make_splits()
    write_task(output, splits)
    write_tokenizer(output / "tokenizer", [*splits["train"], *splits["unlabelled"]])
    pages = sorted((page for part in splits.values() for page in part), key=lambda p: p.page_id)
    submissions: dict[str, Values] = {}
    for team, extractor in make_teams(splits["train"]).items():
        processed = pages
        if team == PARTIAL_TEAM:
            chosen = random.Random(team).sample(pages, round(PARTIAL_SHARE * len(pages)))
            processed = sorted(chosen, key=lambda page: page.page_id)
        submissions[team] = {page.page_id: extractor.extract(page.text) for page in processed}
        folder = output / "submissions" / team
        write_submission(folder, pages, submissions[team], partial=team == PARTIAL_TEAM)

    systems = dict(submissions)
    for least in (2, 3):
        systems[f"vote ≥ {least} of {len(submissions)}"] = vote(submissions.values(), least)
    print_scores(splits, systems)


if __name__ == "__main__":
    main()
