"""Tokenizers that tell offsets themselves, as they are or on one stretch after the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from .normalization import joins
from .pieces import LONGEST_REMEMBERED, Memory, Piece, Pieces


class LineEncoder:
    """The ids of a tokenizer for each line, and where they stand in it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._mark = tokenizer.get_vocab().get("▁")

    def __call__(self, lines: list[str]) -> list[Pieces]:
        """The pieces of each line."""
        encoded = self._tokenizer(
            lines, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        every = zip(lines, encoded["input_ids"], encoded["offset_mapping"], strict=True)
        return [_visible(line, ids, offsets, self._mark) for line, ids, offsets in every]


class WordEncoder:
    """The ids of a tokenizer for each word, or other stretch, of a line, and where they stand.

    The first word of a line and a word after a space get the word-initial mark that they have in
    running text ("▁", "Ġ"); a word that directly follows another gets none.

    ``cut`` gives the words of a line, each with the spaces before it: :class:`.mecab.MecabWords`,
    or the stretches of :class:`.part_of_speech.PartOfSpeechLabeler`.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, cut: Callable[[str], list[str]]) -> None:
        backend = tokenizer.backend_tokenizer.to_str()
        self._cut = cut
        self._mark = tokenizer.get_vocab().get("▁")
        self._first = self._memory(backend)
        self._later = self._memory(without_prefix(backend))

    def __call__(self, lines: list[str]) -> list[Pieces]:
        """The pieces of each line."""
        return [self._line(line) for line in lines]

    def _line(self, line: str) -> Pieces:
        words = _with_blank_words(self._cut(line))
        pieces = [self._first[word] for word in words[:1]]
        pieces += [self._later[word] for word in words[1:]]
        return Pieces.concatenate(zip(words, pieces, strict=True))

    def _memory(self, backend: str) -> Memory[list[Piece]]:
        """Encodes a word with a tokenizer, given in JSON, that neither truncates nor pads."""
        tokenizer = Tokenizer.from_str(backend)
        tokenizer.no_truncation()
        tokenizer.no_padding()

        def encode(word: str) -> list[Piece]:
            encoding = tokenizer.encode(word, add_special_tokens=False)
            return list(map(Piece, *_visible(word, encoding.ids, encoding.offsets, self._mark)))

        return Memory(encode, longest=LONGEST_REMEMBERED)


def without_prefix(backend: str) -> str:
    """A tokenizer's JSON, changed so that it puts no "▁" or space of its own before a text."""
    description = json.loads(backend)
    for part in ("normalizer", "pre_tokenizer"):
        description[part] = _component_without_prefix(description[part])
    return json.dumps(description, ensure_ascii=False)


def _component_without_prefix(component: dict[str, Any] | None) -> dict[str, Any] | None:
    if component is None or component["type"] == "Prepend":
        return None
    changes: dict[str, Any] = {}
    if component["type"] == "Metaspace":
        changes["prepend_scheme"] = "never"
    elif component["type"] == "ByteLevel":
        changes["add_prefix_space"] = False
    elif component["type"] == "Strip":
        changes["strip_left"] = False  # the space before a word decides its mark
    for key in ("normalizers", "pretokenizers"):
        if key in component:
            parts = map(_component_without_prefix, component[key])
            changes[key] = [part for part in parts if part is not None]
    return {**component, **changes}


def _with_blank_words(words: list[str]) -> list[str]:
    """Words of whitespace only, such as U+3000, put before the word that follows."""
    joined: list[str] = []
    blank = ""
    for word in words:
        if word.isspace():
            blank += word
        else:
            joined.append(blank + word)
            blank = ""
    return joined


def _visible(
    text: str, ids: list[int], offsets: Sequence[tuple[int, int]], mark: int | None
) -> Pieces:
    """Pieces by what can be seen of them: without the whitespace at their ends.

    ``mark`` is the id of a piece that is only "▁". SentencePiece puts it before a text and gives it
    the range of the first character, which is the next piece's: it loses that range. Combining
    characters that the tokenizer composed with a piece, or dropped, but left out of its range (the
    accent of e + U+0301) come back to it.
    """
    starts: list[int] = []
    ends: list[int] = []
    followers = [*(start for start, _ in offsets), len(text)][1:]
    for token, (start, end), follower in zip(ids, offsets, followers, strict=True):
        if token == mark and start == follower:
            end = start
        while start < end and text[start].isspace():
            start += 1
        while start < end and text[end - 1].isspace():
            end -= 1
        while start < end < follower and joins(text[start:end], text[end]):
            end += 1
        starts.append(start)
        ends.append(end)
    return Pieces(ids, starts, ends)
