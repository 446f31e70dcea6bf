"""Every tokenizer on stretches of parts of speech: Aligner(words="part_of_speech")."""

from __future__ import annotations

import multiprocessing
import pickle
import unicodedata
from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import BertJapaneseTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from coteach.model.alignment import Aligner, Tokens
from coteach.model.mecab import MecabWords, bundled_dictionary
from coteach.model.part_of_speech import PartOfSpeechLabeler
from coteach.model.pieces import Memory

MakeJapaneseBert = Callable[..., BertJapaneseTokenizer]
DESCRIPTION: dict[str, Any] = {
    "analyzer": "mecab",
    "dictionary": "unidic_lite",
    "user_dictionary": None,
    "classes": {"名詞": ["名詞", "代名詞", "形状詞"], "副詞": ["副詞"]},
}
LABELER = PartOfSpeechLabeler(DESCRIPTION)
TEXT = st.lists(
    st.sampled_from(
        "東京都千代田にあるが株式会社ガラスﾊﾞｽ㍿①ﬁİＡ 　\t\r\0\ud800…▁aTokyｱ\u0301か\u3099"
    )
    | st.sampled_from(["東京", "とても", "静か", "[MASK]", "fox", "👨\u200d👩"])
    | st.characters(exclude_characters="\n"),
    max_size=20,
).map("".join)
LINES = [
    "",
    " 　 ",
    "東京都千代田区にあるガラスの会社。",
    "The unaffable fox of Tokyo plays",
    "  fox 東京  の\tfox\r",
    "東京[MASK]千代田[SEP] [UNK]",
    "東京\0\ud800ﾊﾞｽへか\u3099",
    "▁東京▁に",
]
SENTENCE = "ウィーン・フィルハーモニー管弦楽団の社長はとても静かな東京都千代田区の株式会社。"
JAPANESE_BERT: dict[str, dict[str, Any]] = {
    "japanese_bert": {},
    "characters": {"subwords": "character"},
    "lower_case": {"do_lower_case": True},
    "ipadic": {"mecab_kwargs": {"mecab_dic": "ipadic"}},  # other words than the analyser's
}
FAST = ["byte_level_bpe", "unigram", "long_unigram", "word_piece"]


@pytest.fixture(scope="session")
def long_unigram() -> PreTrainedTokenizerFast:
    """A tokenizer of pieces of three characters, where it has them."""
    threes = {SENTENCE[i : i + 3] for i in range(len(SENTENCE))}
    pieces = [("[UNK]", 0.0), ("[SEP]", 0.0), *((piece, -1.0) for piece in sorted(threes))]
    pieces += [(piece, -9.0) for piece in ["▁", *sorted({*SENTENCE, *"foxTky"} - threes)]]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", sep_token="[SEP]")


@pytest.fixture(params=[*FAST, *JAPANESE_BERT])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    """A tokenizer of every family in turn."""
    if request.param in JAPANESE_BERT:
        return request.getfixturevalue("japanese_bert")(**JAPANESE_BERT[request.param])
    return request.getfixturevalue(request.param)


def aligner(tokenizer: PreTrainedTokenizerBase, **changes: Any) -> Aligner:
    return Aligner(tokenizer, words="part_of_speech", part_of_speech=DESCRIPTION, **changes)


def for_any_line(check: Callable[[str], None]) -> None:
    """Runs a check on awkward lines and on whatever hypothesis makes."""
    wrapped = given(TEXT)(check)
    for line in LINES:
        wrapped = example(line)(wrapped)
    settings(max_examples=80, deadline=None)(wrapped)()


def bounds_of(line: str) -> list[int]:
    return list(accumulate(map(len, LABELER.segments(line))))


def ranges(tokens: Tokens) -> list[tuple[int, int]]:
    return list(zip(tokens.starts, tokens.ends, strict=True))


def test_no_piece_crosses_a_boundary(tokenizer: PreTrainedTokenizerBase) -> None:
    align = aligner(tokenizer)

    def check(line: str) -> None:
        bounds = bounds_of(line)
        for start, end in ranges(align(line)):
            if line[start:end] not in tokenizer.all_special_tokens:
                assert not any(start < bound < end for bound in bounds), line[start:end]

    for_any_line(check)


