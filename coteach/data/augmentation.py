"""More training texts from those that there are: words replaced by a masked language model."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from tqdm.auto import tqdm

from coteach.data.classification import LabelledTexts
from coteach.data.files import byte_lines, replacing
from coteach.data.pages import Page
from coteach.data.part_of_speech import tag_sets
from coteach.data.replacements import Replaceable, Replacer
from coteach.errors import InputError, quote
from coteach.model.mecab import MECAB_DICTIONARIES

__all__ = ["Augmentation", "augmented"]

CHUNK = 128  # texts whose candidates are found, and written, together


@dataclass(frozen=True)
class Augmentation:
    """Copies of the training texts in which words are replaced by others that a masked language
    model expects there (Jiao et al. 2020, §3.2 and algorithm 1), as a task needs for the student
    to see enough of the teacher.

    What is English in the original code is Japanese here: words are MeCab's, and those of the
    classes below that stand by themselves are replaced, by words of the same class; numbers,
    pronouns, suffixes and verbs such as いる and する (UniDic: 非自立可能) stay. See
    :class:`~coteach.data.replacements.Replacer` for the candidates.
    """

    model: str
    """A masked language model, by Hub name or folder."""
    copies: int = 20
    """Attempts at a new copy of a text, or of each text of a pair; those that are not new do not
    count (paper: N_a = 20; original code: 10 to 30, by task)."""
    probability: float = 0.4
    """That a word is replaced in a copy (paper: p_t)."""
    candidates: int = 15
    """Words of which one is drawn in a word's place (paper: K)."""
    classes: tuple[str, ...] = ("名詞", "動詞", "形容詞", "副詞")
    """Classes of the words to replace, by ipadic's names with any dictionary: adjectival nouns
    (形状詞) are 名詞."""
    dictionary: str = "unidic_lite"
    """MeCab's dictionary: "unidic_lite", "unidic" or "ipadic"."""

    def __post_init__(self) -> None:
        for name in ("copies", "candidates"):
            if getattr(self, name) < 1:
                message = f"expected at least 1, got {getattr(self, name)}"
                raise InputError(f"augmentation.{name}: {message}")
        if not 0 < self.probability <= 1:
            message = f"expected a probability in (0, 1], got {self.probability}"
            raise InputError(f"augmentation.probability: {message}")
        if self.dictionary not in MECAB_DICTIONARIES:
            expected = f"expected one of {list(MECAB_DICTIONARIES)}"
            raise InputError(f"augmentation.dictionary: {expected}, got {self.dictionary!r}")
        known = list(tag_sets()["unidic"])
        wrong = [name for name in self.classes if name not in known]
        if wrong or not self.classes or len(set(self.classes)) < len(self.classes):
            expected = f"expected some of {known}, none twice"
            raise InputError(f"augmentation.classes: {expected}, got {list(self.classes)}")


def augmented(
    texts: LabelledTexts, augmentation: Augmentation, seed: int, cache: Path
) -> LabelledTexts:
    """The texts with copies of the training texts, each after the text it comes from.

    A copy has its text's label and the id ``<id>+<n>``, n from 1. A copy that reads as any other
    text, be it of dev or report, is left out. The two texts of a pair are augmented in turn, the
    other one staying as it is. (The original code leaves the first one as it was last replaced
    while it augments the second.) Which copies a text gets does not depend on the other training
    texts, unless it would share one with them.

    Args:
        texts: what was read. Folds are not dealt anew: ``fold_of`` is that of the texts read.
        augmentation: how.
        seed: of what is replaced, and by what.
        cache: folder for the candidates, which are found once for each text and model.

    Raises:
        InputError: the model cannot be used, or what is in the cache is damaged.
    """
    parts = {page_id: _parts(texts.pages[page_id].text, texts.pairs) for page_id in texts.train}
    found = _candidates({part for of in parts.values() for part in of}, augmentation, cache)
    pages = dict(texts.pages)
    labels = dict(texts.labels)
    train: list[str] = []
    seen = {page.text for page in texts.pages.values()}
    for page_id in texts.train:
        train.append(page_id)
        number = 0
        for text in _copies(page_id, parts[page_id], found, augmentation, seed):
            if text in seen:
                continue
            seen.add(text)
            number += 1
            copy = f"{page_id}+{number}"
            pages[copy] = Page(copy, text)
            labels[copy] = labels[page_id]
            train.append(copy)
    added = len(train) - len(texts.train)
    remark = f"train: {added:,} copies of {len(texts.train):,} texts by augmentation"
    return replace(
        texts,
        pages=pages,
        labels=labels,
        train=tuple(train),
        remarks=(*texts.remarks, remark),
    )


