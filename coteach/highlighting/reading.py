"""A text as a student reads it, and numbers of its tokens joined to its words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coteach.errors import InputError, quote
from coteach.highlighting.words import Special, Word, join
from coteach.model import Student
from coteach.model.alignment import Tokens
from coteach.model.classification import shortened
from coteach.model.extraction import build_aligner
from coteach.model.mecab import without_surrogates
from coteach.model.preprocessing import joined_pair, preprocess

__all__ = ["TextReader"]


class TextReader:
    """Reads texts with one student. Only the first window of a text is read.

    Args:
        name: of the student.
        student: it is put into evaluation mode.
        tokenizer: the one that it was trained with.
    """

    def __init__(self, name: str, student: Student, tokenizer: Any) -> None:
        self.name = name
        self.student = student.eval()
        self.tokenizer = tokenizer
        self.aligner = build_aligner(tokenizer, student.config)

    def tokens(self, text: str, prepared: bool = False) -> tuple[str, Tokens]:
        """The text as the student's tokenizer gets it, and its tokens as far as they are read.

        Args:
            text: or, for a student of pairs, two texts, a line each or with a tab between them.
            prepared: whether it has been preprocessed, as the texts of a run's report are.

        Raises:
            InputError: the text is no pair though the student reads pairs.
        """
        config = self.student.config
        text = without_surrogates(text)
        text = text if prepared else self._prepared(text)
        pairs = config.pair_separator is not None
        return text, shortened(self.aligner(text), config.window, pairs)

    def join(
        self,
        text: str,
        tokens: Tokens,
        weights: Sequence[float],
        marks: Sequence[tuple[int, int]] = (),
    ) -> tuple[list[Word], list[Special]]:
        """Give every word the sum of its tokens' weights: :func:`.words.join`.

        Args:
            text: and its ``tokens``: what :meth:`tokens` gave.
            weights: of the tokens between [CLS] and [SEP], with these two.
            marks: spans to point out.
        """
        first, *inner, last = weights
        ids = [self.tokenizer.cls_token_id, *tokens.ids, self.tokenizer.sep_token_id]
        start, *names, end = self.tokenizer.convert_ids_to_tokens(ids)
        words, specials = join(text, tokens, inner, names, marks)
        return words, [Special(start, first), *specials, Special(end, last)]

    def _prepared(self, text: str) -> str:
        config = self.student.config
        if not config.classes:
            return text
        if config.pair_separator is None:
            return preprocess(text, config.preprocessing)
        first, separator, second = text.partition("\n" if "\n" in text else "\t")
        if not separator:
            raise InputError(
                f"text {quote(text)}: {self.name} reads pairs; expected two texts, a line each "
                "or with a tab between them"
            )
        return joined_pair(*(preprocess(part, config.preprocessing) for part in (first, second)))
