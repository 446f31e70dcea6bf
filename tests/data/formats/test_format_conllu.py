from __future__ import annotations

from pathlib import Path

import pytest

from coteach.data.formats import ConllU, Documents, Losses, Token, read_known
from coteach.data.pages import Page
from coteach.errors import InputError
from coteach.model.spans import Span


def row(number: str, form: str, upos: str = "_", xpos: str = "_", misc: str = "_") -> str:
    return f"{number}\t{form}\t_\t{upos}\t{xpos}\t_\t_\t_\t_\t{misc}\n"


JAPANESE = (
    "# newdoc id = 城\n# sent_id = 城-1\n# text = 青葉城 は\u2028高い。\n"
    + row("1", "青葉", "PROPN", "名詞-固有名詞", "NER=B-城名|SpaceAfter=No")
    + row("2", "城", "NOUN", "名詞", "NER=I-城名")
    + row("3", "は", "ADP", "助詞")
    + row("4", "高い", "ADJ", "形容詞", "SpaceAfter=No")
    + row("5", "。", "PUNCT", "補助記号", "SpaceAfter=No")
    + "\n# sent_id = 城-2\n"
    + row("1", "古い", "ADJ", "形容詞", "SpaceAfter=No")
    + row("2", "。", "PUNCT", "補助記号")
    + "\n"
)
SPANISH = (
    "# sent_id = es-1\n# global.columns = ID\n"
    + "1\tVoy\tir\tVERB\t_\tMood=Ind\t0\troot\t_\t_\n"
    + row("2-3", "al", misc="SpaceAfter=No")
    + row("2", "a", "ADP")
    + row("3", "el", "DET")
    + row("4", "mar", "NOUN", misc="NE=B-LOC")
    + row("4.1", "fui", "VERB")
    + row("5", "#", "SYM")
    + "\n"
)


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_tags_and_words_with_their_places(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conllu", JAPANESE)
    losses = Losses()
    documents = ConllU().read(path, losses)
    assert documents.pages == {"城": Page("城", "青葉城 は\u2028高い。\n古い。")}
    assert {(it.text(documents.pages["城"].lines), *it) for it in documents.values["城"]} == {
        ("青葉", "PROPN", 0, 0, 0, 2),
        ("城", "NOUN", 0, 2, 0, 3),
        ("は", "ADP", 0, 4, 0, 5),
        ("高い", "ADJ", 0, 6, 0, 8),
        ("。", "PUNCT", 0, 8, 0, 9),
        ("古い", "ADJ", 1, 0, 1, 2),
        ("。", "PUNCT", 1, 2, 1, 3),
    }
    assert not losses.counts
    xpos = ConllU(value="xpos").read(path, losses).values["城"]
    assert Span("名詞-固有名詞", 0, 0, 0, 2) in xpos
    assert Span("word", 1, 0, 1, 2) in ConllU(value="word").read(path, losses).values["城"]
    assert ConllU(value="entity").read(path, losses).values == {"城": {Span("城名", 0, 0, 0, 3)}}


def test_multiword_tokens_and_empty_nodes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conllu", SPANISH)
    losses = Losses()
    documents = ConllU().read(path, losses)
    assert documents.pages == {"es-1": Page("es-1", "Voy almar #")}
    assert documents.values["es-1"] == {
        Span("VERB", 0, 0, 0, 3),
        Span("NOUN", 0, 6, 0, 9),
        Span("SYM", 0, 10, 0, 11),
    }
    assert documents.tokens["es-1"][1] == Token(0, 4, 6)
    assert losses.counts == {
        "word inside of a multiword token": 2,
        "empty node": 1,
        "lemma, features or syntax": 1,
    }
    words = ConllU(value="word").read(path, Losses()).values["es-1"]
    assert Span("word", 0, 4, 0, 6) in words
    assert ConllU(value="entity").read(path, Losses()).values["es-1"] == {Span("LOC", 0, 6, 0, 9)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a\.conllu: no sentence here"),
        ("1\t青葉\n", r"a\.conllu:1: expected 10 columns parted by tabs, got 2"),
        (row("x", "青葉"), r'a\.conllu:1: expected an id such as 1, 1-2 or 1\.1, got "x"'),
        (row("1", ""), r"a\.conllu:1: expected a form"),
        ("# text = 青城\n" + row("1", "青葉"), r'a\.conllu:2: form "青葉" is not in # text there'),
        ("# text = 青葉城\n" + row("1", "青葉"), r'a\.conllu:1: no word for "城" at the end'),
        (row("1", "a") + "\n# newdoc id = 1\n", r"a\.conllu:3: expected # newdoc before the first"),
        ("# newdoc\n" + row("1", "a") + "\n# newdoc id = 2\n", r"a\.conllu: expected an id for"),
        (
            "# sent_id = 1\n" + row("1", "a") + "\n# sent_id = 1\n" + row("1", "b"),
            'page "1" stands',
        ),
    ],
)
def test_broken_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ConllU().read(write(tmp_path / "a.conllu", text), Losses())


def test_a_teams_other_words_stand_at_their_characters(tmp_path: Path) -> None:
    gold = ConllU().read(write(tmp_path / "gold.conllu", JAPANESE), Losses())
    text = (
        "# newdoc id = 城\n"
        + row("1", "青葉城", "PROPN")  # other words, and white space that the gold has not
        + row("2", "は", "ADP", misc="SpaceAfter=No")
        + row("3", "高い。古", "X")
        + row("4", "い。", "X")
    )
    team = read_known(ConllU(), write(tmp_path / "team.conllu", text), gold, Losses())
    assert team.values["城"] == {
        Span("PROPN", 0, 0, 0, 3),
        Span("ADP", 0, 4, 0, 5),
        Span("X", 0, 6, 1, 1),
        Span("X", 1, 1, 1, 3),
    }


def test_what_stands_between_values_is_words_without_a_tag(tmp_path: Path) -> None:
    page = Page("1", "青葉城は 高い\n\n終")
    spans = {
        Span("固有 名詞", 0, 0, 0, 2),
        Span("助詞", 0, 3, 0, 4),
        Span("語", 0, 1, 0, 3),  # shares a character with the first
        Span("文", 0, 5, 2, 1),
    }
    losses = Losses()
    path = tmp_path / "a.conllu"
    ConllU().write(path, Documents({"1": page}, {"1": frozenset(spans)}), losses)
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n")]
    assert [(r[1], r[3], r[9]) for r in rows if len(r) == 10] == [
        ("青葉", "固有_名詞", "SpaceAfter=No"),
        ("城", "_", "SpaceAfter=No"),
        ("は", "助詞", "_"),
        ("高い", "_", "_"),
        ("終", "_", "_"),
    ]
    assert losses.counts == {
        "attribute renamed": 1,
        "overlaps another value": 1,
        "runs over several lines": 1,
        "line without a token": 1,
    }


def test_entities_are_written_to_misc(tmp_path: Path) -> None:
    documents = Documents({"1": Page("1", "東京都だ")}, {"1": frozenset({Span("a|b", 0, 0, 0, 3)})})
    losses = Losses()
    format = ConllU(value="entity")
    format.write(tmp_path / "a.conllu", documents, losses)
    assert losses.counts == {"attribute renamed": 1}
    assert format.read(tmp_path / "a.conllu", Losses()).values["1"] == {Span("a_b", 0, 0, 0, 3)}
