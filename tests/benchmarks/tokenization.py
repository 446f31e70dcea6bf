"""What exact offsets cost: tokenising with MeCab and WordPiece against MeCab's own parse.

    python tests/benchmarks/tokenization.py [--text FILE_OR_FOLDER]

A WordPiece vocabulary is trained on the text itself. Every contestant reads the same lines in one
process, in turn; the medians of the repeats are compared. Before timing, the ids are checked
against ``BertJapaneseTokenizer``. The last table is wall time with worker processes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import fugashi
import unidic_lite
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import BertJapaneseTokenizer

from coteach.model.alignment import Aligner

EXAMPLE = Path(__file__).parents[2] / "data" / "example" / "plain"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WARM_UP = 2
REPEATS = 9
align_page: Aligner  # of a worker process
MECAB = f'-d "{unidic_lite.DICDIR}" -r "{unidic_lite.DICDIR}/mecabrc"'


def read_pages(path: Path) -> list[str]:
    """The text of a file, or of all .txt files below a folder."""
    paths = [path] if path.is_file() else sorted(path.rglob("*.txt"))
    pages = [page.read_bytes().decode("utf-8") for page in paths]
    if not any(pages):
        raise SystemExit(f"{path}: expected a text file or a folder with .txt files")
    return pages


def japanese_bert(lines: list[str], folder: Path) -> BertJapaneseTokenizer:
    """A BertJapaneseTokenizer whose vocabulary is trained on the words of ``lines``."""
    tagger = fugashi.GenericTagger(MECAB)

    def words() -> Iterator[str]:
        for line in lines:
            nodes = tagger(unicodedata.normalize("NFKC", line))
            yield " ".join(node.surface for node in nodes)

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=32_000, special_tokens=SPECIAL, show_progress=False
    )
    tokenizer.train_from_iterator(words(), trainer)
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    path = folder / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token, _ in vocabulary), encoding="utf-8")
    return BertJapaneseTokenizer(
        str(path), word_tokenizer_type="mecab", mecab_kwargs={"mecab_dic": "unidic_lite"}
    )


def medians(contestants: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of each contestant; they take turns, so that a busy machine hits them all."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for repeat in range(WARM_UP + REPEATS):
        for name, work in contestants.items():
            start = time.perf_counter()
            work()
            if repeat >= WARM_UP:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def start_worker(aligner: Aligner) -> None:
    """Makes the aligner known to a worker process."""
    global align_page
    align_page = aligner


def tokenize(page: str) -> int:
    """Tokenises a page in a worker process, without sending the tokens back."""
    return len(align_page(page))


def main() -> None:
    """Prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, default=EXAMPLE, help="a file, or a folder of .txt")
    pages = read_pages(parser.parse_args().text)
    lines = [line for page in pages for line in page.split("\n")]
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = japanese_bert(lines, Path(folder))

    align = Aligner(tokenizer, separator=False)
    expected = [tokenizer(line, add_special_tokens=False)["input_ids"] for line in lines]
    ids = [token for page in pages for token in align(page).ids]
    assert ids == [token for line in expected for token in line], "the ids differ"
    print(f"{len(pages)} pages, {sum(map(len, lines)):,} characters, {len(ids):,} tokens")

    parse = fugashi.GenericTagger(MECAB).parse
    wakati = fugashi.GenericTagger(f"{MECAB} -Owakati").parse
    seconds = medians(
        {
            "MeCab's parse": lambda: [parse(line) for line in lines],
            "MeCab's parse, surfaces only (-Owakati)": lambda: [wakati(line) for line in lines],
            "Aligner, with offsets": lambda: [align(page) for page in pages],
            "BertJapaneseTokenizer, without": lambda: [tokenizer.tokenize(line) for line in lines],
        }
    )
    floor = seconds["MeCab's parse"]
    for name, value in seconds.items():
        print(f"{name:<42}{value:8.3f} s  {value / floor:5.2f} x MeCab's parse")

    workers = {}
    for number in (1, 2):
        context = multiprocessing.get_context("fork")
        with context.Pool(number, initializer=start_worker, initargs=(align,)) as pool:
            name = f"{number} worker(s)"
            workers.update(medians({name: partial(pool.map, tokenize, pages, chunksize=64)}))
    one, two = workers.values()
    print(f"2 worker processes: {one / two:.2f} x the speed of 1 ({one:.3f} s, {two:.3f} s)")


if __name__ == "__main__":
    main()
