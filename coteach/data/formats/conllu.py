"""CoNLL-U (universaldependencies.org/format.html): words and their tags as values.

A document (``# newdoc id``) is a page and a sentence a line of it; in a file without documents a
sentence is a page. The text is that of ``# text``, or else the words with ``SpaceAfter=No`` heeded.
A multiword token (``3-4``) is one token; the words inside of it have no place in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from coteach.data.files import replacing
from coteach.data.formats.documents import Documents, Format, Token, all_lines, progress
from coteach.data.formats.losses import Losses
from coteach.data.formats.tagged import TaggedSentence, values_of
from coteach.data.formats.tags import encode
from coteach.data.formats.tokens import (
    Cut,
    chunks_by_line,
    cutter,
    one_word,
    tokens_by_line,
    without_overlaps,
)
from coteach.data.pages import Page
from coteach.errors import InputError, quote
from coteach.model.spans import Span

__all__ = ["ConllU"]

_ID = re.compile(r"(\d+)(?:([-.])(\d+))?")
_COMMENT = re.compile(r"#\s*(newdoc id|newdoc|sent_id|text)\s*(?:= ?(.*))?")
_FORM, _UPOS, _XPOS, _MISC = 1, 3, 4, 9


@dataclass(frozen=True)
class ConllU(Format):
    """CoNLL-U: the words' tags, their bounds alone, or entities in the column MISC, as values."""

    value: Literal["upos", "xpos", "word", "entity"] = "upos"
    """What is a value: a word with its UPOS or XPOS tag as its attribute; every word, with the
    attribute "word"; or an entity, tagged in MISC with NER=B-人名 (or NE=…)."""
    cut: Cut = "mecab"
    """The words of pages that come without, where values are entities (others are words
    themselves): MeCab's, characters, or what stands between spaces."""

    def read(self, path: Path, losses: Losses, known: Documents | None = None) -> Documents:
        documents = _parse(path, losses)
        named = documents[0].page_id is not None
        pages: dict[str, Page] = {}
        tokens: dict[str, list[Token]] = {}
        tagged: dict[str, list[TaggedSentence]] = {}
        values: dict[str, frozenset[Span]] = {}
        for number, document in enumerate(documents, start=1):
            page_id = document.page_id or str(number)
            if page_id in pages:
                message = f"page {quote(page_id)} stands here a second time"
                raise InputError.at(path, document.number, message)
            pages[page_id] = Page(page_id, "\n".join(it.text or "" for it in document.sentences))
            words = [
                (Token(line, start, end), word)
                for line, sentence in enumerate(document.sentences)
                for (start, end), word in zip(sentence.places, sentence.words, strict=True)
            ]
            tokens[page_id] = [token for token, _ in words]
            if self.value == "entity":
                tagged[page_id] = [
                    TaggedSentence(
                        [_entity_tag(word.fields[_MISC]) for word in sentence.words],
                        [Token(line, *place) for place in sentence.places],
                        [word.number for word in sentence.words],
                    )
                    for line, sentence in enumerate(document.sentences)
                ]
                continue
            attributes = ((token, self._attribute(word)) for token, word in words)
            values[page_id] = frozenset(
                Span(attribute, token.line, token.start, token.line, token.end)
                for token, attribute in attributes
                if attribute != "_"
            )
        if self.value == "entity":
            values = values_of(tagged, "auto", "repair", path, losses)
        return Documents(pages, values, tokens, named)

    def write(self, path: Path, documents: Documents, losses: Losses) -> None:
        rows_of = self._entity_rows() if self.value == "entity" else self._word_rows
        with replacing(path) as file:
            for page_id, page in progress(documents.pages.items(), "write", len(documents.pages)):
                file.write(f"# newdoc id = {page_id}\n")
                rows_by_line = rows_of(page, documents, losses)
                for number, (line, rows) in enumerate(zip(page.lines, rows_by_line, strict=True)):
                    if not rows:
                        if page.text:
                            losses.add("line without a token", f"page {page_id}, line {number}")
                        continue
                    if line.endswith("\r"):
                        losses.add("white space of a line", f"page {page_id}, line {number}")
                    file.write(f"# sent_id = {page_id}-{number + 1}\n# text = {line}\n")
                    file.writelines(_written(line, rows, self.value))
                    file.write("\n")
                if not page.text:
                    file.write("\n")

    def _attribute(self, word: _Word) -> str:
        if self.value == "word":
            return "word"
        return word.fields[_UPOS if self.value == "upos" else _XPOS]

    def _word_rows(self, page: Page, documents: Documents, losses: Losses) -> list[list[_Place]]:
        """Every line's values, which are words, and the words between them."""
        rows: list[list[_Place]] = [[] for _ in page.lines]
        for span in without_overlaps(page, documents.values.get(page.page_id, ()), losses):
            attribute = one_word(span.attribute, losses)
            if self.value == "word" and attribute != "word":
                losses.add("attribute renamed", f"{attribute!r} → 'word'")
            rows[span.start_line].append((span.start_offset, span.end_offset, attribute))
        between = tokens_by_line(page, documents, cutter("spaces"))
        for line, row in enumerate(rows):
            taken = {offset for start, end, _ in row for offset in range(start, end)}
            for start, end in between[line]:
                row += [(first, stop, "_") for first, stop in _free(start, end, taken)]
            row.sort()
        return rows

    def _entity_rows(self) -> Callable[[Page, Documents, Losses], list[list[_Place]]]:
        cut = cutter(self.cut)

        def rows(page: Page, documents: Documents, losses: Losses) -> list[list[_Place]]:
            tokens = tokens_by_line(page, documents, cut)
            spans = documents.values.get(page.page_id, ())
            chunks = chunks_by_line(page, spans, tokens, losses)
            result = []
            for line, of in enumerate(tokens):
                named = [it._replace(name=one_word(it.name, losses, "|")) for it in chunks[line]]
                tags = encode(named, len(of), "IOB2")
                result.append([(*place, tag) for place, tag in zip(of, tags, strict=True)])
            return result

        return rows


