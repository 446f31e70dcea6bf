from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coteach.data.formats import (
    Brat,
    Columns,
    ConllU,
    Documents,
    Format,
    JsonLines,
    Losses,
    Shinra,
    Token,
    put_on,
)
from coteach.data.formats.offsets import Offsets
from coteach.data.pages import Page
from coteach.errors import InputError
from coteach.model.spans import Span

CHARACTERS = '城あA1🏯é#-\u00ad_|"\\'
words = st.text(CHARACTERS, min_size=1, max_size=4)
attributes = st.sampled_from(["城名", "I-X", "O", "場所_2"])


@st.composite
def tokenised(draw: st.DrawFn, between: tuple[str, ...] = ("",)) -> Documents:
    """Pages of words, with values on some of them that do not overlap."""
    pages, values, tokens = {}, {}, {}
    for page_id in ("1", "城 (2)"):
        lines, spans, places = [], set(), []
        for number, line in enumerate(draw(st.lists(st.lists(words, min_size=1), max_size=3))):
            text, open_from, attribute = "", None, None
            for word in line:
                text += draw(st.sampled_from(between)) if text else ""
                places.append(Token(number, len(text), len(text) + len(word)))
                open_from = len(text) if open_from is None else open_from
                text += word
                attribute = draw(st.none() | attributes) if attribute is None else attribute
                if attribute is None or draw(st.booleans()):
                    if attribute is not None:
                        spans.add(Span(attribute, number, open_from, number, len(text)))
                    open_from = attribute = None
            lines.append(text)
        pages[page_id] = Page(page_id, "\n".join(lines))
        values[page_id] = frozenset(spans)
        tokens[page_id] = places
    return Documents(pages, values, tokens)


@st.composite
def anything(draw: st.DrawFn) -> Documents:
    """Any text, and values anywhere in it, over lines and over each other."""
    text = draw(st.text(CHARACTERS + " \u3000\u2028\t\r\n\n\n", max_size=20))
    places = st.tuples(st.integers(0, len(text)), st.integers(0, len(text)), attributes)
    offsets = Offsets(text)
    spans = {
        offsets.span(attribute, start, end)
        for start, end, attribute in draw(st.lists(places, max_size=5))
        if start < end
    }
    return Documents({"1": Page("1", text)}, {"1": frozenset(spans)})


def back(writer: Format, reader: Format, documents: Documents) -> tuple[Documents, Losses]:
    losses = Losses()
    with tempfile.TemporaryDirectory() as folder:
        writer.write(Path(folder) / "out", documents, losses)
        return reader.read(Path(folder) / "out", Losses()), losses


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "IOBES"])
@pytest.mark.parametrize("separator", ["tab", "space"])
@given(documents=tokenised())
@settings(max_examples=25)
def test_columns(scheme: str, separator: str, documents: Documents) -> None:
    writer = Columns(scheme=scheme, separator=separator)  # type: ignore[arg-type]
    found, losses = back(writer, Columns(scheme=scheme), documents)  # type: ignore[arg-type]
    assert not losses.counts
    assert (found.pages, found.values) == (documents.pages, documents.values)
    assert found.tokens == documents.tokens


@given(documents=tokenised(between=(" ",)))
@settings(max_examples=25)
def test_columns_with_spaces(documents: Documents) -> None:
    found, losses = back(Columns(spaces=True), Columns(spaces=True), documents)
    assert not losses.counts
    assert (found.pages, found.values) == (documents.pages, documents.values)


@given(documents=tokenised(between=("", " ", "\u3000", "\u2028")))
@settings(max_examples=50)
def test_conllu_entities(documents: Documents) -> None:
    replaced = {  # MISC parts its entries by "|"
        page_id: frozenset(s for s in spans if "|" not in s.attribute)
        for page_id, spans in documents.values.items()
    }
    documents = Documents(documents.pages, replaced, documents.tokens)
    found, losses = back(ConllU(value="entity"), ConllU(value="entity"), documents)
    assert not losses.counts
    assert found == documents


