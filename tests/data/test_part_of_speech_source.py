from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import pytest

from coteach.data.pages import Page
from coteach.data.part_of_speech import annotations, description, tag_sets
from coteach.errors import InputError
from coteach.model.part_of_speech import MecabAnalyzer, PartOfSpeechLabeler, SudachiAnalyzer
from coteach.model.spans import Span

PAPER = ("名詞", "副詞", "形容詞")
SENTENCES = [
    "彼女はとても静かな山で美しい石を3個拾った。",
    "これは科学的な話で、私たちはゆっくり歩いた。",
    "子供っぽい人の優しさが嬉しい。",
    "堂々とした学校を早く作る。",
]


def described(**changes: Any) -> dict[str, Any]:
    defaults = {
        "analyzer": "mecab",
        "dictionary": "unidic_lite",
        "user_dictionary": None,
        "tag_set": None,
        "classes": PAPER,
        "mapping": None,
    }
    return description(**{**defaults, **changes})


def characters(description: dict[str, Any], classes: tuple[str, ...] = PAPER) -> list[list[str]]:
    """The class of every character of every sentence."""
    label = PartOfSpeechLabeler(description)
    found = [["O"] * len(sentence) for sentence in SENTENCES]
    for number, sentence in enumerate(SENTENCES):
        for name, _, start, _, end in label(sentence):
            found[number][start:end] = [name] * (end - start)
    return found


def test_both_tag_sets_call_the_same_words_the_same() -> None:
    unidic = characters(described())
    assert characters(described(dictionary="ipadic")) == unidic
    assert {name for sentence in unidic for name in sentence} == {"O", *PAPER}


def test_sudachi_has_the_names_of_unidic() -> None:
    pytest.importorskip("sudachipy")
    sudachi = characters(described(analyzer="sudachi", dictionary="core"))
    assert sudachi == characters(described())


@pytest.mark.parametrize(
    ("word", "name"),
    [("彼女", "名詞"), ("静か", "名詞"), ("個", "名詞"), ("的", "名詞"), ("さ", "名詞"),
     ("とても", "副詞"), ("っぽい", "形容詞"), ("拾っ", "O"), ("は", "O")],
)  # fmt: skip
@pytest.mark.parametrize("dictionary", ["unidic_lite", "ipadic"])
def test_class_of_a_word(dictionary: str, word: str, name: str) -> None:
    places = [(n, line.find(word)) for n, line in enumerate(SENTENCES) if word in line]
    number, start = places[0]
    found = characters(described(dictionary=dictionary))[number]
    assert found[start : start + len(word)] == [name] * len(word)


@pytest.mark.parametrize("dictionary", ["unidic_lite", "ipadic", "core"])
def test_every_part_of_speech_of_real_text_is_known(dictionary: str, example_text: str) -> None:
    if dictionary == "core":
        pytest.importorskip("sudachipy")
    analyze = SudachiAnalyzer() if dictionary == "core" else MecabAnalyzer(dictionary)
    classes = tag_sets()["ipadic" if dictionary == "ipadic" else "unidic"]
    known = {prefix.split(",")[0] for prefixes in classes.values() for prefix in prefixes}
    lines = [*SENTENCES, *example_text.split("\n")]
    found = {name.split(",")[0] for line in lines for *_, name in analyze(line)}
    assert len(found) > 6
    assert found <= known | {"空白"}


@pytest.fixture
def example_text() -> str:
    folder = Path(__file__).parents[2] / "data" / "example" / "plain" / "Castle"
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*"))[:50])


def test_a_tag_set_is_known_by_the_dictionary() -> None:
    assert described()["classes"]["名詞"][:2] == ["名詞", "代名詞"]
    assert described(dictionary="ipadic")["classes"]["名詞"] == ["名詞"]
    assert described(dictionary="unidic")["classes"] == described()["classes"]
    assert described(analyzer="sudachi", dictionary="small")["classes"] == described()["classes"]
    neologd = described(dictionary="/dictionaries/neologd", tag_set="ipadic")
    assert neologd == described(dictionary="ipadic") | {"dictionary": "/dictionaries/neologd"}
    assert tuple(described(classes=("動詞", "名詞"))["classes"]) == ("動詞", "名詞")
    assert described(user_dictionary=Path("my.dic"))["user_dictionary"] == "my.dic"


def test_classes_of_ones_own() -> None:
    own = {"place": ("名詞,固有名詞,地名",), "名詞": ("名詞",)}
    found = described(classes=("名詞", "place", "副詞"), mapping=own)["classes"]
    assert found == {"名詞": ["名詞"], "place": ["名詞,固有名詞,地名"], "副詞": ["副詞"]}
    # Nothing is asked of a tag set that is not needed.
    own.pop("名詞")
    assert described(dictionary="/mine", classes=("place",), mapping=own)["classes"] == {
        "place": ["名詞,固有名詞,地名"]
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"analyzer": "juman"}, "analyzer: expected mecab or sudachi, got 'juman'"),
        ({"analyzer": "sudachi"}, "dictionary: Sudachi has core, small, full, got 'unidic_lite'"),
        ({"dictionary": "/"}, "tag_set: expected ipadic or unidic for the dictionary '/'"),
        ({"dictionary": "ipadik"}, "dictionary: expected unidic_lite, .*got 'ipadik'"),
        ({"split_mode": "A"}, "split_mode: of Sudachi alone; .*got 'A'"),
        ({"tag_set": "juman"}, "tag_set: expected ipadic or unidic, got 'juman'"),
        ({"classes": ()}, "classes: expected at least one, none twice, got \\[\\]"),
        ({"classes": ("名詞", "名詞")}, "none twice"),
        ({"classes": ("noun",)}, "classes: expected some of 名詞, 動詞, .*, got 'noun'"),
        ({"classes": ("noun", "mine"), "mapping": {"mine": ["名詞"]}}, "mine, got 'noun'"),
        ({"mapping": {"mine": ["名詞"]}}, "mapping: 'mine' is none of the classes 名詞, 副詞"),
        ({"classes": ("x",), "mapping": {"x": "動詞"}}, "mapping: 'x': expected a tuple .*'動詞'"),
    ],
)
def test_bad_fields(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        described(**changes)


def test_pages_are_labelled_when_asked_for() -> None:
    pages = {"1": Page("1", "東京\nとても"), "2": Page("2", "")}
    labeler = PartOfSpeechLabeler(described())
    source = annotations("pos", pages, labeler)
    assert (source.name, source.processed) == ("pos", None)
    first = frozenset({Span("名詞", 0, 0, 0, 2), Span("副詞", 1, 0, 1, 3)})
    assert dict(source.values) == {"1": first, "2": frozenset()}
    assert source.on("1") == first
    assert source.on("3") == frozenset()
    assert "2" in source.values
    assert "3" not in source.values

    values: Any = source.values
    assert values.digest == labeler.fingerprint
    assert dict(pickle.loads(pickle.dumps(source)).values) == dict(source.values)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(source.on, ["1"]) == [first]
