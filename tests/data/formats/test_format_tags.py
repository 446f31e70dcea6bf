from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB1, IOB2, IOBES, Entities

from coteach.data.formats.tags import Chunk, Scheme, check_tag, decode, detect, encode, invalid
from coteach.errors import InputError

SCHEMES: dict[Scheme, type] = {"IOB1": IOB1, "IOB2": IOB2, "IOBES": IOBES}
TAGS = ["O", *(f"{prefix}-{name}" for prefix in "BIES" for name in ("人名", "ORG-X"))]
any_tags = st.lists(st.sampled_from(TAGS), max_size=8)


@st.composite
def chunks_and_length(draw: st.DrawFn) -> tuple[list[Chunk], int]:
    chunks, position = [], 0
    for gap, size in draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), max_size=4)):
        name = draw(st.sampled_from(["人名", "ORG-X"]))
        chunks.append(Chunk(name, position + gap, position + gap + size))
        position += gap + size
    return chunks, position + draw(st.integers(0, 2))


@given(any_tags)
def test_any_tags_are_read_as_conlleval_does(tags: list[str]) -> None:
    expected = [(name, start, end + 1) for name, start, end in get_entities(tags)]
    assert decode(tags) == expected


@pytest.mark.parametrize("scheme", SCHEMES)
@given(of=chunks_and_length())
def test_written_tags_are_those_of_the_scheme(scheme: Scheme, of: tuple[list[Chunk], int]) -> None:
    chunks, length = of
    tags = encode(chunks, length, scheme)
    assert invalid(tags, scheme) == []
    assert decode(tags) == chunks
    if tags:
        strict = Entities([tags], SCHEMES[scheme]).entities[0]
        assert [(it.tag, it.start, it.end) for it in strict] == chunks


@pytest.mark.parametrize("scheme", SCHEMES)
@given(tags=any_tags)
def test_valid_tags_are_those_that_writing_what_was_read_gives_back(
    scheme: Scheme, tags: list[str]
) -> None:
    assert (invalid(tags, scheme) == []) == (encode(decode(tags), len(tags), scheme) == tags)


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ("O I-A I-A O I-A B-A", "IOB1"),
        ("O B-A I-A O B-A B-A", "IOB2"),
        ("O S-A O", "IOBES"),
        ("B-A E-A O", "IOBES"),
        ("O O", "IOB2"),
        ("B-A I-A O B-A I-B", "IOB2"),  # one slip does not change the scheme
    ],
)
def test_the_scheme_is_seen_from_the_tags(tags: str, scheme: Scheme) -> None:
    assert detect([tags.split(" ")]) == scheme


@pytest.mark.parametrize("tag", ["B", "B-", "X-人名", "", "o", "人名", "-X-"])
def test_what_is_no_tag_is_refused(tag: str) -> None:
    with pytest.raises(InputError, match="expected a tag such as O"):
        check_tag(tag)
