"""``BertJapaneseTokenizer``, which has no offsets, with exact offsets and faster."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate, pairwise
from typing import cast

from transformers import BertJapaneseTokenizer

from .mecab import MecabWords, bundled_dictionary
from .normalization import Normalized, nfkc
from .pieces import LONGEST_REMEMBERED, Memory, Piece, Pieces


class JapaneseBertEncoder:
    """The ids of ``BertJapaneseTokenizer`` for each line, and where they stand in it.

    MeCab finds the words of the normalised line; the tokenizer's own subword tokenizer cuts each
    distinct word once, so that the ids are its own. Places are counted in the normalised line and
    led back to the original one at the end.

    Args:
        tokenizer: the tokenizer.
        cut: gives the stretches of a line that are tokenised apart, none without its spaces
            before; joined, they are the line but for spaces at its end. Added tokens such as
            [MASK] stay whole. None to leave a line in one.

    Raises:
        ValueError: The words are not MeCab's, or the subwords neither WordPiece nor characters.
    """

    def __init__(
        self, tokenizer: BertJapaneseTokenizer, cut: Callable[[str], list[str]] | None = None
    ) -> None:
        words, subwords = tokenizer.word_tokenizer_type, tokenizer.subword_tokenizer_type
        if not (
            (tokenizer.do_word_tokenize and words == "mecab")
            and (tokenizer.do_subword_tokenize and subwords in ("wordpiece", "character"))
        ):
            raise ValueError(
                f"BertJapaneseTokenizer with word_tokenizer_type={words!r} and "
                f"subword_tokenizer_type={subwords!r}, do_word_tokenize="
                f"{tokenizer.do_word_tokenize} and do_subword_tokenize="
                f'{tokenizer.do_subword_tokenize}: expected "mecab" and "wordpiece" or "character"'
            )
        self._tokenizer = tokenizer
        self._words = tokenizer.word_tokenizer
        self._subwords = tokenizer.subword_tokenizer
        self._cut = self._characters if subwords == "character" else self._word_pieces
        self._mecab = MecabWords(_mecab_options(**(tokenizer.mecab_kwargs or {})))
        self._memory = Memory(self._word)
        self._stretches = cut
        self._stretch = Memory(self._stretch_pieces, longest=LONGEST_REMEMBERED)
        self._never_lowered = {*self._words.never_split, *tokenizer.all_special_tokens}
        self._added = {token.content: token for token in tokenizer.added_tokens_decoder.values()}
        self._any_added = re.compile("|".join(map(re.escape, self._added)) or r"(?!)")

    def __call__(self, lines: list[str]) -> list[Pieces]:
        """The pieces of each line."""
        return [self._line(line) for line in lines]

    def _line(self, line: str) -> Pieces:
        if not self._any_added.search(line):
            if self._stretches is None:
                return self._running_text(line)
            return Pieces.concatenate((text, self._stretch[text]) for text in self._stretches(line))
        ranges = [*self._with_pieces(line), (len(line), len(line), [])]
        return Pieces.concatenate(
            (line[start:following], pieces)
            for (start, _, pieces), (following, _, _) in pairwise(ranges)
        )

    def _with_pieces(self, line: str) -> Iterator[tuple[int, int, list[Piece]]]:
        """Added tokens and the text between them, cut at stretches: ranges and their pieces."""
        stretches = [] if self._stretches is None else self._stretches(line)
        bounds = list(accumulate(map(len, stretches)))
        for start, end in self._cut_at_added_tokens(line):
            if line[start:end] in self._added:
                yield start, end, [Piece(self._id(line[start:end]), 0, end - start)]
                continue
            inner = bounds[bisect_right(bounds, start) : bisect_left(bounds, end)]
            for left, right in pairwise([start, *inner, end]):
                yield left, right, self._stretch[line[left:right]]

    def _stretch_pieces(self, text: str) -> list[Piece]:
        return list(map(Piece, *self._running_text(text)))

    def _cut_at_added_tokens(self, line: str) -> list[tuple[int, int]]:
        """The ranges that the tokenizer cuts a line into before it looks for words.

        It sets "[MASK]" and other added tokens apart, as ``PreTrainedTokenizer.tokenize`` does.
        """
        bounds = accumulate(map(len, self._tokenizer.tokens_trie.split(line)), initial=0)
        parts = [[start, end] for start, end in pairwise(bounds)]
        for number, (start, end) in enumerate(parts):
            token = self._added.get(line[start:end])
            if token is None:
                continue
            left = parts[number - 1] if number > 0 else [start, start]
            right = parts[number + 1] if number + 1 < len(parts) else [end, end]
            text_left, text_right = line[slice(*left)], line[slice(*right)]
            if token.lstrip:
                left[1] = left[0] + len(text_left.rstrip())
            if token.rstrip:
                right[0] = right[1] - len(text_right.lstrip())
            if token.single_word:  # within a word it is text like any other
                if text_left and text_left[-1] != " ":
                    left[1] = end
                    parts[number] = [end, end]
                elif text_right and text_right[0] != " ":
                    right[0] = start
                    parts[number] = [end, end]
        return [(start, end) for start, end in parts if start < end]

    def _running_text(self, text: str) -> Pieces:
        """The pieces of a line, or of a part of it, without added tokens."""
        normalized = nfkc(text) if self._words.normalize_text else Normalized.one_to_one(text)
        words = self._mecab(normalized.text)
        of_each = map(self._memory.__getitem__, words)
        pieces = Pieces.concatenate(zip(words, of_each, strict=True))
        if normalized.is_one_to_one:
            return pieces
        return Pieces(
            pieces.ids,
            [normalized.starts[start] for start in pieces.starts],
            [normalized.ends[end - 1] for end in pieces.ends],
        )

    def _word(self, spaced_word: str) -> list[Piece]:
        """The pieces of one of MeCab's words, which comes after the spaces before it."""
        spaces = self._mecab.spaces(spaced_word)
        word = spaced_word[spaces:]
        lowers = self._words.do_lower_case and word not in self._never_lowered
        # İ becomes two characters in lower case: the place behind each of them.
        places = [
            place
            for place, character in enumerate(word, start=spaces)
            for _ in (character.lower() if lowers else character)
        ]
        return [
            Piece(self._id(token), places[start], places[end - 1] + 1)
            for token, start, end in self._cut(word.lower() if lowers else word)
        ]

    def _id(self, token: str) -> int:
        return cast(int, self._tokenizer.convert_tokens_to_ids(token))

    def _characters(self, word: str) -> list[tuple[str, int, int]]:
        """The characters of a word, unknown ones replaced, and their ranges."""
        form = nfkc(word) if self._subwords.normalize_text else Normalized.one_to_one(word)
        return list(zip(self._subwords.tokenize(word), form.starts, form.ends, strict=True))

    def _word_pieces(self, word: str) -> list[tuple[str, int, int]]:
        """The WordPiece tokens of a word and their ranges; whitespace splits it and is dropped."""
        pieces: list[tuple[str, int, int]] = []
        for visible in re.finditer(r"\S+", word):
            start, end = visible.span()
            tokens = self._subwords.tokenize(visible.group())
            if tokens == [self._subwords.unk_token]:
                pieces.append((tokens[0], start, end))
                continue
            for number, token in enumerate(tokens):
                end = start + len(token) - (len("##") if number else 0)
                pieces.append((token, start, end))
                start = end
        return pieces


def _mecab_options(
    mecab_dic: str | None = "unidic_lite", mecab_option: str | None = None, **_: object
) -> str:
    """The options that ``BertJapaneseTokenizer`` starts MeCab with, from its ``mecab_kwargs``."""
    dictionary = "" if mecab_dic is None else bundled_dictionary(mecab_dic)
    return f"{dictionary} {mecab_option or ''}"
