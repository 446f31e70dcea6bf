"""What part-of-speech labels with exact offsets cost, against fugashi itself.

    python tests/benchmarks/part_of_speech.py TEXT_FILE… [--characters 300000] [--dictionary ipadic]

Every contestant reads the same lines in one process, in turn; the medians of the repeats are
compared, in processor time, which other processes on the machine disturb less than wall time.
Before timing, the labels are checked against fugashi's nodes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import fugashi

from coteach.data.part_of_speech import description
from coteach.model.mecab import MECAB_DICTIONARIES, bundled_dictionary
from coteach.model.part_of_speech import MecabAnalyzer, PartOfSpeechLabeler

CLASSES = ("名詞", "副詞", "形容詞")
WARM_UP = 1
REPEATS = 7


def medians(contestants: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of each contestant; they take turns, so that a busy machine hits them all."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for repeat in range(WARM_UP + REPEATS):
        for name, work in contestants.items():
            start = time.process_time()
            work()
            if repeat >= WARM_UP:
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    """Prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", type=Path, nargs="+", help="plain text files")
    parser.add_argument("--characters", type=int, default=300_000, help="how many to read")
    parser.add_argument("--dictionary", choices=MECAB_DICTIONARIES, default="unidic_lite")
    options = parser.parse_args()
    every = "\n".join(path.read_bytes().decode("utf-8") for path in options.texts)
    text = every[: options.characters]
    lines = text.split("\n")
    analyze = MecabAnalyzer(options.dictionary)
    label = PartOfSpeechLabeler(description("mecab", options.dictionary, None, None, CLASSES, None))
    tagger = fugashi.GenericTagger(bundled_dictionary(options.dictionary))

    def nodes(line: str) -> list[tuple[str, str, str]]:
        return [
            (node.surface, node.white_space, ",".join(node.feature[:4])) for node in tagger(line)
        ]

    def each(work: Callable[[str], object]) -> None:
        for line in lines:
            work(line)

    for line in lines:
        found = [(line[start:end], name) for start, end, name in analyze(line)]
        assert found == [(word, name.partition(",*")[0]) for word, _, name in nodes(line)], line
    print(f"{len(text):,} characters, {len(lines):,} lines, {len(label(text)):,} labelled words")
    seconds = medians(
        {
            "fugashi's parse": lambda: each(tagger.parse),
            "fugashi's nodes, surface and part of speech": lambda: each(nodes),
            "words with places and parts of speech": lambda: each(analyze),
            "labels": lambda: each(label),
            "stretches": lambda: each(label.segments),
        }
    )
    floor = seconds["fugashi's parse"]
    for name, value in seconds.items():
        speed = len(text) / value
        print(f"{name:<45}{speed:12,.0f} characters/s  {value / floor:5.2f} x fugashi's parse")


if __name__ == "__main__":
    main()
