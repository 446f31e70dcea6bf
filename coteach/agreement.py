"""Do students look where their teacher looks? ``python -m coteach.agreement TEACHER STUDENT …``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from coteach.command import program
from coteach.data.files import replacing
from coteach.errors import InputError
from coteach.explaining.options import AttributionOptions

if TYPE_CHECKING:
    from coteach.explaining.comparing import Compared, Comparer
    from coteach.reporting.tables import Table

__all__ = ["Options", "agreement", "main"]


@dataclass(frozen=True, kw_only=True)
class Options(AttributionOptions):
    """Compares the importance of every token, by Integrated Gradients, between a teacher and its
    students, on the texts of a run's report or on others.

    Per text: Jaccard of the most important tokens, soft Jaccard, rank correlations, and what
    these would be if the teacher's scores were shuffled. Beside them, so that agreement cannot be
    bought by importance that means nothing: how far a model's own answer becomes less probable
    without its most important tokens, compared with random ones.

    All models must read the same tokens.
    """

    teacher: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TEACHER")]
    """The folder of a finished run or of a student, or a name on the Hub."""

    students: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="STUDENT [STUDENT ...]", help_behavior_hint="(one or more)"),
    ]
    """RUN, NAME=RUN, or NAME=RUN,RUN,… for runs that differ in their seeds, whose figures are
    averaged. Differences are to the first student."""

    output: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """Where to write: agreement.md, the tables; agreement*.csv, the same; agreement.json, means
    and intervals; agreement.jsonl, every text's figures. Files of those names are replaced."""

    texts: Annotated[
        str | None,
        tyro.conf.arg(metavar="TEXTS", help_behavior_hint="(default: the first student's report)"),
    ] = None
    """A run's report.jsonl, whose texts are preprocessed already; a file .csv, .tsv or .jsonl
    with columns; a data set of the Hub, NAME or NAME:SPLIT; or another file, a text (or page) a
    line. By default the report.jsonl of the first student's first run (dev.jsonl where it has no
    report split)."""

    teacher_nodes: Annotated[
        int | None, tyro.conf.arg(help_behavior_hint="(default: as --nodes)")
    ] = None
    """Nodes for the teacher, which is asked once and, being larger, may need more."""

    text: str = "text"
    """The column of the text."""

    second_text: str | None = None
    """The column of the second text, for models of pairs."""

    label: Annotated[
        str | None, tyro.conf.arg(help_behavior_hint="(default: none, no accuracy)")
    ] = None
    """The column of the class, for accuracy."""

    max_texts: Annotated[int | None, tyro.conf.arg(help_behavior_hint="(default: all)")] = None
    """So many of the texts, drawn by the seed."""

    target: Literal["teacher", "gold", "own"] = "teacher"
    """Whose answer is explained: the class, or the spans, that the teacher predicts, or the gold
    class, of teacher and student alike; or of each model what it predicts itself."""

    special_tokens: Literal["exclude", "include"] = "exclude"
    """Whether [CLS], [SEP] and the like count among the tokens compared. The baseline keeps them,
    so that all models agree on their importance, 0. The importance-transfer thesis counts them."""

    top_tokens: tuple[int, ...] = (3, 5)
    """The k of the Jaccard of the k most important tokens."""

    top_percent: tuple[float, ...] = (10.0, 20.0, 50.0)
    """The same in percent of a text's tokens, rounded up; also what is deleted."""

    temperature: Annotated[
        float | None, tyro.conf.arg(help_behavior_hint="(default: that of the loss)")
    ] = None
    """τ of the soft Jaccard."""

    normalisation: Literal["none", "maximum", "mean"] = "none"
    """What a text's scores are divided by before the softmax of the soft Jaccard."""

    shuffles: int = 10
    """Of the teacher's scores, for agreement by chance."""

    draws: int = 5
    """Sets of random tokens to delete, for every percentage."""

    seed: int = 0
    """Of everything drawn."""

    batch_size: int = 32
    """Texts a batch."""


