"""Tokens that know their place: vocabulary ids with exact offsets into the original text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from transformers import BertJapaneseTokenizer, PreTrainedTokenizerBase

from .fast_tokenizer import LineEncoder, WordEncoder
from .japanese_bert import JapaneseBertEncoder
from .mecab import MecabWords, bundled_dictionary, without_surrogates
from .part_of_speech import PartOfSpeechLabeler
from .pieces import Pieces

CHARACTERS_AT_ONCE = 2**16  # of texts that are tokenised together


@dataclass(frozen=True)
class Tokens:
    """The tokens of one page, without [CLS] and [SEP] at its ends; all lists have one length.

    A token with ``starts[i] == ends[i]`` carries no text (a line separator, a lone "▁") and must
    never carry a label. Starts never decrease within a line. Tokens whose characters come from one
    original character (㍿ read as 株式会社, the bytes of one character) share its range.

    Attributes:
        ids: Vocabulary ids.
        lines: Line of each token: the text split on "\\n" only, from 0.
        starts: First code point within the line, in the original text.
        ends: Last code point, exclusive.
    """

    ids: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, places: Iterable[int]) -> Tokens:
        """Some of the tokens."""
        kept = list(places)
        lists = (self.ids, self.lines, self.starts, self.ends)
        return Tokens(*([of[place] for place in kept] for of in lists))


class Aligner:
    """Turns the text of a page into ``Tokens`` with the vocabulary of ``tokenizer``.

    ``BertJapaneseTokenizer`` (MeCab, then WordPiece or characters): ids are those of the tokenizer
    itself, line by line; its own MeCab configuration holds. Tokenizers with offsets (those of the
    ``tokenizers`` library): ids are those of the tokenizer, line by line; with ``words="mecab"``,
    every word that MeCab finds is tokenised apart, without a word-initial mark ("▁", "Ġ") where it
    directly follows another, so that no piece crosses a word boundary.

    With ``words="part_of_speech"``, for either kind: every word of a class of parts of speech, and
    every run of other words, is tokenised apart, so that no piece crosses a boundary of the former
    (only added tokens such as [MASK] may, with a ``BertJapaneseTokenizer``).

    Aligners can be pickled and sent to worker processes, which start their own MeCab. The
    tokenizer must not be changed afterwards.

    Args:
        tokenizer: A tokenizer of transformers.
        words: Split at MeCab's words first, or at words of a class of parts of speech; None leaves
            the tokenizer as it was pretrained.
        mecab_options: Options of MeCab for ``words="mecab"``, as on its command line, for example
            ``-d "/path/of a/dictionary"``; by default the dictionary is unidic-lite.
        part_of_speech: For ``words="part_of_speech"``: what
            :class:`.part_of_speech.PartOfSpeechLabeler` is made from.
        separator: Put the tokenizer's ``sep_token`` between lines that have tokens, as a token
            without text at the end of the token before it.
        trim_head: Lines at the top of a page that are left unread, such as a website's navigation;
            the other lines keep their numbers.
        trim_tail: The same at the end; what follows the last "\\n" is a line, even where empty.

    Raises:
        ValueError: The tokenizer cannot tell offsets, has no ``sep_token`` although a separator is
            asked for, or MeCab or the analyser cannot be started with these options.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        words: Literal["mecab", "part_of_speech"] | None = None,
        mecab_options: str = "",
        part_of_speech: Mapping[str, Any] | None = None,
        separator: bool = True,
        trim_head: int = 0,
        trim_tail: int = 0,
    ) -> None:
        if words not in ("mecab", "part_of_speech", None):
            raise ValueError(f'words={words!r}: expected "mecab", "part_of_speech" or None')
        if (part_of_speech is None) == (words == "part_of_speech"):
            raise ValueError(
                f"part_of_speech={part_of_speech!r} with words={words!r}: expected a description "
                'with words="part_of_speech", and None otherwise'
            )
        self._arguments = {
            "tokenizer": tokenizer,
            "words": words,
            "mecab_options": mecab_options,
            "part_of_speech": part_of_speech,
            "separator": separator,
            "trim_head": trim_head,
            "trim_tail": trim_tail,
        }
        if trim_head < 0 or trim_tail < 0:
            raise ValueError(
                f"expected at least 0 lines, got trim_head={trim_head}, trim_tail={trim_tail}"
            )
        self._trim = (trim_head, trim_tail)
        self._labeler = None if part_of_speech is None else PartOfSpeechLabeler(part_of_speech)
        self._encode = _encoder(tokenizer, words, mecab_options, self._labeler)
        if separator and tokenizer.sep_token_id is None:
            raise ValueError(
                f"{type(tokenizer).__name__} has no sep_token to put between lines: "
                "set tokenizer.sep_token, or pass separator=False"
            )
        self._separator = tokenizer.sep_token_id if separator else None

    def __call__(self, text: str) -> Tokens:
        """The tokens of ``text``; none for an empty text."""
        return self._tokens(self._encode(self._lines(text)))

    def each(self, texts: Iterable[str]) -> Iterator[Tokens]:
        """The tokens of each text, in order.

        Short texts go to the tokenizer together: some hand every call over to other threads, which
        can take longer than a short text itself.
        """
        remaining = iter(texts)
        while group := list(_up_to(CHARACTERS_AT_ONCE, map(self._lines, remaining))):
            encoded = iter(self._encode([line for lines in group for line in lines]))
            for lines in group:
                yield self._tokens(islice(encoded, len(lines)))

    def _lines(self, text: str) -> list[str]:
        """The lines of a text, those empty that are left unread."""
        lines = without_surrogates(text).split("\n")
        head, tail = self._trim
        unread = (range(min(head, len(lines))), range(max(len(lines) - tail, 0), len(lines)))
        for number in (number for numbers in unread for number in numbers):
            lines[number] = ""
        return lines

    def _tokens(self, encoded: Iterable[Pieces]) -> Tokens:
        """The tokens of a text whose lines are encoded."""
        tokens = Tokens()
        for number, pieces in enumerate(encoded):
            if not pieces.ids:
                continue
            if self._separator is not None and tokens.ids:
                tokens.ids.append(self._separator)
                tokens.lines.append(tokens.lines[-1])
                tokens.starts.append(tokens.ends[-1])
                tokens.ends.append(tokens.ends[-1])
            tokens.ids.extend(pieces.ids)
            tokens.lines.extend([number] * len(pieces.ids))
            tokens.starts.extend(pieces.starts)
            tokens.ends.extend(pieces.ends)
        return tokens

    @property
    def fingerprint(self) -> str:
        """A key for caches: it changes with whatever the tokens depend on, but for the dictionary
        of MeCab, of which it knows the options, or for parts of speech the version, only."""
        tokenizer: Any = self._arguments["tokenizer"]
        backend = getattr(tokenizer, "backend_tokenizer", None)
        vocabulary = sorted(tokenizer.get_vocab().items()) if backend is None else backend.to_str()
        # Where the files lie does not matter.
        settings = {
            name: str(value)
            for name, value in tokenizer.init_kwargs.items()
            if not name.endswith(("_file", "_path"))
        }
        options: dict[str, Any] = {**self._arguments, "tokenizer": None}
        options["part_of_speech"] = self._labeler and self._labeler.fingerprint
        parts = [type(tokenizer).__name__, vocabulary, settings, options]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        return self._arguments

    def __setstate__(self, arguments: dict[str, Any]) -> None:
        Aligner.__init__(self, **arguments)


