from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

import coteach.data.windowed
from coteach.data.collator import Collator
from coteach.data.pages import Annotations
from coteach.data.store import store_values
from coteach.data.windowed import Windowed
from coteach.errors import InputError
from coteach.model.alignment import Aligner
from coteach.model.iob2 import Fit
from coteach.model.spans import Span

MakeWindowed = Callable[..., Windowed]
ATTRIBUTES = ("name", "place")
# Two windows, one, none and five; over line breaks and white space.
TEXTS = {
    "1": "abc de\nfg",
    "2": "東京都",
    "3": "\n",
    "4": "a bcdefghijklm\n\nnopqr",
}
GOLD = Annotations(
    "gold",
    {
        "1": frozenset({Span("name", 0, 0, 0, 3), Span("name", 0, 4, 1, 1)}),
        "2": frozenset({Span("name", 0, 0, 0, 3), Span("place", 0, 0, 0, 2)}),
    },
    processed=frozenset({"1", "2"}),
)
TEAM = Annotations(
    "team",
    {
        "2": frozenset({Span("place", 0, 2, 0, 3)}),
        "4": frozenset({Span("name", 0, 0, 0, 12), Span("place", 0, 13, 2, 5)}),
    },
)
LAZY = Annotations("lazy", {"1": frozenset({Span("place", 1, 1, 1, 2)})}, frozenset({"1", "3"}))
SOURCES = (GOLD, TEAM, LAZY)


# The definition, character by character


def naive_tokens(text: str) -> list[tuple[int, int] | None]:
    """The place of every token of the tokenizer of characters; None for one without text."""
    places: list[tuple[int, int] | None] = []
    for number, line in enumerate(text.split("\n")):
        if line and places:
            places.append(None)  # the separator
        places += [None if c.isspace() else (number, i) for i, c in enumerate(line)]
    return places


def naive_label(place: tuple[int, int] | None, source: Annotations, page: str, name: str) -> int:
    values = source.on(page)
    if place is None or values is None:
        return -100
    for span in values:
        if span.attribute == name and span[1:3] <= place < span[3:5]:
            return 1 if span[1:3] == place else 2
    return 0


def naive_labels(page: str, window: int = 6, overlap: int = 2) -> list[np.ndarray]:
    """The labels of each window's content tokens."""
    places = naive_tokens(TEXTS[page])
    labels = np.array(
        [[[naive_label(p, s, page, a) for a in ATTRIBUTES] for s in SOURCES] for p in places]
    )
    starts = [0]
    while starts[-1] + window < len(places):
        starts.append(starts[-1] + window - overlap)
    return [labels[start : start + window] for start in starts] if places else []


def collated(windowed: Windowed, tokenizer: PreTrainedTokenizerFast) -> dict[str, torch.Tensor]:
    return Collator(windowed, tokenizer)(list(windowed.rows))


# Labels


def test_labels_are_those_of_the_characters(
    make_windowed: MakeWindowed, character_tokenizer: PreTrainedTokenizerFast
) -> None:
    windowed = make_windowed(TEXTS, SOURCES)
    batch = collated(windowed, character_tokenizer)
    expected = [(page, labels) for page in TEXTS for labels in naive_labels(page)]
    assert windowed.rows["page_id"] == [page for page, _ in expected]
    assert windowed.rows["page_id"] == ["1"] * 2 + ["2"] + ["4"] * 5
    assert batch["labels"].dtype == torch.int8
    for row, (_, labels) in enumerate(expected):
        stop = len(labels) + 1
        assert np.array_equal(batch["labels"][row, 1:stop].numpy(), labels)
        assert (batch["labels"][row, :1] == -100).all()  # [CLS]
        assert (batch["labels"][row, stop:] == -100).all()  # [SEP] and padding
        assert batch["attention_mask"][row].sum() == len(labels) + 2


def test_ids_are_the_page_s_between_special_tokens(
    make_windowed: MakeWindowed, character_tokenizer: PreTrainedTokenizerFast
) -> None:
    batch = collated(make_windowed(TEXTS, SOURCES), character_tokenizer)
    decoded = [character_tokenizer.convert_ids_to_tokens(row) for row in batch["input_ids"]]
    assert batch["input_ids"].shape == (8, 8)
    assert decoded[:3] == [
        ["[CLS]", *"abc de", "[SEP]"],
        ["[CLS]", *"de", "[SEP]", *"fg", "[SEP]", "[PAD]"],
        ["[CLS]", *"東京都", "[SEP]"] + ["[PAD]"] * 3,
    ]


