"""Data sets of the Hugging Face Hub, or of a local folder, as ``datasets`` loads them.

A path is NAME or NAME:SPLIT, for example ``org/data:validation``; without it the split is train.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coteach.data.formats.documents import Documents, Format, Token, new_folder, progress
from coteach.data.formats.jsonl import documents_of
from coteach.data.formats.losses import Losses
from coteach.data.formats.records import Record, parse_record, record_of
from coteach.data.formats.tagged import OnInvalid, TaggedSentence, values_of
from coteach.data.formats.tokens import joined
from coteach.data.pages import Page
from coteach.errors import InputError, in_one_line, quote

__all__ = ["Hub"]


@dataclass(frozen=True)
class Hub(Format):
    """A data set of the Hub: NAME or NAME:SPLIT, where NAME may also be a folder.

    Its rows are either a sentence's tokens and tags, or a text and its values as in JSON lines.
    What is written is a folder of Parquet in the second form, ready to be loaded or uploaded.
    """

    config: str | None = None
    """The data set's configuration, where it has several."""
    tokens: str = "tokens"
    """The column of tokens. A data set without it has texts with values."""
    tags: str = "ner_tags"
    """The column of tags: class labels, or texts such as B-人名."""
    spaces: bool = False
    """Whether tokens are joined with spaces into the text; Japanese ones are not."""
    id: str = "id"
    """The column of a page's id. Where there is none, pages are numbered from 1."""
    text: str = "text"
    """The column of the text."""
    invalid: OnInvalid = "repair"
    """A tag that its scheme does not allow: read as conlleval does and counted, or an error."""

    def read(self, path: Path, losses: Losses, known: Documents | None = None) -> Documents:
        rows = self.load(path)
        if self.tokens in rows.column_names:
            return self._of_tokens(rows, path, losses)

        def records() -> Iterator[Record]:
            for number, row in enumerate(progress(rows, "read", len(rows)), start=1):
                try:
                    yield parse_record(row, losses, id_key=self.id, text_key=self.text, known=known)
                except InputError as error:
                    raise InputError.at(path, None, f"row {number}: {error}") from None

        return documents_of(records(), path)

    def write(self, path: Path, documents: Documents, losses: Losses) -> None:
        from datasets import Dataset, Features, List, Value

        value = {"start": Value("int64"), "end": Value("int64"), "label": Value("string")}
        features = {"id": Value("string"), "text": Value("string"), "spans": List(value)}
        records = [
            record_of(page, documents.values.get(page_id, ()))
            for page_id, page in progress(documents.pages.items(), "write", len(documents.pages))
        ]
        columns = {key: [record[key] for record in records] for key in features}
        with new_folder(path) as folder, _without_bars():
            Dataset.from_dict(columns, Features(features)).to_parquet(folder / "train.parquet")

    def exists(self, path: Path) -> bool:
        return Path(_name_and_split(path)[0]).exists()

    def load(self, path: Path) -> Any:
        """The rows of a data set, as ``datasets`` gives them.

        Raises:
            InputError: it cannot be loaded.
        """
        from datasets import load_dataset

        name, split = _name_and_split(path)
        try:
            with _without_bars():
                return load_dataset(name, self.config, split=split)
        # What a loader raises depends on the data set's files and on the network.
        except Exception as error:
            raise InputError.at(path, None, f"cannot be loaded: {in_one_line(error)}") from None

    def _of_tokens(self, rows: Any, path: Path, losses: Losses) -> Documents:
        if self.tags not in rows.column_names:
            message = f"tags: no column {quote(self.tags)}; expected one of {rows.column_names}"
            raise InputError.at(path, None, message)
        names = getattr(getattr(rows.features[self.tags], "feature", None), "names", None)
        named = self.id in rows.column_names
        pages: dict[str, Page] = {}
        tokens: dict[str, list[Token]] = {}
        tagged: dict[str, list[TaggedSentence]] = {}
        for number, row in enumerate(progress(rows, "read", len(rows)), start=1):
            words, tags = row[self.tokens], row[self.tags]
            if not words:
                continue
            if len(words) != len(tags):
                message = f"row {number}: {len(words)} tokens and {len(tags)} tags"
                raise InputError.at(path, None, message)
            page_id = str(row[self.id]) if named else str(number)
            if page_id in pages:
                message = f"row {number}: id {quote(page_id)} stands here a second time"
                raise InputError.at(path, None, message)
            pages[page_id], (places,) = joined(page_id, [words], self.spaces)
            tokens[page_id] = places
            if names:
                tags = [names[tag] for tag in tags]
            tagged[page_id] = [TaggedSentence(tags, places, [number] * len(tags))]
        if not pages:
            raise InputError.at(path, None, "no row with a token; expected at least one")
        values = values_of(tagged, "auto", self.invalid, path, losses)
        return Documents(pages, values, tokens, named)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Without the bars that ``datasets`` shows for every little step."""
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _name_and_split(path: Path) -> tuple[str, str]:
    name, colon, split = str(path).rpartition(":")
    return (name, split) if colon else (split, "train")
