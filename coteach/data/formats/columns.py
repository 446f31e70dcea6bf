"""CoNLL's column files: a token a line, its tag in another column, a blank line between sentences.

::

    -DOCSTART- (castle-1)

    青葉    B-城名
    城      I-城名
    は      O

A document is a page, a sentence a line of it; in a file without ``-DOCSTART-`` a sentence is a
page. What stands in parentheses after ``-DOCSTART-`` is the page's id, as in AIDA-CoNLL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

from coteach.data.files import replacing
from coteach.data.formats.documents import Documents, Format, Token, all_lines, progress
from coteach.data.formats.losses import Losses
from coteach.data.formats.tagged import OnInvalid, TaggedSentence, values_of
from coteach.data.formats.tags import Scheme, encode
from coteach.data.formats.tokens import (
    Cut,
    chunks_by_line,
    cutter,
    joined,
    one_word,
    tokens_by_line,
)
from coteach.data.pages import Page
from coteach.errors import InputError, quote

__all__ = ["Columns"]

_START = "-DOCSTART-"
_ID = re.compile(r"\((.+)\)")


@dataclass(frozen=True)
class Columns(Format):
    """A token a line with its tag, as in the CoNLL shared tasks.

    A file with a single column has the tokens alone; one about known documents, the tags alone.
    """

    scheme: Literal["auto", "IOB1", "IOB2", "IOBES"] = "auto"
    """The tags' scheme. auto: the one that a file's tags agree with; IOB2 where it is written."""
    separator: Literal["auto", "tab", "space"] = "auto"
    """What stands between columns. auto: tabs if the first token's line has one, else spaces;
    a tab where it is written."""
    token: int = 0
    """The token's column, from 0; it is written to column 0."""
    tag: int = -1
    """The tag's column, from 0; -1 is the last one. It is written to column 1."""
    spaces: bool = False
    """Whether tokens are joined with spaces into the text of a line; Japanese ones are not."""
    invalid: OnInvalid = "repair"
    """A tag that the scheme does not allow: read as conlleval does and counted, or an error."""
    cut: Cut = "mecab"
    """The tokens of pages that come without: MeCab's words, characters, or what stands between
    spaces."""

    def read(self, path: Path, losses: Losses, known: Documents | None = None) -> Documents:
        documents = self._parse(path)
        if known is not None:
            documents = _assigned(documents, known, path)
        named = documents[0].page_id is not None
        single = {document.width for document in documents if document.sentences} == {1}
        pages: dict[str, Page] = {}
        tokens: dict[str, list[Token]] = {}
        tagged: dict[str, list[TaggedSentence]] = {}
        for number, document in enumerate(documents, start=1):
            page_id = document.page_id or str(number)
            if page_id in pages:
                message = f"page {quote(page_id)} stands here a second time"
                raise InputError.at(path, document.number, message)
            if single and known is not None:
                pages[page_id] = known.pages[page_id]
                sentences = _known_sentences(page_id, document, known, path)
            else:
                words = document.column(self.token)
                pages[page_id], sentences = joined(page_id, words, self.spaces)
            tokens[page_id] = [token for of in sentences for token in of]
            if not single or known is not None:
                numbers = [[row.number for row in rows] for rows in document.sentences]
                parts = zip(document.column(self.tag), sentences, numbers, strict=True)
                tagged[page_id] = [TaggedSentence(*of) for of in parts]
        values = values_of(tagged, self.scheme, self.invalid, path, losses)
        return Documents(pages, values, tokens, named)

    def write(self, path: Path, documents: Documents, losses: Losses) -> None:
        separator = " " if self.separator == "space" else "\t"
        scheme: Scheme = "IOB2" if self.scheme == "auto" else self.scheme
        cut = cutter(self.cut)
        joiner = " " if self.spaces else ""
        with replacing(path) as file:
            for page_id, page in progress(documents.pages.items(), "write", len(documents.pages)):
                file.write(f"{_START} ({page_id})\n\n")
                tokens = tokens_by_line(page, documents, cut)
                chunks = chunks_by_line(page, documents.values.get(page_id, ()), tokens, losses)
                for number, (line, of) in enumerate(zip(page.lines, tokens, strict=True)):
                    words = [line[start:end] for start, end in of]
                    place = f"page {page_id}, line {number}"
                    if not words:
                        if page.text:  # nobody misses the one line of an empty page
                            losses.add("line without a token", place)
                        continue
                    if joiner.join(words) != line:
                        losses.add("white space of a line", f"{place}: {quote(line, 40)}")
                    named = [it._replace(name=one_word(it.name, losses)) for it in chunks[number]]
                    tags = encode(named, len(words), scheme)
                    rows = zip(words, tags, strict=True)
                    file.writelines(f"{word}{separator}{tag}\n" for word, tag in rows)
                    file.write("\n")

    def _parse(self, path: Path) -> list[_Document]:
        documents: list[_Document] = []
        sentence: list[_Row] | None = None
        split: Callable[[str], list[str]] | None = None
        columns = 0
        for number, line in all_lines(path):
            if line.startswith(_START):
                match = _ID.fullmatch(line.removeprefix(_START).strip())
                documents.append(_Document(number, True, match[1] if match else None))
                sentence = None
            elif not line.strip(" \t"):
                sentence = None
            else:
                split = split or self._splitter(line)
                row = _Row(number, split(line))
                columns = columns or len(row.fields)
                self._check(row, columns, path)
                if sentence is None:
                    if not documents or not documents[-1].starts:
                        documents.append(_Document(number, False))  # a sentence a page
                    sentence = []
                    documents[-1].sentences.append(sentence)
                sentence.append(row)
        if not documents:
            raise InputError.at(path, None, "no token here; expected a token a line")
        if documents[0].starts != documents[-1].starts:
            message = f"expected {_START} before the first token, or nowhere"
            raise InputError.at(path, documents[0].number, message)
        for document in documents:
            if (document.page_id is None) != (documents[0].page_id is None):
                message = f"expected an id for every {_START} or for none"
                raise InputError.at(path, document.number, message)
        return documents

    def _splitter(self, line: str) -> Callable[[str], list[str]]:
        """How a file's lines become columns, seen from its first."""
        if self.separator == "tab" or (self.separator == "auto" and "\t" in line):
            return lambda line: line.split("\t")
        return lambda line: [part for part in line.split(" ") if part]

    def _check(self, row: _Row, columns: int, path: Path) -> None:
        shown = quote(" ".join(row.fields))
        if len(row.fields) != columns:
            message = f"expected {columns} column(s) as before, got {len(row.fields)}: {shown}"
            raise InputError.at(path, row.number, message)
        for name, column in (("token", self.token), ("tag", self.tag)) if columns > 1 else ():
            if not -columns <= column < columns:
                message = f"{name}: there is no column {column} among {columns}: {shown}"
                raise InputError.at(path, row.number, message)
            if not row.fields[column]:
                raise InputError.at(path, row.number, f"the {name} is missing: {shown}")


