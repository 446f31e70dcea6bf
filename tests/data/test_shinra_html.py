from __future__ import annotations

import json
from collections import Counter
from html import escape
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coteach.data.pages import Page
from coteach.data.shinra_html import HtmlText
from coteach.model.spans import Span

SAMPLE = Path(__file__).parents[2] / ".." / "shared" / "task" / "shinra-airport-sample"

HTML = '<p>A&amp;B<b>東京</b>駅&nbsp;\n<!-- x\ny --><br/>二&unreal;<a href="h\nj">行</a>\n'


def test_the_text_of_a_page() -> None:
    assert HtmlText(HTML).text == "A&B東京駅\xa0\n二&unreal;行\n"
    assert HtmlText("").text == ""
    assert HtmlText("<script>a<b && c</script>&lt;&#65;&#x42;").text == "a<b && c<AB"
    assert HtmlText("AT&T <b").text.startswith("AT&T ")
    assert HtmlText("東京<![broken").text.startswith("東京")


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ((0, 0), (0, 0)),  # before the first tag
        ((0, 3), (0, 0)),
        ((0, 4), (0, 1)),  # before &amp;
        ((0, 9), (0, 2)),  # after it
        ((0, 10), (0, 3)),  # before <b>
        ((0, 13), (0, 3)),  # after it: the same place
        ((0, 15), (0, 5)),
        ((0, 26), (0, 7)),  # the end of line 0 in both
        ((1, 0), (1, 0)),  # before a comment, whose line break is not in the text
        ((1, 3), None),
        ((2, 0), None),
        ((2, 5), (1, 0)),  # after it
        ((2, 11), (1, 1)),
        ((0, 6), None),  # inside of &amp;
        ((0, 11), None),  # inside of <b>
        ((0, 99), None),
        ((9, 0), None),
    ],
)
def test_places(place: tuple[int, int], expected: tuple[int, int] | None) -> None:
    assert HtmlText(HTML).place(*place) == expected


def test_spans() -> None:
    text = HtmlText(HTML)
    over_the_tag = Span("名", 0, 10, 0, 20)
    assert text.span(over_the_tag) == Span("名", 0, 3, 0, 6)
    plain = Page("1", text.text)
    assert text.span(over_the_tag, plain) == Span("名", 0, 3, 0, 6)
    assert text.span(over_the_tag, Page("1", plain.text.replace("駅", "城"))) is None
    assert text.span(over_the_tag, Page("1", "")) is None
    assert text.span(Span("名", 0, 10, 0, 13)) is None  # markup alone
    assert text.html_span(Span("名", 0, 3, 0, 6)) == Span("名", 0, 13, 0, 20)
    assert text.html_span(Span("名", 0, 1, 0, 2)) == Span("名", 0, 4, 0, 9)  # &amp;
    for outside in ((0, 0, 0, 9), (0, 9, 1, 1), (0, 0, 7, 0), (0, 1, 0, 1)):
        assert text.html_span(Span("名", *outside)) is None
    over_the_line = HtmlText("一<i>二\n三</i>四").span(Span("名", 0, 1, 1, 5))
    assert over_the_line == Span("名", 0, 1, 1, 1)


pieces = st.lists(
    st.one_of(
        st.text("ab東\n &<>\"'", max_size=4).map(lambda text: (escape(text), text)),
        st.sampled_from(["<b>", "</b>", '<a title="x">', "<!-- c -->", "<br/>"]).map(
            lambda tag: (tag, "")
        ),
    ),
    max_size=12,
)


@given(pieces)
def test_every_place_between_pieces_is_found(pieces: list[tuple[str, str]]) -> None:
    """By construction: the text before a piece is as long as its place says."""
    html, plain = ("".join(parts) for parts in zip(*pieces, strict=True)) if pieces else ("", "")
    text = HtmlText(html)
    assert text.text == plain
    before_html = before_text = ""
    for raw, decoded in (*pieces, ("", "")):
        line, offset = before_html.count("\n"), len(before_html.rpartition("\n")[2])
        expected = (before_text.count("\n"), len(before_text.rpartition("\n")[2]))
        assert text.place(line, offset) == expected
        before_html += raw
        before_text += decoded


@given(pieces, st.data())
def test_every_span_of_the_text_is_found_in_the_html(
    pieces: list[tuple[str, str]], data: st.DataObject
) -> None:
    text = HtmlText("".join(raw for raw, _ in pieces))
    places = [(line, at) for line, it in enumerate(text.lines) for at in range(len(it) + 1)]
    start, end = sorted(data.draw(st.lists(st.sampled_from(places), min_size=2, max_size=2)))
    span = Span("名", *start, *end)
    found = text.html_span(span)
    assert (found is None) == (start == end)
    assert found is None or text.span(found) == span


def _span(entry: dict, key: str) -> Span:
    start, end = entry[key]["start"], entry[key]["end"]
    return Span("", start["line_id"], start["offset"], end["line_id"], end["offset"])


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the real sample is not there")
def test_real_pages_and_annotations() -> None:
    texts = {
        path.stem: HtmlText(path.read_bytes().decode())
        for path in (SAMPLE / "Airport_HTML").glob("*.html")
    }
    plain = {
        page_id: Page(page_id, (SAMPLE / "Airport_TEXT" / f"{page_id}.txt").read_bytes().decode())
        for page_id in texts
    }
    assert len(texts) == 7
    assert {page_id: page.text for page_id, page in plain.items()} == {
        page_id: text.text for page_id, text in texts.items()
    }
    outcomes = Counter()
    for line in (SAMPLE / "Airport_Mini_Answer.json").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        page_id = entry["page_id"]
        found = texts[page_id].span(_span(entry, "html_offset"), plain[page_id])
        back = texts[page_id].html_span(_span(entry, "text_offset"))
        places = _span(entry, "text_offset"), _span(entry, "html_offset")
        outcomes[(found, back) == places] += 1
    assert outcomes == {True: 186}
