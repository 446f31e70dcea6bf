"""Time and memory against the number of pages: reading, tokenising, and some training steps.

    python tests/benchmarks/scale.py [--pages 3000 30000] [--folder FOLDER] [--processes 2]

Makes castles with the generator of the built-in example (10,000 texts, then the same under other
ids), all in one folder as in a real task, and three teams' submissions; 1,000 pages have gold, 100
are for selection. Each size is prepared in a fresh process with the example's tokenizer, every
page teaching, and then trained on for some steps with a tiny student. Needs Linux: memory is read
from /proc.

What is shown of all processes together:
- private: what they need for themselves;
- resident, of the largest process: also the pages of memory-mapped files that it has touched,
  which the system takes back whenever it needs them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LABELLED, DEV, STEPS = 1000, 100, 20
DISTINCT = 10_000  # further pages repeat these texts
FOUND = {"thorough": 0.95, "usual": 0.8, "hasty": 0.5}
"""Team → how many of a page's values it finds."""


def write_task(folder: Path, count: int) -> int:
    """Write ``count`` pages, their gold and submissions; returns the number of characters."""
    sys.path.insert(0, str(ROOT / "data"))
    from example_pages import make_page
    from generate import annotation_lines

    plain, gold, teams = (folder / name for name in ("plain/Castle", "gold", "submissions"))
    for path in (plain, gold, *(teams / team for team in FOUND)):
        path.mkdir(parents=True)
    chance, characters, made = random.Random(count), 0, []
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(path.open("w", encoding="utf-8"))
            for name, path in [
                ("train", gold / "train.json"),
                ("dev", gold / "dev.json"),
                *((team, teams / team / "Castle.json") for team in FOUND),
            ]
        }
        for number in range(count):
            if number < DISTINCT:
                page = make_page(str(number), new_names=False)
                made.append((page.text, annotation_lines(replace(page, page_id=""), page.spans)))
            text, annotations = made[number % DISTINCT]
            characters += len(text)
            (plain / f"{number}.txt").write_bytes(text.encode())
            lines = [line.replace('""', f'"{number}"', 1) + "\n" for line in annotations]
            if number < LABELLED + DEV:
                files["train" if number < LABELLED else "dev"].writelines(lines)
            for team, share in FOUND.items():
                files[team].writelines(line for line in lines if chance.random() < share)
    return characters


def measure(folder: Path, processes: int) -> dict[str, float]:
    """Prepare the task in ``folder`` and train on it for some steps, in this process."""
    from accelerate import Accelerator

    from coteach.data.corpus import load_corpus
    from coteach.data.shinra_task import ShinraData
    from coteach.recipe import Selection, load_recipe
    from coteach.training.loop import fit
    from coteach.training.plan import Plan
    from coteach.training.prepare import prepare

    recipe = load_recipe("recipes.quickstart")
    data = ShinraData(
        pages=folder / "plain/Castle",
        gold=folder / "gold/train.json",
        dev=folder / "gold/dev.json",
        submissions=folder / "submissions",
        max_pages=10**9,
    )
    recipe = replace(recipe, data=data, processes=processes, cache=folder / "cache")
    figures: dict[str, float] = {"imported": resident(resource.RUSAGE_SELF)}
    with watching(figures):
        start = clocks()
        corpus = load_corpus(recipe.data, recipe.seed, recipe.cache)
        read = clocks()
        prepared = prepare(recipe, corpus)
        built = clocks()
        per_epoch = Plan.of(len(prepared.windowed.rows), recipe.optimisation, Selection(), 1)
        fit(
            prepared.graph,
            prepared.windowed,
            prepared.tokenizer,
            replace(recipe.optimisation, epochs=STEPS / per_epoch.per_epoch),
            recipe.selection,
            recipe.seed,
            Accelerator(cpu=True),
            folder,
            evaluate=lambda: dict.fromkeys(prepared.student.config.probability_names, 0.0),
            keep=lambda: None,
        )
        trained = clocks()
    return figures | {
        "windows": len(prepared.windowed.rows),
        "read": read[0] - start[0],
        "read_processor": read[1] - start[1],
        "build": built[0] - read[0],
        "build_processor": built[1] - read[1],
        "train": trained[0] - built[0],
        "resident": resident(resource.RUSAGE_SELF),
        "resident_worker": resident(resource.RUSAGE_CHILDREN),
    }


def clocks() -> tuple[float, float]:
    """Seconds by the clock, and of processor time of this process and those it has waited for.

    The second says what the work costs on a machine that is busy with other things, too.
    """
    times = os.times()
    return time.perf_counter(), sum(times[:4])


def resident(whose: int) -> float:
    """Peak resident memory in MB, of this process or of the largest that it has waited for."""
    return resource.getrusage(whose).ru_maxrss / 1e3


@contextmanager
def watching(figures: dict[str, float]) -> Iterator[None]:
    """Note the peak of the private memory of this process and its children, in MB."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            figures["private"] = max(figures.get("private", 0.0), private("self"))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield
    done.set()
    thread.join()


def private(process: str) -> float:
    """Anonymous resident memory of a process and all its children, in MB."""
    folder = Path("/proc") / process
    try:
        status = (folder / "status").read_text()
        children = [pid for it in folder.glob("task/*/children") for pid in it.read_text().split()]
    except OSError:  # it has just ended
        return 0.0
    own = next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:"))
    return int(own) / 1e3 + sum(map(private, children))


def report(sizes: list[int], results: list[dict[str, Any]]) -> None:
    """Print the figures of all sizes, and those of the largest against the smallest."""
    rows = {
        "windows": ("windows", ",.0f"),
        "read and check everything, s": ("read", ".1f"),
        "  processor time, s": ("read_processor", ".1f"),
        "tokenise, align, store, s": ("build", ".1f"),
        "  processor time, all processes, s": ("build_processor", ".1f"),
        f"{STEPS} training steps, s": ("train", ".1f"),
        "private memory, peak, MB": ("private", ",.0f"),
        "resident memory after imports, MB": ("imported", ",.0f"),
        "resident memory, peak, MB": ("resident", ",.0f"),
        "of the largest worker, peak, MB": ("resident_worker", ",.0f"),
        "cache on disk, MB": ("cache", ",.0f"),
    }
    print(f"{'pages':<36}" + "".join(f"{size:>12,}" for size in sizes) + f"{'ratio':>9}")
    for heading, (key, form) in rows.items():
        values = [result[key] for result in results]
        ratio = f"{values[-1] / values[0]:9.2f}" if values[0] else ""
        print(f"{heading:<36}" + "".join(f"{value:>12{form}}" for value in values) + ratio)


def main() -> None:
    """Prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, nargs="+", default=[3_000, 30_000])
    parser.add_argument("--folder", type=Path, help="for some GB of files, removed at the end")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.processes)))
        return
    results = []
    for size in options.pages:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            start = time.perf_counter()
            characters = write_task(Path(folder), size)
            seconds = time.perf_counter() - start
            print(f"{size:,} pages of {characters / size:.0f} characters made in {seconds:.0f} s")
            command = [sys.executable, __file__, "--measure", folder]
            done = subprocess.run(
                [*command, "--processes", str(options.processes)],
                stdout=subprocess.PIPE,
                check=True,
                cwd=ROOT,
            )
            result = json.loads(done.stdout.splitlines()[-1])
            cache = (path for path in (Path(folder) / "cache").rglob("*") if path.is_file())
            result["cache"] = sum(path.stat().st_size for path in cache) / 1e6
            results.append(result)
            report(options.pages[: len(results)], results)  # the files take long to remove
            shutil.rmtree(folder)
            Path(folder).mkdir()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
