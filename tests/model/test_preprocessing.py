from __future__ import annotations

import unicodedata
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coteach.model.preprocessing import PAPER_STEPS, Step, preprocess

TRICKY = (
    "0１٣五hHtps:/w.ａ　 \n\r\u2028\u200b\t。、！￥ー々〇〜ｶﾞ①½㍿が\u3099❤\ufe0f👨\u200d👩1\u20e3"
)
texts = st.text(st.sampled_from(TRICKY) | st.characters(exclude_categories=["Cs"]))


def test_the_steps_are_those_of_the_type() -> None:
    assert sorted(PAPER_STEPS) == sorted(get_args(Step))


@pytest.mark.parametrize(
    ("step", "text", "expected"),
    [
        ("nfkc", "Ａﾊﾟ①㍿", "Aパ1株式会社"),
        ("urls", "見てhttps://example.jp/a?b=1#cこれ", "見てこれ"),
        ("urls", "HTTP://EXAMPLE.JP とftp://a.b/", " と"),
        ("urls", "はwww.example.co.jpです", "はです"),
        ("urls", "笑www...そうwww.でも、http://", "笑www...そうwww.でも、http://"),
        ("digits", "2024年1月、٣と１２、第二", "0年0月、0と0、第二"),
        ("symbols", "「スーパー・佐々木」は100%★＋①…〇", "スーパー佐々木は100①〇"),
        ("symbols", "良い❤️1️⃣👨‍👩‍👧", "良い1"),
        ("line_breaks", "a\r\nb\u2028c d\u3000e", "abc d\u3000e"),
        ("spaces", "a b\u3000c\td\u200b\ne\u00a0\ufefff", "abcd\nef"),
    ],
)
def test_a_step(step: str, text: str, expected: str) -> None:
    assert preprocess(text, [step]) == expected


def test_the_papers_steps() -> None:
    text = "料金は１，０００円（税込）！！\n詳しくは　ｈｔｔｐｓ：／／ａ．ｊｐ／"
    text += "　スーパーﾎﾃﾙ 3.5 点"
    assert preprocess(text, PAPER_STEPS) == "料金は0円税込詳しくはスーパーホテル0点"


def test_the_order_is_the_one_given() -> None:
    assert preprocess("1,000", ["digits", "symbols"]) == "00"
    assert preprocess("1,000", ["symbols", "digits"]) == "0"
    assert preprocess("1,000", []) == "1,000"


def test_an_unknown_step() -> None:
    with pytest.raises(ValueError, match=r"preprocessing step 'lower': expected one of \['nfkc'"):
        preprocess("a", ["nfkc", "lower"])


@given(texts)
def test_nfkc_is_that_of_unicode(text: str) -> None:
    assert preprocess(text, ["nfkc"]) == unicodedata.normalize("NFKC", text)


@given(texts, st.sampled_from(PAPER_STEPS))
@example("hthttp://aあttp://b", "urls")
def test_a_step_done_twice_is_done_once(text: str, step: str) -> None:
    once = preprocess(text, [step])
    assert preprocess(once, [step]) == once


@given(texts)
@example("1 2")
@example("https://a.b。https://c")
def test_the_papers_steps_leave_nothing_to_do(text: str) -> None:
    # But for nfkc: what removed characters held apart may then compose.
    once = preprocess(text, PAPER_STEPS)
    assert preprocess(once, PAPER_STEPS[1:]) == once
    assert not any(unicodedata.category(c)[0] in "PSZ" or c.isspace() for c in once)
    numbers = [c for c in once if unicodedata.category(c) == "Nd"]
    assert set(numbers) <= {"0"}
    assert "00" not in once


@given(texts)
def test_only_what_is_named_is_removed(text: str) -> None:
    for steps, kept in (
        (["symbols"], lambda c: unicodedata.category(c)[0] not in "PSCM"),
        (["spaces", "line_breaks"], lambda c: unicodedata.category(c)[0] not in "ZC"),
    ):
        assert [c for c in preprocess(text, steps) if kept(c)] == [c for c in text if kept(c)]
