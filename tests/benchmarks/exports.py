"""What an export finds, how fast it is and what it costs in F1, beside its student: ratios.

    python tests/benchmarks/exports.py STUDENT PAGES GOLD [--sentences 1000] [--page-ids FILE]

Exports the student to ONNX in float32 and to int8, unless a folder of earlier exports is given.

Spans: the first sentences (lines) of the pages are read by the student and by each export; counted
are the values that only one of both finds. Speed: all contestants, on the CPU with one number of
threads, take turns on the same sentences, tokenised beforehand; the first round of each is thrown
away, and the medians of the others are compared with PyTorch in float32. F1: coteach.predict's
submission of each for the pages with gold, scored as coteach.score does, with a paired interval
over the pages.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import torch
from training import medians
from transformers.utils.logging import disable_progress_bar

from coteach.data.page_folder import PageFolder, read_page_ids
from coteach.data.shinra import read_gold
from coteach.export import Form, export
from coteach.exporting.check import check_values
from coteach.model import Student
from coteach.model.extraction import Extractor, Predictor
from coteach.predict import predict
from coteach.score import compare
from coteach.training.loading import load_extractor, load_student

FORMS: tuple[Form, ...] = ("onnx", "int8")
GOALS = {"onnx": 1.1, "int8": 2.0}  # times as fast as PyTorch in float32
LARGEST_LOSS = 0.5  # of F1, in points, by int8


def sentences_of(pages: PageFolder, most: int) -> list[str]:
    """The first lines of the pages that hold something."""
    lines = (line for page in pages.values() for line in page.text.split("\n"))
    return list(islice((line for line in lines if line.strip()), most))


def print_spans(
    student: Student, exports: dict[Form, Predictor], tokenizer: object, texts: list[str]
) -> None:
    """Values of p that only one of student and export finds."""
    print(f"{'values':14} {'both':>7} {'lost':>6} {'new':>6}  largest difference of confidence")
    for name, exported in exports.items():
        found = check_values(student, exported, tokenizer, texts)
        print(f"{name:14} {found.both:7,} {found.lost:6,} {found.new:6,}  {found.difference:.1e}")


def print_speed(
    student: Student,
    exports: dict[Form, Predictor],
    tokenizer: object,
    texts: list[str],
    options: argparse.Namespace,
) -> None:
    """Sentences a second, and times as fast as PyTorch in float32."""

    def reading(model: Predictor, bf16: bool = False) -> Callable[[], object]:
        extractor = Extractor(model, tokenizer, options.batch_size)
        tokens = [extractor.aligner(text) for text in texts]

        def read() -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                for _ in extractor.from_tokens(tokens, ["p"]):
                    pass

        return read

    contestants = {"torch float32": reading(student), "torch bf16": reading(student, bf16=True)}
    contestants |= {name: reading(exported) for name, exported in exports.items()}
    seconds = medians(contestants, options.rounds)
    plain = seconds["torch float32"]
    print(f"\n{'':14} {'sentences/s':>12} {'times':>6}  goal")
    for name, value in seconds.items():
        goal = f"{GOALS[name]}" if name in GOALS else ""
        print(f"{name:14} {len(texts) / value:12.1f} {plain / value:6.2f}  {goal}")


def print_scores(extractors: dict[str, Extractor], options: argparse.Namespace) -> None:
    """Micro-F1 on the pages with gold, and the difference to the student's."""
    page_ids = list(read_gold(options.gold).values)
    if options.page_ids is not None:
        page_ids = read_page_ids(options.page_ids)
    with tempfile.TemporaryDirectory() as scratch:
        pages = Path(scratch) / "pages"
        pages.mkdir()
        for page_id in page_ids:
            source = options.pages / f"{page_id}.txt"
            (pages / source.name).write_bytes(source.read_bytes())
        listed = Path(scratch) / "pages.txt"
        listed.write_text("\n".join(page_ids))
        files = {name: Path(scratch) / f"{name}.json" for name in extractors}
        for name, extractor in extractors.items():
            predict(extractor, pages, files[name])
        scored = compare(options.gold, list(files.values()), pages=listed)
    differences = scored.differences()
    print(f"\n{'':14} {'P':>6} {'R':>6} {'F1':>6}  F1 − student ({len(page_ids)} pages)")
    for name, file in files.items():
        micro = scored.scores[str(file)].micro
        shown = ""
        if str(file) in differences:
            it = differences[str(file)]
            shown = f"{100 * it.estimate:+.2f} [{100 * it.low:+.2f}, {100 * it.high:+.2f}]"
            shown += f"  goal ≥ −{LARGEST_LOSS}" if name == "int8" else ""
        figures = " ".join(f"{100 * it:6.2f}" for it in (micro.precision, micro.recall, micro.f1))
        print(f"{name:14} {figures}  {shown}")


def compare_exports(options: argparse.Namespace, folder: Path) -> None:
    """Print the three tables, of exports that are in a folder, or are written to it."""
    for form in FORMS:
        if not (folder / form).exists():
            export(options.student, form, folder / form)
    extractors = {name: load_extractor(folder / name, options.batch_size) for name in FORMS}
    student, tokenizer = load_student(options.student)
    student = student.to("cpu")
    exports: dict[Form, Predictor] = {name: it.student for name, it in extractors.items()}
    texts = sentences_of(PageFolder(options.pages), options.sentences)
    print(f"{len(texts):,} sentences, {options.threads} threads, batches of {options.batch_size}\n")
    print_spans(student, exports, tokenizer, texts)
    print_speed(student, exports, tokenizer, texts[: options.timed], options)
    whole = Extractor(student, tokenizer, options.batch_size)
    print_scores({"student": whole, **extractors}, options)


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("student", help="folder of a student that extracts, or of its run")
    parser.add_argument("pages", type=Path, help="folder of plain pages, <page_id>.txt")
    parser.add_argument("gold", type=Path, help="SHINRA JSON lines")
    parser.add_argument("--page-ids", type=Path, help="file of page ids; otherwise those in GOLD")
    parser.add_argument("--exports", type=Path, help="folder that keeps the exports, or has them")
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--timed", type=int, default=300, help="sentences of a timed round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    disable_progress_bar()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        compare_exports(options, options.exports or Path(scratch))


if __name__ == "__main__":
    main()
