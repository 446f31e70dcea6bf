"""MeCab's words, so that each keeps its place in the text."""

from __future__ import annotations

import importlib
import shlex
from pathlib import Path
from typing import Any

from .pieces import Memory

_DICTIONARIES = ("unidic_lite", "ipadic", "unidic")
# Each word on a line of its own, with the spaces before it, whatever the dictionary's own output
# format is. (Words may hold spaces, so the format "wakati" would not do.)
_WORDS_ONLY = r'-O "" -B "" -F "%M\n" -U "%M\n" -E ""'


def bundled_dictionary(package: str) -> str:
    """MeCab's options for a dictionary that is a Python package: unidic_lite, ipadic or unidic.

    Raises:
        ValueError: It is none of them, or not installed.
    """
    if package not in _DICTIONARIES:  # a checkpoint may name it: import nothing else
        raise ValueError(f"MeCab dictionary {package!r}: expected {', '.join(_DICTIONARIES)}")
    try:
        folder = Path(importlib.import_module(package).DICDIR)
    except ModuleNotFoundError as error:
        raise ValueError(f"MeCab dictionary {package!r}: its package is not installed") from error
    return f"-d {shlex.quote(str(folder))} -r {shlex.quote(str(folder / 'mecabrc'))}"


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
        line = line.replace("\0", " ")
        answer = self._tagger.parse(line)
        words: list[str] = answer.split("\n")
        read = len(answer) - (len(words) - 1)
        if line[read:].strip(" "):
            # fugashi strips the answer, and with it a last word such as "\r": ask for the nodes.
            return [node.white_space + node.surface for node in self._tagger(line)]
        return words if answer else []

    def spaces(self, word: str) -> int:
        """How many characters at the start of a word from ``__call__`` are spaces to MeCab.

        The dictionary says which (char.def, SPACE): the tab may be, U+3000 may not be.
        """
        return next(index for index, character in enumerate(word) if not self._is_space[character])
