"""The report's page in a real browser: Chromium, driven by playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from coteach.reporting.page.content import (
    Chart,
    Content,
    Figure,
    Item,
    ReadSet,
    Section,
    Shade,
    System,
)
from coteach.reporting.page.scores import DIFFERENCE
from coteach.reporting.page.writing import page, script_json, write_page
from coteach.reporting.tables import Column, Table

playwright = pytest.importorskip("playwright.sync_api", reason="needs coteach[browser]")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH")

HOSTILE = '"><img src=x onerror=alert(1)>'
SCRIPT = "<script>alert(1)</script></script><!--\u2028"
PAGES = 1000
SYSTEMS = (
    System("gold", "gold"),
    *(System(f"team{number}", "team") for number in range(7)),
    System(HOSTILE, "team"),
    System("student", "student"),
)
BODY = "".join(
    f"{number}年、鷹島城は笹原城ともいい、尼条経次が築いた。\n" for number in range(1500, 1540)
)


def pages() -> Iterator[Item]:
    """Every fourth page's student misses the gold's second value."""
    start = len(SCRIPT) + len("\n𠮷野家は") + 1  # a character of two units
    values = [start, start + len("鷹島城")]
    yield Item(HOSTILE, f"{SCRIPT}\n𠮷野家は鷹島城", ([0, *values], *[[]] * 8, [1, *values]))
    for number in range(1, PAGES):
        gold = [0, 6, 9, 1, 10, 13, 2, 6, 13]  # the third one overlaps both others
        student = gold if number % 4 else [0, 6, 9]
        teams = [gold[: 3 * (team % 4)] for team in range(7)]
        shades = ([0, 5, 255, 6, 9, 100], None) if number == 1 else (None, None)
        yield Item(f"page{number}", BODY, (gold, *teams, None, student), shades)


def texts() -> Iterator[Item]:
    for number in range(10):
        yield Item(f"text{number}", "朝食が最高でした。", ([0], [number % 2, 0.25]))


def content() -> Content:
    columns = (Column("system", "text"), Column("F1"))
    interval = tuple(Column(name, "difference") for name in (DIFFERENCE, "low", "high"))
    rows = (
        ("b", 0.5, None, None, None),
        ("a", 0.25, -0.25, -0.3, -0.2),
        (HOSTILE, None, 0.0, -0.1, 0.1),
    )
    scores = Table("scores", f"Scores {HOSTILE}", (*columns, *interval), rows, (SCRIPT,))
    ofpages = ReadSet(
        *(
            HOSTILE,
            "extraction",
            "report",
            ("城名", "別名", HOSTILE),
            SYSTEMS,
            tuple(pages()),
            PAGES,
        ),
        *((), (Shade("importance: student", "Levels."), Shade("attention: student", SCRIPT))),
        (SCRIPT,),
    )
    oftexts = ReadSet(
        *("texts", "classification", "report", ("positive", "negative")),
        *((SYSTEMS[0], SYSTEMS[-1]), tuple(texts()), 10, ()),
    )
    return Content(
        title=HOSTILE,
        overview=(scores,),
        curves=(Section(HOSTILE, (Chart("loss", "<svg></svg>"),), notes=(SCRIPT,)),),
        teams=(Section("城", tables=(scores,)),),
        figures=(Figure(HOSTILE, b"\x89PNG"),),
        sets=(ofpages, oftexts),
        unread=(SCRIPT,),
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_page(content(), path)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield opened
        opened.close()


@pytest.fixture
def opened(browser: Any, report: Path) -> Iterator[Any]:
    """The report; whatever it says on the console, asks for, or asks the reader is an error."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    tab.set_default_timeout(20_000)
    wrong: list[str] = []
    tab.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    tab.on("request", lambda request: requests.append(request.url))
    requests: list[str] = []
    tab.goto(report.as_uri())
    yield tab
    own = [url for url in requests if not url.startswith("data:")]
    tab.close()
    assert not wrong
    assert own == [report.as_uri()]


def read(tab: Any) -> None:
    tab.click("#tab-reader")


@in_browser
def test_nothing_of_the_data_becomes_markup(opened: Any) -> None:
    for name in ("overview", "curves", "teams", "tables", "reader"):
        opened.click(f"#tab-{name}")
        assert opened.is_visible(f"#{name}")
    counts = opened.evaluate(
        "[document.querySelectorAll('img[src=x]').length, document.scripts.length]"
    )
    assert counts == [0, 4]  # the page's three scripts and its data
    assert opened.inner_text("h1") == f"Report: {HOSTILE}"
    assert opened.inner_text("#item-title").startswith(HOSTILE)
    assert "<script>alert(1)</script>" in opened.inner_text("#text")
    assert HOSTILE in opened.inner_text("#answers thead")
    titles = opened.eval_on_selector_all(".bar", "bars => bars.map(bar => bar.title)")
    assert titles == [
        "gold: 城名 “鷹島城”",
        "student: 別名 “鷹島城” (not in the gold)",
    ]


