"""Parts of speech as a source of labels: any page's words, found when they are asked for."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from coteach.data.pages import Annotations, Page
from coteach.errors import InputError
from coteach.model.mecab import MECAB_DICTIONARIES
from coteach.model.part_of_speech import ANALYZERS, SUDACHI_DICTIONARIES, PartOfSpeechLabeler
from coteach.model.spans import Span

__all__ = ["LabelledOnDemand", "annotations", "description", "tag_sets"]


@cache
def tag_sets() -> dict[str, dict[str, list[str]]]:
    """Tag set → class → beginnings of parts of speech.

    The classes have ipadic's names, and the words that ipadic puts there: of UniDic's tags, nouns
    are pronouns (代名詞), adjectival nouns (形状詞) and nominal suffixes, too.
    """
    file = resources.files("coteach.data") / "tag_sets.json"
    return json.loads(file.read_text(encoding="utf-8"))


def description(
    analyzer: str,
    dictionary: str | None,
    user_dictionary: str | Path | None,
    tag_set: str | None,
    classes: Sequence[str],
    mapping: Mapping[str, Sequence[str]] | None,
    split_mode: str = "C",
) -> dict[str, Any]:
    """What a :class:`~coteach.model.part_of_speech.PartOfSpeechLabeler` is made from.

    Args:
        analyzer: "mecab" or "sudachi".
        dictionary: the analyser's, by name; MeCab's may be a folder. None: unidic_lite, or core.
        user_dictionary: a compiled user dictionary's path.
        tag_set: "unidic" or "ipadic", whose names the dictionary's tags have; None where its name
            tells.
        classes: the classes to label, in the order of the tags.
        mapping: class → beginnings of parts of speech, for classes of one's own; it comes before
            the tag set.
        split_mode: Sudachi's.

    Raises:
        InputError: a name is unknown, the tag set of a dictionary's folder is not given, or the
            mapping has other classes than those that are labelled.
    """
    if analyzer not in ANALYZERS:
        raise InputError(f"analyzer: expected {' or '.join(ANALYZERS)}, got {analyzer!r}")
    if dictionary is None:
        dictionary = "core" if analyzer == "sudachi" else "unidic_lite"
    if analyzer != "sudachi" and split_mode != "C":
        raise InputError(
            f"split_mode: of Sudachi alone; expected 'C' with MeCab, got {split_mode!r}"
        )
    for name, prefixes in (mapping or {}).items():
        if name not in classes:
            raise InputError(
                f"mapping: {name!r} is none of the classes {', '.join(classes)}; expected it among "
                "them"
            )
        if isinstance(prefixes, str):
            raise InputError(f"mapping: {name!r}: expected a tuple of beginnings, got {prefixes!r}")
    if analyzer == "sudachi" and dictionary not in SUDACHI_DICTIONARIES:
        expected = ", ".join(SUDACHI_DICTIONARIES)
        raise InputError(f"dictionary: Sudachi has {expected}, got {dictionary!r}")
    own = {name: list(prefixes) for name, prefixes in (mapping or {}).items()}
    known = own if set(classes) <= own.keys() else _classes(analyzer, dictionary, tag_set) | own
    if not classes or len(set(classes)) < len(classes):
        raise InputError(f"classes: expected at least one, none twice, got {list(classes)!r}")
    for name in classes:
        if name not in known:
            raise InputError(f"classes: expected some of {', '.join(known)}, got {name!r}")
    return {
        "analyzer": analyzer,
        "dictionary": dictionary,
        "user_dictionary": None if user_dictionary is None else str(user_dictionary),
        **({"split_mode": split_mode} if analyzer == "sudachi" else {}),
        "classes": {name: known[name] for name in classes},
    }


def _classes(analyzer: str, dictionary: str, tag_set: str | None) -> dict[str, list[str]]:
    """The classes of a tag set, or of that of a dictionary."""
    if tag_set is None:
        if analyzer == "mecab" and dictionary not in MECAB_DICTIONARIES:
            if not Path(dictionary).is_dir():
                raise InputError(
                    f"dictionary: expected {', '.join(MECAB_DICTIONARIES)}, or the folder of a "
                    f"compiled dictionary, got {dictionary!r}"
                )
            raise InputError(
                f"tag_set: expected {' or '.join(tag_sets())} for the dictionary {dictionary!r}, "
                "whose name does not tell whose tags it has"
            )
        tag_set = "ipadic" if dictionary == "ipadic" else "unidic"
    if tag_set not in tag_sets():
        raise InputError(f"tag_set: expected {' or '.join(tag_sets())}, got {tag_set!r}")
    return tag_sets()[tag_set]


class LabelledOnDemand(Mapping[str, frozenset[Span]]):
    """The words of pages by page id, found whenever a page is asked for and not kept.

    It can be handed to worker processes, which start their own analyser.

    Attributes:
        digest: differs wherever the labels of the same texts do.
    """

    def __init__(self, pages: Mapping[str, Page], labeler: PartOfSpeechLabeler) -> None:
        self._pages = pages
        self._labeler = labeler

    @property
    def digest(self) -> str:
        return self._labeler.fingerprint

    def __getitem__(self, page_id: str) -> frozenset[Span]:
        return frozenset(self._labeler(self._pages[page_id].text))

    def __iter__(self) -> Iterator[str]:
        return iter(self._pages)

    def __len__(self) -> int:
        return len(self._pages)

    def __contains__(self, page_id: object) -> bool:
        return page_id in self._pages


def annotations(name: str, pages: Mapping[str, Page], labeler: PartOfSpeechLabeler) -> Annotations:
    """The words of all pages as one source of labels, which has processed every page."""
    return Annotations(name, LabelledOnDemand(pages, labeler))