class _Row(NamedTuple):
    number: int
    """The line of the file, from 1."""
    fields: list[str]


@dataclass
class _Document:
    number: int
    """The first line of the file that belongs to it."""
    starts: bool
    """Whether the file says that it starts here."""
    page_id: str | None = None
    sentences: list[list[_Row]] = field(default_factory=list)

    @property
    def width(self) -> int:
        """The number of columns; all lines of a file have the same."""
        return len(self.sentences[0][0].fields)

    def column(self, number: int) -> list[list[str]]:
        """One column of every sentence: the only one, where there are no others."""
        return [
            [row.fields[number if len(row.fields) > 1 else 0] for row in rows]
            for rows in self.sentences
        ]


def _sentences(tokens: Mapping[str, Sequence[Token]], page_id: str) -> list[list[Token]]:
    return [list(of) for _, of in groupby(tokens.get(page_id, ()), lambda token: token.line)]


def _assigned(documents: list[_Document], known: Documents, path: Path) -> list[_Document]:
    """The documents with the ids of the known ones; those with ids keep them.

    Documents go by their order. In a file without ``-DOCSTART-`` the sentences do.
    """
    if documents[0].page_id is not None:
        for document in documents:
            if document.page_id not in known.pages:
                message = f"unknown page {quote(document.page_id)}; expected the id of a known one"
                raise InputError.at(path, document.number, message)
        return documents
    if documents[0].starts:
        if len(documents) != len(known.pages):
            message = f"{len(documents)} documents; expected {len(known.pages)}, as many as known"
            raise InputError.at(path, None, message)
        for document, page_id in zip(documents, known.pages, strict=True):
            document.page_id = page_id
        return documents
    counts = {page_id: len(_sentences(known.tokens, page_id)) for page_id in known.pages}
    if len(documents) != sum(counts.values()):
        message = f"{len(documents)} sentences; expected {sum(counts.values())}, as many as known"
        raise InputError.at(path, None, message)
    rest = iter(documents)
    assigned = []
    for page_id, count in counts.items():
        of = [next(rest) for _ in range(count)]
        sentences = [sentence for document in of for sentence in document.sentences]
        number = of[0].number if of else documents[-1].number
        assigned.append(_Document(number, True, page_id, sentences))
    return assigned


def _known_sentences(
    page_id: str, document: _Document, known: Documents, path: Path
) -> list[list[Token]]:
    """The tokens that a document of tags alone is about."""
    if page_id not in known.tokens:
        message = f"a single column, of tags; page {quote(page_id)} is known without its tokens"
        raise InputError.at(path, document.number, message)
    sentences = _sentences(known.tokens, page_id)
    page = known.pages[page_id]
    if len(document.sentences) != len(sentences):
        message = f"{len(document.sentences)} sentences; expected {len(sentences)}, as many as "
        raise InputError.at(path, document.number, f"{message}page {quote(page_id)} has")
    for number, (rows, tokens) in enumerate(zip(document.sentences, sentences, strict=True), 1):
        if len(rows) != len(tokens):
            text = quote(page.lines[tokens[0].line], 40)
            message = f"{len(rows)} tags for the {len(tokens)} tokens of sentence {number} of "
            raise InputError.at(path, rows[0].number, f"{message}page {quote(page_id)}, {text}")
    return sentences