@pytest.mark.parametrize(
    "tokenizer", ["byte_level_bpe", "long_unigram", "word_piece", "ipadic"], indirect=True
)
def test_by_itself_a_tokenizer_crosses_boundaries(tokenizer: PreTrainedTokenizerBase) -> None:
    def crossing(tokens: Tokens) -> list[str]:
        bounds = bounds_of(SENTENCE)
        return [
            SENTENCE[start:end]
            for start, end in ranges(tokens)
            if any(start < bound < end for bound in bounds)
        ]

    assert crossing(Aligner(tokenizer)(SENTENCE))
    assert not crossing(aligner(tokenizer)(SENTENCE))


def test_ranges_are_well_formed(tokenizer: PreTrainedTokenizerBase) -> None:
    align = aligner(tokenizer)

    def check(line: str) -> None:
        tokens = align(line)
        assert tokens.starts == sorted(tokens.starts)
        assert all(0 <= start <= end <= len(line) for start, end in ranges(tokens))
        assert set(tokens.lines) <= {0}

    for_any_line(check)


def test_what_can_be_seen_is_covered(tokenizer: PreTrainedTokenizerBase) -> None:
    align, ordinary = aligner(tokenizer), Aligner(tokenizer)

    def covered(tokens: Tokens, line: str) -> set[int]:
        places = {place for start, end in ranges(tokens) for place in range(start, end)}
        # What alone is nothing to the tokenizer (U+FFFD to BERT's), or is only a mark on the
        # character before it, has no piece where it is a stretch.
        return {
            place
            for place in places
            if unicodedata.category(line[place])[0] in "LNPS" and ordinary(line[place]).ids
        }

    def check(line: str) -> None:
        assert covered(align(line), line) == covered(ordinary(line), line)

    for_any_line(check)


def test_one_stretch_has_the_ordinary_ids(tokenizer: PreTrainedTokenizerBase) -> None:
    align, ordinary = aligner(tokenizer), Aligner(tokenizer)
    seen: list[str] = []

    def check(line: str) -> None:
        for text in [line, *LABELER.segments(line)]:
            if LABELER.segments(text) == [text] and text.strip():
                seen.append(text)
                assert align(text) == ordinary(text)

    for_any_line(check)
    assert len(seen) > 100


def test_stretches_are_tokenised_apart(tokenizer: PreTrainedTokenizerBase) -> None:
    """The definition: the ids of every stretch by itself, as running text goes on with it."""
    align = aligner(tokenizer)
    expected: list[int] = []
    for stretch in LABELER.segments(SENTENCE):
        ids = tokenizer(stretch, add_special_tokens=False)["input_ids"]
        if expected and tokenizer.convert_ids_to_tokens(ids[0]) == "▁":
            ids = ids[1:]
        expected += ids
    assert len(LABELER.segments(SENTENCE)) > 8
    found = align(SENTENCE).ids
    # Only the first stretch of a line has a mark.
    assert [name.lstrip("▁") for name in tokenizer.convert_ids_to_tokens(found)] == [
        name.lstrip("▁") for name in tokenizer.convert_ids_to_tokens(expected)
    ]


@pytest.mark.parametrize(("family", "mark"), [("unigram", "▁"), ("byte_level_bpe", "Ġ")])
def test_no_mark_where_stretches_join(
    request: pytest.FixtureRequest, family: str, mark: str
) -> None:
    tokenizer = request.getfixturevalue(family)
    align = aligner(tokenizer)
    for line in (
        "東京は大阪",
        "とても静かな東京都の株式会社",
        "fox 東京のfox は東京",
        " 東京の 東京",
    ):
        assert len(LABELER.segments(line)) > 2
        names = tokenizer.convert_ids_to_tokens(align(line).ids)
        initial = 1 if mark == "▁" and line[0] != " " else 0
        assert "".join(names).count(mark) == line.count(" ") + initial


