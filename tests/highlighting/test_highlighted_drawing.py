from __future__ import annotations

import logging
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_students import tiny_student, tiny_tokenizer

from coteach.attending.reading import AttentionReader
from coteach.errors import InputError
from coteach.highlighting.blocks import Block, Measure, Reading
from coteach.highlighting.drawing import Widths, draw, wrap
from coteach.highlighting.words import Special, Word

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("matplotlib_fontja")

MEASURE = Measure("Attention", "Red: much.")
RED = np.array([1.0, 0.0, 0.0])


class Square:
    """Widths of a font whose characters are all one inch wide."""

    def __call__(self, text: str) -> float:
        return float(len(text))


def lines(*parts: tuple[str, int | None], room: float) -> list[list[str]]:
    return [[run.text for run in line] for line in wrap(parts, Square(), room)]  # type: ignore[arg-type]


def picture(words: list[Word], path: Path, students: int = 1) -> np.ndarray:
    """The drawn pixels, (height, width, 3), in [0, 1]."""
    from matplotlib.image import imread

    specials = [Special("[CLS]", 0.5)]
    readings = [Reading(f"s{it}", words, specials, "正", 0.5) for it in range(students)]
    draw(Block("1", "Texts", "", readings), MEASURE, path)
    return imread(path)[..., :3]


def test_lines_break_between_words_and_at_line_breaks() -> None:
    assert lines(("ab", 1), ("cd", 2), ("e", 3), room=4) == [["ab", "cd"], ["e"]]
    assert lines(("ab", 1), ("\n\n", None), ("c", 2), room=4) == [["ab"], [], ["c"]]
    assert lines(room=4) == [[]]


def test_a_long_word_is_broken_and_punctuation_hangs() -> None:
    assert lines(("a", 1), ("bcdefg", 2), room=3) == [["a"], ["bcd"], ["efg"]]
    assert lines(("abc", 1), ("。", 2), ("d", 2), room=3) == [["abc", "。"], ["d"]]
    assert lines(("abc", 1), (" ", None), ("d", 2), room=3) == [["abc", " "], ["d"]]


@given(
    parts=st.lists(st.tuples(st.text("ab。 \n", min_size=1), st.none() | st.integers(0, 255))),
    room=st.integers(1, 6),
)
def test_wrapping_loses_nothing(parts: list[tuple[str, int | None]], room: int) -> None:
    wrapped = wrap(parts, Square(), room)  # type: ignore[arg-type]
    drawn = [(mark, run.level) for line in wrapped for run in line for mark in run.text]
    assert drawn == [(mark, level) for text, level in parts for mark in text if mark != "\n"]
    for line in wrapped:
        assert all(one.left + one.width == two.left for one, two in pairwise(line))
        visible = [run for run in line if run.text.strip(" 。")]
        assert not visible or visible[-1].left + visible[-1].width <= room


def test_widths_are_those_of_the_glyphs() -> None:
    from matplotlib.font_manager import fontManager
    from matplotlib_fontja import get_font_ttf_path

    fontManager.addfont(get_font_ttf_path())
    with matplotlib.rc_context({"font.family": "IPAexGothic"}):
        widths = Widths(72)  # an em is an inch
        assert widths("城") == pytest.approx(1, abs=0.02)
        assert widths("城。（") == pytest.approx(3, abs=0.06)
        assert 0.1 < widths("i") < widths("W") < 1
        assert widths("") == 0


def test_the_reds_are_those_of_the_weights(tmp_path: Path) -> None:
    words = [Word("城", 0.4), Word("城", 0.0), Word("城", 0.2), Word("城", None)]
    pixels = picture(words, tmp_path / "a.png").reshape(-1, 3)
    full = np.isclose(pixels, RED).all(axis=1).sum()
    half = np.isclose(pixels, [1, 127 / 255, 127 / 255], atol=1 / 255).all(axis=1).sum()
    assert full > 300
    assert half == pytest.approx(full, rel=0.15)


def test_japanese_glyphs_are_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        picture([Word("鴨木城、ｶﾓ×→★$x$①㍿", 0.4)], tmp_path / "a.png", students=2)
    assert not caplog.records


def test_characters_that_no_font_has(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture([Word("𠮷\U000e0001\U0001f9a5\0\x1b", 0.4)], tmp_path / "a.png")


def test_students_stand_side_by_side(tmp_path: Path) -> None:
    words = [Word("城", 0.4)]
    one, two = (picture(words, tmp_path / "a.png", count) for count in (1, 2))
    assert two.shape[1] > 1.8 * one.shape[1]
    middle = two.shape[1] // 2
    red = np.isclose(two, RED).all(axis=2)
    assert red[:, :middle].sum() == pytest.approx(red[:, middle:].sum(), rel=0.1)


def test_blue_speaks_against_and_marks_are_lines(tmp_path: Path) -> None:
    plain = picture([Word("城", -0.4), Word("城", 0.2)], tmp_path / "a.png")
    blue = np.isclose(plain, [0.28, 0.6, 1.0], atol=1 / 255).all(axis=2).sum()
    pink = np.isclose(plain, [1, 127 / 255, 127 / 255], atol=1 / 255).all(axis=2).sum()
    assert blue > 300
    assert blue == pytest.approx(pink, rel=0.15)
    marked = picture([Word("城", -0.4, True), Word("城", 0.2)], tmp_path / "a.png")
    changed = ~np.isclose(plain, marked).all(axis=2)
    assert np.isclose(marked[changed], 0x1A / 255).all()
    rows, columns = (np.unique(it) for it in np.nonzero(changed))
    assert len(columns) > 3 * len(rows) > 0


def test_facts_stand_between_name_and_text(tmp_path: Path) -> None:
    words = [Word("城", 0.4)]
    with_facts = Reading("a", words, [], None, None, {"explained": "class x", "gap": None})
    draw(Block("1", "Texts", "", [with_facts]), MEASURE, tmp_path / "a.png")
    draw(
        Block("1", "Texts", "", [Reading("a", words, [], None, None)]), MEASURE, tmp_path / "b.png"
    )
    heights = [int.from_bytes((tmp_path / name).read_bytes()[20:24]) for name in ("a.png", "b.png")]
    assert 40 < heights[0] - heights[1] < 70


def test_a_very_long_text(tmp_path: Path) -> None:
    words = [Word("城", 0.1), *[Word("\n", None)] * 1300]
    block = Block("1", "Texts", "", [Reading("a", words, [], None, None)])
    draw(block, MEASURE, tmp_path / "a.png")
    height = int.from_bytes((tmp_path / "a.png").read_bytes()[20:24])
    assert 30_000 < height < 65_536


def test_what_is_not_read_is_grey(tmp_path: Path) -> None:
    grey = np.array([0x6B, 0x6B, 0x6B]) / 255
    read, unread = (
        np.isclose(picture([Word("城城城", weight)], tmp_path / "a.png"), grey).all(axis=2).sum()
        for weight in (0.0, None)
    )
    assert unread > read + 100


@pytest.mark.parametrize("text", ["", " \n", "$\\frac$", "東京\n\n城\t良い"])
def test_awkward_texts(text: str, tmp_path: Path) -> None:
    reading = AttentionReader("a", tiny_student(), tiny_tokenizer())(text)
    draw(Block("1", "Texts", text, [reading]), MEASURE, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_nothing_stays_behind(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    picture([Word("城", 0.4)], tmp_path / "a.png")
    assert dict(matplotlib.rcParams) == before
    with pytest.raises(InputError, match="cannot be written"):
        picture([Word("城", 0.4)], tmp_path / "missing" / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