_Place = tuple[int, int, str]
"""A word's start, end and tag."""


@dataclass
class _Word:
    number: int
    """The line of the file, from 1."""
    fields: list[str]


@dataclass
class _Sentence:
    number: int
    text: str | None = None
    words: list[_Word] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class _Document:
    number: int
    page_id: str | None
    sentences: list[_Sentence] = field(default_factory=list)


def _free(start: int, end: int, taken: set[int]) -> Iterator[tuple[int, int]]:
    """The parts of a token that no value holds."""
    first = None
    for offset in range(start, end + 1):
        if offset < end and offset not in taken:
            first = offset if first is None else first
        elif first is not None:
            yield first, offset
            first = None


def _written(line: str, rows: list[_Place], value: str) -> Iterator[str]:
    for number, (start, end, tag) in enumerate(rows, start=1):
        fields = [str(number), line[start:end], *"________"]
        misc = []
        if value == "entity" and tag != "O":
            misc.append(f"NER={tag}")
        following = rows[number][0] if number < len(rows) else None
        if following == end:
            misc.append("SpaceAfter=No")
        if value in ("upos", "xpos"):
            fields[_UPOS if value == "upos" else _XPOS] = tag
        fields[_MISC] = "|".join(misc) or "_"
        yield "\t".join(fields) + "\n"


def _entity_tag(misc: str) -> str:
    entries = dict(entry.split("=", 1) for entry in misc.split("|") if "=" in entry)
    return entries.get("NER", entries.get("NE", "O"))


def _parse(path: Path, losses: Losses) -> list[_Document]:
    """The documents of a file; if it names none, one a sentence."""
    documents: list[_Document] = []
    starts = False
    sentence: _Sentence | None = None
    sentence_id: str | None = None
    inside = 0  # the last word inside of the multiword token before
    for number, line in all_lines(path):
        if not line.strip():
            sentence, sentence_id, inside = None, None, 0
            continue
        if line.startswith("#") and (sentence is None or not sentence.words):
            match = _COMMENT.fullmatch(line)
            key, value = match.groups() if match else ("", None)
            if key.startswith("newdoc"):
                if documents and not starts:
                    message = "expected # newdoc before the first sentence, or nowhere"
                    raise InputError.at(path, number, message)
                starts = True
                documents.append(_Document(number, value.strip() if value else None))
            elif key == "sent_id" and value is not None:
                sentence_id = value.strip()
            elif key == "text" and value is not None:
                sentence = _Sentence(number, value)
            continue
        if sentence is None:
            sentence = _Sentence(number)
        if not sentence.words:
            if not starts:
                documents.append(_Document(number, sentence_id))
            documents[-1].sentences.append(sentence)
        inside = _add_word(sentence, _Word(number, line.split("\t")), inside, path, losses)
    if not documents:
        raise InputError.at(path, None, "no sentence here; expected CoNLL-U")
    if len({document.page_id is None for document in documents}) == 2:
        raise InputError.at(path, None, "expected an id for every document or for none")
    for document in documents:
        for sentence in document.sentences:
            _place(sentence, path)
    return documents


def _add_word(sentence: _Sentence, word: _Word, inside: int, path: Path, losses: Losses) -> int:
    """Take a line in, unless it has no place in the text; returns the new ``inside``."""
    if len(word.fields) != 10:
        message = f"expected 10 columns parted by tabs, got {len(word.fields)}: "
        raise InputError.at(path, word.number, message + quote(" ".join(word.fields)))
    match = _ID.fullmatch(word.fields[0])
    if match is None:
        message = f"expected an id such as 1, 1-2 or 1.1, got {quote(word.fields[0])}"
        raise InputError.at(path, word.number, message)
    place = f"{path}:{word.number}: {word.fields[_FORM]}"
    if match[2] == ".":
        losses.add("empty node", place)
        return inside
    if any(word.fields[column] not in ("_", "") for column in (2, 5, 6, 7, 8)):
        losses.add("lemma, features or syntax", place)
    if match[2] is None and int(match[1]) <= inside:
        losses.add("word inside of a multiword token", place)
        return inside
    if not word.fields[_FORM].strip():
        raise InputError.at(path, word.number, "expected a form, got an empty column")
    sentence.words.append(word)
    return int(match[3]) if match[2] else inside


def _place(sentence: _Sentence, path: Path) -> None:
    """Find the words in the text, or make it of them."""
    if sentence.text is None:
        spaced = [
            word.fields[_FORM] + ("" if "SpaceAfter=No" in word.fields[_MISC].split("|") else " ")
            for word in sentence.words
        ]
        sentence.text = "".join(spaced).rstrip(" ")
    text, position = sentence.text, 0
    for word in sentence.words:
        form = word.fields[_FORM]
        while position < len(text) and text[position].isspace():
            position += 1
        if not text.startswith(form, position):
            shown = quote(text[position : position + 20])
            message = f"form {quote(form)} is not in # text there, which goes on with {shown}"
            raise InputError.at(path, word.number, message)
        sentence.places.append((position, position + len(form)))
        position += len(form)
    if text[position:].strip():
        message = f"no word for {quote(text[position:].strip())} at the end of # text"
        raise InputError.at(path, sentence.number, message)
