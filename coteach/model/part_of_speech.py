"""Parts of speech: words that an analyser finds and classes, with their exact places in a text."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from .mecab import LONGEST_PART, MECAB_DICTIONARIES, bundled_dictionary, parts, readable
from .pieces import Memory
from .spans import Span

ANALYZERS = ("mecab", "sudachi")
SUDACHI_DICTIONARIES = ("core", "small", "full")
SPLIT_MODES = ("A", "B", "C")
# Levels of a feature that are the part of speech: 品詞 and 品詞細分類1-3 of ipadic, pos1-pos4 of
# UniDic. What follows are inflection, readings and the like.
_LEVELS = 4
# A word with the spaces before it, then these spaces again and its feature, on lines of their own:
# words may hold spaces and tabs. The end is marked so that fugashi, which strips the answer, strips
# no word.
_WORDS_AND_FEATURES = r'-O "" -B "" -F "%M\n%pS,%H\n" -U "%M\n%pS,%H\n" -E "."'
_LONGEST_SUDACHI_PART = 12_000  # characters; Sudachi reads 49,149 bytes at most

Word = tuple[int, int, str]
"""A word's first code point in its line, its last one (exclusive), and its part of speech: the
first levels of the analyser's feature, up to the first "*", joined with ","."""


class Analyzer(Protocol):
    """What finds words: MeCab, Sudachi, or another analyser.

    Attributes:
        version: in JSON's types; it changes with whatever the words depend on beside the
            description.
    """

    version: list[Any]

    def __call__(self, line: str) -> list[Word]:
        """The words of ``line``, which holds no line break, in reading order; spaces are none."""


class MecabAnalyzer:
    """MeCab's words with their parts of speech.

    NUL, where MeCab would stop, counts as a space; a lone surrogate, which has no UTF-8 form, is
    read as U+FFFD. A line of more than 16,000 characters is read in parts, which end after "。" or
    before a space where they can.

    Args:
        dictionary: "unidic_lite", "ipadic" or "unidic", the Python packages, or the folder of a
            compiled dictionary, such as NEologd's.
        user_dictionary: a compiled user dictionary beside it.

    Raises:
        ValueError: fugashi or the dictionary is not installed, or MeCab cannot read it.
    """

    def __init__(self, dictionary: str = "unidic_lite", user_dictionary: str | None = None) -> None:
        try:
            import fugashi
        except ModuleNotFoundError as error:
            raise ValueError("MeCab's parts of speech need the package fugashi") from error
        options = _mecab_dictionary(dictionary)
        if user_dictionary is not None:
            if not Path(user_dictionary).is_file():
                raise ValueError(
                    f"MeCab user dictionary {user_dictionary!r}: expected a compiled dictionary, "
                    "but there is no such file"
                )
            options += f" -u {shlex.quote(str(user_dictionary))}"
        try:
            self._tagger: Any = fugashi.GenericTagger(f"{options} {_WORDS_AND_FEATURES}")
        except RuntimeError as error:
            raise ValueError(f"MeCab cannot be started with the options {options!r}") from error
        self.version: list[Any] = [
            {key: info[key] for key in ("charset", "size", "version")}
            for info in self._tagger.dictionary_info
        ]
        if user_dictionary is not None:  # rebuilt with other words, it may be of the same size
            self.version.append({"content": _digest(Path(user_dictionary))})
        for info in self._tagger.dictionary_info:
            if info["charset"].lower().replace("-", "") != "utf8":
                raise ValueError(
                    f"MeCab dictionary {info['filename']!r}: its charset is {info['charset']}, "
                    "expected UTF-8"
                )
        self._spaces_and_part_of_speech = Memory(_spaces_and_part_of_speech)

    def __call__(self, line: str) -> list[Word]:
        """The words of ``line``, in reading order."""
        if len(line) <= LONGEST_PART:
            return self._part(line, 0)
        words: list[Word] = []
        place = 0
        for part in parts(line, LONGEST_PART):
            words += self._part(part, place)
            place += len(part)
        return words

    def _part(self, text: str, place: int) -> list[Word]:
        """The words of a part of a line that begins at ``place``."""
        words: list[Word] = []
        understood = self._spaces_and_part_of_speech
        answer = iter(self._tagger.parse(readable(text)).split("\n"))
        for spaced_word, feature in zip(answer, answer, strict=False):  # the end's mark is alone
            spaces, part_of_speech = understood[feature]
            start = place + spaces
            place += len(spaced_word)
            words.append((start, place, part_of_speech))
        return words


