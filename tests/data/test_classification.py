from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tyro
from datasets import ClassLabel, Dataset, Features, Value

from coteach.data.classification import ClassificationData, LabelledTexts
from coteach.errors import InputError
from coteach.model.mecab import MecabWords, bundled_dictionary
from coteach.model.preprocessing import PAPER_STEPS, preprocess

CORPORA = Path(__file__).parents[2] / ".." / "shared" / "corpora"

Row = tuple[str, str]


def table(rows: list[Row], header: Row = ("text", "label")) -> str:
    return "".join("\t".join(row) + "\n" for row in [header, *rows])


def many(count: int, classes: str = "ab") -> list[Row]:
    return [(f"text {n}", classes[n % len(classes)]) for n in range(count)]


class Files:
    """Writes files, and describes data of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, content: str | bytes | list[Row]) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = table(content) if isinstance(content, list) else content
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return str(path)

    def data(self, content: str | bytes | list[Row], name: str = "train.tsv", **fields: Any) -> Any:
        for split in ("dev", "report"):
            if isinstance(fields.get(split), list):
                fields[split] = self.write(f"{split}.tsv", fields[split])
        return ClassificationData(train=self.write(name, content), **fields)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def texts_of(read: LabelledTexts, split: str) -> list[str]:
    return [read.pages[page_id].text for page_id in getattr(read, split)]


def check_whole(read: LabelledTexts) -> None:
    """What holds of all data."""
    ids = [*read.train, *read.dev, *(read.report or ())]
    assert sorted(ids) == sorted(set(ids)) == sorted(read.pages) == sorted(read.labels)
    assert all(page_id == page.page_id for page_id, page in read.pages.items())
    assert {read.labels[page_id] for page_id in read.train} == set(range(len(read.classes)))
    assert set(read.labels.values()) <= set(range(len(read.classes)))


def test_files_of_every_kind_say_the_same(files: Files) -> None:
    rows = many(40)
    lines = [json.dumps({"label": label, "more": [1], "text": text}) for text, label in rows]
    folder = files.folder / "hub"
    features = Features({"text": Value("string"), "label": ClassLabel(names=["a", "b"])})
    columns = {"text": [text for text, _ in rows], "label": [label for _, label in rows]}
    Dataset.from_dict(columns, features).to_parquet(folder / "train.parquet")
    of_texts = [
        files.data(table(rows), "train.tsv").read(3),
        files.data("\ufeff" + table(rows).replace("\n", "\r\n\r\n"), "train.tsv").read(3),
        files.data(table(rows).replace("\t", ","), "train.csv").read(3),
        files.data("\n".join(lines), "train.jsonl").read(3),
        ClassificationData(train=str(folder)).read(3),
    ]
    for read in of_texts:
        check_whole(read)
        assert read.classes == ("a", "b")
        assert len(read.dev) == 4
        assert read.report is None
        assert not read.pairs
        assert texts_of(read, "train") == texts_of(of_texts[0], "train")
    assert of_texts[0].pages["train:17"].text == "text 16"
    assert of_texts[-1].pages["hub:17"].text == "text 16"


def test_quotes_in_csv_and_in_tsv(files: Files) -> None:
    rows = '"a ""b"",\nc",x\nd,y\n'
    read = files.data(f"text,label\n{rows}", "train.csv", dev=[("e", "x")]).read(1)
    assert texts_of(read, "train") == ['a "b",\nc', "d"]
    read = files.data('text\tlabel\n"a\tx\nb"\ty\n', dev=[("e", "x")]).read(1)
    assert texts_of(read, "train") == ['"a', 'b"']


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([10, 9, -1], ("-1", "9", "10")),
        ([True, False, True], ("False", "True")),
        (["10", "9", "0.5"], ("0.5", "9", "10")),
        (["10", "9", "x"], ("10", "9", "x")),
    ],
)
def test_classes_are_sorted(files: Files, labels: list[Any], classes: tuple[str, ...]) -> None:
    lines = [json.dumps({"text": f"t{n}", "label": label}) for n, label in enumerate(labels)]
    dev = files.write("dev.jsonl", lines[0])
    read = files.data("\n".join(lines), "train.jsonl", dev=dev).read(1)
    assert read.classes == classes
    assert [classes[read.labels[f"train:{n}"]] for n in (1, 2, 3)] == list(map(str, labels))


def test_pairs_are_two_lines(files: Files) -> None:
    rows = [
        {"text": "a\nb", "second": "c\r\nd\n", "label": "x"},
        {"text": "e", "second": "f", "label": "y"},
        {"text": "g", "second": " ", "label": "y"},
    ]
    lines = "\n".join(map(json.dumps, rows))
    dev = files.write("dev.jsonl", json.dumps(rows[0]))
    read = files.data(lines, "train.jsonl", dev=dev, second_text="second").read(1)
    assert read.pairs
    assert texts_of(read, "train") == ["a b\nc d", "e\nf"]
    assert read.remarks == ("train.jsonl: 1 pair dropped as empty",)
    single = files.data(lines, "train.jsonl", dev=dev).read(1)
    assert texts_of(single, "train") == ["a\nb", "e", "g"]


def test_preprocessing_and_what_it_leaves_empty(files: Files) -> None:
    rows = [("Ａ！", "x"), ("！？", "x"), ("b", "y"), (" ", "y")]
    steps = ("nfkc", "symbols")
    read = files.data(rows, dev=[("ｃ", "x")], preprocessing=steps).read(1)
    assert texts_of(read, "train") == ["A", "b"]
    assert texts_of(read, "dev") == ["c"]
    assert set(read.remarks) == {
        "train.tsv: 2 texts changed by preprocessing",
        "train.tsv: 2 texts dropped as empty",
        "dev.tsv: 1 text changed by preprocessing",
    }


def test_duplicates(files: Files) -> None:
    rows = [
        *[("a!", "x"), ("a", "x"), ("b", "x"), ("c", "x"), ("c", "y"), ("c", "x")],
        *[("d", "y"), ("e", "y"), ("f", "y")],
    ]
    dev = [("d", "x"), ("g", "x"), ("g", "x"), ("h", "y")]
    report = [("e", "x"), ("h", "y"), ("h", "x")]
    data = files.data(rows, dev=dev, report=report, preprocessing=("symbols",))
    kept = data.read(1)
    assert texts_of(kept, "train") == ["a", "a", "b", "c", "c", "c", "d", "e", "f"]
    read = replace(data, duplicates="drop").read(1)
    check_whole(read)
    assert read.train == ("train:1", "train:3", "train:9")
    assert texts_of(read, "dev") == ["d", "g", "g"]
    assert texts_of(read, "report") == ["e", "h", "h"]
    assert set(read.remarks) == {
        "train.tsv: 1 text changed by preprocessing",
        "train.tsv: 1 text dropped as duplicates",
        "train.tsv: 3 texts dropped as there with several classes",
        "train.tsv: 2 texts dropped as also in the dev or report data",
        "dev.tsv: 1 text dropped as also in the report data",
    }


def test_a_pair_is_a_duplicate_where_both_texts_are(files: Files) -> None:
    content = "text\tsecond\tlabel\na\tb\tx\na\tc\ty\nb\ta\tx\na\tb\tx\n"
    dev = files.write("dev.tsv", "text\tsecond\tlabel\nd\te\tx\n")
    read = files.data(content, dev=dev, second_text="second", duplicates="drop").read(1)
    assert read.train == ("train:1", "train:2", "train:3")


def test_length_in_characters(files: Files) -> None:
    rows = [("abc", "x"), ("abcd", "x"), ("   d", "y"), ("e", "y")]
    data = files.data(rows, dev=[("fghij", "x"), ("f", "y")], max_length=3)
    read = data.read(1)
    assert texts_of(read, "train") == ["abc", "e"]
    assert texts_of(read, "dev") == ["f"]
    assert "train.tsv: 2 texts dropped as longer than 3 characters" in read.remarks
    read = replace(data, too_long="cut").read(1)
    assert texts_of(read, "train") == ["abc", "abc", "e"]
    assert texts_of(read, "dev") == ["fgh", "f"]
    assert "train.tsv: 1 text cut to 3 characters" in read.remarks
    assert "train.tsv: 1 text dropped as empty" in read.remarks


def test_length_in_words(files: Files) -> None:
    text = "東京の城は 古い\n\n新しい城も 大きい  "
    rows = [{"text": text, "label": "x"}, {"text": "城", "label": "y"}]
    lines = "\n".join(map(json.dumps, rows))
    words = MecabWords(bundled_dictionary("unidic_lite"))
    count = sum(len(words(line)) for line in text.split("\n"))
    dev = files.write("dev.jsonl", lines)
    for maximum in range(1, count + 2):
        data = files.data(
            lines, "train.jsonl", dev=dev, max_length=maximum, length_unit="words", too_long="cut"
        )
        cut = texts_of(data.read(1), "train")[0]
        assert text.startswith(cut)
        assert cut == cut.rstrip("\n")
        assert sum(len(words(line)) for line in cut.split("\n")) == min(maximum, count)
        assert (cut == text) == (maximum >= count)
        if maximum < count:
            with pytest.raises(InputError, match="two classes"):
                replace(data, too_long="drop").read(1)


def test_balance(files: Files) -> None:
    rows = [(f"t{n}", "x" if n % 4 else "y") for n in range(40)]
    dev = [(f"d{n}", "x") for n in range(5)] + [("d", "y")]
    data = files.data(rows, dev=dev, balance="downsample")
    read = data.read(1)
    assert Counter(read.classes[read.labels[page_id]] for page_id in read.train) == {
        "x": 10,
        "y": 10,
    }
    assert len(read.dev) == 6
    assert read.remarks == ("train.tsv: 20 texts dropped to leave 10 of each class at most",)
    assert data.read(1) == read
    assert data.read(2).train != read.train
    fewer = replace(data, max_per_class=4).read(1)
    assert len(fewer.train) == 8
    assert set(fewer.train) < set(read.train)
    uneven = replace(data, balance="none", max_per_class=12).read(1)
    assert len(uneven.train) == 22


def test_folds(files: Files) -> None:
    data = files.data(many(103, "abc"), folds=10)
    reads = [replace(data, fold=fold).read(5) for fold in range(10)]
    for fold, read in enumerate(reads):
        check_whole(read)
        assert read.report is not None
        assert read.fold_of == reads[0].fold_of
        assert [*read.pages.items()] == [*reads[0].pages.items()]  # in one order, too
        assert {read.fold_of[page_id] for page_id in read.report} == {fold}
        assert {read.fold_of[page_id] for page_id in read.dev} == {(fold + 1) % 10}
        assert len(read.train) + len(read.dev) + len(read.report) == 103
    reported = [page_id for read in reads for page_id in read.report]
    assert sorted(reported) == sorted(reads[0].pages)
    assert data.read(6).fold_of != reads[0].fold_of


def test_folds_are_written(files: Files) -> None:
    path = files.folder / "folds.json"
    read = files.data(many(30), folds=3).read(1)
    read.write_folds(path)
    assert json.loads(path.read_text("utf-8")) == read.fold_of
    with pytest.raises(InputError, match=r"data\.folds"):
        files.data(many(30)).read(1).write_folds(path)


def test_groups_stay_together(files: Files) -> None:
    rows = "".join(f"text {n}\t{'ab'[n % 2]}\t{n // 6}\n" for n in range(120))
    data = files.data(f"text\tlabel\tauthor\n{rows}", group="author")
    group_of = {f"train:{n + 1}": n // 6 for n in range(120)}
    for read in (data.read(1), replace(data, folds=5).read(1)):
        parts = [{group_of[i] for i in part} for part in (read.train, read.dev, read.report or ())]
        assert sum(map(len, parts)) == 20
        assert parts[1]
    folded = replace(data, folds=5).read(1)
    assert folded.fold_of is not None
    assert len({(group_of[i], fold) for i, fold in folded.fold_of.items()}) == 20


def test_a_group_that_holds_a_whole_class(files: Files) -> None:
    rows = "".join(f"t{n}\t{'aab'[n % 3]}\t{n if n % 3 < 2 else 'all'}\n" for n in range(30))
    data = files.data(f"text\tlabel\tauthor\n{rows}", group="author", folds=3)
    message = r"data\.fold \d: no training text of class 'b' is left; expected smaller groups"
    with pytest.raises(InputError, match=message):
        [replace(data, fold=fold).read(1) for fold in range(3)]


def test_files_of_one_name(files: Files) -> None:
    one, two = files.write("x/data.tsv", many(20)), files.write("y/data.tsv", many(20))
    read = ClassificationData(train=(one, two), preprocessing=("spaces",)).read(1)
    check_whole(read)
    assert len(read.pages) == 40
    assert f"{one}: 20 texts changed by preprocessing" in read.remarks
    assert {page_id.rpartition(":")[0] for page_id in read.pages} == {one, two}


def test_a_single_class(files: Files) -> None:
    with pytest.raises(InputError, match=r'at least two classes, got \["x"\]'):
        files.data([("a", "x"), ("b", "x")]).read(1)
    with pytest.raises(InputError, match=r"at least two classes, got none"):
        files.data([(" ", "x")]).read(1)


def test_a_class_that_training_lacks(files: Files) -> None:
    message = r'report\.tsv:3: class "z" is none of the training texts\'; expected one of \["a", "b'
    with pytest.raises(InputError, match=message):
        files.data(many(20), report=[("r", "a"), ("s", "z")]).read(1)


def test_a_dev_that_nothing_is_left_of(files: Files) -> None:
    with pytest.raises(InputError, match=r"data\.dev: no text is left"):
        files.data(many(20), dev=[(" ", "a")]).read(1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"train": ()}, r"data\.train: expected at least one file"),
        ({"train": ("a.tsv", "a.tsv")}, r"data\.train: 'a\.tsv' is named twice"),
        ({"dev": "a.tsv"}, r"'a\.tsv' is named twice; expected different files"),
        ({"label": "text"}, r"data: expected different columns, got \['text', 'text'\]"),
        ({"max_length": 0}, r"data\.max_length: expected at least 1, got 0"),
        ({"max_per_class": 0}, r"data\.max_per_class: expected at least 1, got 0"),
        ({"dev_fraction": 1.0}, r"data\.dev_fraction: expected a share in \(0, 1\), got 1\.0"),
        ({"fold": 1}, r"data\.fold: expected 0 without data\.folds, got 1"),
        ({"group": "g", "dev": "b.tsv"}, r"data\.group: expected None where data\.dev is given"),
        ({"folds": 2}, r"data\.folds: expected at least 3 .*, got 2"),
        ({"folds": 5, "fold": 5}, r"data\.fold: expected a fold from 0 to 4, got 5"),
        ({"folds": 5, "dev": "b.tsv"}, r"data\.dev: expected None, .* got 'b\.tsv'"),
        ({"folds": 5, "report": "b.tsv"}, r"data\.report: expected None, .* got 'b\.tsv'"),
    ],
)
def test_fields_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ClassificationData(**{"train": "a.tsv", **fields})


def test_more_folds_than_texts_of_a_class(files: Files) -> None:
    with pytest.raises(InputError, match=r"data\.folds: expected at most 4, .* class 'b', got 5"):
        files.data([*many(8), ("c", "a"), ("d", "a")], folds=5).read(1)


def test_every_field_is_an_option() -> None:
    options = "--train a.tsv b.tsv --preprocessing nfkc digits --balance downsample --folds 10"
    data = tyro.cli(ClassificationData, args=options.split())
    expected = ClassificationData(
        train=("a.tsv", "b.tsv"), preprocessing=("nfkc", "digits"), balance="downsample", folds=10
    )
    assert data == expected
    assert tyro.cli(ClassificationData, args=["--train", "a.tsv"]).train in ("a.tsv", ("a.tsv",))


@pytest.fixture
def corpora() -> Path:
    if not CORPORA.is_dir():
        pytest.skip("the corpora are not at hand")
    return CORPORA


def test_reviews(corpora: Path) -> None:
    """Train and dev pooled for folds, as the paper does; counted once more from its text."""
    paths = [corpora / "jrte-sentiment" / name for name in ("train.tsv", "dev.tsv")]
    data = ClassificationData(
        train=tuple(map(str, paths)),
        preprocessing=PAPER_STEPS,
        duplicates="drop",
        balance="downsample",
        folds=10,
    )
    read = data.read(1)
    check_whole(read)
    classes: dict[str, set[str]] = {}
    for path in paths:
        for line in path.read_text("utf-8").splitlines()[1:]:
            text, label = line.split("\t")
            classes.setdefault(preprocess(text, PAPER_STEPS), set()).add(label)
    classes.pop("", None)
    sizes = Counter(next(iter(of)) for of in classes.values() if len(of) == 1)
    assert read.classes == ("negative", "neutral", "positive")
    assert Counter(read.labels.values()) == dict.fromkeys(range(3), min(sizes.values()))
    assert len({page.text for page in read.pages.values()}) == len(read.pages)
    assert {classes[page.text].pop() for page in read.pages.values()} == set(read.classes)


def test_authors_by_work(corpora: Path) -> None:
    path = corpora / "aozora-authors" / "train.tsv"
    read = ClassificationData(train=str(path), group="work", folds=10, fold=9).read(1)
    check_whole(read)
    works = [line.split("\t")[2] for line in path.read_text("utf-8").splitlines()[1:]]
    assert read.fold_of is not None
    fold_of_work = {(works[int(i.split(":")[1]) - 1], fold) for i, fold in read.fold_of.items()}
    assert len(fold_of_work) == len(set(works))
    assert len(read.fold_of) == 4500
    sizes = Counter(read.fold_of.values())
    assert max(sizes.values()) < 1.2 * min(sizes.values())


def test_pairs_of_sentences(corpora: Path) -> None:
    train, dev = (str(corpora / "jsick" / name) for name in ("train.tsv", "dev.tsv"))
    read = ClassificationData(train=train, dev=dev, second_text="text_pair").read(1)
    check_whole(read)
    assert (len(read.train), len(read.dev)) == (4500, 500)
    assert read.classes == ("contradiction", "entailment", "neutral")
    assert all(len(page.lines) == 2 for page in read.pages.values())
    assert read.remarks == ()
