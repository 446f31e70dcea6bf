"""Scores submissions against the gold: ``python -m coteach.score GOLD SYSTEM …``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from coteach.command import program
from coteach.data.defects import Defects, OnBadLine
from coteach.data.page_folder import read_page_ids
from coteach.data.shinra import read_annotation_file, read_gold
from coteach.errors import InputError, quote
from coteach.evaluation.shinra import Average, Counts, Score, page_counts, score
from coteach.evaluation.significance import Interval, f1_difference

__all__ = ["Comparison", "Options", "compare", "main"]


@dataclass(frozen=True)
class Options:
    """Scores submissions: exact spans, micro- and macro-averaged, as the SHINRA task does.

    With several systems, each is also compared with the first one: difference of micro-F1 with
    its 95 % interval (paired bootstrap over pages, 2,000 draws).
    """

    gold: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="GOLD")]
    """The gold: JSON lines with page_id, attribute and text_offset or html_offset."""

    systems: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="SYSTEM [SYSTEM ...]", help_behavior_hint="(one or more)"),
    ]
    """Submissions in the same format; the others are compared with the first."""

    pages: Annotated[
        Path | None,
        tyro.conf.arg(metavar="IDS", help_behavior_hint="(default: the pages with a gold value)"),
    ] = None
    """Score the pages of this text file, one id a line, and count every value on them."""

    offsets: Literal["text", "html"] = "text"
    """Which places to compare, text_offset or html_offset."""

    on_bad_line: OnBadLine = "stop"
    """A line that cannot be used: stop with an error, or skip it, count it and go on."""

    as_json: Annotated[bool, tyro.conf.arg(name="json"), tyro.conf.FlagCreatePairsOff] = False
    """Print the scores as one JSON object, as fractions, and nothing else."""


@dataclass(frozen=True)
class Comparison:
    """Systems scored on the same pages.

    Attributes:
        scores: system (its path as given) → score, in the order given.
        page_counts: system → counts of each page, shape (pages, 3), of the micro-average.
        pages: which pages were scored, in words.
        defects: what was wrong or remarkable in the files.
    """

    scores: Mapping[str, Score]
    page_counts: Mapping[str, np.ndarray]
    pages: str
    defects: Defects

    def differences(self) -> dict[str, Interval]:
        """Each further system's micro-F1 minus that of the first, with its interval."""
        first, *others = self.page_counts
        return {
            system: f1_difference(self.page_counts[system], self.page_counts[first])
            for system in others
        }

    def as_json(self) -> dict[str, Any]:
        """The scores as fractions, the page rule, and what was skipped or remarkable."""
        return {
            "scores": {
                system: {
                    "micro": _figures(result.micro),
                    "macro": _figures(result.macro),
                    "attributes": {
                        name: _figures(counts) for name, counts in result.attributes.items()
                    },
                }
                for system, result in self.scores.items()
            },
            "pages": self.pages,
            "input": self.defects.as_json(),
        }