@given(documents=tokenised(between=("", " ", "\u3000", "\u2028")))
@settings(max_examples=50)
def test_conllu_words(documents: Documents) -> None:
    found, losses = back(ConllU(value="xpos"), ConllU(value="xpos"), documents)
    assert not losses.counts
    assert (found.pages, found.values) == (documents.pages, documents.values)


@pytest.mark.parametrize("format", [JsonLines(), JsonLines(id="key", text="本文")])
@given(documents=anything())
@settings(max_examples=50)
def test_json_lines_hold_everything(format: Format, documents: Documents) -> None:
    assert back(format, format, documents) == (documents, Losses())


@given(documents=anything())
@settings(max_examples=50)
def test_brat_holds_all_but_line_breaks_at_the_ends(documents: Documents) -> None:
    found, losses = back(Brat(), Brat(), documents)
    assert found.pages == documents.pages
    text = documents.pages["1"].text
    offsets, expected = Offsets(text), set()
    for span in documents.values["1"]:
        start, end = offsets.bounds(span)
        inner = text[start:end].strip("\n")
        if inner:
            start += text[start:end].index(inner)
            expected.add(offsets.span(span.attribute, start, start + len(inner)))
    assert found.values.get("1", frozenset()) == expected
    assert set(losses.counts) <= {"trimmed of line breaks", "white space only"}


@given(documents=anything())
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_shinra_holds_everything(documents: Documents) -> None:
    losses = Losses()
    with tempfile.TemporaryDirectory() as folder:
        path, format = Path(folder) / "gold.json", Shinra(pages=Path(folder) / "plain")
        format.write(path, documents, losses)
        found = format.read(path, losses)
    assert found.pages == documents.pages
    assert found.values.get("1", frozenset()) == documents.values["1"]
    assert not losses.counts


@given(documents=anything(), white=st.lists(st.sampled_from(["", " ", "\n", "\u3000"])))
def test_values_move_to_a_text_with_other_white_space(
    documents: Documents, white: list[str]
) -> None:
    """Read naively, character by character, a value is the same."""
    text = documents.pages["1"].text
    visible = [c for c in text if not c.isspace()]
    spaces = (white * (len(visible) + 1) + [""] * (len(visible) + 1))[: len(visible) + 1]
    other = spaces[0] + "".join(c + s for c, s in zip(visible, spaces[1:], strict=True))
    known = Documents({"1": Page("1", other)}, {})
    moved = put_on(documents, known, Path("x"), Losses())

    def naive(of: str, spans: frozenset[Span]) -> set[tuple[str, int, int]]:
        bounds = ((it.attribute, *Offsets(of).bounds(it)) for it in spans)
        counts = (
            (name, len("".join(of[:start].split())), len("".join(of[:end].split())))
            for name, start, end in bounds
        )
        return {(name, start, end) for name, start, end in counts if start < end}

    assert naive(other, moved.values["1"]) == naive(text, documents.values["1"])


def test_texts_that_differ_in_more_than_white_space() -> None:
    found = Documents({"1": Page("1", "青葉 城は")}, {})
    known = Documents({"1": Page("1", "青葉城が")}, {})
    with pytest.raises(InputError, match='"は" in place of "が" after "青葉城"'):
        put_on(found, known, Path("x"), Losses())
    unnamed = Documents({"1": Page("1", "")}, {}, named=False)
    with pytest.raises(InputError, match="x: 1 pages without ids; expected 0"):
        put_on(unnamed, Documents({}, {}), Path("x"), Losses())


@pytest.mark.parametrize("make", [Columns, ConllU, JsonLines, Brat, lambda: Shinra()])
def test_what_fails_leaves_nothing_behind(make: Callable[[], Format], tmp_path: Path) -> None:
    class Broken(dict):
        def items(self):
            yield "1", Page("1", "a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        make().write(tmp_path / "out", Documents(Broken({"1": 0}), {}), Losses())
    assert list(tmp_path.iterdir()) == []
