from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_masked_model as tiny
from transformers import BertForMaskedLM

import coteach.data.augmentation as module
from coteach.data.augmentation import Augmentation, augmented
from coteach.data.classification import LabelledTexts
from coteach.data.pages import Page
from coteach.data.replacements import Replaceable, Replacer
from coteach.errors import InputError

UNIDIC = "unidic_lite"
TEXTS = {
    "t:1": "東京で泊まった部屋は狭いが、朝食はとても美味しい。",
    "t:2": "",
    "t:3": "😀部屋😀\n☆とても広い☆",
    "t:4": "行ってみた",  # nothing to replace
    "t:5": "風呂は静かです",
    "d:1": "風呂は朝です",
    "r:1": "東京は静かです",
}
LABELS = {page_id: number % 3 for number, page_id in enumerate(TEXTS)}


def texts_of(texts: Mapping[str, str], pairs: bool = False) -> LabelledTexts:
    """Those with t are for training, d for dev, r for the report."""
    return LabelledTexts(
        pages={page_id: Page(page_id, text) for page_id, text in texts.items()},
        labels={page_id: LABELS[page_id] for page_id in texts},
        classes=("a", "b", "c"),
        train=tuple(page_id for page_id in texts if page_id[0] == "t"),
        dev=tuple(page_id for page_id in texts if page_id[0] == "d"),
        report=tuple(page_id for page_id in texts if page_id[0] == "r"),
        pairs=pairs,
        fold_of=dict.fromkeys(texts, 0),
        remarks=("read",),
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny.write(tmp_path_factory.mktemp("model"))


def copies_of(texts: LabelledTexts) -> dict[str, list[str]]:
    """Training text → its copies, by the ids."""
    found: dict[str, list[str]] = {}
    for page_id in texts.train:
        original, plus, number = page_id.partition("+")
        if not plus:
            found[page_id] = []
        else:
            found[original].append(texts.pages[page_id].text)
            assert number == str(len(found[original]))
    return found


def by_definition(
    texts: Mapping[str, str], augmentation: Augmentation, seed: int, pairs: bool = False
) -> dict[str, list[str]]:
    """The copies of each training text: character by character, from left to right."""
    replacer = Replacer(augmentation.model, augmentation.candidates, augmentation.classes, UNIDIC)
    seen = set(texts.values())
    copies: dict[str, list[str]] = {}
    for page_id, text in texts.items():
        if page_id[0] != "t":
            continue
        copies[page_id] = []
        parts = text.split("\n") if pairs else [text]
        for number, part in enumerate(parts):
            (words,) = replacer([part])
            generator = random.Random(f"{seed} {number} {page_id}")
            for _ in range(augmentation.copies):
                new = list(parts)
                new[number] = attempt(part, words, augmentation.probability, generator)
                copy = "\n".join(new)
                if copy not in seen:
                    seen.add(copy)
                    copies[page_id].append(copy)
    return copies


def attempt(
    text: str, words: Sequence[Replaceable], probability: float, generator: random.Random
) -> str:
    places = {(word.line, word.start): word for word in words}
    new, line, start = "", 0, 0
    left = text
    while left:
        form, length = left[0], 1
        word = places.get((line, start))
        if word is not None:
            length = word.end - word.start
            form = left[:length]
            if generator.random() < probability:
                form = generator.choice(word.candidates)
        line, start = (line + 1, 0) if left[0] == "\n" else (line, start + length)
        new, left = new + form, left[length:]
    return new


@pytest.mark.parametrize(("probability", "copies", "candidates"), [(0.4, 20, 15), (1, 3, 1)])
def test_copies(
    model: str, tmp_path: Path, probability: float, copies: int, candidates: int
) -> None:
    augmentation = Augmentation(model, copies, probability, candidates)
    found = augmented(texts_of(TEXTS), augmentation, 5, tmp_path)
    assert copies_of(found) == by_definition(TEXTS, augmentation, 5)
    every = [page.text for page in found.pages.values()]
    assert len(set(every)) == len(every)
    assert not copies_of(found)["t:2"]
    assert not copies_of(found)["t:4"]
    if copies == 20:
        assert len(copies_of(found)["t:1"]) > 15


def test_what_stays(model: str, tmp_path: Path) -> None:
    texts = texts_of(TEXTS)
    found = augmented(texts, Augmentation(model), 0, tmp_path)
    assert (found.classes, found.dev, found.report) == (texts.classes, texts.dev, texts.report)
    assert found.fold_of == texts.fold_of
    assert [page_id for page_id in found.train if "+" not in page_id] == list(texts.train)
    assert {page_id: found.pages[page_id] for page_id in TEXTS} == dict(texts.pages)
    assert set(found.pages) == set(found.labels) == set(TEXTS) | set(found.train)
    for page_id, label in found.labels.items():
        assert label == LABELS[page_id.partition("+")[0]]
        assert found.pages[page_id].page_id == page_id
    count = len(found.train) - 5
    assert count > 20
    assert found.remarks == ("read", f"train: {count} copies of 5 texts by augmentation")
    assert len(texts.pages) == 7  # as it was


def test_the_seed_and_nothing_else_decides(model: str, tmp_path: Path) -> None:
    augmentation = Augmentation(model, copies=10)
    first = augmented(texts_of(TEXTS), augmentation, 1, tmp_path / "a")
    assert augmented(texts_of(TEXTS), augmentation, 1, tmp_path / "b") == first
    assert augmented(texts_of(TEXTS), augmentation, 2, tmp_path / "a") != first
    # A training text more or less, or another order, changes no other's copies.
    fewer = texts_of({page_id: TEXTS[page_id] for page_id in ("t:3", "t:1", "d:1", "r:1")})
    few = copies_of(augmented(fewer, augmentation, 1, tmp_path / "a"))
    assert few == {page_id: copies_of(first)[page_id] for page_id in ("t:3", "t:1")}


def test_no_copy_reads_as_a_text_of_dev_or_report(model: str, tmp_path: Path) -> None:
    augmentation = Augmentation(model, copies=3000, probability=0.5, classes=("名詞",))
    found = copies_of(augmented(texts_of(TEXTS), augmentation, 0, tmp_path))["t:5"]
    assert len(found) == 6 * 6 - 1 - 2  # 風呂 or one of five others, 静か likewise
    without = texts_of({"t:5": TEXTS["t:5"]})
    assert len(copies_of(augmented(without, augmentation, 0, tmp_path))["t:5"]) == 6 * 6 - 1


def test_pairs(model: str, tmp_path: Path) -> None:
    pairs = {"t:1": "部屋は狭い\n風呂は広い", "t:3": "行った\n部屋", "t:5": "部屋は狭い\n行った"}
    augmentation = Augmentation(model, copies=40, probability=0.5)
    found = copies_of(augmented(texts_of(pairs, pairs=True), augmentation, 0, tmp_path))
    assert found == by_definition(pairs, augmentation, 0, pairs=True)
    for page_id, text in pairs.items():
        first, second = text.split("\n")
        halves = [copy.split("\n") for copy in found[page_id]]
        # Of every copy one text is the original, never one that was replaced before.
        assert all((half[0] == first) != (half[1] == second) for half in halves)
        assert any(half[0] != first for half in halves) == (first != "行った")
        assert any(half[1] != second for half in halves) == (second != "行った")


def test_no_text_to_augment(model: str, tmp_path: Path) -> None:
    for texts in ({}, {"t:2": ""}, {"d:1": TEXTS["d:1"]}):
        found = augmented(texts_of(texts), Augmentation(model), 0, tmp_path)
        assert found.train == texts_of(texts).train
        assert found.remarks[-1].startswith("train: 0 copies of ")


def test_candidates_are_found_once(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    augmentation = Augmentation(model)
    first = augmented(texts_of(TEXTS), augmentation, 0, tmp_path)
    files = sorted(tmp_path.rglob("*.jsonl"))

    def forward(*_: object, **__: object) -> None:
        raise AssertionError("the model is asked again")

    monkeypatch.setattr(BertForMaskedLM, "forward", forward)
    assert augmented(texts_of(TEXTS), augmentation, 0, tmp_path) == first
    fewer = replace(augmentation, copies=3, probability=0.1)
    augmented(texts_of(TEXTS), fewer, 1, tmp_path)
    assert sorted(tmp_path.rglob("*.jsonl")) == files
    for changed in ({"candidates": 3}, {"classes": ("名詞",)}):
        with pytest.raises(AssertionError, match="asked again"):
            augmented(texts_of(TEXTS), replace(augmentation, **changed), 0, tmp_path)


def test_a_killed_run_goes_on(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    augmentation = Augmentation(model)
    expected = augmented(texts_of(TEXTS), augmentation, 0, tmp_path / "whole")
    asked: list[str] = []
    find = Replacer.__call__

    def killed(self: Replacer, texts: list[str]) -> Any:
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.extend(texts)
        return find(self, texts)

    def recorded(self: Replacer, texts: list[str]) -> Any:
        asked.extend(texts)
        return find(self, texts)

    monkeypatch.setattr(module, "CHUNK", 1)
    monkeypatch.setattr(Replacer, "__call__", killed)
    with pytest.raises(KeyboardInterrupt):
        augmented(texts_of(TEXTS), augmentation, 0, tmp_path / "killed")
    (folder,) = (tmp_path / "killed").iterdir()
    (folder / ".part-0.jsonl.0.tmp").write_text('{"text": ')  # what a killed process leaves
    monkeypatch.setattr(Replacer, "__call__", recorded)
    assert augmented(texts_of(TEXTS), augmentation, 0, tmp_path / "killed") == expected
    assert sorted(asked) == sorted(text for page_id, text in TEXTS.items() if page_id[0] == "t")


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"1",
        b'{"text": "a"}',
        b'{"text": "a", "words": [[0, 0, 2]]}',
        b'{"text": "a", "words": [[0, 2, 2, ["b"]]]}',
        b'{"text": "a", "words": [[-1, 0, 2, ["b"]]]}',
        b'{"text": "a", "words": [[0, 0, 2, []]]}',
        b'{"text": "a", "words": [[0, 0, 2, [1]]]}',
        b'{"text": "a", "words": [["0", 0, 2, ["b"]]]}',
        b'{"text": "a", "words": 3}',
        b'{"text": "a\xff", "words": []}',
    ],
)
def test_a_damaged_line_of_the_cache(model: str, tmp_path: Path, line: bytes) -> None:
    augmentation = Augmentation(model)
    texts = texts_of({"t:5": TEXTS["t:5"]})
    augmented(texts, augmentation, 0, tmp_path)
    (path,) = tmp_path.rglob("part-*.jsonl")
    path.write_bytes(path.read_bytes() + b"\n" + line + b"\n")
    with pytest.raises(InputError, match=rf"{path.name}:3: damaged: .*; remove this file"):
        augmented(texts, augmentation, 0, tmp_path)


def test_what_the_cache_says_is_used(model: str, tmp_path: Path) -> None:
    augmentation = Augmentation(model, probability=1)
    texts = texts_of({"t:5": TEXTS["t:5"]})
    augmented(texts, augmentation, 0, tmp_path)
    (path,) = tmp_path.rglob("part-*.jsonl")
    entry = json.loads(path.read_text(encoding="utf-8"))
    entry["words"] = [[0, 0, 2, ["城"]]]
    path.write_text(json.dumps(entry), encoding="utf-8")
    assert copies_of(augmented(texts, augmentation, 0, tmp_path)) == {"t:5": ["城は静かです"]}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"copies": 0}, r"augmentation\.copies: expected at least 1, got 0"),
        ({"candidates": 0}, r"augmentation\.candidates: expected at least 1, got 0"),
        ({"probability": 0.0}, r"augmentation\.probability: expected .* in \(0, 1\], got 0\.0"),
        ({"probability": 1.1}, r"augmentation\.probability: expected .*, got 1\.1"),
        ({"dictionary": "neologd"}, r"augmentation\.dictionary: expected one of .*'neologd'"),
        ({"classes": ()}, r"augmentation\.classes: expected some of \['名詞', .*, got \[\]"),
        ({"classes": ("noun",)}, r"augmentation\.classes: .*none twice, got \['noun'\]"),
        ({"classes": ("名詞", "名詞")}, r"augmentation\.classes: .*none twice, got"),
    ],
)
def test_a_description_that_makes_no_sense(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Augmentation("model", **fields)


def test_a_dictionary_that_is_not_installed(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ipadic", None)
    with pytest.raises(InputError, match=r"augmentation\.dictionary: .*'ipadic': its package is"):
        augmented(texts_of(TEXTS), Augmentation(model, dictionary="ipadic"), 0, tmp_path)
