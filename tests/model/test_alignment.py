from __future__ import annotations

import multiprocessing
import pickle
import unicodedata
from collections.abc import Callable
from typing import Any, Literal

import fugashi
import ipadic
import pytest
import unidic_lite
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from transformers import (
    AddedToken,
    BertJapaneseTokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.tokenization_python import PreTrainedTokenizer

from coteach.model.alignment import Aligner, Tokens
from coteach.model.mecab import bundled_dictionary
from coteach.model.pieces import Memory

MakeJapaneseBert = Callable[..., BertJapaneseTokenizer]
NASTY = [
    "",
    " ",
    "　　",
    "\t東京 \t に　行く \r",
    "東京\r",
    "ﾊﾞｽとﾊﾞﾝﾄﾞは㍿①へ",
    "か\u3099き\u3099く\u3099 東京",
    "\u1112\u1161\u11ab 글",
    "ﬁx unaffable ﬁ゛ｶﾞﾗｽ",
    "İstanbul TOKYO Straße ΑΣ ſ",
    "東京[MASK]千代田[SEP] [UNK]",
    "[MASK]",
    "𠮷野家👨‍👩‍👧で",
    "\u3099東京\u200b\ufeff\u00ad\u0085\u2028\x1c東",
    "Ð Ðunaffable Ð",
    "a" * 150 + "東" * 150,
    "…「東京」…㎡～",
]
TEXT = st.text(st.sampled_from("東京都か\u3099ﾊﾞ㍿①ﬁİＡ 　\t\r…[MASK]aｱ\u0301") | st.characters())


def covered(line: str, tokens: Tokens) -> list[str]:
    return [line[a:b] for a, b in zip(tokens.starts, tokens.ends, strict=True)]


def assert_well_formed(text: str, tokens: Tokens) -> None:
    """Ranges lie within their lines and never go back; lines never do either."""
    lines = text.split("\n")
    assert len(tokens.ids) == len(tokens.lines) == len(tokens.starts) == len(tokens.ends)
    assert tokens.lines == sorted(tokens.lines)
    places = list(zip(tokens.lines, tokens.starts, strict=True))
    assert places == sorted(places)
    for line, start, end in zip(tokens.lines, tokens.starts, tokens.ends, strict=True):
        assert 0 <= start <= end <= len(lines[line])
        piece = lines[line][start:end]
        assert piece == piece.strip()


def assert_covers_all_text(line: str, tokens: Tokens) -> None:
    """Every character that can be seen belongs to some token."""
    places = {i for a, b in zip(tokens.starts, tokens.ends, strict=True) for i in range(a, b)}
    for position, character in enumerate(line):
        category = unicodedata.category(character)
        if not character.isspace() and category[0] in "LNPS":
            assert position in places, (line, position)


class TestJapaneseBert:
    @pytest.fixture(
        params=[
            {},
            {"do_lower_case": True},
            {"subwords": "character"},
            {"subwords": "character", "do_lower_case": True, "never_split": ["TOKYO"]},
            {"mecab_kwargs": {"mecab_dic": "ipadic"}},
            {"mecab_kwargs": {"mecab_dic": "unidic_lite", "normalize_text": False}},
            {
                "subwords": "character",
                "mecab_kwargs": {"mecab_dic": "ipadic", "normalize_text": False},
            },
            {"mecab_kwargs": {"mecab_dic": None, "mecab_option": "-Owakati -d {} -r {}/mecabrc"}},
        ],
        ids=str,
    )
    def tokenizer(
        self, japanese_bert: MakeJapaneseBert, request: pytest.FixtureRequest
    ) -> BertJapaneseTokenizer:
        arguments = dict(request.param)
        kwargs = dict(arguments.get("mecab_kwargs", {"mecab_dic": "unidic_lite"}))
        if "mecab_option" in kwargs:
            kwargs["mecab_option"] = kwargs["mecab_option"].replace("{}", unidic_lite.DICDIR)
        return japanese_bert(**{**arguments, "mecab_kwargs": kwargs})

    def expected(self, tokenizer: PreTrainedTokenizerBase, line: str) -> list[int]:
        return tokenizer(line, add_special_tokens=False)["input_ids"]

    @pytest.mark.parametrize("line", NASTY, ids=ascii)
    def test_ids_are_the_tokenizers_own(self, tokenizer: BertJapaneseTokenizer, line: str) -> None:
        tokens = Aligner(tokenizer)(line)
        assert tokens.ids == self.expected(tokenizer, line)
        assert_well_formed(
            line, tokens
        ) if tokenizer.subword_tokenizer_type != "character" else None

    def test_ids_are_the_tokenizers_own_for_any_text(
        self, tokenizer: BertJapaneseTokenizer
    ) -> None:
        align = Aligner(tokenizer)

        @settings(max_examples=150, deadline=None)
        @given(TEXT.filter(lambda text: "\n" not in text and "\0" not in text))
        def check(line: str) -> None:
            line = line.encode("utf-8", "replace").decode("utf-8")
            tokens = align(line)
            assert tokens.ids == self.expected(tokenizer, line)
            assert tokens.starts == sorted(tokens.starts)
            assert all(a < b <= len(line) for a, b in zip(tokens.starts, tokens.ends, strict=True))

        check()

    @pytest.mark.parametrize("subwords", ["wordpiece", "character"])
    def test_real_pages(
        self, japanese_bert: MakeJapaneseBert, real_pages: list[str], subwords: str
    ) -> None:
        tokenizer = japanese_bert(subwords)
        align = Aligner(tokenizer, separator=False)
        for text in real_pages:
            tokens = align(text)
            lines = text.split("\n")
            assert tokens.ids == [i for line in lines for i in self.expected(tokenizer, line)]
            assert_well_formed(text, tokens)
            seen = {
                (line, place)
                for line, a, b in zip(tokens.lines, tokens.starts, tokens.ends, strict=True)
                for place in range(a, b)
            }
            assert seen == {
                (number, place)
                for number, line in enumerate(lines)
                for place, character in enumerate(line)
                if not character.isspace()
            }

    @pytest.mark.parametrize(
        ("arguments", "line", "expected"),
        [
            ({}, "東京都に", ["東京", "都", "に"]),
            ({}, "㍿", ["㍿", "㍿"]),
            ({}, "ｶﾞﾗｽ　ﾊﾞｽ", ["ｶﾞﾗ", "ｽ", "ﾊﾞｽ"]),
            ({}, "ﬁx unaffable", ["ﬁ", "x", "un", "aff", "able"]),
            ({}, "東京[MASK] は", ["東京", "[MASK]", "は"]),
            ({"subwords": "character"}, "ﾊﾞか\u3099①㍿", ["ﾊﾞ", "か\u3099", "①", *"㍿㍿㍿㍿"]),
            ({"do_lower_case": True}, "TOKYO", ["TOKYO"]),
            ({"subwords": "character", "do_lower_case": True}, "İx", ["İ", "İ", "x"]),
        ],
    )
    def test_ranges(
        self,
        japanese_bert: MakeJapaneseBert,
        arguments: dict[str, object],
        line: str,
        expected: list[str],
    ) -> None:
        tokenizer = japanese_bert(**arguments)
        tokens = Aligner(tokenizer)(line)
        assert covered(line, tokens) == expected
        assert tokens.ids == self.expected(tokenizer, line)

    def test_unknown_word_is_covered_whole(self, japanese_bert: MakeJapaneseBert) -> None:
        tokenizer = japanese_bert()
        tokens = Aligner(tokenizer)("は㍻の鬱病")
        unknown = [
            piece
            for token, piece in zip(tokens.ids, covered("は㍻の鬱病", tokens), strict=True)
            if token == tokenizer.unk_token_id
        ]
        assert unknown == ["㍻", "鬱", "病"] or unknown == ["㍻", "鬱病"]

    def test_nul_loses_nothing(self, japanese_bert: MakeJapaneseBert) -> None:
        tokens = Aligner(japanese_bert())("東京\0千代田\ud800バス")
        assert covered("東京\0千代田\ud800バス", tokens) == ["東京", "千代田", "\ud800", "バス"]

    def test_added_tokens_take_whitespace_as_told(self, japanese_bert: MakeJapaneseBert) -> None:
        tokenizer = japanese_bert("character")
        tokenizer.add_tokens(
            [
                AddedToken("<左>", lstrip=True),
                AddedToken("<右>", rstrip=True),
                AddedToken("unit", single_word=True),
            ]
        )
        for line in (
            "a\r\r<左>\r\ra",
            "a\r\r<右>\r\ra",
            "x unit x",
            "xunit",
            "unitx",
            "<右>\r",
            "unit",
        ):
            tokens = Aligner(tokenizer)(line)
            assert tokens.ids == self.expected(tokenizer, line), line
            assert_well_formed(line.replace("\r", "_"), tokens)

    @pytest.mark.parametrize(
        "arguments",
        [{"word_tokenizer_type": "basic"}, {"do_subword_tokenize": False}],
    )
    def test_other_kinds_are_refused(
        self, japanese_bert: MakeJapaneseBert, arguments: dict[str, object]
    ) -> None:
        with pytest.raises(ValueError, match='expected "mecab" and "wordpiece" or "character"'):
            Aligner(japanese_bert(**arguments))


class TestOffsets:
    @pytest.mark.parametrize("line", NASTY, ids=ascii)
    def test_ids_are_the_tokenizers_own(
        self, fast_tokenizer: PreTrainedTokenizerFast, line: str
    ) -> None:
        tokens = Aligner(fast_tokenizer)(line)
        assert tokens.ids == fast_tokenizer(line, add_special_tokens=False)["input_ids"]
        assert_well_formed(line, tokens)
        assert_covers_all_text(line, tokens)

    @pytest.mark.parametrize("words", [None, "mecab"])
    def test_any_text(
        self, fast_tokenizer: PreTrainedTokenizerFast, words: Literal["mecab"] | None
    ) -> None:
        align = Aligner(fast_tokenizer, words=words)

        @settings(max_examples=200, deadline=None)
        @given(TEXT)
        def check(text: str) -> None:
            assert_well_formed(text, align(text))

        check()

    def test_leading_mark_carries_no_text(self, sentence_piece: PreTrainedTokenizerFast) -> None:
        line = "、東京は a b"
        tokens = Aligner(sentence_piece)(line)
        marks = [
            (a, b)
            for token, a, b in zip(tokens.ids, tokens.starts, tokens.ends, strict=True)
            if token == sentence_piece.convert_tokens_to_ids("▁")
        ]
        assert marks == [(0, 0)]
        assert [piece for piece in covered(line, tokens) if piece][-2:] == ["a", "b"]

    def test_mark_in_the_text_keeps_its_place(self, unigram: PreTrainedTokenizerFast) -> None:
        tokens = Aligner(unigram)("東▁")
        assert "".join(covered("東▁", tokens)) == "東▁"

    def test_bytes_of_one_character_share_its_range(
        self, byte_level_bpe: PreTrainedTokenizerFast
    ) -> None:
        tokens = Aligner(byte_level_bpe)("x 鬱")
        assert covered("x 鬱", tokens)[-3:] == ["鬱", "鬱", "鬱"]

    def test_spaces_are_trimmed(self, byte_level_bpe: PreTrainedTokenizerFast) -> None:
        line = "The fox  The"
        assert [
            piece for piece in covered(line, Aligner(byte_level_bpe)(line)) if " " in piece
        ] == []

    def test_accents_come_back(self, word_piece: PreTrainedTokenizerFast) -> None:
        line = "Cafe\u0301 in"
        tokens = Aligner(word_piece)(line)
        assert "".join(covered(line, tokens)) == "Cafe\u0301in"

    def test_real_pages(
        self, sentence_piece: PreTrainedTokenizerFast, real_pages: list[str]
    ) -> None:
        for words in (None, "mecab"):
            align = Aligner(sentence_piece, words=words)
            for text in real_pages[:100]:
                assert_well_formed(text, align(text))

    def test_no_offsets(self) -> None:
        class Slow(PreTrainedTokenizer):
            @property
            def vocab_size(self) -> int:
                return 0

            def get_vocab(self) -> dict[str, int]:
                return {}

            def _convert_token_to_id(self, token: str) -> int:
                return 0

        with pytest.raises(ValueError, match="Slow cannot tell the offsets"):
            Aligner(Slow())


class TestWords:
    @staticmethod
    def words(line: str, dictionary: str = unidic_lite.DICDIR) -> list[tuple[int, int]]:
        """MeCab's words in a line, straight from its nodes."""
        tagger = fugashi.GenericTagger(f'-d "{dictionary}" -r "{dictionary}/mecabrc"')
        ranges = []
        position = 0
        for node in tagger(line):
            start = line.index(node.surface, position)
            position = start + len(node.surface)
            ranges.append((start, position))
        return ranges

    def assert_within_words(self, line: str, tokens: Tokens, words: list[tuple[int, int]]) -> None:
        for start, end in zip(tokens.starts, tokens.ends, strict=True):
            assert start == end or any(a <= start and end <= b for a, b in words), line[start:end]

    @pytest.mark.parametrize("line", NASTY, ids=ascii)
    def test_pieces_stay_within_words(
        self, fast_tokenizer: PreTrainedTokenizerFast, line: str
    ) -> None:
        tokens = Aligner(fast_tokenizer, words="mecab")(line)
        self.assert_within_words(line, tokens, self.words(line))
        assert_well_formed(line, tokens)
        assert_covers_all_text(line, tokens)

    def test_pieces_stay_within_words_of_real_pages(
        self, sentence_piece: PreTrainedTokenizerFast, real_pages: list[str]
    ) -> None:
        align = Aligner(sentence_piece, words="mecab")
        free = Aligner(sentence_piece)
        crossed = 0
        for line in "\n".join(real_pages[:40]).split("\n"):
            words = self.words(line)
            self.assert_within_words(line, align(line), words)
            inner = {start for start, _ in words}
            other = free(line)
            crossed += sum(
                any(place in inner for place in range(a + 1, b))
                for a, b in zip(other.starts, other.ends, strict=True)
            )
        assert crossed > 0  # the tokenizer by itself does cross words

    def test_joined_words_have_no_mark(self, unigram: PreTrainedTokenizerFast) -> None:
        tokens = unigram.convert_ids_to_tokens(Aligner(unigram, words="mecab")("東京に 東京に").ids)
        assert [token.startswith("▁") for token in tokens].count(True) == 2
        assert tokens[: len(tokens) // 2] == tokens[len(tokens) // 2 :]

    @pytest.mark.parametrize("line", ["The fox of Tokyo", "The  fox", " The", "fox　Tokyo"])
    def test_words_after_spaces_are_those_of_running_text(
        self, fast_tokenizer: PreTrainedTokenizerFast, line: str
    ) -> None:
        expected = fast_tokenizer(line, add_special_tokens=False)["input_ids"]
        if line != "fox　Tokyo" or fast_tokenizer.backend_tokenizer.normalizer is not None:
            assert Aligner(fast_tokenizer, words="mecab")(line).ids == expected

    @pytest.mark.parametrize("legacy", [False, True])
    def test_prefixes_of_every_kind(
        self,
        unigram: PreTrainedTokenizerFast,
        byte_level_bpe: PreTrainedTokenizerFast,
        legacy: bool,
    ) -> None:
        base = unigram if legacy else byte_level_bpe
        backend = Tokenizer.from_str(base.backend_tokenizer.to_str())
        if legacy:  # SentencePiece as older tokenizers describe it
            marks = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
            first = [normalizers.NFKC(), normalizers.Strip()]
            backend.normalizer = normalizers.Sequence([*first, *marks])
            backend.pre_tokenizer = None
        else:
            byte_level = pre_tokenizers.ByteLevel(add_prefix_space=True)
            backend.pre_tokenizer = pre_tokenizers.Sequence([byte_level])
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, sep_token="[SEP]")
        aligned = Aligner(tokenizer, words="mecab")("東京に fox").ids
        text = "".join(tokenizer.convert_ids_to_tokens(aligned))
        assert text.count("▁" if legacy else "Ġ") == 2

    def test_word_piece_continues_within_words_only(
        self, word_piece: PreTrainedTokenizerFast
    ) -> None:
        line = "すもももももももものうち"
        tokens = Aligner(word_piece, words="mecab")(line)
        starts = {start for start, _ in self.words(line)}
        names = word_piece.convert_ids_to_tokens(tokens.ids)
        for name, start in zip(names, tokens.starts, strict=True):
            assert name.startswith("##") == (start not in starts)

    def test_another_dictionary(self, word_piece: PreTrainedTokenizerFast) -> None:
        line = "ウィーン・フィルハーモニー管弦楽団"
        options = f'-d "{ipadic.DICDIR}"'
        tokens = Aligner(word_piece, words="mecab", mecab_options=options)(line)
        self.assert_within_words(line, tokens, self.words(line, ipadic.DICDIR))

    def test_options_are_refused(
        self, word_piece: PreTrainedTokenizerFast, japanese_bert: MakeJapaneseBert
    ) -> None:
        with pytest.raises(
            ValueError, match="MeCab dictionary 'json': expected unidic_lite, ipadic"
        ):
            bundled_dictionary("json")
        with pytest.raises(ValueError, match="cannot be started with the options"):
            Aligner(word_piece, words="mecab", mecab_options="-d /nowhere")
        with pytest.raises(ValueError, match=r"mecab_options='-d x'"):
            Aligner(word_piece, mecab_options="-d x")
        with pytest.raises(ValueError, match="reads its mecab_kwargs"):
            Aligner(japanese_bert(), words="mecab", mecab_options="-d x")
        with pytest.raises(ValueError, match="words='sudachi'"):
            Aligner(word_piece, words="sudachi")


class TestPages:
    def test_separators_stand_between_lines_with_tokens(
        self, word_piece: PreTrainedTokenizerFast
    ) -> None:
        text = "\n東京\n \n\nfox\u2028x\r\n"
        tokens = Aligner(word_piece)(text)
        separators = [i for i, token in enumerate(tokens.ids) if token == word_piece.sep_token_id]
        assert len(separators) == 1
        at = separators[0]
        assert (tokens.lines[at], tokens.starts[at], tokens.ends[at]) == (1, 2, 2)
        assert set(tokens.lines) == {1, 4}
        assert_well_formed(text, tokens)
        bare = Aligner(word_piece, separator=False)(text)
        assert bare.ids == [token for i, token in enumerate(tokens.ids) if i != at]

    def test_empty(self, word_piece: PreTrainedTokenizerFast) -> None:
        assert Aligner(word_piece)("") == Tokens([], [], [], [])
        assert len(Aligner(word_piece)("\n\n")) == 0

    def test_separator_is_needed(self, word_piece: PreTrainedTokenizerFast) -> None:
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=word_piece.backend_tokenizer)
        with pytest.raises(ValueError, match="no sep_token"):
            Aligner(tokenizer)
        assert len(Aligner(tokenizer, separator=False)("東京")) > 0

    @pytest.mark.parametrize("words", [None, "mecab"])
    @pytest.mark.parametrize(
        "state",
        [{"truncation": True, "max_length": 1}, {"padding": "max_length", "max_length": 50}],
        ids=["truncation", "padding"],
    )
    def test_state_of_the_tokenizer_is_not_ours(
        self,
        word_piece: PreTrainedTokenizerFast,
        words: Literal["mecab"] | None,
        state: dict[str, Any],
    ) -> None:
        text = "unaff tokyof 東京に"
        before = Aligner(word_piece, words=words)(text)
        assert any(token.startswith("##") for token in word_piece.convert_ids_to_tokens(before.ids))
        word_piece(text, **state)  # a fast tokenizer remembers these
        assert Aligner(word_piece, words=words)(text) == before

    def test_workers(
        self, japanese_bert: MakeJapaneseBert, fast_tokenizer: PreTrainedTokenizerFast
    ) -> None:
        text = "東京都に\nﾊﾞｽ"
        for aligner in (
            Aligner(japanese_bert()),
            Aligner(fast_tokenizer),
            Aligner(fast_tokenizer, words="mecab", separator=False),
        ):
            expected = aligner(text)
            assert pickle.loads(pickle.dumps(aligner))(text) == expected
            with multiprocessing.get_context("fork").Pool(1) as pool:
                assert pool.map(aligner, [text]) == [expected]

    def test_short_texts_go_to_the_tokenizer_together(
        self,
        japanese_bert: MakeJapaneseBert,
        word_piece: PreTrainedTokenizerFast,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        texts = ["東京都\n千代田", "", "\n\n\n", "東京" * 20, "fox\n 東京に\n", "東京"]
        for aligner in (
            Aligner(japanese_bert()),
            Aligner(word_piece),
            Aligner(word_piece, words="mecab", trim_head=1),
        ):
            expected = [aligner(text) for text in texts]
            assert list(aligner.each(texts)) == expected
            with monkeypatch.context() as context:
                context.setattr("coteach.model.alignment.CHARACTERS_AT_ONCE", 41)
                assert list(aligner.each(texts)) == expected
            assert list(aligner.each([])) == []

        calls: list[list[str]] = []
        call = PreTrainedTokenizerFast.__call__

        def counted(self: PreTrainedTokenizerFast, lines: list[str], **options: Any) -> Any:
            calls.append(lines)
            return call(self, lines, **options)

        monkeypatch.setattr(PreTrainedTokenizerFast, "__call__", counted)
        monkeypatch.setattr("coteach.model.alignment.CHARACTERS_AT_ONCE", 41)
        list(Aligner(word_piece).each(texts))
        assert list(map(len, calls)) == [2 + 1 + 4 + 1, 3 + 1]

    def test_memory_is_bounded(self) -> None:
        calls = []
        memory = Memory(lambda text: calls.append(text) or len(text), limit=2)
        assert [memory[text] for text in ("a", "bb", "a", "ccc", "a")] == [1, 2, 1, 3, 1]
        assert calls == ["a", "bb", "ccc", "a"]
        assert len(memory) <= 2
