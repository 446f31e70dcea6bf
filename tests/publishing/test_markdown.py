from __future__ import annotations

from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from coteach.publishing.markdown import Markdown, escaped, table

HOSTILE = [
    'x|y"',
    "<script>alert(1)</script>",
    "[click](http://example.com)",
    "![image](x.png)",
    "**bold** __bold__ _it_ *it* ~~gone~~",
    "`code` \\| \\",
    "&lt; &#124; &amp;",
    "# heading",
    "- item",
    "-",
    "1. item",
    "===",
    "---",
    "> quote",
    "a $x$ b",
    "team_words",
    "C++ (a) {b} 100%!",
]


class Reader(HTMLParser):
    """What a page of HTML says, and with which elements."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.text = ""
        self.feed(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown))

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.cells:
            self.cells[-1] += data.rstrip("\n")


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_shown_as_it_is_wherever_it_stands(text: str) -> None:
    for line in (text, f"before {text} behind"):
        shown = Reader(escaped(line))
        assert (shown.text.strip(), shown.tags) == (line, ["p"])
    item = Reader(f"- {escaped(text)}")
    assert (item.text.strip(), item.tags) == (text, ["ul", "li"])


@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_stays_a_cell(text: str) -> None:
    shown = Reader(table(("name", text), [(text, 1), ("b", text)]))
    assert shown.cells == ["name", text, text, "1", "b", text]
    assert set(shown.tags) == {"table", "thead", "tbody", "tr", "th", "td"}


def test_lines_are_joined_and_what_cannot_be_seen_is_left_out() -> None:
    assert escaped("a\n\n# b\u3000c\u202ed\x00") == "a \\# b cd"


def test_no_link_is_made_of_an_address() -> None:
    assert escaped("https://example.com www.example.com") == (
        "https&#58;//example.com www&#46;example.com"
    )


def test_markdown_of_this_package_stays_as_it_is() -> None:
    assert table(("a", "b"), [(Markdown("[1, 2]"), "[1, 2]")], numbers=1) == (
        "| a | b |\n| --- | ---: |\n| [1, 2] | \\[1, 2\\] |"
    )