def _up_to(characters: int, texts: Iterable[list[str]]) -> Iterator[list[str]]:
    """The first texts, as lines, until they have so many characters."""
    count = 0
    for lines in texts:
        yield lines
        count += sum(map(len, lines))
        if count >= characters:
            return


def _encoder(
    tokenizer: PreTrainedTokenizerBase,
    words: str | None,
    mecab_options: str,
    labeler: PartOfSpeechLabeler | None,
) -> Callable[[list[str]], list[Pieces]]:
    """The encoder of lines that suits the tokenizer."""
    if mecab_options and (words != "mecab" or isinstance(tokenizer, BertJapaneseTokenizer)):
        raise ValueError(
            f'mecab_options={mecab_options!r}: they are for words="mecab" with a tokenizer that '
            "has no MeCab of its own; a BertJapaneseTokenizer reads its mecab_kwargs"
        )
    if isinstance(tokenizer, BertJapaneseTokenizer):
        return JapaneseBertEncoder(tokenizer, None if labeler is None else labeler.segments)
    if not tokenizer.is_fast:
        raise ValueError(
            f"{type(tokenizer).__name__} cannot tell the offsets of its tokens: expected a "
            "tokenizer of the tokenizers library (is_fast) or a BertJapaneseTokenizer"
        )
    if words is None:
        return LineEncoder(tokenizer)
    if labeler is not None:
        return WordEncoder(tokenizer, labeler.segments)
    dictionary = bundled_dictionary("unidic_lite")
    return WordEncoder(tokenizer, MecabWords(f"{dictionary} {mecab_options}"))
