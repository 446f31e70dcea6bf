from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_masked_model as tiny
import torch
from transformers import AutoModel, AutoModelForMaskedLM, BertJapaneseTokenizer

from coteach.data.replacements import Replaceable, Replacer
from coteach.errors import InputError

CLASSES = ("名詞", "動詞", "形容詞", "副詞")
CLASS_OF = {
    **dict.fromkeys(["部屋", "朝食", "風呂", "東京", "静か", "朝", "朝顔"], "名詞"),
    **dict.fromkeys(["泊まっ", "食べ"], "動詞"),
    **dict.fromkeys(["狭い", "広い", "美味しい"], "形容詞"),
    **dict.fromkeys(["とても", "かなり"], "副詞"),
}
"""Words, all but one of them of the vocabulary, that are replaceable."""

TEXT = "東京で泊まった部屋は☆狭いが、朝顔はとても美味しい。"
PIECES = [[word] for word in ("東京", "で", "泊まっ", "た", "部屋", "は", "☆", "狭い", "が", "、")]
PIECES += [["朝", "##顔"], ["は"], ["とても"], ["美味しい"], ["。"]]
OTHER = "風呂は静かです"  # shorter: in a batch its rows are padded
OTHER_PIECES = [["風呂"], ["は"], ["静か"], ["です"]]


def replacer(folder: str, candidates: int = 15, classes: tuple[str, ...] = CLASSES) -> Replacer:
    return Replacer(folder, candidates, classes, "unidic_lite")


def surfaces(text: str, found: list[Replaceable]) -> list[str]:
    lines = text.split("\n")
    return [lines[word.line][word.start : word.end] for word in found]


def by_definition(model: Any, words: list[list[str]], place: int) -> list[str]:
    """The candidates of a word of a text, given as the pieces of its words, by the model's whole
    output."""
    vocabulary = {piece: number for number, piece in enumerate(tiny.VOCABULARY)}
    text = [vocabulary[piece] for word in words for piece in word]
    before = [vocabulary[piece] for word in words[:place] for piece in word]
    after = [vocabulary[piece] for word in words[place + 1 :] for piece in word]
    first = [vocabulary["[CLS]"], *before, vocabulary["[MASK]"], *after, vocabulary["[SEP]"]]
    second = [*text, vocabulary["[SEP]"]]
    inputs = {"input_ids": torch.tensor([first + second])}
    if getattr(model.config, "type_vocab_size", 0) > 1:
        inputs["token_type_ids"] = torch.tensor([[0] * len(first) + [1] * len(second)])
    with torch.no_grad():
        answer = model(**inputs).logits[0, 1 + len(before)].tolist()
    surface = "".join(words[place]).replace("##", "")
    same = [word for word, name in CLASS_OF.items() if name == CLASS_OF[surface]]
    return sorted(
        (word for word in same if word in vocabulary and word != surface),
        key=lambda word: -answer[vocabulary[word]],
    )


@pytest.mark.parametrize(
    ("kind", "seed"),
    [*((kind, 0) for kind in tiny.SHAPES), *(("bert", seed) for seed in range(1, 5))],
)
def test_candidates_are_the_models(tmp_path: Path, kind: str, seed: int) -> None:
    folder = tiny.write(tmp_path, kind, seed=seed)
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    found = replacer(folder)([OTHER, TEXT])
    for words, pieces in zip(found, (OTHER_PIECES, PIECES), strict=True):
        plain = ["".join(of).replace("##", "") for of in pieces]
        places = [number for number, word in enumerate(plain) if word in CLASS_OF]
        starts = [len("".join(plain[:number])) for number in places]
        ends = [start + len(plain[number]) for start, number in zip(starts, places, strict=True)]
        assert [(word.line, word.start, word.end) for word in words] == [
            (0, start, end) for start, end in zip(starts, ends, strict=True)
        ]
        for number, word in zip(places, words, strict=True):
            assert list(word.candidates) == by_definition(model, pieces, number)
    assert len({word.candidates for of in found for word in of}) > 5


def test_at_most_so_many_candidates(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path)
    every, best = replacer(folder)([TEXT])[0], replacer(folder, 2)([TEXT])[0]
    assert [len(word.candidates) for word in every] == [5, 1, 5, 2, 6, 1, 2]
    assert best == [word._replace(candidates=word.candidates[:2]) for word in every]


