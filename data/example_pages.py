"""Makes the pages of the built-in example: text, and the gold values with their places in it.

A page is first written in a small markup, ``[築城者:佐藤信綱]``, whose brackets may be nested; from
it come the plain text and the spans. The page with a given identifier is always the same.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import example_templates as words

SEED = "coteach example 1"
EMPTY_SHARE, LONG_SHARE, WRAPPED_SHARE = 0.04, 0.06, 0.15
OVERVIEW = ("alias", "location", "province", "structure", "elevation")
WRAP_WIDTH = 18  # characters a line on pages with hard line breaks

_FULL_WIDTH = str.maketrans("0123456789.", "０１２３４５６７８９．")
_KANJI_DIGITS = " 一二三四五六七八九"


@dataclass(frozen=True, order=True)
class Span:
    """A value in a page: characters ``start`` to ``end`` (exclusive), newlines counted as one."""

    start: int
    end: int
    attribute: str


@dataclass(frozen=True)
class Page:
    """A page and its gold values."""

    page_id: str
    title: str
    text: str
    spans: tuple[Span, ...]


def parse_markup(markup: str) -> tuple[str, tuple[Span, ...]]:
    """Splits ``[attribute:text]`` markup (nesting allowed) into the plain text and its spans."""
    text = ""
    opened: list[tuple[str, int]] = []
    spans: set[Span] = set()
    for piece in re.split(r"(\[[^:\[\]]+:|\])", markup):
        if piece == "]":
            attribute, start = opened.pop()
            spans.add(Span(start, len(text), attribute))
        elif piece.startswith("["):
            opened.append((piece[1:-1], len(text)))
        else:
            text += piece
    return text, tuple(sorted(spans))


def wrap_text(text: str, width: int) -> tuple[str, list[int]]:
    """Breaks lines longer than ``width``; returns the text and the new place of each character.

    The list has one more entry than the text has characters: the place of its end.
    """
    wrapped, places, column = "", [], 0
    for character in text:
        if column == width and character != "\n":
            wrapped, column = wrapped + "\n", 0
        places.append(len(wrapped))
        wrapped += character
        column = 0 if character == "\n" else column + 1
    return wrapped, [*places, len(wrapped)]


def kanji_number(number: int) -> str:
    """A number from 1 to 99 in kanji numerals, such as 二十三."""
    tens, ones = divmod(number, 10)
    head = "" if tens == 0 else "十" if tens == 1 else _KANJI_DIGITS[tens] + "十"
    return head + _KANJI_DIGITS[ones].strip()


def mark(slot: str, text: str) -> str:
    """The markup of a value of the slot's attribute."""
    return f"[{words.VALUE_SLOTS[slot]}:{text}]"


def frequent_first(rng: random.Random, items: Sequence[str]) -> str:
    """One item, drawn with weights 1, 1/2, 1/3, … in the order of the list."""
    return rng.choices(items, weights=[1 / rank for rank in range(1, len(items) + 1)])[0]