def compare(
    gold: str | Path,
    systems: Sequence[str | Path],
    *,
    pages: str | Path | None = None,
    offsets: Literal["text", "html"] = "text",
    on_bad_line: OnBadLine = "stop",
) -> Comparison:
    """Scores the submission files ``systems`` against the file ``gold``; see :class:`Options`.

    Raises:
        InputError: a file cannot be used, a system is given twice, or there is no system.
    """
    names = [str(system) for system in systems]
    if not names:
        raise InputError("no system given; expected at least one submission after the gold")
    for number, name in enumerate(names):
        if Path(name) in map(Path, names[:number]):
            raise InputError(f"system {name!r} is given twice; expected different files")
    defects = Defects(on_bad_line)
    gold_file = read_gold(gold, offsets=offsets, defects=defects)
    page_ids: list[str] | None = None
    rule = f"pages of the gold file ({len(gold_file.values)})"
    if pages is not None:
        page_ids = read_page_ids(pages)
        if not page_ids:
            raise InputError.at(pages, None, "no page id; expected one a line")
        if gold_file.values and not any(page_id in gold_file.values for page_id in page_ids):
            raise InputError.at(
                pages,
                None,
                f"none of its {len(page_ids)} page ids has a value in the gold file; expected a "
                f"text file with one page id a line, got {quote(page_ids[0])}",
            )
        rule = f"the {len(page_ids)} pages of {pages}"

    files = {name: read_annotation_file(name, offsets=offsets, defects=defects) for name in names}
    entity_type = next(iter(gold_file.entity_types), None)
    return Comparison(
        scores={
            name: score(gold_file.values, file.values, pages=page_ids, entity_type=entity_type)
            for name, file in files.items()
        },
        page_counts={
            name: page_counts(
                gold_file.values, file.values, pages=page_ids, entity_type=entity_type
            )
            for name, file in files.items()
        },
        pages=rule,
        defects=defects,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code, 0, or 2 where the input cannot be used."""
    options = tyro.cli(Options, prog=program("score"), args=arguments)
    try:
        comparison = compare(
            options.gold,
            options.systems,
            pages=options.pages,
            offsets=options.offsets,
            on_bad_line=options.on_bad_line,
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.as_json:
        print(json.dumps(comparison.as_json(), ensure_ascii=False, indent=2))
    else:
        _print(comparison, Console(highlight=False))
    return 0


def _figures(of: Counts | Average) -> dict[str, float]:
    return {"precision": of.precision, "recall": of.recall, "f1": of.f1}


def _print(comparison: Comparison, console: Console) -> None:
    """The tables; in the one by attribute the systems have only their numbers."""
    several = len(comparison.scores) > 1
    differences = comparison.differences() if several else {}
    systems = _table("Scores (%)")
    systems.add_column("#", justify="right")
    systems.add_column("system", overflow="fold")
    for heading in ("micro P", "R", "F1", "macro P", "R", "F1"):
        systems.add_column(heading, justify="right")
    if several:
        systems.add_column("F1 − #1 \\[95 %]", justify="right", no_wrap=True)
    short_names = _short_names(list(comparison.scores))
    for number, (system, result) in enumerate(comparison.scores.items(), start=1):
        averages = [*_figures(result.micro).values(), *_figures(result.macro).values()]
        row = [str(number), escape(short_names[system]), *map(_percent, averages)]
        if system in differences:
            row.append(_signed(differences[system]))
        systems.add_row(*row)
    console.print(systems)

    attributes = _table("F1 by attribute (%)")
    attributes.add_column("attribute", overflow="fold")
    attributes.add_column("gold", justify="right")
    for number in range(1, len(comparison.scores) + 1):
        attributes.add_column(f"#{number}", justify="right")
    results = list(comparison.scores.values())
    for name, counts in results[0].attributes.items():
        f1s = [_percent(result.attributes[name].f1) for result in results]
        attributes.add_row(escape(name), str(counts.gold), *f1s)
    console.print(attributes)

    console.print(f"Scored on {comparison.pages}.", markup=False, soft_wrap=True)
    if several:
        console.print("Intervals: paired bootstrap over these pages, 2,000 draws.")
    for line in comparison.defects.report():
        console.print(line, markup=False, soft_wrap=True)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=0)


def _short_names(paths: Sequence[str]) -> dict[str, str]:
    """The paths without the folders and the file name that all of them share."""
    parts = [Path(path).parts for path in paths]
    if len(parts) < 2:
        return {path: Path(path).name for path in paths}
    start = next(i for i, same in enumerate(zip_longest(*parts)) if len(set(same)) > 1)
    backwards = zip_longest(*(reversed(part) for part in parts))
    end = next(i for i, same in enumerate(backwards) if len(set(same)) > 1)
    return {
        path: str(Path(*part[start : len(part) - end] or part))
        for path, part in zip(paths, parts, strict=True)
    }


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def _signed(interval: Interval) -> str:
    bounds = (interval.estimate, interval.low, interval.high)
    estimate, low, high = (f"{100 * bound:+.1f}" for bound in bounds)
    return f"{estimate} \\[{low}, {high}]"


if __name__ == "__main__":
    sys.exit(main())