@in_browser
def test_tabs_and_what_has_the_focus(opened: Any) -> None:
    for _ in range(3):  # two buttons stand before the tabs
        opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.id") == "tab-overview"
    outline = opened.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    opened.keyboard.press("ArrowRight")
    assert opened.get_attribute("#tab-curves", "aria-selected") == "true"
    assert opened.is_visible("#curves")
    assert not opened.is_visible("#overview")
    opened.keyboard.press("End")
    assert opened.is_visible("#reader")
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.closest('main') !== null")
    assert opened.evaluate("location.hash") == "#reader"
    roles = opened.eval_on_selector_all("[role]", "all => all.map(it => it.getAttribute('role'))")
    assert {"tablist", "tab", "tabpanel", "region", "status"} <= set(roles)


@in_browser
def test_tables_are_sorted(opened: Any) -> None:
    def first() -> list[str]:
        return opened.eval_on_selector_all(
            "#overview tbody tr", "rows => rows.map(row => row.cells[0].textContent)"
        )

    heading = opened.locator("#overview thead th").nth(1)
    heading.locator("button").click()
    assert (first(), heading.get_attribute("aria-sort")) == (["b", "a", HOSTILE], "descending")
    heading.locator("button").click()
    assert (first(), heading.get_attribute("aria-sort")) == (["a", "b", HOSTILE], "ascending")
    opened.locator("#overview thead th button").first.focus()
    opened.keyboard.press("Enter")
    assert first() == [HOSTILE, "a", "b"]
    assert heading.get_attribute("aria-sort") is None
    assert opened.locator("#overview svg.interval circle").count() == 2


@in_browser
def test_values_lie_under_their_characters_and_none_covers_another(opened: Any) -> None:
    read(opened)
    opened.select_option("#items", index=1)
    boxes = opened.evaluate(
        """() => {
            const row = document.querySelector("#text .row");
            const node = row.querySelector(".letters").firstChild;
            const range = document.createRange();
            range.setStart(node, 6);
            range.setEnd(node, 9);
            const edges = (box) => [box.left, box.top, box.right, box.bottom];
            const all = [range, ...row.querySelectorAll(".bar")];
            return all.map((it) => edges(it.getBoundingClientRect()));
        }"""
    )
    letters, *bars = boxes
    assert len(bars) == 3 + 3 + sum(team % 4 for team in range(7))
    assert abs(bars[0][0] - letters[0]) < 1
    assert abs(bars[0][2] - letters[2]) < 2
    assert bars[0][1] >= letters[3] - 3
    for number, (left, top, right, bottom) in enumerate(bars):
        for other in bars[:number]:
            assert right <= other[0] or left >= other[2] or bottom <= other[1] or top >= other[3]
    assert "Not processed by " in opened.inner_text("#summary")
    assert opened.inner_text("#legend").count("城名") == 1


@in_browser
def test_filters_and_keys(opened: Any) -> None:
    read(opened)
    assert opened.input_value("#filter") == "all"
    assert opened.inner_text("#count").startswith("1,000 of 1,000 pages")
    opened.keyboard.press("d")
    assert opened.input_value("#filter") == "student"
    assert opened.inner_text("#count").startswith("250 of 1,000 pages")
    opened.keyboard.press("j")
    assert opened.inner_text("#item-title") == "page4 (2 of 250)"
    opened.focus("#items")  # on a tab, arrows choose another one
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("k")
    assert opened.inner_text("#item-title") == "page4 (2 of 250)"
    opened.keyboard.press("d")
    assert opened.inner_text("#item-title") == "page4 (5 of 1000)"
    opened.select_option("#label", "1")
    assert {*opened.eval_on_selector_all(".bar", "all => all.map(it => it.textContent)")} == {
        "B 別名"
    }
    opened.select_option("#filter", "team")
    assert opened.inner_text("#count").startswith("999 of 1,000 pages")
    opened.keyboard.press("/")  # not while a list is open, but on it
    assert opened.evaluate("document.activeElement.id") == "search"
    opened.keyboard.type("page99")
    assert opened.inner_text("#count").startswith("11 of 1,000 pages")
    assert opened.inner_text("#item-title").startswith("page99 ")
    opened.keyboard.type("?d no such page")
    assert opened.input_value("#search") == "page99?d no such page"
    assert opened.inner_text("#item-title") == "Nothing fits these filters"
    assert opened.is_disabled("#next")
    opened.focus("#tab-reader")
    opened.keyboard.press("?")
    assert opened.is_visible("#keys")
    opened.keyboard.press("Escape")
    assert not opened.is_visible("#keys")