def test_overlapping_spans_and_foreign_attributes_are_left_out(
    make_windowed: MakeWindowed, character_tokenizer: PreTrainedTokenizerFast
) -> None:
    spans = {Span("name", 0, 0, 0, 3), Span("name", 0, 2, 0, 4), Span("other", 0, 0, 0, 4)}
    windowed = make_windowed({"1": "abcd"}, [Annotations("team", {"1": frozenset(spans)})])
    labels = collated(windowed, character_tokenizer)["labels"][0, 1:5, 0]
    assert labels.tolist() == [[1, 0], [2, 0], [2, 0], [0, 0]]
    assert windowed.fits["team"] == Fit(exact=1, overlapping=1)


# Counts


def test_the_fit_is_counted_once_a_page(make_windowed: MakeWindowed) -> None:
    blank = Annotations("blank", {"4": frozenset({Span("name", 0, 1, 0, 2)})})
    edge = Annotations("edge", {"1": frozenset({Span("name", 0, 3, 0, 5)})})
    windowed = make_windowed(TEXTS, [*SOURCES, blank, edge])
    assert windowed.sources == ("gold", "team", "lazy", "blank", "edge")
    assert windowed.attributes == ATTRIBUTES
    assert windowed.fits == {
        "gold": Fit(exact=4),
        "team": Fit(exact=3),
        "lazy": Fit(exact=1),
        "blank": Fit(lost=1),
        "edge": Fit(grown=1),
    }


@pytest.mark.parametrize("source", [0, 1, 2])
def test_class_counts_are_those_of_all_labels(
    make_windowed: MakeWindowed, character_tokenizer: PreTrainedTokenizerFast, source: int
) -> None:
    windowed = make_windowed(TEXTS, SOURCES)
    labels = collated(windowed, character_tokenizer)["labels"]
    expected = [
        [int((labels[:, :, source, attribute] == tag).sum()) for tag in range(3)]
        for attribute in range(2)
    ]
    assert windowed.class_counts(SOURCES[source].name).tolist() == expected
    assert all(sum(row) > 0 for row in expected)


# The cache