class Facts:
    """What is true of one castle, and the words for it; each use may word a fact differently."""

    def __init__(self, rng: random.Random, new_names: bool) -> None:
        self.rng = rng
        self.new_names = new_names
        stem, reading = self.part(words.PLACE_STEMS).split(":")
        ending, ending_reading = self.part(words.PLACE_ENDINGS).split(":")
        self.title = f"{stem}{ending}城"
        self.reading = f"{reading}{ending_reading}じょう"
        self.province = self.part(words.PROVINCES) + "国"
        self.county = rng.choice(words.COUNTIES) + self.place() + "郡"
        self.village = self.place() + rng.choice(("", "", "村", "町", "大字" + self.place()))
        self.builder = self.person()
        self.aliases = [self.nickname() for _ in range(2)]
        self.built = rng.randint(1400, 1612)
        self.abolished = rng.randint(max(self.built + 3, 1480), 1873)
        self.structure = self.castle_structure()
        self.remains = rng.sample(words.REMAINS, rng.randint(1, 3))
        self.elevation = self.height()
        self._slots = self._slot_table()

    def fill(self, template: str) -> str:
        """The template with every slot replaced, values in markup."""
        return re.sub(r"\{(\w+)\}", lambda match: self._slots[match[1]](), template)

    def part(self, parts: Sequence[str]) -> str:
        """A name part; pages with new names take about half from the third kept from training."""
        known = len(parts) * 2 // 3
        if self.new_names and self.rng.random() < 0.5:
            return self.rng.choice(parts[known:])
        return self.rng.choice(parts[:known])

    def place(self) -> str:
        """The name of a place, now and then partly in kana."""
        if self.rng.random() < 0.08:
            return self.rng.choice(words.KANA_STEMS) + self.rng.choice(("ヶ丘", "ヶ原", "平"))
        stem, ending = self.part(words.PLACE_STEMS), self.part(words.PLACE_ENDINGS)
        return stem.split(":")[0] + ending.split(":")[0]

    def person(self) -> str:
        """A name of a person: mostly a samurai, sometimes with his title, a monk or a foreigner."""
        kind = self.rng.random()
        if kind < 0.05:
            return f"{self.rng.choice(words.KANA_FIRST)}・{self.rng.choice(words.KANA_LAST)}"
        if kind < 0.10:
            return self.rng.choice(words.CLERGY) + self.rng.choice(("", "上人", "和尚"))
        surname = self.part(words.SURNAME_STEMS) + self.part(words.SURNAME_ENDINGS)
        if kind < 0.18:
            return surname + self.rng.choice(words.COURT_TITLES)
        return surname + self.part(words.GIVEN_FIRST) + self.part(words.GIVEN_SECOND)

    def nickname(self) -> str:
        """A second name of a castle."""
        ending = self.rng.choice(("城", "城", "城", "ヶ城", "館", "要害"))
        if self.rng.random() < 0.2:
            return self.rng.choice(words.KANA_STEMS) + ending
        return self.place() + ending

    def castle_structure(self) -> str:
        """A layout and a kind of castle."""
        layout = self.rng.choice(("", *words.LAYOUTS, *words.LAYOUTS))
        return layout + self.rng.choice(words.CASTLE_KINDS)

    def height(self) -> str:
        """A number of metres."""
        number = self.rng.randint(6, 880)
        return f"{number}.{self.rng.randint(1, 9)}" if self.rng.random() < 0.15 else str(number)

    def metres(self, number: str) -> str:
        """The number with a unit, now and then in full-width characters."""
        text = number + self.rng.choice(("メートル", "メートル", "m", "ｍ"))
        return text.translate(_FULL_WIDTH) if self.rng.random() < 0.2 else text

    def year(self, year: int, slot: str | None) -> str:
        """A year in one of its forms, each marked as a value of the slot unless that is None."""
        era, first = max((e for e in words.ERAS if e[1] <= year), key=lambda e: e[1])
        count = year - first + 1
        style = self.rng.random()
        number = "元" if count == 1 else kanji_number(count) if style < 0.25 else str(count)
        forms = {"japanese": f"{era}{number}年", "western": f"{year}年"}
        forms |= {"period": f"{era}年間", "century": f"{year // 100 + 1}世紀"}
        if self.rng.random() < 0.2:
            forms = {name: form.translate(_FULL_WIDTH) for name, form in forms.items()}
        if slot is not None:
            forms = {name: mark(slot, form) for name, form in forms.items()}
        if style < 0.50:
            return forms["japanese"]
        if style < 0.65:
            return f"{forms['japanese']}（{forms['western']}）"
        if style < 0.90:
            return forms["western"]
        return forms["period"] if style < 0.96 else forms["century"]

    def location(self) -> str:
        """The address, in full or in part, with the province inside it where it is named."""
        province = mark("province", self.province)
        forms = (
            province + self.county + self.village,
            province + self.county,
            province + "の" + self.village,
            self.county + self.village,
        )
        return mark("location", frequent_first(self.rng, forms))

    def _slot_table(self) -> dict[str, Callable[[], str]]:
        rng = self.rng
        joint = rng.choice(("、", "、", "と", "・", "や"))
        return {
            "title": lambda: self.title,
            "reading": lambda: self.reading,
            "alias": lambda: mark("alias", rng.choice(self.aliases)),
            "builder_alias": lambda: mark(
                "alias", mark("builder", self.builder) + rng.choice("館城")
            ),
            "location": self.location,
            "province": lambda: mark("province", self.province),
            "builder": lambda: mark("builder", self.builder),
            "built": lambda: self.year(self.built, "built"),
            "abolished": lambda: self.year(self.abolished, "abolished"),
            "structure": lambda: mark("structure", self.structure),
            "elevation": lambda: mark("elevation", self.metres(self.elevation)),
            "remains": lambda: joint.join(mark("remains", item) for item in self.remains),
            "other_person": self.person,
            "other_year": lambda: self.year(rng.randint(1400, 1900), None),
            "other_place": self.place,
            "other_province": lambda: self.part(words.PROVINCES) + "国",
            "other_castle": lambda: self.place() + "城",
            "other_structure": self.castle_structure,
            "other_height": lambda: self.metres(self.height()),
            "other_remains": lambda: rng.choice(words.REMAINS),
            "book": lambda: rng.choice(words.BOOKS),
            "landmark": lambda: rng.choice(words.LANDMARKS),
            "distance": lambda: str(rng.randint(1, 12)),
        }


