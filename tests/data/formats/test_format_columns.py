from __future__ import annotations

from pathlib import Path

import pytest

from coteach.data.formats import Columns, Documents, Losses, Token, read_known
from coteach.data.pages import Page
from coteach.errors import InputError
from coteach.model.spans import Span

JAPANESE = """\
-DOCSTART- (城-1)

青葉\tB-城名
城\tI-城名
は\tO
仙台\tB-場所
。\tO

城\tO

-DOCSTART- (空)

-DOCSTART- (城-2)

江戸\tB-場所
東京\tB-場所
"""

ENGLISH = """\
-DOCSTART- -X- -X- O

EU NNP B-NP I-ORG
rejects VBZ B-VP O
New NNP B-NP I-LOC
York NNP I-NP I-LOC
Boston NNP I-NP B-LOC
. . O O

"""


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_document_is_a_page_and_a_sentence_a_line(tmp_path: Path) -> None:
    losses = Losses()
    documents = Columns().read(write(tmp_path / "a.txt", JAPANESE), losses)
    assert {page_id: page.text for page_id, page in documents.pages.items()} == {
        "城-1": "青葉城は仙台。\n城",
        "空": "",
        "城-2": "江戸東京",
    }
    assert documents.values["城-1"] == {Span("城名", 0, 0, 0, 3), Span("場所", 0, 4, 0, 6)}
    assert documents.values["城-2"] == {Span("場所", 0, 0, 0, 2), Span("場所", 0, 2, 0, 4)}
    assert documents.tokens["城-1"][-2:] == [Token(0, 6, 7), Token(1, 0, 1)]
    assert documents.named
    assert not losses.counts


def test_conll_2003_in_iob1_with_spaces(tmp_path: Path) -> None:
    path = write(tmp_path / "eng.train", ENGLISH)
    documents = Columns(spaces=True).read(path, Losses())
    assert documents.pages["1"].text == "EU rejects New York Boston ."
    assert documents.values["1"] == {
        Span("ORG", 0, 0, 0, 2),
        Span("LOC", 0, 11, 0, 19),
        Span("LOC", 0, 20, 0, 26),
    }
    assert not documents.named
    chunks = Columns(spaces=True, tag=2).read(path, Losses())
    assert Span("VP", 0, 3, 0, 10) in chunks.values["1"]


def test_without_documents_a_sentence_is_a_page(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "a O\n\n\n\nb S-X\n")
    documents = Columns().read(path, Losses())
    assert [page.text for page in documents.pages.values()] == ["a", "b"]
    assert documents.values == {"1": frozenset(), "2": {Span("X", 0, 0, 0, 1)}}


def test_line_ends_a_byte_order_mark_and_line_separators(tmp_path: Path) -> None:
    content = "\ufeff東\u2028京\tB-場所\r\nへ\tO\r\n\r\n".encode()
    documents = Columns().read(write(tmp_path / "a.txt", content), Losses())
    assert documents.pages["1"].text == "東\u2028京へ"
    assert documents.values["1"] == {Span("場所", 0, 0, 0, 3)}


