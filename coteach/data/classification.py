"""Texts, or pairs of texts, with a class each: what a recipe says of them, and what it reads."""

from __future__ import annotations

import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from coteach.data.files import replacing
from coteach.data.folds import assign, set_aside
from coteach.data.labelled_rows import (
    ColumnNames,
    LabelledRow,
    Remarks,
    read_rows,
    source_names,
)
from coteach.data.pages import Page
from coteach.errors import InputError, quote
from coteach.model.mecab import MecabWords, bundled_dictionary
from coteach.model.preprocessing import Step, joined_pair, preprocess

__all__ = ["ClassificationData", "LabelledTexts"]

Rows = dict[str, list[LabelledRow]]
"""Split → its rows."""


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with their classes. No text is in two splits; where duplicates are dropped, none that
    reads the same either.

    Attributes:
        pages: every text by id, ``<file's name without its ending>:<number of the row>``. A pair
            is two lines: line breaks within either have become spaces.
        labels: page id → index of its class.
        classes: the classes' names, sorted; numbers as numbers.
        train: ids of the training texts. These and all others are in the order of the files.
        dev: ids of the texts for selection.
        report: ids of the texts for the final table; None where there are none.
        pairs: whether each text is a pair.
        fold_of: page id → its fold, of all texts; None where there are no folds.
        remarks: a sentence for each kind of change and file, with its count.
    """

    pages: Mapping[str, Page]
    labels: Mapping[str, int]
    classes: tuple[str, ...]
    train: tuple[str, ...]
    dev: tuple[str, ...]
    report: tuple[str, ...] | None
    pairs: bool
    fold_of: Mapping[str, int] | None
    remarks: tuple[str, ...]

    def write_folds(self, path: Path) -> None:
        """Write page id → fold as JSON.

        Raises:
            InputError: there are no folds, or the file cannot be written.
        """
        if self.fold_of is None:
            raise InputError("data.folds: expected a number of folds to write, got None")
        with replacing(path) as file:
            json.dump(self.fold_of, file, ensure_ascii=False, indent=0)
            file.write("\n")


@dataclass(frozen=True, kw_only=True)
class ClassificationData:
    """Where labelled texts lie, and what is done to them, in this order: preprocessing, length,
    duplicates, balance, folds (part-of-speech auxiliary paper, §3.2 and §4.1).

    A path of a file (.csv, .tsv, .jsonl) is that file; anything else is a data set of the Hub or
    a local folder of one, NAME or NAME:SPLIT, whose split is train where none is named.
    """

    train: str | tuple[str, ...]
    """The training texts; the rows of several files are joined."""
    dev: str | None = None
    """The texts for selection; without them (and folds), dev_fraction is set aside."""
    report: str | None = None
    """The texts for the final table; never used to train or to select."""
    config: str | None = None
    """The configuration of data sets that have several."""
    text: str = "text"
    """The column of the text."""
    second_text: str | None = None
    """The column of the second text of a pair; None: single texts."""
    label: str = "label"
    """The column of the class: texts, whole numbers, truth values or class labels."""
    group: str | None = None
    """The column of what must not be split between folds, or between train and a dev that is set
    aside, such as a text's author or source."""
    preprocessing: tuple[Step, ...] = ()
    """Steps of ``coteach.model.preprocessing``, applied to every text in this order; the paper's
    are its ``PAPER_STEPS`` (§3.2.1). Texts that are then empty are dropped."""
    duplicates: Literal["keep", "drop"] = "keep"
    """Drop training texts that stand there before, those that stand there with several classes
    (all of them: nobody can say which is right) and those that are also dev or report texts; and
    dev texts that are also report texts. Otherwise dev and report stay as they are, so that
    figures can be compared. The paper drops (§3.2.1)."""
    balance: Literal["none", "downsample"] = "none"
    """As many training texts of each class as the smallest one has, drawn by chance (paper,
    §3.2.2). A dev that is set aside and folds are of balanced texts too."""
    max_per_class: int | None = None
    """At most so many training texts of a class, drawn by chance (paper: 10,000, 20,000, 500)."""
    max_length: int | None = None
    """The most that a text may have; of a pair, each of the two. The paper's is 512 words. In use
    a student reads what its window holds, whatever stands here."""
    length_unit: Literal["characters", "words"] = "characters"
    """What max_length counts: characters, or MeCab's words with unidic-lite."""
    too_long: Literal["drop", "cut"] = "drop"
    """What happens to longer texts of every split (paper, §3.2.2: either, by corpus)."""
    folds: int | None = None
    """Deal all texts into so many folds, by class: one is the report texts, the next one dev, the
    others train. 10 as in the paper (§4.1) gives 8:1:1. The texts and the folds do not depend on
    which fold is chosen."""
    fold: int = 0
    """The fold of the report texts, from 0; the one after it (after the last: 0) is dev."""
    dev_fraction: float = 0.1
    """The share of the training texts set aside for dev, by class, where there is neither a dev
    file nor folds (paper, §4.1)."""

    def __post_init__(self) -> None:
        sources = self._sources()
        if not sources["train"]:
            raise InputError("data.train: expected at least one file, got none")
        everything = [source for of in sources.values() for source in of]
        for split, of in sources.items():
            for source in of:
                if everything.count(source) > 1:
                    message = f"{source!r} is named twice; expected different files"
                    raise InputError(f"data.{split}: {message}")
        columns = self._columns().all()
        if len(set(columns)) < len(columns):
            raise InputError(f"data: expected different columns, got {columns}")
        for name in ("max_per_class", "max_length"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"data.{name}: expected at least 1, got {value}")
        if not 0 < self.dev_fraction < 1:
            message = f"expected a share in (0, 1), got {self.dev_fraction}"
            raise InputError(f"data.dev_fraction: {message}")
        if self.folds is None:
            if self.fold:
                raise InputError(f"data.fold: expected 0 without data.folds, got {self.fold}")
            if self.group is not None and self.dev is not None:
                message = f"expected None where data.dev is given, got {self.group!r}"
                raise InputError(f"data.group: {message}: it parts folds, or train from dev")
            return
        for name in ("dev", "report"):
            if getattr(self, name) is not None:
                message = f"expected None, as data.folds is given, got {getattr(self, name)!r}"
                raise InputError(f"data.{name}: {message}")
        if self.folds < 3:
            message = f"expected at least 3 (report, dev and train), got {self.folds}"
            raise InputError(f"data.folds: {message}")
        if not 0 <= self.fold < self.folds:
            message = f"expected a fold from 0 to {self.folds - 1}, got {self.fold}"
            raise InputError(f"data.fold: {message}")

    def read(self, seed: int) -> LabelledTexts:
        """Read, check and split everything.

        Args:
            seed: of what balance leaves out, of folds and of a dev that is set aside; in
                [0, 2**32).

        Raises:
            InputError: a file or a row cannot be used, there are fewer than two classes or too few
                texts, or a class has no training text.
        """
        names = source_names([source for of in self._sources().values() for source in of])
        remarks = Remarks(names, "text" if self.second_text is None else "pair")
        rows = {
            split: [row for it in of for row in read_rows(it, self._columns(), self.config)]
            for split, of in self._sources().items()
            if of
        }
        rows = {split: self._preprocessed(of, remarks) for split, of in rows.items()}
        if self.max_length is not None:
            rows = self._limited(rows, self.max_length, remarks)
        if self.duplicates == "drop":  # after the cut, which may leave the same of two texts
            rows = _without_duplicates(rows, remarks)
        classes = _classes(rows)
        rows["train"] = self._sampled(rows["train"], seed, remarks)
        rows, folds = self._split(rows, seed)
        for split in ("dev", "report"):
            if not rows.get(split, [True]):
                raise InputError(f"data.{split}: no text is left; expected at least one")
        self._check_taught(rows, classes)
        # In the files' order, which no fold changes.
        places = {source: place for place, source in enumerate(names)}
        every = [row for of in rows.values() for row in of]
        every.sort(key=lambda row: (places[row.source], row.number))
        ids = {row: f"{names[row.source].stem}:{row.number}" for row in every}
        splits = {split: tuple(ids[row] for row in of) for split, of in rows.items()}
        return LabelledTexts(
            pages={page_id: Page(page_id, _page_text(row)) for row, page_id in ids.items()},
            labels={page_id: classes.index(row.label) for row, page_id in ids.items()},
            classes=classes,
            train=splits["train"],
            dev=splits["dev"],
            report=splits.get("report"),
            pairs=self.second_text is not None,
            fold_of={ids[row]: fold for row, fold in folds.items()} if folds else None,
            remarks=remarks.sentences(),
        )

    def _sources(self) -> dict[str, tuple[str, ...]]:
        return {
            "train": (self.train,) if isinstance(self.train, str) else tuple(self.train),
            "dev": (self.dev,) if self.dev is not None else (),
            "report": (self.report,) if self.report is not None else (),
        }

    def _columns(self) -> ColumnNames:
        return ColumnNames(self.text, self.second_text, self.label, self.group)

    def _preprocessed(self, rows: Iterable[LabelledRow], remarks: Remarks) -> list[LabelledRow]:
        kept = []
        for row in rows:
            new = _with_texts(row, lambda text: preprocess(text, self.preprocessing))
            if new != row:
                remarks.add(row, "changed by preprocessing")
            if _is_empty(new):
                remarks.add(row, "dropped as empty")
            else:
                kept.append(new)
        return kept

    def _limited(self, rows: Rows, maximum: int, remarks: Remarks) -> Rows:
        in_words = self.length_unit == "words"
        words = MecabWords(bundled_dictionary("unidic_lite")) if in_words else None

        def cut(text: str) -> str:
            return text[:maximum] if words is None else _first_words(text, maximum, words)

        limit = f"{maximum:,} {self.length_unit}"
        limited: Rows = {}
        for split, of in rows.items():
            limited[split] = []
            for row in of:
                new = _with_texts(row, cut)
                if new != row and self.too_long == "drop":
                    remarks.add(row, f"dropped as longer than {limit}")
                elif _is_empty(new):
                    remarks.add(row, "dropped as empty")
                else:
                    if new != row:
                        remarks.add(row, f"cut to {limit}")
                    limited[split].append(new)
        return limited

    def _sampled(
        self, rows: Sequence[LabelledRow], seed: int, remarks: Remarks
    ) -> list[LabelledRow]:
        """The first of each class after a shuffle, in the order of the files."""
        maximum = len(rows) if self.max_per_class is None else self.max_per_class
        if self.balance == "downsample":
            maximum = min(maximum, *Counter(row.label for row in rows).values())
        shuffled = list(rows)
        random.Random(seed).shuffle(shuffled)
        left: defaultdict[str, int] = defaultdict(lambda: maximum)
        dropped = set()
        for row in shuffled:
            if left[row.label]:
                left[row.label] -= 1
            else:
                dropped.add(row)
                remarks.add(row, f"dropped to leave {maximum:,} of each class at most")
        return [row for row in rows if row not in dropped]

    def _split(self, rows: Rows, seed: int) -> tuple[Rows, dict[LabelledRow, int]]:
        """The rows in three splits, or in two without report, and every row's fold, if any."""
        train = rows["train"]
        labels = [row.label for row in train]
        groups = [row.group or "" for row in train] if self.group is not None else None
        if self.folds is not None:
            folds = dict(zip(train, assign(labels, groups, self.folds, seed), strict=True))
            dev = (self.fold + 1) % self.folds
            split_of = defaultdict(lambda: "train", {self.fold: "report", dev: "dev"})
            rows = {"train": [], "dev": [], "report": []}
            for row, fold in folds.items():
                rows[split_of[fold]].append(row)
            return rows, folds
        if self.dev is None:
            aside = set_aside(labels, groups, self.dev_fraction, seed)
            rows = {
                **rows,
                "train": [row for index, row in enumerate(train) if index not in aside],
                "dev": [row for index, row in enumerate(train) if index in aside],
            }
        return rows, {}

    def _check_taught(self, rows: Rows, classes: Sequence[str]) -> None:
        taught = {row.label for row in rows["train"]}
        for name in classes:
            if name not in taught:
                where = "data.dev_fraction" if self.folds is None else f"data.fold {self.fold}"
                message = f"no training text of class {name!r} is left; expected smaller groups"
                raise InputError(f"{where}: {message}")