def _table_of_facts(facts: Facts, slots: Sequence[str]) -> list[str]:
    """Lines such as 築城年：天正12年 for the slots, all in one style."""
    style = frequent_first(facts.rng, ("{}：{}", "・{}　{}", "{}: {}", "- {}＝{}"))
    return [
        style.format(frequent_first(facts.rng, words.FIELDS[slot]), facts.fill("{" + slot + "}"))
        for slot in slots
    ]


def _draw_statements(facts: Facts, topics: Sequence[str], share: float) -> list[str]:
    rng = facts.rng
    chosen = [topic for topic in topics if rng.random() < share]
    return [facts.fill(frequent_first(rng, words.STATEMENTS[topic])) for topic in chosen]


def _draw_distractors(facts: Facts, section: str, count: int) -> list[str]:
    return [facts.fill(text) for text in facts.rng.sample(words.DISTRACTORS[section], count)]


def _sections(facts: Facts, length: str) -> dict[str, list[str]]:
    """The lines of each section of a page; ``length`` is ``usual``, ``long`` or ``empty``."""
    rng = facts.rng
    if length == "empty":
        return {"surroundings": _draw_distractors(facts, "surroundings", rng.randint(3, 7))}
    rounds, few, many, share = (2, 8, 14, 0.9) if length == "long" else (1, 2, 6, 0.5)
    overview, history, surroundings = [], [], []
    for _ in range(rounds):
        overview += _draw_statements(facts, OVERVIEW, share)
        history += _draw_statements(facts, ("built", "builder", "abolished"), share)
        surroundings += _draw_statements(facts, ("remains",), share)
    history += _draw_distractors(facts, "history", rng.randint(few, many))
    surroundings += _draw_distractors(facts, "surroundings", rng.randint(few, many))
    for lines in (overview, history, surroundings):
        rng.shuffle(lines)
    sections = {"overview": overview, "history": history, "surroundings": surroundings}
    if length == "long" or rng.random() < 0.35:
        slots = [slot for slot in words.FIELDS if rng.random() < 0.4]
        sections = {"facts": _table_of_facts(facts, slots), **sections}
    return {name: lines for name, lines in sections.items() if lines}


def make_page(page_id: str, new_names: bool) -> Page:
    """The page with this identifier; ``new_names`` lets name parts occur that training lacks."""
    rng = random.Random(f"{SEED}/{page_id}")
    facts = Facts(rng, new_names)
    draw = rng.random()
    length = (
        "empty" if draw < EMPTY_SHARE else "long" if draw < EMPTY_SHARE + LONG_SHARE else "usual"
    )
    introductions = words.EMPTY_INTRODUCTIONS if length == "empty" else words.INTRODUCTIONS
    lines = [facts.title, "", facts.fill(frequent_first(rng, introductions))]
    heading_style = rng.choice(words.HEADING_STYLES)
    for name, section in _sections(facts, length).items():
        heading = heading_style.format(frequent_first(rng, words.HEADINGS[name]))
        lines += ["", heading, *section]
    text, spans = parse_markup("\n".join(lines) + "\n")
    if rng.random() < WRAPPED_SHARE:
        text, places = wrap_text(text, WRAP_WIDTH)
        spans = tuple(
            Span(places[span.start], places[span.end - 1] + 1, span.attribute) for span in spans
        )
    return Page(page_id, facts.title, text, spans)
