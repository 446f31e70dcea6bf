from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coteach.model.normalization import _UNUSUAL, joins, nfkc

# Characters that compose, decompose or are reordered, more often than chance would bring them.
TRICKY = "かはﾊｶﾞﾟ゛\u3099\u309a㍿①ﬁé\u0301\u0327\u0323a가각\u1100\u1161\u11a8ﾡￂ…　ａＡİſ"
texts = st.text(st.sampled_from(TRICKY) | st.characters())


def compositions() -> set[str]:
    """Every character that is the second of a canonical composition."""
    pairs = (unicodedata.decomposition(chr(code)).split() for code in range(sys.maxunicode + 1))
    seconds = {chr(int(pair[1], 16)) for pair in pairs if len(pair) == 2 and pair[0][0] != "<"}
    jamo = [*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)]
    return seconds | set(map(chr, jamo))


def test_usual_characters_stand_for_themselves() -> None:
    seconds = compositions()
    usual = [chr(code) for code in range(sys.maxunicode + 1) if not _UNUSUAL.match(chr(code))]
    assert len(usual) > 27_000
    for character in usual:
        first = unicodedata.normalize("NFKD", character)[0]
        assert len(unicodedata.normalize("NFKC", character)) == 1
        assert unicodedata.combining(first) == 0
        assert first not in seconds


@given(texts)
@example("ﾊﾞｽ")
@example("a\u0301\u0327\u0323b")
@example("\u3099か\u3099")
def test_parts_are_normalised_apart(text: str) -> None:
    form, starts, ends = nfkc(text)
    assert form == unicodedata.normalize("NFKC", text)
    assert len(form) == len(starts) == len(ends)
    parts = sorted({*zip(starts, ends, strict=True)})
    assert list(zip(starts, ends, strict=True)) == sorted(zip(starts, ends, strict=True))
    # The parts follow one another from the first character to the last ...
    assert [start for start, _ in parts] == [0, *(end for _, end in parts)][: len(parts)]
    assert not parts or parts[-1][1] == len(text)
    # ... and each is the origin of exactly what it becomes by itself.
    for start, end in parts:
        own = "".join(c for c, place in zip(form, starts, strict=True) if place == start)
        assert own == unicodedata.normalize("NFKC", text[start:end])


@given(texts)
def test_parts_that_are_composed_are_no_larger_than_needed(text: str) -> None:
    _, starts, ends = nfkc(text)
    for start, end in {*zip(starts, ends, strict=True)}:
        part = text[start:end]
        if len(part) > 1:
            assert unicodedata.normalize("NFKC", part) != part
            assert all(joins(part[:i], part[i]) for i in range(1, len(part)))


@pytest.mark.parametrize(
    ("text", "form", "origins"),
    [
        ("", "", []),
        ("東京", "東京", ["東", "京"]),
        ("ﾊﾞｽ", "バス", ["ﾊﾞ", "ｽ"]),
        ("㍿①", "株式会社1", ["㍿", "㍿", "㍿", "㍿", "①"]),
        ("か\u3099か", "がか", ["か\u3099", "か"]),
        ("\u1112\u1161\u11ab글", "한글", ["\u1112\u1161\u11ab", "글"]),
        ("가\u11a8", "각", ["가\u11a8"]),
        ("ﬁx", "fix", ["ﬁ", "ﬁ", "x"]),
        ("東　京", "東 京", ["東", "　", "京"]),
        ("①q\u0323", "1q\u0323", ["①", "q", "\u0323"]),
    ],
)
def test_origins(text: str, form: str, origins: list[str]) -> None:
    normalized = nfkc(text)
    assert normalized.text == form
    places = zip(normalized.starts, normalized.ends, strict=True)
    assert [text[start:end] for start, end in places] == origins