def _with_texts(row: LabelledRow, change: Callable[[str], str]) -> LabelledRow:
    second = None if row.second_text is None else change(row.second_text)
    return row._replace(text=change(row.text), second_text=second)


def _is_empty(row: LabelledRow) -> bool:
    return not row.text.strip() or (row.second_text is not None and not row.second_text.strip())


def _page_text(row: LabelledRow) -> str:
    if row.second_text is None:
        return row.text
    return joined_pair(row.text, row.second_text)


def _first_words(text: str, count: int, words: MecabWords) -> str:
    """The text up to the end of its ``count``-th word."""
    end = 0  # of the lines before
    for line in text.split("\n"):
        found = words(line)
        if len(found) > count:
            return text[: end + sum(map(len, found[:count]))].rstrip("\n")
        count -= len(found)
        end += len(line) + 1
    return text


def _without_duplicates(rows: Rows, remarks: Remarks) -> Rows:
    def key(row: LabelledRow) -> tuple[str, str | None]:
        return row.text, row.second_text

    report = {key(row) for row in rows.get("report", ())}
    held_out = report | {key(row) for row in rows.get("dev", ())}
    labels = defaultdict(set)
    for row in rows["train"]:
        labels[key(row)].add(row.label)
    seen = set()
    kept: Rows = {**rows, "train": []}
    for row in rows["train"]:
        if key(row) in held_out:
            remarks.add(row, "dropped as also in the dev or report data")
        elif len(labels[key(row)]) > 1:
            remarks.add(row, "dropped as there with several classes")
        elif key(row) in seen:
            remarks.add(row, "dropped as duplicates")
        else:
            seen.add(key(row))
            kept["train"].append(row)
    if "dev" in rows:
        kept["dev"] = []
        for row in rows["dev"]:
            if key(row) in report:
                remarks.add(row, "dropped as also in the report data")
            else:
                kept["dev"].append(row)
    return kept


def _classes(rows: Rows) -> tuple[str, ...]:
    """The classes of the training rows, to which all others belong."""
    names = {row.label for row in rows["train"]}
    if len(names) < 2:
        found = quote(sorted(names)) if names else "none"
        raise InputError(f"data.train: expected texts of at least two classes, got {found}")
    if all(re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?", name) for name in names):
        classes = tuple(sorted(names, key=lambda name: (float(name), name)))
    else:
        classes = tuple(sorted(names))
    for split in ("dev", "report"):
        for row in rows.get(split, ()):
            if row.label not in names:
                message = f"class {quote(row.label)} is none of the training texts'"
                place = "" if row.line is not None else f"row {row.number}: "
                expected = f"expected one of {quote(classes, 300)}"
                raise InputError.at(row.source, row.line, f"{place}{message}; {expected}")
    return classes
