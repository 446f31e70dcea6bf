"""Plain text without labels: what a stage says of it, and what it reads."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from coteach.data.files import lines_in, not_utf8, opening
from coteach.data.formats.documents import progress
from coteach.data.labelled_rows import (
    ColumnNames,
    LabelledRow,
    Remarks,
    data_set_rows,
    is_file,
    json_rows,
    source_names,
    text_of,
)
from coteach.data.pages import Page
from coteach.errors import InputError, in_one_line
from coteach.model.preprocessing import Step, preprocess

__all__ = ["UnlabelledText", "UnlabelledTexts"]

SUFFIXES = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz")
COLUMNS = ColumnNames(text="text", second_text=None, label=None)
HEADING = "# "


@dataclass(frozen=True)
class UnlabelledTexts:
    """Texts to learn from without labels.

    Attributes:
        pages: every text by id, in the order of the files. The id is
            ``<file's name without its endings>:<number of the line>``, of a data set
            ``<name>:<number of the row>``, from 1.
        remarks: a sentence for each kind of change and file, with its count.
    """

    pages: Mapping[str, Page]
    remarks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class UnlabelledText:
    """Where plain text lies, for a student that learns a teacher's inner workings on it before it
    sees a task (general distillation: Jiao et al. 2020, §3.2).

    A file is UTF-8 and ends in .txt (a text a line) or .jsonl (an object a line, its text in
    "text"), or in either with .gz. Anything else is a data set of the Hub with a column "text", or
    a local folder of one, NAME or NAME:SPLIT, whose split is train where none is named.

    Blank lines are no texts. In .txt neither are headings: lines that begin with "# ", a number
    sign and a space, as before each work of a collection.
    """

    files: str | tuple[str, ...]
    """Files and data sets, joined in this order."""
    config: str | None = None
    """The configuration of data sets that have several, such as "20231101.ja"."""
    maximum: int | None = None
    """At most so many texts, drawn by chance from all files together; None: all of them. Only they
    are held in memory."""
    preprocessing: tuple[Step, ...] = ()
    """Steps of ``coteach.model.preprocessing``, applied to every text in this order. Texts that are
    then empty are dropped."""

    def __post_init__(self) -> None:
        sources = self._sources()
        if not sources:
            raise InputError("data.files: expected at least one file, got none")
        for source in sources:
            if sources.count(source) > 1:
                message = f"{source!r} is named twice; expected different files"
                raise InputError(f"data.files: {message}")
        if self.maximum is not None and self.maximum < 1:
            raise InputError(f"data.maximum: expected at least 1, got {self.maximum}")
        for step in self.preprocessing:
            if step not in get_args(Step):
                expected = f"expected some of {list(get_args(Step))}"
                raise InputError(f"data.preprocessing: {expected}, got {step!r}")

    def read(self, seed: int) -> UnlabelledTexts:
        """Read and check everything.

        Args:
            seed: of which texts are drawn, if not all are.

        Raises:
            InputError: a file or a row cannot be used, or no text is left.
        """
        sources = self._sources()
        names = source_names(sources, SUFFIXES)
        remarks = Remarks(names, "text")
        counts: dict[str, int] = dict.fromkeys(sources, 0)

        def texts() -> Iterator[LabelledRow]:
            for source in sources:
                for row in progress(_rows(source, self.config, remarks), names[source].shown):
                    counts[source] += 1
                    new = row._replace(text=preprocess(row.text, self.preprocessing))
                    if new.text != row.text:
                        remarks.add(row, "changed by preprocessing")
                    if new.text.strip():
                        yield new
                    else:
                        remarks.add(row, "dropped as empty")
                if not counts[source]:
                    raise InputError.at(source, None, "no text here; expected at least one")

        kept, total = _drawn(texts(), self.maximum, seed)
        if not kept:
            raise InputError("data.files: every text is empty; expected at least one that is not")
        sentences = remarks.sentences()
        if len(kept) < total:
            sentences += (f"{len(kept):,} of {total:,} texts drawn by chance",)
        pages = [
            Page(f"{names[row.source].stem}:{row.line or row.number}", row.text) for row in kept
        ]
        return UnlabelledTexts({page.page_id: page for page in pages}, sentences)

    def _sources(self) -> tuple[str, ...]:
        return (self.files,) if isinstance(self.files, str) else tuple(self.files)


def _drawn(
    rows: Iterable[LabelledRow], maximum: int | None, seed: int
) -> tuple[list[LabelledRow], int]:
    """At most ``maximum`` of the rows, each as likely, in their order; and how many there were.

    Holds no more than it returns (Vitter 1985, "Random sampling with a reservoir", algorithm R).
    """
    generator = random.Random(seed)
    kept: list[tuple[int, LabelledRow]] = []
    total = 0
    for total, row in enumerate(rows, start=1):
        if maximum is None or len(kept) < maximum:
            kept.append((total, row))
        elif (place := generator.randrange(total)) < maximum:
            kept[place] = (total, row)
    return [row for _, row in sorted(kept, key=lambda entry: entry[0])], total


def _rows(source: str, config: str | None, remarks: Remarks) -> Iterator[LabelledRow]:
    """The texts of a file or data set, read as they are asked for."""
    path = Path(source)
    plain = source.lower().endswith((".txt", ".txt.gz"))
    if not is_file(source, SUFFIXES):
        entries = data_set_rows(source, COLUMNS, config)
    elif not source.lower().endswith(SUFFIXES):
        raise InputError.at(source, None, f"expected a file {', '.join(SUFFIXES)}")
    elif plain:
        entries = ((line, {COLUMNS.text: text}) for line, text in _lines(path) if text.strip())
    else:
        entries = json_rows(path, _lines(path), COLUMNS)
    for number, (line, entry) in enumerate(entries, start=1):
        try:
            text = text_of(entry, COLUMNS.text)
        except InputError as error:
            message = str(error) if line is not None else f"row {number}: {error}"
            raise InputError.at(source, line, message) from None
        row = LabelledRow(source, number, line, text, None, "", None)
        if plain and text.startswith(HEADING):
            remarks.add(row, "skipped as headings")
        else:
            yield row


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file, compressed or not, with their numbers from 1, read one by one.

    They end in "\\n" or "\\r\\n"; a byte order mark is dropped.
    """
    with opening(path):
        try:
            with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
                for number, line in lines_in(path, file):
                    try:
                        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                    except UnicodeDecodeError as error:
                        message = f"{not_utf8(error)} of the line"
                        raise InputError.at(path, number, message) from None
                    yield number, text.removesuffix("\n").removesuffix("\r")
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            message = f"expected a whole gzip file: {in_one_line(error)}"
            raise InputError.at(path, None, message) from None
