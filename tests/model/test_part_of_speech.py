from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import fugashi
import ipadic
import pytest
import unidic_lite
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coteach.model.mecab import LONGEST_PART, MecabWords, bundled_dictionary, parts
from coteach.model.part_of_speech import MecabAnalyzer, PartOfSpeechLabeler, SudachiAnalyzer, Word
from coteach.model.spans import Span

FOLDERS = {"unidic_lite": unidic_lite.DICDIR, "ipadic": ipadic.DICDIR}
NOUN = {"名詞": ["名詞"]}
AWKWARD = st.text(
    st.sampled_from(
        "東京都静かな美しく行かがか\u3099ﾊﾞ㍿①ﬁ👨\u200d👩𠮷　 \t\r\0\ud800\x85\x1c\ufeff\u2028"
        "aA1,、。*[]"
    )
    | st.characters(exclude_characters="\n"),
    max_size=30,
)
LINES = [
    "",
    " ",
    "\0",
    "　　",
    "東京 ",
    "東京\r",
    "東京\x1c",
    "\t東京 \t に　行く \r",
    "東京\0 \0都\ud800に",
    "ﾊﾞｽとﾊﾞﾝﾄﾞは㍿へ、か\u3099",
    "𠮷野家で👨‍👩‍👧が静かに,笑った*。",
    "A1, b",
]


def labeler(classes: dict[str, list[str]] = NOUN, **description: Any) -> PartOfSpeechLabeler:
    defaults = {"analyzer": "mecab", "dictionary": "unidic_lite", "user_dictionary": None}
    return PartOfSpeechLabeler({**defaults, "classes": classes, **description})


def fugashis_words(line: str, dictionary: str) -> list[Word]:
    """The words of a line node by node: spaces, surface, feature."""
    folder = FOLDERS[dictionary]
    words: list[Word] = []
    place = 0
    line = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in line.replace("\0", " "))
    for node in fugashi.GenericTagger(f'-d "{folder}" -r "{folder}/mecabrc"')(line):
        start = place + len(node.white_space)
        place = start + len(node.surface)
        assert line[start:place] == node.surface
        levels = []
        for level in node.feature[:4]:
            if level == "*":
                break
            levels.append(level)
        words.append((start, place, ",".join(levels)))
    return words


