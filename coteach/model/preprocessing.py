"""Changes to a text before it is classified: the same in training and in a student's use.

They are the steps of the part-of-speech auxiliary paper (§3.2.1), each to be chosen by itself.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

Step = Literal["nfkc", "urls", "symbols", "line_breaks", "spaces", "digits"]
"""What ``preprocess`` can do."""

PAPER_STEPS: tuple[Step, ...] = ("nfkc", "urls", "symbols", "line_breaks", "spaces", "digits")
"""Every step. The paper names them without an order (§3.2.1). URLs go while they still have their
symbols; digits come last, so that 1,000 and 3.5 are one number each."""

# The characters of RFC 3986 only: Japanese text may follow a URL without a space.
_URL = re.compile(
    r"(?:(?:https?|ftp)://|\bwww\.[a-z0-9-]+\.(?=[a-z]))[a-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+",
    re.ASCII | re.IGNORECASE,
)
_DIGITS = re.compile(r"\d+")
_LINE_BREAKS = re.compile("[\n\r\v\f\x85\u2028\u2029]+")
_SPACES = re.compile("[^\\S\n\r\v\f\x85\u2028\u2029]+|[\u200b\ufeff]+")
# What an emoji leaves behind that is no symbol itself: joiner, key cap, variation selectors.
_PARTS_OF_EMOJI = frozenset("\u200d\u20e3\ufe0e\ufe0f")


def preprocess(text: str, steps: Sequence[str]) -> str:
    """``text`` after some steps, in the order given.

    - ``nfkc``: Unicode's normal form NFKC. Full-width letters and digits become ASCII, half-width
      katakana full-width.
    - ``urls``: URLs with http, https or ftp, and those from www. on, are removed up to the first
      character that a URL would have to escape. Full-width URLs are none before ``nfkc``.
    - ``symbols``: characters of the Unicode categories P (punctuation) and S (symbols) are
      removed, and what emoji consist of beside them. ー and 々 are letters and stay.
    - ``line_breaks``, ``spaces``: are removed; the two do not touch what is the other's.
      Zero-width spaces are spaces.
    - ``digits``: every number becomes one 0, that is every run of decimal digits of any script
      (数字を全て 0 に置換). Kanji numerals stay.

    Raises:
        ValueError: there is no such step.
    """
    for step in steps:
        if step not in _STEPS:
            raise ValueError(f"preprocessing step {step!r}: expected one of {list(_STEPS)}")
        text = _STEPS[step](text)
    return text


def joined_pair(first: str, second: str) -> str:
    """The two texts of a pair as one, a line each: between lines stands a separator token.

    Line breaks within either become spaces; at its end they go.
    """
    return "\n".join(" ".join(text.splitlines()) for text in (first, second))


def _without_symbols(text: str) -> str:
    return "".join(
        character
        for character in text
        if unicodedata.category(character)[0] not in "PS" and character not in _PARTS_OF_EMOJI
    )


_STEPS: Mapping[str, Callable[[str], str]] = {
    "nfkc": lambda text: unicodedata.normalize("NFKC", text),
    "urls": lambda text: _URL.sub("", text),
    "symbols": _without_symbols,
    "line_breaks": lambda text: _LINE_BREAKS.sub("", text),
    "spaces": lambda text: _SPACES.sub("", text),
    "digits": lambda text: _DIGITS.sub("0", text),
}