def test_pieces_with_and_without_mark_are_one_word(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path, "roberta", tiny.unigram())
    (found,) = replacer(folder)(["部屋は狭い 部屋"])
    assert surfaces("部屋は狭い 部屋", found) == ["部屋", "狭い", "部屋"]
    assert [set(word.candidates) for word in found] == [
        {"朝食", "風呂", "東京", "静か", "朝"},
        {"広い", "美味しい"},
        {"朝食", "風呂", "東京", "静か", "朝"},
    ]
    assert all(len(set(word.candidates)) == len(word.candidates) for word in found)
    (found,) = replacer(folder, 2)(["部屋は狭い"])
    assert [len(word.candidates) for word in found] == [2, 2]


def test_words_that_do_not_stand_by_themselves(tmp_path: Path) -> None:
    found = replacer(tiny.write(tmp_path))
    texts = ["行ってみた", "三人でした", "それは良い", "abcと☆", "😀😀", "", "\n\n", "10１０"]
    assert found(texts) == [[]] * len(texts)
    (words,) = found(["😀部屋で😀\n行って\n\n泊まった"])
    assert [(word.line, word.start, word.end) for word in words] == [(0, 1, 3), (3, 0, 3)]


def test_classes_are_chosen(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path)
    (found,) = replacer(folder, classes=("形容詞",))([TEXT])
    assert surfaces(TEXT, found) == ["狭い", "美味しい"]


def test_no_word_to_put_there(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path)
    assert "ああ" not in tiny.VOCABULARY  # nor is any other interjection
    assert replacer(folder, classes=("感動詞", "動詞"))(["ああ", "ああ、食べた"]) == [
        [],
        [Replaceable(0, 3, 5, ("泊まっ",))],
    ]


def test_what_the_positions_do_not_hold(tmp_path: Path) -> None:
    # 32 positions: [CLS], 14 of the text with the mask, [SEP], the same 14, [SEP].
    folder = tiny.write(tmp_path, positions=32)
    text = "部屋は" * 100  # a word and a particle are a piece each
    (found,) = replacer(folder)([text])
    assert [(word.start, word.end) for word in found] == [(3 * n, 3 * n + 2) for n in range(7)]
    folder = tiny.write(tmp_path, positions=8)  # of the text two pieces
    found = replacer(folder)(["は、部屋", "は部屋", "は朝顔"])
    assert list(map(len, found)) == [0, 1, 0]


def test_japanese_bert(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(tiny.VOCABULARY) + "\n", encoding="utf-8")
    tokenizer = BertJapaneseTokenizer(
        str(tmp_path / "vocab.txt"),
        word_tokenizer_type="mecab",
        mecab_kwargs={"mecab_dic": "unidic_lite"},
    )
    folder = tiny.write(tmp_path / "model", tokenizer=tokenizer)
    (found,) = replacer(folder)([TEXT])
    assert found == replacer(tiny.write(tmp_path / "fast"))([TEXT])[0]


def test_a_mask_in_the_text(tmp_path: Path) -> None:
    (found,) = replacer(tiny.write(tmp_path))(["[MASK]部屋は[SEP]狭い"])
    assert [(word.start, word.end) for word in found] == [(6, 8), (14, 16)]


def test_the_fingerprint_tells_candidates_apart(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path / "a")
    prints = {
        replacer(folder).fingerprint,
        replacer(folder, 14).fingerprint,
        replacer(folder, classes=("名詞",)).fingerprint,
        replacer(tiny.write(tmp_path / "b", seed=1)).fingerprint,
        replacer(tiny.write(tmp_path / "c", tokenizer=tiny.unigram())).fingerprint,
    }
    assert len(prints) == 5
    assert replacer(tiny.write(tmp_path / "d")).fingerprint == replacer(folder).fingerprint


def test_a_model_without_its_head(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path / "whole")
    AutoModel.from_pretrained(folder).save_pretrained(tmp_path / "encoder")
    tiny.word_piece().save_pretrained(tmp_path / "encoder")
    message = r"augmentation\.model: expected a masked language model, but '.*encoder' lacks \d+ of"
    with pytest.raises(InputError, match=message):
        replacer(str(tmp_path / "encoder"))


@pytest.mark.parametrize(
    ("tokens", "message"),
    [({"mask_token": None}, "has no mask_token"), ({"sep_token": None}, "has no sep_token")],
)
def test_a_tokenizer_without_special_tokens(
    tmp_path: Path, tokens: dict[str, Any], message: str
) -> None:
    tokenizer = tiny.word_piece()
    for name, token in tokens.items():
        setattr(tokenizer, name, token)
    folder = tiny.write(tmp_path, tokenizer=tokenizer)
    with pytest.raises(InputError, match=message):
        replacer(folder)


def test_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"augmentation\.model: no such folder, got '/no/model'"):
        replacer("/no/model")
    with pytest.raises(InputError, match=r"augmentation\.model: '.*' cannot be loaded"):
        replacer(str(tmp_path))