@pytest.mark.parametrize("arguments", [{}, {"subwords": "character"}])
def test_added_tokens_stay_whole(
    japanese_bert: MakeJapaneseBert, arguments: dict[str, str]
) -> None:
    tokenizer = japanese_bert(**arguments)
    line = "東京[MASK]は[MASK] 静か[UNK]"
    tokens = aligner(tokenizer)(line)
    found = [
        line[start:end]
        for token, (start, end) in zip(tokens.ids, ranges(tokens), strict=True)
        if token == tokenizer.mask_token_id
    ]
    assert found == ["[MASK]", "[MASK]"]
    assert tokens.ids == Aligner(tokenizer)(line).ids


def test_every_word_of_a_class_begins_a_piece(
    tokenizer: PreTrainedTokenizerBase, real_pages: list[str]
) -> None:
    align = aligner(tokenizer, separator=False)
    for text in real_pages[:5]:
        tokens = align(text)
        begins = set(zip(tokens.lines, tokens.starts, strict=True))
        ends = set(zip(tokens.lines, tokens.ends, strict=True))
        for span in LABELER(text):
            value = span.text(text.split("\n"))
            if value.isalnum() and unicodedata.normalize("NFKC", value) == value:
                assert (span.start_line, span.start_offset) in begins
                assert (span.end_line, span.end_offset) in ends


def test_lines_and_separators(word_piece: PreTrainedTokenizerFast) -> None:
    tokens = aligner(word_piece)("東京は\n \n大阪")
    separators = [i for i, token in enumerate(tokens.ids) if token == word_piece.sep_token_id]
    assert [(tokens.lines[i], tokens.starts[i], tokens.ends[i]) for i in separators] == [(0, 3, 3)]
    assert set(tokens.lines) == {0, 2}


def test_arguments(word_piece: PreTrainedTokenizerFast, japanese_bert: MakeJapaneseBert) -> None:
    with pytest.raises(ValueError, match='expected "mecab", "part_of_speech" or None'):
        Aligner(word_piece, words="sudachi")
    for tokenizer in (word_piece, japanese_bert()):
        with pytest.raises(ValueError, match=r"part_of_speech=None with words='part_of_speech'"):
            Aligner(tokenizer, words="part_of_speech")
        with pytest.raises(ValueError, match=r"with words='mecab': expected a description"):
            Aligner(tokenizer, words="mecab", part_of_speech=DESCRIPTION)
        with pytest.raises(ValueError, match=r"mecab_options='-d x'"):
            aligner(tokenizer, mecab_options="-d x")
        with pytest.raises(ValueError, match="expected at least one class"):
            Aligner(
                tokenizer, words="part_of_speech", part_of_speech={**DESCRIPTION, "classes": {}}
            )


def test_fingerprint(word_piece: PreTrainedTokenizerFast) -> None:
    nouns = {**DESCRIPTION, "classes": {"名詞": ["名詞"]}}
    other = {**DESCRIPTION, "dictionary": "ipadic"}
    prints = {
        Aligner(word_piece).fingerprint,
        Aligner(word_piece, words="mecab").fingerprint,
        aligner(word_piece).fingerprint,
        Aligner(word_piece, words="part_of_speech", part_of_speech=nouns).fingerprint,
        Aligner(word_piece, words="part_of_speech", part_of_speech=other).fingerprint,
    }
    assert len(prints) == 5
    assert aligner(word_piece).fingerprint in prints


def test_workers(tokenizer: PreTrainedTokenizerBase) -> None:
    align = aligner(tokenizer)
    text = "とても静かな東京に\nﾊﾞｽ"
    assert pickle.loads(pickle.dumps(align))(text) == align(text)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.map(align, [text]) == [align(text)]


def test_long_stretches_are_not_remembered() -> None:
    calls: list[str] = []
    memory = Memory(lambda text: calls.append(text) or len(text), longest=2)
    assert [memory[text] for text in ("aa", "bbb", "aa", "bbb")] == [2, 3, 2, 3]
    assert calls == ["aa", "bbb", "bbb"]
    assert list(memory) == ["aa"]


def test_a_last_word_of_blank_characters_is_a_word() -> None:
    cut = MecabWords(bundled_dictionary("unidic_lite"))
    assert cut("東京\r") == ["東京", "\r"]
    assert cut("東京 \x1c ") == ["東京", " \x1c"]
    assert cut("") == cut("  ") == []
    assert all(before != "" for before, _ in pairwise([*cut("東京に\x85"), "end"]))