def agreement(options: Options) -> list[Table]:
    """Compare the models and write everything down.

    Args:
        options: of the command.

    Returns:
        The tables.

    Raises:
        InputError: a model or an option cannot be used, the models cannot be compared, the texts
            cannot be read, or the folder cannot be written to.
    """
    from coteach.data.labelled_rows import ColumnNames
    from coteach.explaining.candidates import Candidate, check_comparable, read_systems
    from coteach.explaining.texts import cut, predictions_of, read_examples, sample
    from coteach.highlighting.given import student_names
    from coteach.reporting.agreement import agreement_tables
    from coteach.training.room import check_writable

    _check_counts(options)
    check_writable(options.output, "no place for the tables")
    # Whatever can be refused is refused before the models do any work.
    teacher = Candidate.read(options.teacher)
    systems = read_systems(options.students)
    if not systems:
        raise InputError("no student given; expected at least one folder")
    runs = [run for system in systems for run in system.runs]
    for run in runs:
        check_comparable(teacher, run)
    (called,) = student_names([options.teacher])
    if called in (system.name for system in systems):
        called = f"teacher {called}"
    source = options.texts or str(predictions_of(runs[0].folder))
    columns = ColumnNames(options.text, options.second_text, options.label)
    examples = sample(
        read_examples(source, columns, teacher.config), options.max_texts, options.seed
    )
    comparer = _comparer(options, examples, cut(examples, [teacher, *runs]))
    compared = comparer(called, teacher, systems)
    settings = _settings(options, source, len(examples))
    tables = agreement_tables(compared, called, _notes(settings))
    _write(options.output, compared, called, [it.id for it in examples], settings, tables)
    return tables


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code, 0, or 2 where the input cannot be used."""
    options = tyro.cli(Options, prog=program("agreement"), args=arguments)
    try:
        # The heavy imports come after --help.
        from transformers.utils.logging import disable_progress_bar

        from coteach.reporting.render import as_text

        disable_progress_bar()
        tables = agreement(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(map(as_text, tables)))
    print(f"Written to {options.output}")
    return 0


def _check_counts(options: Options) -> None:
    for name in ("shuffles", "draws", "batch_size"):
        if getattr(options, name) < 1:
            raise InputError(f"{name}: expected at least 1, got {getattr(options, name)}")
    if options.seed < 0:
        raise InputError(f"seed: expected at least 0, got {options.seed}")
    if not options.top_percent:
        raise InputError("top_percent: expected at least one percentage, got none")


def _comparer(options: Options, examples: Any, windows: Any) -> Comparer:
    from coteach.attribution.settings import check_nodes
    from coteach.evaluation.agreement import Comparison
    from coteach.explaining.comparing import Comparer
    from coteach.explaining.examining import Examiner

    own = {} if options.temperature is None else {"temperature": options.temperature}
    comparison = Comparison(
        options.top_tokens, options.top_percent, normalisation=options.normalisation, **own
    )
    examiner = Examiner(
        windows,
        options.settings(),
        options.top_percent,
        options.draws,
        options.seed,
        options.batch_size,
    )
    if options.teacher_nodes is not None:
        check_nodes("teacher_nodes", options.teacher_nodes, options.quadrature)
    return Comparer(
        examples,
        windows,
        examiner,
        comparison,
        options.target,
        options.special_tokens == "include",
        options.shuffles,
        options.teacher_nodes,
    )


def _settings(options: Options, source: str, count: int) -> dict[str, Any]:
    """What the figures depend on."""
    import torch

    from coteach.evaluation.agreement import Comparison

    cuda = torch.cuda.is_available()
    return {
        "texts": source,
        "count": count,
        "integrated_gradients": asdict(options.settings()),
        "teacher_nodes": options.teacher_nodes or options.nodes,
        "target": options.target,
        "special_tokens": options.special_tokens,
        "temperature": options.temperature or Comparison.temperature,
        "normalisation": options.normalisation,
        "top_percent": list(options.top_percent),
        "shuffles": options.shuffles,
        "draws": options.draws,
        "seed": options.seed,
        "batch_size": options.batch_size,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "threads": torch.get_num_threads(),
    }


def _notes(settings: dict[str, Any]) -> list[str]:
    gradients = settings["integrated_gradients"]
    return [
        f"Texts: {settings['count']:,} of {settings['texts']}. Importance: Integrated Gradients, "
        f"{gradients['nodes']} nodes, the teacher {settings['teacher_nodes']} "
        f"({gradients['quadrature']}), baseline "
        f"{gradients['baseline']}, {gradients['output']} of the answer ({settings['target']}), "
        f"{gradients['aggregation']}; special tokens: {settings['special_tokens']}. Soft Jaccard: "
        f"temperature {settings['temperature']:g}, normalisation {settings['normalisation']}.",
        f"s / 1,000 texts: the model alone, batches of {settings['batch_size']} of similar length, "
        f"{settings['device']}, {settings['threads']} thread(s), the fastest of three passes. "
        "gap: the mean absolute completeness gap, what the integral misses of the answer's "
        "difference to the baseline's; where it is not small beside that, more --nodes are needed.",
    ]


def _write(
    output: Path,
    compared: Compared,
    teacher: str,
    ids: Sequence[str],
    settings: dict[str, Any],
    tables: Sequence[Table],
) -> None:
    from coteach.reporting.agreement import as_json, lines
    from coteach.reporting.render import as_markdown, write_csv

    with replacing(output / "agreement.jsonl") as file:
        for line in lines(compared, teacher, ids):
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    with replacing(output / "agreement.json") as file:
        json.dump(
            {"settings": settings, **as_json(compared, teacher)},
            file,
            ensure_ascii=False,
            indent=2,
        )
        file.write("\n")
    with replacing(output / "agreement.md") as file:
        file.write("\n".join(map(as_markdown, tables)))
    for table in tables:
        write_csv(table, output / f"{table.name}.csv")


if __name__ == "__main__":
    sys.exit(main())
