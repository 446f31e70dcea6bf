"""Windows with tag sequences of auxiliary sources, and texts of one class each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from coteach.data.collator import Collator
from coteach.data.pages import Annotations, Page
from coteach.data.windowed import TagSource, Windowed, build_windows
from coteach.model.alignment import Aligner
from coteach.model.spans import Span

# Windows of 6 that share 2: two of "1", one of "2", none of "3" where pages are windowed.
TEXTS = {"1": "abc de\nfgh", "2": "東京都", "3": "\n"}
SPOKEN = TagSource(
    Annotations(
        "spoken",
        {
            "1": frozenset({Span("noun", 0, 0, 0, 2), Span("adverb", 0, 4, 0, 6)}),
            "2": frozenset({Span("adverb", 0, 0, 0, 1), Span("noun", 0, 1, 0, 3)}),
        },
    ),
    ("noun", "adverb"),
)
GOLD = Annotations("gold", {"1": frozenset({Span("name", 0, 0, 0, 3)})}, frozenset({"1"}))
OUT, B_NOUN, I_NOUN, B_ADVERB, I_ADVERB = range(5)
NONE = -100


@pytest.fixture
def make(tmp_path: Path, character_tokenizer: PreTrainedTokenizerFast) -> Any:
    def make(
        texts: Mapping[str, str] = TEXTS, tag_sources: Any = (SPOKEN,), **options: Any
    ) -> Windowed:
        pages = {page_id: Page(page_id, text) for page_id, text in texts.items()}
        return build_windows(
            pages,
            list(texts),
            options.pop("sources", [GOLD]),
            ["name"],
            Aligner(character_tokenizer),
            6,
            2,
            tmp_path / "cache",
            tag_sources=tag_sources,
            **options,
        )

    return make


def test_tags() -> None:
    assert SPOKEN.tags == ("O", "B-noun", "I-noun", "B-adverb", "I-adverb")


def test_a_tag_sequence_beside_the_attributes(
    make: Any, character_tokenizer: PreTrainedTokenizerFast
) -> None:
    windowed = make()
    assert windowed.sources == ("gold",)
    assert dict(windowed.tag_sources) == {"spoken": SPOKEN.tags}
    assert windowed.processed == {"gold": 1, "spoken": 2}
    assert windowed.fits["spoken"].exact == 4
    batch = Collator(windowed, character_tokenizer)([*windowed.rows])
    assert windowed.rows["page_id"][:] == ["1", "1", "2"]
    # The first token is [CLS]; the space and the separator have no text.
    a = [NONE, B_NOUN, I_NOUN, OUT, NONE, B_ADVERB, I_ADVERB, NONE]
    b = [NONE, B_ADVERB, I_ADVERB, NONE, OUT, OUT, OUT, NONE]
    c = [NONE, B_ADVERB, B_NOUN, I_NOUN, NONE, NONE, NONE, NONE]
    assert batch["tags"][..., 0].tolist() == [a, b, c]
    assert batch["labels"].shape == (3, 8, 1, 1)
    assert batch["labels"][0, :, 0, 0].tolist() == [NONE, 1, 2, 2, NONE, 0, 0, NONE]
    assert (batch["labels"][2] == NONE).all()  # a page that the gold did not process
    assert "classes" not in batch


def test_a_word_that_begins_in_the_window_before_goes_on_as_inside(
    make: Any, character_tokenizer: PreTrainedTokenizerFast
) -> None:
    whole = TagSource(
        Annotations("spoken", {"1": frozenset({Span("noun", 0, 0, 0, 10)})}), ("noun",)
    )
    windowed = make({"1": "abcdefghij"}, (whole,))
    tags = Collator(windowed, character_tokenizer)([*windowed.rows])["tags"][..., 0].tolist()
    assert tags == [[NONE, 1, 2, 2, 2, 2, 2, NONE], [NONE, 2, 2, 2, 2, 2, 2, NONE]]


def test_counts_are_those_of_the_batches(
    make: Any, character_tokenizer: PreTrainedTokenizerFast
) -> None:
    windowed = make()
    tags = Collator(windowed, character_tokenizer)([*windowed.rows])["tags"].numpy()
    expected = np.bincount(tags[tags != NONE], minlength=5)
    assert windowed.tag_counts("spoken").tolist() == [expected.tolist()]
    assert windowed.class_counts("gold").sum() == 10  # the tokens with text of its two windows


def test_a_source_that_did_not_process_a_page_is_masked(
    make: Any, character_tokenizer: PreTrainedTokenizerFast
) -> None:
    partial = TagSource(
        Annotations("spoken", SPOKEN.annotations.values, frozenset({"2"})), SPOKEN.classes
    )
    windowed = make(tag_sources=(partial,))
    tags = Collator(windowed, character_tokenizer)([*windowed.rows])["tags"]
    assert (tags[:2] == NONE).all()
    assert tags[2, 1:4, 0].tolist() == [B_ADVERB, B_NOUN, I_NOUN]
    assert windowed.tag_counts("spoken").tolist() == [[0, 1, 1, 1, 0]]


def test_texts_of_classes_are_one_window_each(
    make: Any, character_tokenizer: PreTrainedTokenizerFast
) -> None:
    labels = {"1": 2, "2": 0, "3": 1}
    windowed = make(sources=[], labels=labels, classes=3)
    assert windowed.rows["page_id"][:] == ["1", "2", "3"]  # the one without a token as well
    assert windowed.cut == 1
    assert windowed.lengths.tolist() == [6, 3, 0]
    assert windowed.label_counts().tolist() == [[1, 1, 1]]
    batch = Collator(windowed, character_tokenizer)([*windowed.rows])
    assert batch["classes"].tolist() == [2, 0, 1]
    assert batch["labels"].shape == (3, 8, 0, 1)
    assert batch["attention_mask"].sum(dim=1).tolist() == [8, 5, 2]
    some = windowed.only(["3", "1"])
    assert some.rows["page_id"][:] == ["1", "3"]
    assert some.lengths.tolist() == [6, 0]
    assert some.label_counts().tolist() == [[0, 1, 1]]
    assert some.cut == 1
    assert windowed.only(["2"]).tag_counts("spoken").tolist() == [[0, 1, 1, 1, 0]]


def test_without_any_source(make: Any, character_tokenizer: PreTrainedTokenizerFast) -> None:
    windowed = make(tag_sources=(), sources=[], labels={"1": 0, "2": 1, "3": 0}, classes=2)
    assert windowed.fits == {}
    assert windowed.pages == 3
    batch = Collator(windowed, character_tokenizer)([*windowed.rows])
    assert "tags" not in batch
    assert batch["classes"].tolist() == [0, 1, 0]


def test_the_cache_knows_labels_and_tags_apart(make: Any) -> None:
    """Whatever changes gives other rows, not those of the cache."""
    first = make()
    again = make()
    assert [f["filename"] for f in first.rows.cache_files] == [
        f["filename"] for f in again.rows.cache_files
    ]
    seen = {first.rows.cache_files[0]["filename"]}
    others = TagSource(SPOKEN.annotations, ("adverb", "noun"))
    for changed in (
        make(tag_sources=()),
        make(tag_sources=(others,)),
        make(labels={"1": 0, "2": 1, "3": 0}, classes=2),
        make(labels={"1": 1, "2": 1, "3": 0}, classes=2),
    ):
        name = changed.rows.cache_files[0]["filename"]
        assert name not in seen
        seen.add(name)