class SudachiAnalyzer:
    """Sudachi's words with their parts of speech; its tags have UniDic's names.

    Words of white space only are left out, as MeCab does with spaces. Long lines are read in parts,
    as by :class:`MecabAnalyzer`; so are NUL and lone surrogates.

    Args:
        dictionary: "core", "small" or "full", the packages sudachidict-*.
        user_dictionary: a compiled user dictionary beside it.
        split_mode: "A" for short words, "C" for named entities in one, "B" between.

    Raises:
        ValueError: sudachipy or the dictionary is not installed, or cannot be read.
    """

    def __init__(
        self, dictionary: str = "core", user_dictionary: str | None = None, split_mode: str = "C"
    ) -> None:
        if dictionary not in SUDACHI_DICTIONARIES:
            expected = ", ".join(SUDACHI_DICTIONARIES)
            raise ValueError(f"Sudachi dictionary {dictionary!r}: expected {expected}")
        if split_mode not in SPLIT_MODES:
            raise ValueError(
                f"Sudachi split_mode {split_mode!r}: expected {', '.join(SPLIT_MODES)}"
            )
        try:
            import sudachipy
        except ModuleNotFoundError as error:
            raise ValueError(
                "Sudachi's parts of speech need the packages sudachipy and "
                f"sudachidict-{dictionary}"
            ) from error
        user = [] if user_dictionary is None else [str(user_dictionary)]
        try:
            opened: Any = sudachipy.Dictionary(
                config=sudachipy.Config(system=dictionary, user=user)
            )
        except ModuleNotFoundError as error:
            raise ValueError(
                f"Sudachi dictionary {dictionary!r}: its package sudachidict-{dictionary} is not "
                "installed"
            ) from error
        except sudachipy.errors.SudachiError as error:
            raise ValueError(
                f"Sudachi cannot read dictionary {dictionary!r} with user dictionary "
                f"{user_dictionary!r}: {error}"
            ) from error
        make = opened.tokenizer if hasattr(opened, "tokenizer") else opened.create  # before 0.7
        self._too_long = sudachipy.errors.SudachiError
        self._tokenizer = make(mode=getattr(sudachipy.SplitMode, split_mode))
        self.version: list[Any] = [sudachipy.__version__, *(_digest(Path(path)) for path in user)]

    def __call__(self, line: str) -> list[Word]:
        """The words of ``line``, in reading order."""
        words: list[Word] = []
        place = 0
        for part in parts(readable(line), _LONGEST_SUDACHI_PART):
            words += self._part(part, place)
            place += len(part)
        return words

    def _part(self, text: str, place: int) -> Iterator[Word]:
        try:
            morphemes = self._tokenizer.tokenize(text)
        except self._too_long:
            # Its normal form is too long (﷽ becomes eighteen characters): half of it may not be.
            if len(text) < 2:
                raise
            half = len(text) // 2
            yield from self._part(text[:half], place)
            yield from self._part(text[half:], place + half)
            return
        for morpheme in morphemes:
            start, end = morpheme.begin(), morpheme.end()
            if text[start:end].strip():
                yield place + start, place + end, _joined(morpheme.part_of_speech())


class PartOfSpeechLabeler:
    """Labels words with classes of parts of speech, and cuts lines at them.

    Labelers can be pickled and sent to worker processes, which start their own analyser.

    Args:
        description: everything there is to know, in JSON's types:

            * ``analyzer``: "mecab" or "sudachi";
            * ``dictionary`` and ``user_dictionary`` (a path, or None): the analyser's;
            * ``split_mode``: Sudachi's;
            * ``classes``: class → beginnings of parts of speech, by whole levels: "名詞" takes
              "名詞,固有名詞" too. The longest beginning of a word's part of speech decides its
              class; words without one have none.

    Raises:
        ValueError: the description is none, or its analyser cannot be started.
    """

    def __init__(self, description: Mapping[str, Any]) -> None:
        allowed = {"analyzer", "dictionary", "user_dictionary", "split_mode", "classes"}
        needed = {"analyzer", "dictionary", "classes"}
        if not isinstance(description, Mapping) or not needed <= {*description} <= allowed:
            raise ValueError(
                f"part of speech {description!r}: expected a table with "
                f"{', '.join(sorted(needed))} and perhaps {', '.join(sorted(allowed - needed))}"
            )
        self.description = json.loads(json.dumps(dict(description)))
        beginnings = _beginnings(description["classes"])
        self.classes = tuple(description["classes"])
        self._analyzer = _analyzer(description)
        self._class = Memory(lambda part_of_speech: _class_of(part_of_speech, beginnings))

    def __call__(self, text: str) -> list[Span]:
        """A span for every word of a class, in reading order; the attribute is the class."""
        class_of = self._class
        return [
            Span(name, number, start, number, end)
            for number, line in enumerate(text.split("\n"))
            for start, end, part_of_speech in self._analyzer(line)
            if (name := class_of[part_of_speech]) is not None
        ]

    def segments(self, line: str) -> list[str]:
        """``line``, which holds no "\\n", cut at words of a class.

        Each word of a class is a stretch, and so is each run of other words. Spaces belong to the
        word after them. Joined, the stretches are the line, but for the spaces after its last word.
        """
        stretches: list[str] = []
        cut = last = 0
        for _, end, part_of_speech in self._analyzer(line):
            if self._class[part_of_speech] is not None:
                if cut < last:
                    stretches.append(line[cut:last])
                stretches.append(line[last:end])
                cut = end
            last = end
        if cut < last:
            stretches.append(line[cut:last])
        return stretches

    @property
    def fingerprint(self) -> str:
        """A key for caches: it changes with whatever the labels depend on.

        Of a dictionary it knows place, size and version, of a user dictionary the content.
        """
        described = {**self.description, "classes": list(self.description["classes"].items())}
        parts_of_it = json.dumps([described, self._analyzer.version], sort_keys=True)
        return hashlib.sha256(parts_of_it.encode()).hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        return self.description

    def __setstate__(self, description: dict[str, Any]) -> None:
        PartOfSpeechLabeler.__init__(self, description)