class TestMecab:
    @pytest.mark.parametrize("dictionary", list(FOLDERS))
    def test_words_are_fugashis(self, dictionary: str) -> None:
        analyze = MecabAnalyzer(dictionary)

        @settings(max_examples=100, deadline=None)
        @given(AWKWARD)
        def check(line: str) -> None:
            assert analyze(line) == fugashis_words(line, dictionary)

        for line in LINES:
            check = example(line)(check)
        check()

    def test_words_of_real_pages_are_fugashis(self, real_pages: list[str]) -> None:
        analyze = MecabAnalyzer()
        for line in "\n".join(real_pages[:3]).split("\n"):
            assert analyze(line) == fugashis_words(line, "unidic_lite")

    def test_places_are_of_the_line_as_given(self) -> None:
        assert MecabAnalyzer()("\t東京 　は") == [
            (1, 3, "名詞,固有名詞,地名,一般"),
            (4, 5, "空白"),
            (5, 6, "助詞,係助詞"),
        ]

    def test_fugashi_does_not_crash(self) -> None:  # as it does on the whole
        line = "a" * 180_000
        assert "".join(MecabWords(bundled_dictionary("unidic_lite"))(line)) == line

    @pytest.mark.parametrize("unit", ["ア", "東京都に行く。", "東京 ", "👨‍👩‍👧"])
    def test_a_line_of_any_length(self, unit: str) -> None:
        line = unit * (2 * LONGEST_PART // len(unit) + 9)
        words = MecabAnalyzer()(line)
        assert "".join(line[start:end] for start, end, _ in words) == line.replace(" ", "")
        assert all(before[1] <= after[0] for before, after in pairwise(words))
        assert "".join(MecabWords(bundled_dictionary("unidic_lite"))(line)) == line.rstrip(" ")

    def test_any_number_of_spaces(self) -> None:
        line = "東京" + " " * 70_000 + "東京" + " " * 70_000
        tokyo = "名詞,固有名詞,地名,一般"
        assert MecabAnalyzer()(line) == [(0, 2, tokyo), (70_002, 70_004, tokyo)]
        spaced = "".join(MecabWords(bundled_dictionary("unidic_lite"))(line))
        assert spaced == line.rstrip(" ")

    def test_a_part_ends_where_no_word_goes_on(self) -> None:
        sentences = "東京都に行く。" * (2 * LONGEST_PART // 7)
        expected = MecabAnalyzer()("東京都に行く。")
        assert [name for *_, name in MecabAnalyzer()(sentences)] == [
            name for _ in range(len(sentences) // 7) for *_, name in expected
        ]

    @given(st.text(st.sampled_from("a 。"), max_size=40), st.integers(1, 10))
    def test_parts(self, line: str, longest: int) -> None:
        cut = list(parts(line, longest))
        assert "".join(cut) == line
        assert all(len(part) <= longest for part in cut)
        assert all(cut) or not line


class TestDictionaries:
    @pytest.fixture
    def compiled(self, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
        """Compiles a dictionary of two words, without mecabrc, in a charset."""

        def compile(charset: str) -> Path:
            folder = tmp_path_factory.mktemp("dictionary of mine")
            source = tmp_path_factory.mktemp("source")
            files = {
                "dicrc": "config-charset = UTF-8\ncost-factor = 800\nbos-feature = BOS/EOS\n",
                "matrix.def": "1 1\n0 0 0\n",
                "char.def": "DEFAULT 0 1 0\nSPACE 0 1 0\n0x0020 SPACE\n",
                "unk.def": "DEFAULT,0,0,1000,未知語\nSPACE,0,0,1000,空白\n",
                "words.csv": "東京,0,0,100,名詞\nに,0,0,100,助詞,格助詞\n",
            }
            for name, text in files.items():
                (source / name).write_text(text, encoding="utf-8")
            (folder / "dicrc").write_text(files["dicrc"], encoding="utf-8")
            index(f'-d "{source}" -o "{folder}" -f utf-8 -t {charset}')
            return folder

        return compile

    def test_a_folder_and_a_user_dictionary(
        self, compiled: Callable[[str], Path], tmp_path: Path
    ) -> None:
        folder = compiled("utf-8")
        # Its features have fewer levels than those of the known dictionaries.
        expected = [(0, 2, "名詞"), (3, 6, "未知語"), (6, 7, "助詞,格助詞")]
        assert MecabAnalyzer(str(folder))("東京 鴨木城に")[0] == expected[0]
        words, user = tmp_path / "my words.csv", tmp_path / "my words.dic"
        words.write_text("鴨木城,0,0,-1000,名詞,固有名詞,城\n", encoding="utf-8")
        index(f'-d "{folder}" -u "{user}" -f utf-8 -t utf-8 "{words}"')
        expected[1] = (3, 6, "名詞,固有名詞,城")
        assert MecabAnalyzer(str(folder), str(user))("東京 鴨木城に") == expected

        without = labeler(dictionary=str(folder))
        with_user = labeler(dictionary=str(folder), user_dictionary=str(user))
        assert len(with_user("東京 鴨木城に")) == 2
        assert without.fingerprint != with_user.fingerprint
        # Made anew at the same place, of the same size, with another part of speech.
        words.write_text("鴨木城,0,0,-1000,動詞,固有名詞,城\n", encoding="utf-8")
        index(f'-d "{folder}" -u "{user}" -f utf-8 -t utf-8 "{words}"')
        again = labeler(dictionary=str(folder), user_dictionary=str(user))
        assert len(again("東京 鴨木城に")) == 1
        assert again.fingerprint != with_user.fingerprint

    def test_another_charset_is_refused(self, compiled: Callable[[str], Path]) -> None:
        with pytest.raises(ValueError, match=r"(?i)its charset is euc-jp, expected UTF-8"):
            MecabAnalyzer(str(compiled("euc-jp")))

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"'nope': expected unidic_lite, ipadic, unidic, or"):
            MecabAnalyzer("nope")
        with pytest.raises(ValueError, match=r"with a file sys\.dic"):
            MecabAnalyzer(str(tmp_path))
        with pytest.raises(ValueError, match="there is no such file"):
            MecabAnalyzer(user_dictionary=str(tmp_path / "user.dic"))
        (tmp_path / "user.dic").write_text("no dictionary")
        with pytest.raises(ValueError, match="cannot be started"):
            MecabAnalyzer(user_dictionary=str(tmp_path / "user.dic"))
        with pytest.raises(ValueError, match="analyzer 'juman': expected mecab or sudachi"):
            labeler(analyzer="juman")
        with pytest.raises(ValueError, match="split_mode='A': it is Sudachi's alone"):
            labeler(split_mode="A")


def index(arguments: str) -> None:
    """Compiles a dictionary, as the command fugashi-build-dict does."""
    fugashi.build_dictionary(f"fugashi-build-dict {arguments}")


class TestSudachi:
    @pytest.fixture
    def analyze(self) -> SudachiAnalyzer:
        pytest.importorskip("sudachipy")
        return SudachiAnalyzer()

    def test_words(self, analyze: SudachiAnalyzer) -> None:
        assert analyze("\t東京 　は静か") == [
            (1, 3, "名詞,固有名詞,地名,一般"),
            (5, 6, "助詞,係助詞"),
            (6, 8, "形状詞,一般"),
        ]

    def test_places(self, analyze: SudachiAnalyzer) -> None:
        @settings(max_examples=100, deadline=None)
        @given(AWKWARD)
        def check(line: str) -> None:
            words = analyze(line)
            place = 0
            for start, end, part_of_speech in words:
                assert not line[place:start].strip("\0").strip()
                assert start < end
                assert part_of_speech
                place = end
            assert not line[place:].strip("\0").strip()

        for line in LINES:
            check = example(line)(check)
        check()

    @pytest.mark.parametrize("unit", ["東京都に行く。", "a", "㍿", "👨‍👩‍👧", " "])
    def test_a_line_of_any_length(self, analyze: SudachiAnalyzer, unit: str) -> None:
        line = unit * (60_000 // len(unit))
        found = [line[start:end] for start, end, _ in analyze(line)]
        assert "".join(found) == line.strip()

    def test_split_modes(self, analyze: SudachiAnalyzer) -> None:
        assert len(analyze("国会議事堂前駅")) == 1
        for mode, words in (("A", 5), ("C", 1)):
            by_mode = labeler(analyzer="sudachi", dictionary="core", split_mode=mode)
            assert len(by_mode.segments("国会議事堂前駅")) in (words, 1)
            assert len(SudachiAnalyzer(split_mode=mode)("国会議事堂前駅")) == words

    def test_what_is_not_there(self, analyze: SudachiAnalyzer) -> None:
        with pytest.raises(ValueError, match="'unidic': expected core, small, full"):
            SudachiAnalyzer("unidic")
        with pytest.raises(ValueError, match="'D': expected A, B, C"):
            SudachiAnalyzer(split_mode="D")
        with pytest.raises(ValueError, match="user dictionary '/nowhere'"):
            SudachiAnalyzer(user_dictionary="/nowhere")


class TestLabeler:
    def test_spans_are_words(self) -> None:
        label = labeler({"名詞": ["名詞"], "副詞": ["副詞"]})
        text = "東京大学は\n\n とても静か\n"
        assert [(span, span.text(text.split("\n"))) for span in label(text)] == [
            (Span("名詞", 0, 0, 0, 2), "東京"),
            (Span("名詞", 0, 2, 0, 4), "大学"),
            (Span("副詞", 2, 1, 2, 4), "とても"),
        ]
        assert label("") == []

    def test_the_longest_beginning_decides(self) -> None:
        label = labeler({"place": ["名詞,固有名詞,地名"], "noun": ["名詞"], "は": ["助詞,係助詞"]})
        assert [span.attribute for span in label("東京の城は")] == ["place", "noun", "は"]
        # By whole levels: "名" is no beginning of "名詞".
        assert labeler({"x": ["名", "名詞,固有"]})("東京の城は") == []

    @settings(deadline=None)
    @given(AWKWARD)
    def test_stretches(self, line: str) -> None:
        stretches = NOUNS.segments(line)
        assert "".join(stretches) == line[: sum(map(len, stretches))]
        words = fugashis_words(line, "unidic_lite")
        # The rule, word by word: a new stretch at a noun and after one.
        expected: list[str] = []
        last, after_noun = 0, True
        for _, end, part_of_speech in words:
            is_noun = part_of_speech.split(",")[0] == "名詞"
            if is_noun or after_noun:
                expected.append("")
            expected[-1] += line[last:end]
            last, after_noun = end, is_noun
        assert stretches == expected

    def test_stretches_of_a_sentence(self) -> None:
        assert NOUNS.segments("これは 東京大学の\t門である。 ") == [
            "これは",
            " 東京",
            "大学",
            "の",
            "\t門",
            "である。",
        ]
        assert NOUNS.segments(" ") == NOUNS.segments("") == []

    def test_workers(self) -> None:
        text = "東京大学は\n静か"
        copy = pickle.loads(pickle.dumps(NOUNS))
        assert copy(text) == NOUNS(text) != []
        assert copy.fingerprint == NOUNS.fingerprint
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.map(NOUNS, [text]) == [NOUNS(text)]

    def test_fingerprint(self) -> None:
        two = {"名詞": ["名詞"], "副詞": ["副詞"]}
        turned = dict(reversed(two.items()))
        prints = [
            labeler().fingerprint,
            labeler(two).fingerprint,
            labeler(turned).fingerprint,
            labeler(dictionary="ipadic").fingerprint,
        ]
        assert len(set(prints)) == len(prints)
        assert labeler().fingerprint == prints[0]

    @pytest.mark.parametrize(
        ("classes", "message"),
        [
            ({}, "classes {}: expected at least one class"),
            (["名詞"], "expected at least one class"),
            ({"名詞": []}, "class '名詞' with \\[\\]"),
            ({"名詞": "名詞"}, "class '名詞' with '名詞'"),
            ({"名詞": ["名詞,"]}, "got '名詞,'"),
            ({"名詞": [3]}, "got 3"),
            ({"a": ["名詞"], "b": ["副詞", "名詞"]}, "classes 'a' and 'b' both have '名詞'"),
        ],
    )
    def test_bad_classes(self, classes: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            labeler(classes)

    @pytest.mark.parametrize("description", [{}, {"analyzer": "mecab"}, "mecab", None])
    def test_no_description(self, description: Any) -> None:
        with pytest.raises(ValueError, match="expected a table with analyzer, classes, dictionary"):
            PartOfSpeechLabeler(description)


NOUNS = labeler()