def _parts(text: str, pairs: bool) -> list[str]:
    """What is augmented by itself."""
    return text.split("\n") if pairs else [text]


def _copies(
    page_id: str,
    parts: Sequence[str],
    found: dict[str, list[Replaceable]],
    augmentation: Augmentation,
    seed: int,
) -> Iterator[str]:
    """Texts with some words replaced, in one part at a time; they may repeat."""
    for number, part in enumerate(parts):
        words = found[part]
        generator = random.Random(f"{seed} {number} {page_id}")
        for _ in range(augmentation.copies if words else 0):
            drawn = [
                (word, generator.choice(word.candidates))
                for word in words
                if generator.random() < augmentation.probability
            ]
            yield "\n".join([*parts[:number], _replaced(part, drawn), *parts[number + 1 :]])


def _replaced(text: str, drawn: Iterable[tuple[Replaceable, str]]) -> str:
    lines = text.split("\n")
    for (line, start, end, _), word in reversed(list(drawn)):  # what comes before keeps its place
        lines[line] = lines[line][:start] + word + lines[line][end:]
    return "\n".join(lines)


def _candidates(
    texts: Iterable[str], augmentation: Augmentation, cache: Path
) -> dict[str, list[Replaceable]]:
    """The replaceable words of each text, read from the cache or found and written there."""
    replacer = Replacer(
        augmentation.model,
        augmentation.candidates,
        augmentation.classes,
        augmentation.dictionary,
    )
    folder = cache / f"augmentation-{replacer.fingerprint}"
    by_key = {_key(text): text for text in sorted(texts)}
    found = {by_key[key]: words for key, words in _stored(folder) if key in by_key}
    missing = [text for text in by_key.values() if text not in found]
    with tqdm(total=len(missing), desc="augment", unit="text", disable=not missing) as bar:
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            words = dict(zip(chunk, replacer(chunk), strict=True))
            with replacing(folder / f"part-{uuid4().hex[:12]}.jsonl") as file:
                for text, of in words.items():
                    line = json.dumps({"text": _key(text), "words": of}, ensure_ascii=False)
                    file.write(line + "\n")
            found |= words
            bar.update(len(chunk))
    return found


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _stored(folder: Path) -> Iterator[tuple[str, list[Replaceable]]]:
    """The keys of texts and their words, of all files that were written."""
    for path in sorted(folder.glob("part-*.jsonl")):
        for line, content in byte_lines(path):
            try:
                entry = json.loads(content.decode("utf-8"))
                key, words = entry["text"], entry["words"]
                yield key, [_replaceable(word) for word in words]
            except (ValueError, TypeError, KeyError, RecursionError):
                shown = quote(content.decode("utf-8", "replace").strip())
                message = f"damaged: expected a text's words, got {shown}; remove this file"
                raise InputError.at(path, line, message) from None


def _replaceable(word: list[Any]) -> Replaceable:
    line, start, end, candidates = word
    if not (line >= 0 and 0 <= start < end and candidates):
        raise ValueError
    return Replaceable(line, start, end, tuple(map(sys.intern, candidates)))