@pytest.fixture
def tokenised(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were tokenised."""
    texts: list[str] = []
    plain = Aligner.__call__

    def spy(aligner: Aligner, text: str) -> Any:
        texts.append(text)
        return plain(aligner, text)

    monkeypatch.setattr(Aligner, "__call__", spy)
    return texts


def test_the_same_is_not_tokenised_twice(make_windowed: MakeWindowed, tokenised: list[str]) -> None:
    first = make_windowed(TEXTS, SOURCES)
    assert tokenised == list(TEXTS.values())
    again = make_windowed(dict(TEXTS), SOURCES)
    assert tokenised == list(TEXTS.values())
    assert again.rows[:] == first.rows[:]
    assert again.fits == first.fits


def moved(source: Annotations, page: str, *spans: Span) -> Annotations:
    return Annotations(source.name, {**source.values, page: frozenset(spans)}, source.processed)


CHANGES: Mapping[str, dict[str, Any]] = {
    "text": {"texts": {**TEXTS, "2": "東京城"}},
    "order of pages": {"texts": dict(reversed(TEXTS.items()))},
    "one span": {"sources": (GOLD, moved(TEAM, "2", Span("place", 0, 1, 0, 3)), LAZY)},
    "no span": {"sources": (GOLD, moved(TEAM, "2"), LAZY)},
    "processed pages": {"sources": (GOLD, TEAM, Annotations("lazy", LAZY.values, None))},
    "order of sources": {"sources": (TEAM, GOLD, LAZY)},
    "attributes": {"attributes": ("place", "name")},
    "window": {"window": 7},
    "overlap": {"overlap": 3},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_whatever_rows_depend_on_is_part_of_the_key(
    make_windowed: MakeWindowed, tokenised: list[str], change: dict[str, Any]
) -> None:
    first = make_windowed(TEXTS, SOURCES)
    tokenised.clear()
    second = make_windowed(**{"texts": TEXTS, "sources": SOURCES, **change})
    assert len(tokenised) == len(TEXTS)
    assert second.rows[:] != first.rows[:]


@pytest.mark.parametrize("processes", [1, 2])
def test_values_on_disk_give_the_rows_of_those_in_memory(
    make_windowed: MakeWindowed, tmp_path: Path, tokenised: list[str], processes: int
) -> None:
    def stored(source: Annotations) -> Annotations:
        entries = [(page_id, span) for page_id, spans in source.values.items() for span in spans]
        values, _ = store_values(source.name, entries, tmp_path / "values")
        return Annotations(source.name, values, source.processed)

    held = make_windowed(TEXTS, SOURCES)
    on_disk = [stored(source) for source in SOURCES]
    windowed = make_windowed(TEXTS, on_disk, cache=tmp_path / "cache2", processes=processes)
    assert windowed.rows[:] == held.rows[:]
    tokenised.clear()
    assert make_windowed(TEXTS, on_disk, cache=tmp_path / "cache2").rows[:] == held.rows[:]
    assert tokenised == []
    changed = [stored(moved(SOURCES[0], "1")), *on_disk[1:]]
    assert make_windowed(TEXTS, changed, cache=tmp_path / "cache2").rows[:] != held.rows[:]
    fewer = [Annotations("gold", on_disk[0].values, frozenset({"2"})), *on_disk[1:]]
    assert make_windowed(TEXTS, fewer, cache=tmp_path / "cache2").processed["gold"] == 1


def test_two_processes_give_the_rows_of_one(make_windowed: MakeWindowed, tmp_path: Path) -> None:
    one = make_windowed(TEXTS, SOURCES, cache=tmp_path / "one")
    two = make_windowed(TEXTS, SOURCES, cache=tmp_path / "two", processes=2)
    assert two.rows[:] == one.rows[:]
    assert two.fits == one.fits


# What is said of all windows, without reading them one by one


def test_lengths_pages_and_rates(
    make_windowed: MakeWindowed,
    character_tokenizer: PreTrainedTokenizerFast,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coteach.data.windowed, "BATCH", 3)  # of eight windows
    windowed = make_windowed(TEXTS, SOURCES)
    rows = list(windowed.rows)
    assert windowed.lengths.tolist() == [len(row["input_ids"]) for row in rows]
    assert windowed.pages == 3  # the third has no text
    assert windowed.processed == {"gold": 2, "team": 3, "lazy": 1}
    total = sum(sum(row["has_text"]) for row in rows)
    labels = collated(windowed, character_tokenizer)["labels"]
    for number, source in enumerate(SOURCES):
        labelled = int((labels[:, :, number, 0] != -100).sum())
        assert windowed.labelled_rate(source.name) == labelled / total
        counts = [[int((labels[:, :, number, a] == tag).sum()) for tag in range(3)] for a in (0, 1)]
        assert windowed.class_counts(source.name).tolist() == counts
    nowhere = make_windowed(TEXTS, [Annotations("absent", {}, frozenset())])
    assert nowhere.labelled_rate("absent") == 0.0
    assert nowhere.class_counts("absent").tolist() == [[0, 0, 0], [0, 0, 0]]


def test_more_processes_than_pages(make_windowed: MakeWindowed, tmp_path: Path) -> None:
    one = make_windowed({"1": "abc"}, SOURCES, cache=tmp_path / "one")
    many = make_windowed({"1": "abc"}, SOURCES, cache=tmp_path / "many", processes=4)
    assert many.rows[:] == one.rows[:]


@pytest.mark.parametrize("processes", [1, 2])
def test_what_goes_wrong_on_the_way_is_said(
    make_windowed: MakeWindowed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    """In one line and not in the library's words; the next attempt begins anew."""
    real = coteach.data.windowed._page_rows
    for error, message in [
        (InputError("3.txt: cannot be read"), r"3\.txt: cannot be read$"),
        (OSError(28, "No space left on device"), r"\[Errno 28\] No space left on device$"),
    ]:

        def fail(page_id: str, job: Any, error: Exception = error) -> Any:
            if page_id == "3":
                raise error
            return real(page_id, job)

        with monkeypatch.context() as patch:
            patch.setattr(coteach.data.windowed, "_page_rows", fail)
            with pytest.raises(InputError, match=message) as found:
                make_windowed(TEXTS, SOURCES, processes=processes)
        assert "\n" not in str(found.value)
    assert len(make_windowed(TEXTS, SOURCES, processes=processes).rows) == 8
