"""Texts on which models are compared, and their tokens."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from coteach.data.files import byte_lines
from coteach.data.labelled_rows import SUFFIXES, ColumnNames, LabelledRow, is_file, read_rows
from coteach.errors import InputError, quote
from coteach.explaining.candidates import Candidate
from coteach.highlighting.given import read_texts
from coteach.model import StudentConfig
from coteach.model.alignment import Tokens
from coteach.model.classification import shortened
from coteach.model.mecab import without_surrogates
from coteach.model.preprocessing import joined_pair, preprocess
from coteach.model.windows import windows
from coteach.reporting.predictions import predictions_file, read_predictions

__all__ = ["Example", "Windows", "cut", "predictions_of", "read_examples", "sample"]


@dataclass(frozen=True)
class Example:
    """A text.

    Attributes:
        id: of the run's report, or its number in the file, from 1.
        text: after preprocessing; of a pair, a line each.
        gold: its class; None where it is not known.
    """

    id: str
    text: str
    gold: str | None


@dataclass(frozen=True)
class Windows:
    """Texts as token ids: one window of a text that is classified, all windows of a page.

    Attributes:
        contents: the ids of each window, without [CLS] and [SEP] at the ends.
        texts: the number of the text that each is of, from 0.
        count: how many texts there are, with those that have no window.
    """

    contents: list[list[int]]
    texts: list[int]
    count: int


def predictions_of(run: str) -> Path:
    """The report of a run, or of the run that a student's folder lies in.

    Raises:
        InputError: there is none.
    """
    folder = Path(run)
    inside = folder.name == "student" and not any(folder.glob("*.jsonl"))
    try:
        return predictions_file(folder.parent if inside else folder)
    except InputError as error:
        raise InputError(f"{error}; or give --texts") from None


def read_examples(source: str, columns: ColumnNames, config: StudentConfig) -> list[Example]:
    """Texts of a run's report, of rows with columns, or a text a line.

    Args:
        source: a run's report.jsonl, which is told by its predictions and whose texts are
            preprocessed already; another file .jsonl, .csv or .tsv, or a data set of the Hub;
            or any other file, whose lines are texts (of a pair: two with a tab between them).
        columns: of rows.
        config: of the models, for preprocessing.

    Raises:
        InputError: it cannot be read, or is of single texts where pairs are due, or the other way.
    """
    if Path(source).suffix.lower() == ".jsonl" and _is_report(Path(source)):
        predictions = read_predictions(Path(source)).values()
        examples = [Example(it.id, it.text, it.gold) for it in predictions]
    elif Path(source).suffix.lower() in SUFFIXES or not is_file(source):
        rows = read_rows(source, columns)
        examples = [_example(row, columns.label is not None, config) for row in rows]
    else:
        pairs = config.pair_separator is not None
        examples = [
            _of_parts(str(number), text.split("\t", 1) if pairs else [text], None, config)
            for number, text in enumerate(read_texts(Path(source)), start=1)
        ]
    for example in examples:
        if config.classes and example.gold not in (None, *config.classes):
            raise InputError(
                f"{source}: {example.id}: class {quote(example.gold)}; expected one of the models',"
                f" {', '.join(config.classes)}"
            )
    return examples


def sample(examples: Sequence[Example], count: int | None, seed: int) -> list[Example]:
    """So many of the texts, drawn by the seed, in their order; all of them without a count.

    Raises:
        InputError: the count is below 1.
    """
    if count is None:
        return list(examples)
    if count < 1:
        raise InputError(f"max_texts: expected at least 1, got {count}")
    chosen = random.Random(seed).sample(range(len(examples)), min(count, len(examples)))
    return [examples[number] for number in sorted(chosen)]


def cut(examples: Sequence[Example], candidates: Sequence[Candidate]) -> Windows:
    """The token windows of texts, which must be the same for all models.

    Args:
        examples: the texts.
        candidates: the teacher first. The smallest of their windows is that of all.

    Raises:
        InputError: a student splits a text into other tokens than the teacher, or there are none.
    """
    teacher = candidates[0]
    config = teacher.config
    window = min(it.config.window for it in candidates)
    overlap = min(config.overlap, window - 1)
    tokens = list(_tokens(examples, teacher))
    for other in candidates[1:]:
        for example, mine, theirs in zip(examples, _tokens(examples, other), tokens, strict=True):
            if mine.ids != theirs.ids:
                raise InputError(
                    f"student {other.folder!r} splits text {example.id} into {len(mine)} tokens, "
                    f"the teacher {teacher.folder!r} into {len(theirs)} others; importance can be "
                    "compared between models that read the same tokens only (words, trim_head "
                    "and trim_tail as in the teacher's recipe)"
                )
    contents, texts = [], []
    for number, page in enumerate(tokens):
        if config.classes:
            parts = [shortened(page, window, config.pair_separator is not None).ids]
        else:
            cuts = windows(len(page), window, overlap)
            parts = [page.ids[it.start : it.stop] for it in cuts]
        contents += parts
        texts += [number] * len(parts)
    if not contents:
        raise InputError("texts: none of them has a token; expected some that have")
    return Windows(contents, texts, len(examples))


def _tokens(examples: Sequence[Example], candidate: Candidate) -> Iterator[Tokens]:
    aligner = candidate.aligner
    return (aligner(example.text) for example in examples)


def _is_report(path: Path) -> bool:
    """Whether the first line is a run's prediction."""
    for _, line in byte_lines(path):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            return False
        return isinstance(entry, dict) and {"gold", "predicted", "probabilities"} <= set(entry)
    return False


def _example(row: LabelledRow, labelled: bool, config: StudentConfig) -> Example:
    parts = [row.text] if row.second_text is None else [row.text, row.second_text]
    return _of_parts(str(row.number), parts, row.label if labelled else None, config)


def _of_parts(name: str, parts: Sequence[str], gold: str | None, config: StudentConfig) -> Example:
    pairs = config.pair_separator is not None
    if pairs != (len(parts) == 2):
        expected = "two texts" if pairs else "a single text"
        raise InputError(f"text {name}: got {len(parts)}; expected {expected}, as the models read")
    parts = [without_surrogates(part) for part in parts]
    if config.classes:
        parts = [preprocess(part, config.preprocessing) for part in parts]
    return Example(name, joined_pair(*parts) if pairs else parts[0], gold)