def test_invalid_tags_are_repaired_and_counted_or_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "a\tB-X\nb\tI-Y\nc\tB-X\nd\tI-X\n")
    losses = Losses()
    documents = Columns().read(path, losses)
    assert documents.values["1"] == {
        Span("X", 0, 0, 0, 1),
        Span("Y", 0, 1, 0, 2),
        Span("X", 0, 2, 0, 4),
    }
    assert losses.counts == {"invalid tag repaired": 1}
    with pytest.raises(InputError, match=r'a\.txt:2: IOB2 does not allow "I-Y" after "B-X"'):
        Columns(invalid="stop").read(path, Losses())
    with pytest.raises(InputError, match=r'a\.txt:1: IOB1 does not allow "B-X"'):
        Columns(scheme="IOB1", invalid="stop").read(path, Losses())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.txt: no token here"),
        (b"\n \n", r"a\.txt: no token here"),
        (b"a\tO\nb\n", r'a\.txt:2: expected 2 column\(s\) as before, got 1: "b"'),
        (b"a\tO\n\tO\n", r"a\.txt:2: the token is missing"),
        (b"a\tO\nb\tperson\n", r'a\.txt:2: expected a tag such as .*, got "person"'),
        (b"a\tO\nb\t\xff\n", r"a\.txt:2: not UTF-8: byte 0xff"),
        (b"-DOCSTART- (1)\n\na O\n\n-DOCSTART- (1)\n", r'a\.txt:5: page "1" stands here a second'),
        (b"-DOCSTART- (1)\n\na O\n\n-DOCSTART-\n", r"a\.txt:5: expected an id for every"),
        (b"a O\n\n-DOCSTART-\n\nb O\n", r"a\.txt:1: expected -DOCSTART- before the first token"),
    ],
)
def test_broken_files(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Columns().read(write(tmp_path / "a.txt", content), Losses())


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.txt:1: tag: there is no column 5 among 2"):
        Columns(tag=5).read(write(tmp_path / "a.txt", "a O\n"), Losses())


# Teams


def team(tmp_path: Path, text: str, gold: str = JAPANESE) -> Documents:
    known = Columns().read(write(tmp_path / "gold.txt", gold), Losses())
    return read_known(Columns(), write(tmp_path / "team.txt", text), known, Losses())


TAGS = ["B-場所", "I-場所", "O", "O", "O", "", "B-城名", "", "O", "O"]


@pytest.mark.parametrize(
    "lines",
    [
        TAGS,
        ["-DOCSTART-", *TAGS[:7], "", "-DOCSTART-", "-DOCSTART-", *TAGS[8:]],
        ["-DOCSTART- (城-2)", "", *TAGS[8:], "-DOCSTART- (城-1)", *TAGS[:7]],
    ],
    ids=["sentences", "documents", "ids"],
)
def test_tags_alone_are_put_on_the_golds_tokens(tmp_path: Path, lines: list[str]) -> None:
    documents = team(tmp_path, "\n".join(lines))
    assert documents.values["城-1"] == {Span("場所", 0, 0, 0, 3), Span("城名", 1, 0, 1, 1)}
    assert documents.values["城-2"] == frozenset()
    assert documents.pages["城-1"].text == "青葉城は仙台。\n城"


def test_other_tokens_are_put_at_their_characters(tmp_path: Path) -> None:
    lines = ["-DOCSTART- (城-1)", "", "青葉城 B-城名", "は仙 O", "台。城 B-場所"]
    documents = team(tmp_path, "\n".join(lines))
    assert documents.values == {"城-1": {Span("城名", 0, 0, 0, 3), Span("場所", 0, 5, 1, 1)}}
    assert documents.tokens["城-1"][0] == Token(0, 0, 2)  # the gold's


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "O\nO\n\nO\n\nO\nO\n",
            r'txt:1: 2 tags for the 5 tokens of sentence 1 of page "城-1"',
        ),
        ("O\n\nO\n", r"team\.txt: 2 sentences; expected 3"),
        ("-DOCSTART-\n\nO\n", r"team\.txt: 1 documents; expected 3"),
        ("-DOCSTART- (城-2)\n\nO\n\nO\n", r'team\.txt:1: 2 sentences; expected 1.*"城-2"'),
        ("-DOCSTART- (x)\n\nO\n", r'team\.txt:1: unknown page "x"'),
        (
            "-DOCSTART- (城-2)\n\n江戸京東 O\n",
            r'"城-2": its text is not .* "京東" in place of',
        ),
    ],
)
def test_teams_files_that_do_not_fit_the_gold(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        team(tmp_path, text)


def test_tags_alone_need_tokens(tmp_path: Path) -> None:
    known = Documents({"1": Page("1", "青葉")}, {})
    path = write(tmp_path / "team.txt", "-DOCSTART- (1)\n\nO\n")
    with pytest.raises(InputError, match=r'team\.txt:1: a single column.* page "1" is known'):
        read_known(Columns(), path, known, Losses())


# Writing


def test_what_a_column_cannot_say_is_counted(tmp_path: Path) -> None:
    page = Page("1", "大阪城 は\n\n大坂に\nある\n")
    spans = {
        Span("城 名", 0, 0, 0, 3),
        Span("場所", 0, 0, 0, 2),  # within the other
        Span("場所", 2, 0, 3, 2),  # over two lines
        Span("空白", 0, 3, 0, 4),
    }
    losses = Losses()
    path = tmp_path / "a.txt"
    Columns(cut="characters").write(path, Documents({"1": page}, {"1": frozenset(spans)}), losses)
    assert path.read_text(encoding="utf-8").startswith(
        "-DOCSTART- (1)\n\n大\tB-城_名\n阪\tI-城_名\n城\tI-城_名\nは\tO\n\n大\tO\n"
    )
    assert losses.counts == {
        "overlaps another value": 1,
        "runs over several lines": 1,
        "of no token": 1,
        "attribute renamed": 1,
        "white space of a line": 1,
        "line without a token": 2,
    }
    assert losses.total("value lost") == 3


def test_a_value_within_a_word_grows(tmp_path: Path) -> None:
    documents = Documents(
        {"1": Page("1", "東京都に行く")}, {"1": frozenset({Span("場所", 0, 3, 0, 5)})}
    )
    losses = Losses()
    Columns().write(tmp_path / "a.txt", documents, losses)
    back = Columns().read(tmp_path / "a.txt", Losses())
    assert back.values["1"] == {Span("場所", 0, 3, 0, 6)}
    assert losses.counts == {"grown to whole tokens": 1}
    assert losses.examples["grown to whole tokens"] == ['page 1, line 0: 場所 "に行"']
