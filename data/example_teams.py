"""The four extractors ("teams") whose outputs come with the built-in example.

Two are averaged perceptrons that assign an IOB2 tag per attribute to every character or word, one
is a set of regular expressions, one a dictionary with rules. All their arithmetic is on integers
and their order of work is fixed, so the same pages give the same outputs everywhere.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import fugashi
import numpy as np
from example_pages import Page, Span

OUTSIDE, BEGIN, INSIDE = 0, 1, 2
Unit = tuple[int, int]  # the characters of a unit of text: start and exclusive end
Featuriser = Callable[[str], tuple[list[Unit], list[list[str]]]]


class Extractor(Protocol):
    """Finds values in a text."""

    def extract(self, text: str) -> list[Span]:
        """The values found, in order of their places."""


# --- units and features -------------------------------------------------------------------------


def character_class(character: str) -> str:
    """The script of a character: hiragana, katakana, kanji, digit, newline or other."""
    if character in "0123456789０１２３４５６７８９":
        return "digit"
    if "ぁ" <= character <= "ん":
        return "hiragana"
    if "ァ" <= character <= "ヶ" or character == "ー":
        return "katakana"
    if "一" <= character <= "鿿":
        return "kanji"
    return "newline" if character == "\n" else "other"


def character_features(text: str) -> tuple[list[Unit], list[list[str]]]:
    """Each character is a unit; it sees four characters on either side and their scripts."""
    reach = 4
    padded = "\n" * reach + text + "\n" * (reach + 1)
    scripts = [character_class(character)[:2] for character in padded]
    features = []
    for center in range(reach, reach + len(text)):
        window = range(-reach, reach + 1)
        features.append(
            [f"{k}{padded[center + k]}" for k in window]
            + [f"{k}{padded[center + k : center + k + 2]}" for k in window[:-1]]
            + ["scripts" + "".join(scripts[center - 2 : center + 3])]
        )
    return [(i, i + 1) for i in range(len(text))], features


class WordFeatures:
    """Each MeCab word is a unit; it sees three words on either side and their parts of speech."""

    def __init__(self) -> None:
        self.tagger = fugashi.Tagger()

    def __call__(self, text: str) -> tuple[list[Unit], list[list[str]]]:
        """The words of the text, line by line, every newline a word of its own."""
        units: list[Unit] = []
        tags: list[str] = []
        line_start = 0
        for line in text.split("\n"):
            cursor = line_start
            for word in self.tagger(line):
                start = text.index(word.surface, cursor)
                cursor = start + len(word.surface)
                units.append((start, cursor))
                tags.append(f"{word.feature.pos1}/{word.feature.pos2}/{word.feature.pos3}")
            line_start += len(line) + 1
            if line_start <= len(text):
                units.append((line_start - 1, line_start))
                tags.append("newline")
        reach = 3
        surfaces = [""] * reach + [text[start:end] for start, end in units] + [""] * reach
        tags = ["edge"] * reach + tags + ["edge"] * reach
        return units, [
            [f"{k}{surfaces[center + k]}" for k in range(-reach, reach + 1)]
            + [f"{k}{tags[center + k]}" for k in range(-reach, reach + 1)]
            + [f"pair{surfaces[center]} {surfaces[center + k]}" for k in (-1, 1)]
            for center in range(reach, reach + len(units))
        ]


# --- learned taggers ----------------------------------------------------------------------------


def span_tags(
    units: Sequence[Unit], spans: Iterable[Span], attributes: Sequence[str]
) -> np.ndarray:
    """IOB2 tags ``[unit, attribute]`` of the spans; a unit that a span touches belongs to it."""
    tags = np.zeros((len(units), len(attributes)), dtype=np.int64)
    for span in spans:
        inside = [
            i for i, (start, end) in enumerate(units) if start < span.end and end > span.start
        ]
        tags[inside, attributes.index(span.attribute)] = INSIDE
        tags[inside[0], attributes.index(span.attribute)] = BEGIN
    return tags


def tagged_spans(units: Sequence[Unit], tags: np.ndarray, attributes: Sequence[str]) -> list[Span]:
    """The spans of IOB2 tags ``[unit, attribute]`` in which no INSIDE follows an OUTSIDE."""
    spans = []
    for column, attribute in enumerate(attributes):
        for first in np.flatnonzero(tags[:, column] == BEGIN).tolist():
            last = first
            while last + 1 < len(units) and tags[last + 1, column] == INSIDE:
                last += 1
            spans.append(Span(units[first][0], units[last][1], attribute))
    return sorted(spans)


def best_tags(scores: np.ndarray) -> np.ndarray:
    """The highest-scoring tags ``[unit, attribute]`` without INSIDE after OUTSIDE (Viterbi).

    ``scores`` are integers ``[unit, attribute, tag]``.
    """
    length, attributes, _ = scores.shape
    forbidden = np.zeros((3, 3), dtype=np.int64)
    forbidden[OUTSIDE, INSIDE] = -(2**60)
    back = np.zeros((length, attributes, 3), dtype=np.int64)
    total = scores[0] + forbidden[OUTSIDE]
    for i in range(1, length):
        paths = total[:, :, None] + forbidden
        back[i] = paths.argmax(axis=1)
        total = paths.max(axis=1) + scores[i]
    tags = np.empty((length, attributes), dtype=np.int64)
    tags[-1] = total.argmax(axis=1)
    for i in range(length - 1, 0, -1):
        tags[i - 1] = back[i][np.arange(attributes), tags[i]]
    return tags


class PerceptronTagger:
    """Averaged perceptrons, one per attribute, over shared binary features (Collins 2002).

    Weights are kept as integers: the average times the number of updates.
    """

    chunk = 32  # units between updates

    def __init__(self, pages: Sequence[Page], featuriser: Featuriser, epochs: int) -> None:
        self.featuriser = featuriser
        self.attributes = sorted({span.attribute for page in pages for span in page.spans})
        features = [featuriser(page.text) for page in pages]
        counts = Counter(name for _, rows in features for row in rows for name in row)
        repeated = [name for name, count in counts.items() if count > 1]
        self.index = {name: i for i, name in enumerate(repeated)}
        examples = []
        for page, (units, rows) in zip(pages, features, strict=True):
            ids, tags = self._ids(rows), span_tags(units, page.spans, self.attributes)
            for start in range(0, len(units), self.chunk):
                examples.append((ids[start : start + self.chunk], tags[start : start + self.chunk]))
        self.weights = self._train(examples, epochs)

    def _ids(self, rows: Sequence[Sequence[str]]) -> np.ndarray:
        """Feature numbers ``[unit, feature]``; unknown features get the last number."""
        unknown = len(self.index)
        return np.array([[self.index.get(name, unknown) for name in row] for row in rows])

    def _train(self, examples: list[tuple[np.ndarray, np.ndarray]], epochs: int) -> np.ndarray:
        shape = (len(self.index) + 1, len(self.attributes), 3)
        weights, stepped = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        rng, step = random.Random(0), 0
        for _ in range(epochs):
            rng.shuffle(examples)
            for ids, gold in examples:
                guess = weights[ids].sum(axis=1).argmax(axis=2)
                rows, columns = np.nonzero(guess != gold)
                for tags, sign in ((gold, 1), (guess, -1)):
                    place = (ids[rows].T, columns, tags[rows, columns])
                    np.add.at(weights, place, sign)
                    np.add.at(stepped, place, sign * step)
                weights[-1] = stepped[-1] = 0
                step += 1
        return weights * step - stepped

    def extract(self, text: str) -> list[Span]:
        """The values on the highest-scoring tag path of each attribute."""
        units, rows = self.featuriser(text)
        scores = self.weights[self._ids(rows)].sum(axis=1)
        return tagged_spans(units, best_tags(scores), self.attributes)


# --- hand-written patterns ----------------------------------------------------------------------

_NAME = r"[一-鿿]{2,8}"
_YEAR = r"(?:[一-鿿]{2})?[0-9０-９元一二三四五六七八九十]{1,4}年(?:間)?"
_HEIGHT = r"[0-9０-９.．]+(?:メートル|m|ｍ)"
_KIND = r"(?:放射状)?(?:[一-鿿]郭式)?(?:平山城|山城|平城|水城|海城|丘城|崖端城|砦|陣屋)"
_PATTERNS = {
    "別名": (
        r"別名[はを・：]([^。、）\n]{2,9}?(?:城|館|要害))",
        r"(?:^|\n)([^\n。]{2,9})とも(?:呼ばれる|称した)",
        r"「([^」\n]+)」の名でも",
    ),
    "所在地": (
        r"(?:所在地|位置)(?:は|[：:]|　)\s?([^\n。]+)",
        r"は、([^。\n、]+?郡[^。\nに、]*?)に(?:あった|築かれた)",
    ),
    "旧国名": (
        r"(?<![一-鿿])([一-鿿]{2,3}国)(?=[一-鿿の])",
        r"旧国名[^一-鿿]*([一-鿿]{2,3}国)",
    ),
    "築城者": (
        rf"({_NAME})(?:によって築かれ|が築城)",
        rf"築城(?:者|主)(?:は|[：:]|　)\s?({_NAME})(?=である|\n)",
        rf"({_NAME})が築いた城",
    ),
    "築城年": (
        rf"({_YEAR})に(?:築かれ|完成)",
        rf"築城(?:年|は)?[：:　]?\s?({_YEAR})",
        rf"({_YEAR})に{_NAME}が築い",
    ),
    "廃城年": (rf"({_YEAR})に(?:廃城|取り壊)", rf"廃城(?:年|は)?[：:　]?\s?({_YEAR})"),
    "城郭構造": (rf"({_KIND})である", rf"(?:構造|形式|縄張り)(?:は|[：:　])\s?({_KIND})"),
    "標高": (rf"標高(?:は|[：:　])?\s?({_HEIGHT})",),
    "遺構": (
        r"(?:^|\n)([^\n。、はが]{2,6})が残る",
        r"遺構(?:として|：|: |　)([^\n。、・が]{2,6})",
    ),
}


class PatternExtractor:
    """Regular expressions for some of the frequent sentences; group 1 is the value."""

    def extract(self, text: str) -> list[Span]:
        """All matches of all patterns."""
        return sorted(
            {
                Span(*match.span(1), attribute)
                for attribute, patterns in _PATTERNS.items()
                for pattern in patterns
                for match in re.finditer(pattern, text)
            }
        )


# --- dictionary and rules -----------------------------------------------------------------------


class DictionaryExtractor:
    """Looks up values seen in training; takes the first year, height and person name of a page."""

    def __init__(self, pages: Sequence[Page]) -> None:
        self.words = WordFeatures()
        seen = Counter(
            (page.text[s.start : s.end], s.attribute) for page in pages for s in page.spans
        )
        text = "\x00".join(page.text for page in pages)
        # a word is worth its entry where it mostly was a value
        self.entries = sorted(
            {entry for entry, count in seen.items() if 2 * count >= text.count(entry[0])}
        )

    def extract(self, text: str) -> list[Span]:
        """The values found by the entries and the rules."""
        found = {
            Span(match.start(), match.end(), attribute)
            for value, attribute in self.entries
            for match in re.finditer(re.escape(value), text)
        }
        for attribute, pattern in (("築城年", _YEAR), ("標高", _HEIGHT)):
            if match := re.search(pattern, text):
                found.add(Span(match.start(), match.end(), attribute))
        return sorted(found | self._first_person(text))

    def _first_person(self, text: str) -> set[Span]:
        """The first two neighbouring words of which MeCab takes one for a name of a person."""
        units, rows = self.words(text)
        person = ["0名詞/固有名詞/人名" in row for row in rows]
        for i in range(len(units) - 1):
            if person[i] and person[i + 1]:
                return {Span(units[i][0], units[i + 1][1], "築城者")}
        return set()
