"""MeCab's words, so that each keeps its place in the text."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .pieces import Memory

MECAB_DICTIONARIES = ("unidic_lite", "ipadic", "unidic")
# fugashi crashes where MeCab finds no path through a line, because its costs, of up to 2¹⁶ a
# character, outgrow 31 bits; and spaces before a word may be 65,535 bytes at most.
LONGEST_PART = 16_000
# Each word on a line of its own, with the spaces before it, whatever the dictionary's own output
# format is. (Words may hold spaces, so the format "wakati" would not do.) The end is marked so that
# fugashi, which strips the answer, strips no last word such as "\r".
_WORDS_ONLY = r'-O "" -B "" -F "%M\n" -U "%M\n" -E "."'
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def bundled_dictionary(package: str) -> str:
    """MeCab's options for a dictionary that is a Python package: unidic_lite, ipadic or unidic.

    Raises:
        ValueError: It is none of them, or not installed.
    """
    if package not in MECAB_DICTIONARIES:  # a checkpoint may name it: import nothing else
        raise ValueError(f"MeCab dictionary {package!r}: expected {', '.join(MECAB_DICTIONARIES)}")
    try:
        folder = Path(importlib.import_module(package).DICDIR)
    except ModuleNotFoundError as error:
        raise ValueError(f"MeCab dictionary {package!r}: its package is not installed") from error
    return f"-d {shlex.quote(str(folder))} -r {shlex.quote(str(folder / 'mecabrc'))}"


def without_surrogates(text: str) -> str:
    """A text with U+FFFD for lone surrogates, which have no UTF-8 form: nothing could read it."""
    try:
        text.encode()  # far faster than to look for them
    except UnicodeEncodeError:
        return _LONE_SURROGATE.sub("\ufffd", text)
    return text


def readable(line: str) -> str:
    """A line as analysers can read it, of the same length: without NUL, where MeCab would stop."""
    return without_surrogates(line).replace("\0", " ")


def parts(line: str, longest: int) -> Iterator[str]:
    """Consecutive parts of a line, none longer than ``longest``, cut where words hardly span.

    A part ends after its last "。" or before its last space if one lies in its second half.
    """
    start = 0
    while len(line) - start > longest:
        middle, end = start + longest // 2, start + longest
        cut = max(line.rfind("。", middle, end) + 1, line.rfind(" ", middle, end))
        cut = cut if cut > start else end
        yield line[start:cut]
        start = cut
    yield line[start:]


class MecabWords:
    """Cuts a line into words, each with the spaces before it.

    Args:
        options: MeCab's options, as on its command line; later ones override earlier ones.

    Raises:
        ValueError: fugashi is not installed, or MeCab refuses the options.
    """

    def __init__(self, options: str) -> None:
        try:
            import fugashi
        except ModuleNotFoundError as error:
            raise ValueError("splitting at MeCab's words needs the package fugashi") from error
        try:
            self._tagger: Any = fugashi.GenericTagger(f"{options} {_WORDS_ONLY}")
        except RuntimeError as error:
            raise ValueError(f"MeCab cannot be started with the options {options!r}") from error
        self._is_space = Memory(lambda character: not self._tagger(character))

    def __call__(self, line: str) -> list[str]:
        """The words of ``line``, which holds no "\\n"; joined, they are the line again.

        The spaces after the last word are left out. NUL, where MeCab would stop, counts as a space
        and comes back as one.
        """
        line = readable(line)
        if len(line) <= LONGEST_PART:
            return self._words(line)
        words: list[str] = []
        blank = ""
        for part in parts(line, LONGEST_PART):
            first, *others = [*self._words(part), ""]
            words += [blank + first, *others[:-1]] if first else []
            read = len(first) + sum(map(len, others))
            blank = part[read:] if first else blank + part
        return words

    def _words(self, text: str) -> list[str]:
        """The words of a part of a line."""
        words: list[str] = self._tagger.parse(text).split("\n")
        return words[:-1]

    def spaces(self, word: str) -> int:
        """How many characters at the start of a word from ``__call__`` are spaces to MeCab.

        The dictionary says which (char.def, SPACE): the tab may be, U+3000 may not be.
        """
        return next(index for index, character in enumerate(word) if not self._is_space[character])
