"""The reader's view: pages with everybody's values, and texts with everybody's classes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from coteach.data.corpus import Corpus
from coteach.data.pages import Annotations, Page
from coteach.data.shinra import read_annotations
from coteach.data.sources import Split
from coteach.evaluation.shinra import attribute_name
from coteach.model.spans import Span
from coteach.reporting.classification_runs import ClassificationRun
from coteach.reporting.page.content import Item, ReadSet, System, item_json
from coteach.reporting.page.places import Places
from coteach.reporting.predictions import Prediction, predictions_file, read_predictions
from coteach.reporting.runs import Run

__all__ = ["Room", "classified_sets", "extracted_set"]

T = TypeVar("T")
_Student = tuple[Path, str, list[Prediction]]
"""Its run's folder, its name, what it predicted."""

GOLD = System("gold", "gold")


class Room:
    """How much the page may still hold.

    Args:
        items: pages or texts of each set.
        size: bytes of all of them; 20 MB open at once in every browser.
    """

    def __init__(self, items: int, size: int = 20_000_000) -> None:
        self.items = items
        self._left = size

    def fill(self, wanted: Iterable[tuple[int, Item]]) -> list[Item]:
        """As many of the items as there is room for, the first ones; sorted by their number."""
        kept: list[tuple[int, Item]] = []
        for number, item in wanted:
            size = len(json.dumps(item_json(item), ensure_ascii=False).encode("utf-8", "replace"))
            if len(kept) == self.items or size > self._left:
                break
            self._left -= size
            kept.append((number, item))
        return [item for _, item in sorted(kept, key=lambda it: it[0])]


def extracted_set(
    name: str,
    corpus: Corpus,
    split: Split,
    runs: Sequence[Run],
    names: Sequence[str],
    room: Room,
) -> ReadSet:
    """The pages that some runs were scored on, with the gold and everybody's values.

    Where there is not room for all, those come first on which a student and the gold differ.

    Args:
        name: of the set.
        corpus: the runs' data.
        split: that they were scored on.
        runs: of extraction, scored on this split.
        names: theirs on the page.
        room: for pages.

    Raises:
        InputError: a run's file of values cannot be read, or has values that are not on the pages.
    """
    students = [
        read_annotations(
            run.folder / f"{split.name}.json",
            name=run_name,
            pages=corpus.pages,
            offsets=corpus.offsets,
            check_text=False,
        )
        for run, run_name in zip(runs, names, strict=True)
    ]
    systems = (
        GOLD,
        *(System(team.name, "team") for team in corpus.teams),
        *(System(student.name, "student") for student in students),
    )
    scored = [attribute_name(attribute, split.entity_type) for attribute in corpus.attributes]
    labels = tuple(dict.fromkeys(name for name in scored if name is not None))
    answers = _Answers({name: number for number, name in enumerate(labels)}, split)

    def differ(page_id: str) -> bool:
        gold = answers(split.gold, page_id)
        return any(answers(student, page_id) != gold for student in students)

    def wanted() -> Iterator[tuple[int, Item]]:
        everybody = (split.gold, *corpus.teams, *students)
        for number in _first(split.page_ids, differ, room.items):
            page = corpus.pages[split.page_ids[number]]
            places = Places(page.text)
            yield (
                number,
                Item(
                    page.page_id,
                    page.text,
                    tuple(answers.flat(it, page, places) for it in everybody),
                ),
            )

    items = room.fill(wanted())
    return ReadSet(
        name=name,
        kind="extraction",
        split=split.name,
        labels=labels,
        systems=systems,
        items=tuple(items),
        total=len(split.page_ids),
        folders=tuple(run.folder for run in runs),
        notes=_left_out(len(items), len(split.page_ids), "pages"),
    )


class _Answers:
    """A system's values on a page, as the scorer sees them."""

    def __init__(self, numbers: Mapping[str, int], split: Split) -> None:
        self._numbers = numbers
        self._entity_type = split.entity_type

    def __call__(self, system: Annotations, page_id: str) -> frozenset[tuple[int, Span]] | None:
        """(attribute's number, span) of every value; None where the page was not processed."""
        spans = system.on(page_id)
        if spans is None:
            return None
        named = ((attribute_name(span.attribute, self._entity_type), span) for span in spans)
        return frozenset(
            (self._numbers[name], span._replace(attribute=""))
            for name, span in named
            if name is not None and name in self._numbers
        )

    def flat(self, system: Annotations, page: Page, places: Places) -> list[int] | None:
        found = self(system, page.page_id)
        if found is None:
            return None
        values = sorted((*places.of(span), number) for number, span in found)
        return [part for start, end, number in values for part in (number, start, end)]


def classified_sets(
    runs: Sequence[ClassificationRun], names: Sequence[str], room: Room
) -> list[ReadSet]:
    """The texts that runs were scored on, a set for all runs that were scored on the same texts.

    Where there is not room for all, those come first that a student gets wrong.

    Args:
        runs: of classification.
        names: theirs on the page.
        room: for texts.

    Raises:
        InputError: a run's file of predictions cannot be read.
    """
    groups: dict[tuple[tuple[str, str, str], ...], list[_Student]] = {}
    splits = {}
    for run, name in zip(runs, names, strict=True):
        path = predictions_file(run.folder)
        found = list(read_predictions(path).values())
        key = tuple((it.id, it.text, it.gold) for it in found)
        groups.setdefault(key, []).append((run.folder, name, found))
        splits[key] = path.stem
    return [
        _classified(
            group[0][1] if len(groups) > 1 else str(runs[0].recipe["name"]),
            splits[texts],
            texts,
            group,
            room,
        )
        for texts, group in groups.items()
    ]


def _classified(
    name: str,
    split: str,
    texts: Sequence[tuple[str, str, str]],
    students: Sequence[_Student],
    room: Room,
) -> ReadSet:
    classes = sorted(
        {gold for _, _, gold in texts}
        | {it.predicted for _, _, predictions in students for it in predictions}
    )
    numbers = {label: number for number, label in enumerate(classes)}

    def wrong(number: int) -> bool:
        return any(not predictions[number].right for _, _, predictions in students)

    def wanted() -> Iterator[tuple[int, Item]]:
        for number in _first(range(len(texts)), wrong, room.items):
            text_id, text, gold = texts[number]
            answers = [
                [numbers[it.predicted], round(it.of_gold, 4)]
                for _, _, predictions in students
                for it in (predictions[number],)
            ]
            yield number, Item(text_id, text, ([numbers[gold]], *answers))

    items = room.fill(wanted())
    return ReadSet(
        name=name,
        kind="classification",
        split=split,
        labels=tuple(classes),
        systems=(
            GOLD,
            *(
                System(student if len(students) > 1 else "student", "student")
                for _, student, _ in students
            ),
        ),
        items=tuple(items),
        total=len(texts),
        folders=tuple(folder for folder, _, _ in students),
        notes=_left_out(len(items), len(texts), "texts"),
    )


def _first(things: Sequence[T], first: Callable[[T], bool], room: int) -> list[int]:
    """The numbers of things, those that come first where not all have room."""
    if len(things) <= room:
        return list(range(len(things)))
    return sorted(range(len(things)), key=lambda number: not first(things[number]))


def _left_out(kept: int, total: int, what: str) -> tuple[str, ...]:
    if kept == total:
        return ()
    return (
        f"{kept:,} of {total:,} {what} stand here, those first where a student and gold differ; "
        "--pages N asks for more, up to 20 MB in all.",
    )
