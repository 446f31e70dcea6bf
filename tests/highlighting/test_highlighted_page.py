from __future__ import annotations

import re
from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from coteach.highlighting.blocks import Block, Measure, Reading, merged
from coteach.highlighting.page import page
from coteach.highlighting.words import Special, Word

MEASURE = Measure("Attention", "Red: much.")


class Parsed(HTMLParser):
    """What a browser would find."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._inside = False
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "p" and dict(attrs).get("class") == "text":
            self._inside = True
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "p"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[-1] += data


def reading(words: list[Word], student: str = "single") -> Reading:
    specials = [Special("[CLS]", 0.25), Special("[SEP]", 0.125), Special("[SEP]", 0.125)]
    return Reading(student, words, specials, "positive", 0.75)


WORDS = [Word("<script>", 0.1), Word(" ", None), Word("城", 0.4), Word("後", None)]


def block(*readings: Reading) -> Block:
    return Block("case1_2", "Case 1: only a is right", "text", list(readings), "id7", "positive")


def test_words_on_their_reds() -> None:
    source = page([block(reading(WORDS), reading(WORDS[2:], "multi"))], MEASURE)
    parsed = Parsed(source)
    spans = [attrs for tag, attrs in parsed.tags if tag == "span" and "title" in attrs]
    assert [(it["class"], it.get("style"), it["title"]) for it in spans] == [
        ("word", "--level:64", "0.1000"),
        ("word", "--level:255", "0.4000"),
        ("unread", None, "not read"),
        ("word", "--level:255", "0.4000"),
        ("unread", None, "not read"),
    ]
    assert parsed.texts == ["<script> 城後", "城後"]
    assert "<h3>Text 2: id7 · gold: positive</h3>" in source
    assert "single: <span" in source
    assert "positive (0.750)" in source
    assert "[SEP] ×2</code> 0.250" in source


def test_the_page_needs_nothing_else() -> None:
    source = page([block(reading(WORDS))], MEASURE)
    parsed = Parsed(source)
    assert ("html", {"lang": "ja"}) in parsed.tags
    assert source.startswith("<!DOCTYPE html>")
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in parsed.tags}
    assert not re.search(r"(https?:)?//|url\(|@import", source)
    targets = [str(attrs["href"]) for tag, attrs in parsed.tags if tag == "a"]
    assert targets == ["#case1_2"]
    assert [attrs.get("id") for tag, attrs in parsed.tags if tag == "article"] == ["case1_2"]


def test_names_and_classes_stay_text() -> None:
    evil = "<img src=x>"
    tokens = [Special(evil, 1.0)]
    shown = Reading(evil, [Word("城", 0.0)], tokens, evil, 1.0)
    source = page([Block("1", evil, "城", [shown], evil, evil)], MEASURE)
    assert "<img" not in source
    assert "&lt;img src=x&gt;" in source


def test_no_class_and_no_words() -> None:
    parsed = Parsed(page([Block("1", "Texts", "", [Reading("a", [], [], None, None)])], MEASURE))
    assert parsed.texts == [""]


@settings(max_examples=30, deadline=None)
@given(
    parts=st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_every_character_is_there_once(parts: list[tuple[str, bool]]) -> None:
    words = [Word(text, 0.1 if read else None) for text, read in parts]
    parsed = Parsed(page([block(reading(words))], MEASURE))
    assert parsed.texts == ["".join(text for text, _ in parts)]


def test_specials_of_one_name_are_added_up() -> None:
    specials = reading([]).specials
    assert merged(specials) == [("[CLS]", 0.25), ("[SEP] ×2", 0.25)]


def test_words_against_and_marked_ones() -> None:
    words = [Word("城", -0.4), Word(" ", None, True), Word("駅", 0.2, True), Word("後", None, True)]
    facts = {"explained": "class <b>", "gap": 0.00123456, "none": None}
    signed = Measure("Importance", "Blue: against.", signed=True)
    shown = Reading("a", words, [], None, None, facts)
    source = page([Block("span2_3", "Texts", "", [shown], about="span 2")], signed)
    parsed = Parsed(source)
    spans = [attrs for tag, attrs in parsed.tags if tag == "span"]
    assert [it["class"] for it in spans] == [
        "scale signed",
        "word against",
        "marked",
        "word marked",
        "unread marked",
    ]
    assert [it.get("style") for it in spans[1:]] == ["--level:255", None, "--level:128", None]
    assert parsed.texts == ["城 駅後"]
    assert "<h3>Text 3 · span 2</h3>" in source
    assert "<title>Importance: a</title>" in source
    assert "<li>explained: class &lt;b&gt;</li>" in source
    assert "<li>gap: 0.00123</li>" in source
    assert "none" not in source.partition("<main>")[2]
