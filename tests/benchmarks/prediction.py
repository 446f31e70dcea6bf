"""Prediction against the number of pages: time, memory, and where the time goes.

    python tests/benchmarks/prediction.py [--pages 30000 100000 300000] [--processes 1]
    python tests/benchmarks/prediction.py --encoder ENCODER --texts FOLDER --pages 200
    python tests/benchmarks/prediction.py --pages 3000 --profile

Pages are short, one to three lines of the built-in example's, unless --texts names a folder of
others. The student was never trained; it has one layer of width 16 unless --encoder names another
encoder. Each number of pages is predicted by ``python -m coteach.predict`` in fresh processes.
Needs Linux: memory is read from /proc.

What is shown:
- seconds, and processor time, of the whole command; the rate is that after the first shard;
- the peak resident memory of each process, added up, and the same when the first shard was done:
  the difference is what further pages take.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "data" / "example" / "plain" / "Castle"
ATTRIBUTES = [f"attribute {number}" for number in range(5)]


def texts_of(folder: Path) -> Iterator[str]:
    """The texts of a folder's pages, for ever."""
    paths = sorted(folder.rglob("*.txt"))
    while True:
        for path in paths:
            yield path.read_bytes().decode()


def short_texts() -> Iterator[str]:
    """One to three lines each, for ever."""
    number = 0
    for text in texts_of(EXAMPLE):
        lines = [line for line in text.split("\n") if line]
        while lines:
            number += 1
            yield "\n".join(lines[: number % 3 + 1])
            del lines[: number % 3 + 1]


def write_pages(folder: Path, count: int, texts: Iterator[str]) -> int:
    """Write pages; returns the number of characters."""
    folder.mkdir()
    characters = 0
    for number in range(count):
        text = next(texts)
        characters += len(text)
        (folder / f"{number}.txt").write_bytes(text.encode())
    return characters


def write_student(folder: Path, encoder: str | None) -> None:
    """Save a student whose heads were never trained, tiny unless an encoder is given."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    from coteach.model import Student, StudentConfig

    torch.manual_seed(0)
    if encoder is None:
        sys.path.insert(0, str(ROOT / "tests"))
        from tiny_task import build_tokenizer, random_student

        tokenizer = build_tokenizer(path.read_text() for path in sorted(EXAMPLE.glob("*.txt")))
        student = random_student(tokenizer, attributes=ATTRIBUTES)
    else:
        tokenizer = AutoTokenizer.from_pretrained(encoder)
        config = AutoConfig.from_pretrained(encoder)
        student = Student(StudentConfig(encoder=config.to_dict(), attributes=ATTRIBUTES))
        weights = AutoModel.from_pretrained(encoder, add_pooling_layer=False).state_dict()
        student.encoder.load_state_dict(weights)
    for head in student.heads.values():
        head.bias.data[0::3] += 1.5  # a value here and there
    student.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def measure(command: list[str], output: Path) -> dict[str, float]:
    """Run a command to its end, and watch it and all that it starts."""
    start = time.perf_counter()
    before = os.times()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    folder = output.with_name(f"{output.name}.parts")
    peaks: dict[str, float] = {}
    figures: dict[str, float] = {}
    while process.poll() is None:
        for pid in family(str(process.pid)):
            peaks[pid] = max(peaks.get(pid, 0.0), high_water(pid))
        if "first" not in figures and (folder / "00000.part").exists():
            figures |= {"first": sum(peaks.values()), "begun": time.perf_counter() - start}
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(process.returncode)
    after = os.times()
    processor = sum(after[2:4]) - sum(before[2:4])
    seconds = time.perf_counter() - start
    return figures | {"peak": sum(peaks.values()), "seconds": seconds, "processor": processor}


def family(pid: str) -> list[str]:
    """A process and all that it has started."""
    found = [pid]
    for children in (Path("/proc") / pid).glob("task/*/children"):
        try:
            found += [it for child in children.read_text().split() for it in family(child)]
        except OSError:  # it has just ended
            continue
    return found


def high_water(pid: str) -> float:
    """The peak of a process's resident memory so far (its ru_maxrss), in MB."""
    try:
        status = (Path("/proc") / pid / "status").read_text()
    except OSError:
        return 0.0
    return next(
        (int(it.split()[1]) / 1e3 for it in status.splitlines() if it.startswith("VmHWM:")), 0.0
    )


def profile(student: Path, pages: Path, output: Path) -> None:
    """Print where the time of prediction goes, in one process."""
    from coteach.predict import predict
    from coteach.training.loading import load_extractor

    extractor = load_extractor(student)
    profiler = cProfile.Profile()
    profiler.runcall(predict, extractor, pages, output)
    pstats.Stats(profiler).sort_stats("cumulative").print_stats(35)


def main() -> None:
    """Prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, nargs="+", default=[30_000, 100_000, 300_000])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--shard-pages", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--encoder", help="of the student, in the place of a tiny one")
    parser.add_argument("--texts", type=Path, help="folder of pages, repeated as needed")
    parser.add_argument("--folder", type=Path, help="for the files, removed at the end")
    parser.add_argument("--profile", action="store_true", help="where the time goes, instead")
    options = parser.parse_args()
    if not options.profile and min(options.pages) <= options.shard_pages:
        parser.error("expected more pages than one shard has")
    columns = [
        "pages",
        "characters",
        "seconds",
        "processor s",
        "pages/s",
        "peak MB",
        "1st shard MB",
    ]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        student, output = Path(folder) / "student", Path(folder) / "found.json"
        write_student(student, options.encoder)
        if not options.profile:
            print("".join(f"{column:>14}" for column in columns))
        for count in options.pages:
            pages = Path(folder) / f"pages-{count}"
            texts = short_texts() if options.texts is None else texts_of(options.texts)
            characters = write_pages(pages, count, texts)
            if options.profile:
                profile(student, pages, output)
                continue
            command = [sys.executable, "-m", "coteach.predict", str(student), str(pages)]
            for name in ("processes", "shard_pages", "batch_size"):
                command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
            found = measure([*command, "--output", str(output)], output)
            rate = (count - options.shard_pages) / (found["seconds"] - found["begun"])
            figures = [found["seconds"], found["processor"], rate, found["peak"], found["first"]]
            row = [f"{count:,}", f"{characters:,}", *(f"{figure:,.1f}" for figure in figures)]
            print("".join(f"{cell:>14}" for cell in row), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