def _digest(path: Path) -> str:
    """Of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _mecab_dictionary(dictionary: str) -> str:
    """MeCab's options for a dictionary, by name or by folder."""
    if dictionary in MECAB_DICTIONARIES:
        return bundled_dictionary(dictionary)
    folder = Path(dictionary)
    if not (folder / "sys.dic").is_file():
        raise ValueError(
            f"MeCab dictionary {dictionary!r}: expected {', '.join(MECAB_DICTIONARIES)}, or the "
            "folder of a compiled dictionary (with a file sys.dic)"
        )
    # MeCab wants a file of settings, but needs none.
    settings = folder / "mecabrc" if (folder / "mecabrc").is_file() else os.devnull
    return f"-d {shlex.quote(str(folder))} -r {shlex.quote(str(settings))}"


def _analyzer(description: Mapping[str, Any]) -> Analyzer:
    """The analyser of a description."""
    name, user_dictionary = description["analyzer"], description.get("user_dictionary")
    if name == "mecab":
        if "split_mode" in description:
            raise ValueError(f"split_mode={description['split_mode']!r}: it is Sudachi's alone")
        return MecabAnalyzer(description["dictionary"], user_dictionary)
    if name == "sudachi":
        mode = description.get("split_mode", "C")
        return SudachiAnalyzer(description["dictionary"], user_dictionary, mode)
    raise ValueError(f"analyzer {name!r}: expected {' or '.join(ANALYZERS)}")


def _spaces_and_part_of_speech(answer: str) -> tuple[int, str]:
    """How many spaces are before a word, and its part of speech, from MeCab's second line."""
    spaces, *levels = answer.split(",", 1 + _LEVELS)
    return len(spaces), _joined(levels)


def _joined(levels: list[str] | tuple[str, ...]) -> str:
    """The levels of a part of speech up to the first that says nothing."""
    levels = levels[:_LEVELS]
    return ",".join(levels[: levels.index("*")] if "*" in levels else levels)


def _beginnings(classes: Any) -> dict[str, str]:
    """The class of every beginning of a part of speech, from a table of classes."""
    expected = "expected at least one class, each with a list of beginnings of parts of speech"
    if not isinstance(classes, Mapping) or not classes:
        raise ValueError(f"classes {classes!r}: {expected}")
    found: dict[str, str] = {}
    for name, prefixes in classes.items():
        if not isinstance(prefixes, list | tuple) or not prefixes:
            raise ValueError(f"class {name!r} with {prefixes!r}: {expected}")
        for prefix in prefixes:
            if not isinstance(prefix, str) or not all(prefix.split(",")):
                raise ValueError(
                    f'class {name!r}: expected a beginning such as "名詞,固有名詞", got {prefix!r}'
                )
            if found.setdefault(prefix, name) != name:
                raise ValueError(
                    f"classes {found[prefix]!r} and {name!r} both have {prefix!r}: expected it in "
                    "one"
                )
    return found


def _class_of(part_of_speech: str, beginnings: Mapping[str, str]) -> str | None:
    """The class of the longest beginning of a part of speech."""
    while part_of_speech not in beginnings:
        if "," not in part_of_speech:
            return None
        part_of_speech = part_of_speech.rpartition(",")[0]
    return beginnings[part_of_speech]