@in_browser
def test_shades_where_there_are_any(opened: Any) -> None:
    read(opened)
    opened.select_option("#items", index=1)
    assert opened.locator(".shaded").count() == 0
    opened.select_option("#shade", "0")
    assert opened.locator(".shaded").count() == 2
    assert opened.locator(".shaded").nth(1).get_attribute("title").startswith("100 %")
    opened.keyboard.press("Escape")
    opened.focus("#items")
    opened.keyboard.press("j")
    assert opened.locator(".shaded").count() == 0
    assert "No weights for this one." in opened.inner_text("#legend")


@in_browser
def test_texts_with_their_classes(opened: Any) -> None:
    read(opened)
    opened.select_option("#set", "1")
    assert opened.inner_text("#label-name") == "Class"
    assert not opened.is_visible("#shade-label")
    opened.select_option("#filter", "wrong")
    assert opened.inner_text("#count").startswith("5 of 10 texts")
    assert "✗" in opened.inner_text("#answers")
    opened.select_option("#filter", "right")
    assert "✓" in opened.inner_text("#answers")


@in_browser
def test_the_next_of_a_thousand_pages_is_there_at_once(opened: Any) -> None:
    read(opened)
    times = opened.evaluate(
        """() => [...Array(15)].map(() => {
            const start = performance.now();
            document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "j", bubbles: true }));
            document.body.getBoundingClientRect();
            return performance.now() - start;
        })"""
    )
    assert opened.inner_text("#item-title").startswith("page15 ")
    assert median(times) < 200, times


CONTRAST = """() => {
    const channels = (colour) => colour.match(/[0-9.]+/g).map(Number);
    const light = (colour) => {
        const [red, green, blue] = channels(colour)
            .map((it) => it / 255)
            .map((it) => it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if ((channels(colour)[3] ?? 1) > 0) return colour;
        }
        return "rgb(255, 255, 255)";
    };
    const seen = document.querySelectorAll(
        "h1, h3, a, p, th, td, button, label, select, input, .chip, .bar, .lane, .letters"
    );
    return [...seen].filter((it) => it.checkVisibility()).map((it) => {
        const [one, other] = [light(getComputedStyle(it).color), light(behind(it))];
        const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        return [it.tagName + "." + it.className, ratio];
    });
}"""


@in_browser
def test_dark_and_light_can_be_read(opened: Any) -> None:
    backgrounds = []
    for scheme, key in (("light", None), ("dark", None), ("dark", "t")):
        opened.emulate_media(color_scheme=scheme)
        if key:
            opened.keyboard.press(key)
        for name in ("overview", "reader"):
            opened.click(f"#tab-{name}")
            pale = [it for it in opened.evaluate(CONTRAST) if it[1] < 4.5]
            assert not pale, (scheme, key, name)
        backgrounds.append(opened.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert backgrounds == ["rgb(255, 255, 255)", "rgb(22, 22, 22)", "rgb(255, 255, 255)"]


@in_browser
def test_a_narrow_page_does_not_scroll_sideways(opened: Any) -> None:
    opened.set_viewport_size({"width": 400, "height": 800})
    for name in ("overview", "curves", "teams", "tables", "reader"):
        opened.click(f"#tab-{name}")
        assert opened.evaluate("document.documentElement.scrollWidth") <= 400, name


@in_browser
def test_tables_need_no_script(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(report.as_uri())
    assert tab.is_visible("#overview table")
    assert tab.is_visible("#teams table")
    assert tab.is_visible("noscript p")
    assert not tab.is_visible("#view")
    assert not tab.is_visible("#theme")
    context.close()


def test_data_cannot_end_its_script() -> None:
    written = script_json([SCRIPT, "&\u2029", "\ud800", "日本語"])
    assert not set("<>&\u2028\u2029\ud800") & set(written)
    assert "日本語" in written


def test_the_page_asks_for_nothing() -> None:
    html = page(content())
    assert (
        "content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        'img-src data:"' in html
    )
    assert "http://" not in html
    assert "https://" not in html
    assert "<img src=x" not in html
