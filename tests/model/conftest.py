"""Small tokenizers of every kind that the package reads, and real pages where they are at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, BertJapaneseTokenizer, PreTrainedTokenizerFast

SHARED = Path(__file__).parents[2] / ".." / "shared"
PAGES = SHARED / "task" / "jawiki-ner" / "plain" / "JAWIKI"
SENTENCE_PIECE = SHARED / "models" / "e5-small-ja"

CORPUS = [
    "東京都千代田区に本社を置く株式会社の社長は、大阪で生まれた。",
    "ウィーン・フィルハーモニー管弦楽団の日本公演に2回帯同。",
    "ガラスのバスが1990年に開港した空港で、バンドのライブを見た。",
    "The unaffable fox of Tokyo plays in Café and Straße.",
    "すもももももももものうち、かがきぎくぐはばぱ。",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MakeJapaneseBert = Callable[..., BertJapaneseTokenizer]


@pytest.fixture(scope="session")
def japanese_bert(tmp_path_factory: pytest.TempPathFactory) -> MakeJapaneseBert:
    """Builds a BertJapaneseTokenizer with unidic-lite; keyword arguments are the tokenizer's."""
    characters = sorted(set("".join(CORPUS).replace(" ", "")))
    words = ["東京", "千代田", "株式", "会社", "ガラ", "バス", "un", "aff", "fi", "tokyo", "Tokyo"]
    pieces = ["##aff", "##able", "##都", "##社", "##ス", "##ン", "##i", "##x", "\u0307", "##\u0307"]
    vocabulary = tmp_path_factory.mktemp("japanese_bert") / "vocab.txt"
    lines = [*SPECIAL, *characters, *words, *pieces, "i", "x"]
    vocabulary.write_text("\n".join(dict.fromkeys(lines)) + "\n", encoding="utf-8", newline="\n")

    def make(subwords: str = "wordpiece", **arguments: object) -> BertJapaneseTokenizer:
        defaults = {
            "word_tokenizer_type": "mecab",
            "mecab_kwargs": {"mecab_dic": "unidic_lite"},
            "subword_tokenizer_type": subwords,
        }
        return BertJapaneseTokenizer(str(vocabulary), **{**defaults, **arguments})

    return make


def _fast(tokenizer: Tokenizer, trainer: trainers.Trainer) -> PreTrainedTokenizerFast:
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", sep_token="[SEP]", pad_token="[PAD]"
    )


@pytest.fixture(scope="session")
def byte_level_bpe() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return _fast(
        tokenizer,
        trainers.BpeTrainer(
            vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
        ),
    )


@pytest.fixture(scope="session")
def unigram() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    return _fast(
        tokenizer,
        trainers.UnigramTrainer(
            vocab_size=200, special_tokens=SPECIAL, unk_token="[UNK]", show_progress=False
        ),
    )


@pytest.fixture(scope="session")
def word_piece() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(handle_chinese_chars=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return _fast(
        tokenizer,
        trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False),
    )


@pytest.fixture(params=["byte_level_bpe", "unigram", "word_piece"])
def fast_tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    """Each of the tokenizers with offsets in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def sentence_piece() -> PreTrainedTokenizerFast:
    """A pretrained SentencePiece tokenizer."""
    if not SENTENCE_PIECE.is_dir():
        pytest.skip("the pretrained tokenizer is not at hand")
    return AutoTokenizer.from_pretrained(SENTENCE_PIECE)


@pytest.fixture(scope="session")
def real_pages() -> list[str]:
    """The text of 300 pages of Wikipedia."""
    if not PAGES.is_dir():
        pytest.skip("the pages are not at hand")
    paths = sorted(PAGES.glob("*.txt"))[:300]
    return [path.read_bytes().decode("utf-8") for path in paths]
