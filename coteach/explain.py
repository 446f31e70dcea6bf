"""What answers rest on: ``python -m coteach.explain MODEL TEXT … --output FOLDER``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from coteach.command import program
from coteach.errors import InputError
from coteach.explaining.options import AttributionOptions
from coteach.highlighting.given import read_texts, student_names

if TYPE_CHECKING:
    from coteach.attribution import IntegratedGradients
    from coteach.explaining.importance import Explained, ImportanceReader
    from coteach.highlighting.blocks import Block

__all__ = ["Options", "explain", "main"]

Target = Literal["first", "own"]


@dataclass(frozen=True, kw_only=True)
class Options(AttributionOptions):
    """Shows how important each word of a text is for a model's answer, by Integrated Gradients.

    With --student several models stand side by side, for example a teacher and its students. Of a
    model that classifies, a class is explained, of one that extracts, the spans that it finds.

    Only the first window of a text is read.
    """

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """The folder of a finished run or of a student, or a name on the Hub."""

    text: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="[TEXT ...]", help_behavior_hint="(or --texts)"),
    ] = ()
    """Texts to explain. For models of pairs: two texts with a tab between them."""

    output: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """Where to write: importance.html, importance_*.png (one a text) and importance.json, the
    numbers; files of those names are replaced."""

    texts: Annotated[
        Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="(optional)")
    ] = None
    """A file of texts to explain instead, a text a line."""

    nodes: int = 64
    """Points of the path from the baseline to the text at which the gradient is taken. The
    completeness gap says whether they are enough."""

    student: Annotated[
        tuple[str, ...],
        tyro.conf.arg(metavar="STUDENT [STUDENT ...]", help_behavior_hint="(optional)"),
    ] = ()
    """More models, which stand beside the first."""

    names: Annotated[
        tuple[str, ...],
        tyro.conf.arg(metavar="NAME [NAME ...]", help_behavior_hint="(default: the folders')"),
    ] = ()
    """What the models are called in the pictures, in their order."""

    target: Target = "first"
    """What is explained of all models: the class, or the spans, that the first one predicts, or
    what each of them predicts itself."""

    class_name: Annotated[
        str | None, tyro.conf.arg(metavar="CLASS", help_behavior_hint="(default: by --target)")
    ] = None
    """A class to explain instead, whatever the models predict."""

    span: Annotated[str, tyro.conf.arg(metavar="all|each|N")] = "all"
    """Of models that extract: all spans of the first one together, each in a picture of its own,
    or the N-th of every text, from 1. Spans are underlined."""

    check: bool = False
    """Also compute everything with captum (pip install "coteach[explain]"), and print how far the
    two are apart."""


def explain(
    models: Sequence[str | Path],
    texts: Sequence[str],
    output: Path,
    settings: IntegratedGradients,
    *,
    target: Target = "first",
    class_name: str | None = None,
    span: str = "all",
    names: Sequence[str] = (),
    check: bool = False,
) -> tuple[list[Path], str | None]:
    """Write the pictures of some texts, and the numbers behind them.

    Args:
        models: runs or students.
        texts: to explain; of a pair, both texts, a line each or with a tab between them.
        output: the folder; it is made.
        settings: of Integrated Gradients.
        target: whose answer is explained.
        class_name: a class to explain instead.
        span: "all", "each" or a number from 1, of models that extract.
        names: of the models; by default the last parts of their folders.
        check: whether captum is asked as well.

    Returns:
        The files written, and what the check says.

    Raises:
        InputError: a model or an option cannot be used, there is no text, the folder cannot be
            written to, or the packages that draw or check are missing.
    """
    from tqdm.auto import tqdm

    from coteach.explaining.check import check_captum, largest_difference
    from coteach.explaining.importance import ImportanceReader, importance_measure
    from coteach.highlighting.writing import write
    from coteach.reporting.figures import check_available
    from coteach.training.loading import load_student

    check_available()
    if check:
        check_captum(settings.baseline)
    if not texts:
        raise InputError("no text given; expected at least one, or --texts FILE")
    called = student_names(models, names)
    readers = [
        ImportanceReader(name, *load_student(model), settings)
        for name, model in zip(called, models, strict=True)
    ]
    _check_options(readers, target, class_name, span)
    chosen = [
        (block, explained)
        for number, text in enumerate(texts, start=1)
        for block, explained in _blocks(readers, number, text, target, class_name, span)
    ]
    blocks, differences = [], []
    with tqdm(total=len(chosen) * len(readers), unit="picture", desc="explain") as bar:
        for block, explained in chosen:
            readings = []
            for reader, of_reader in zip(readers, explained, strict=True):
                readings.append(reader(block.text, of_reader))
                if check:
                    differences.append(largest_difference(reader, block.text, of_reader))
                bar.update()
            blocks.append(replace(block, readings=readings))
    measure = importance_measure(settings, spans=not readers[0].student.config.classes)
    written = write(blocks, measure, output, {"integrated_gradients": asdict(settings)})
    if not check:
        return written, None
    apart, size = (max(column) for column in zip(*differences, strict=True))
    return written, (
        f"Largest difference to captum's LayerIntegratedGradients: {apart:.1e}, where the most "
        f"important token has {size:.3g}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code, 0, or 2 where the input cannot be used."""
    options = tyro.cli(Options, prog=program("explain"), args=arguments)
    try:
        if options.text and options.texts is not None:
            raise InputError("expected texts as arguments or --texts, not both")
        texts = options.text if options.texts is None else read_texts(options.texts)
        # The heavy imports come after --help.
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        written, checked = explain(
            (options.model, *options.student),
            texts,
            options.output,
            options.settings(),
            target=options.target,
            class_name=options.class_name,
            span=options.span,
            names=options.names,
            check=options.check,
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for path in written:
        print(path)
    if checked is not None:
        print(checked)
    return 0


def _check_options(
    readers: Sequence[ImportanceReader], target: Target, class_name: str | None, span: str
) -> None:
    """Refuse what the models, or other options, give no meaning to."""
    first = readers[0]
    for reader in readers[1:]:
        if bool(reader.student.config.classes) != bool(first.student.config.classes):
            kinds = ("extracts spans", "classifies")
            kind, other = kinds if first.student.config.classes else kinds[::-1]
            raise InputError(
                f"{reader.name} {kind}; expected a model that {other}, as {first.name} does"
            )
    if span not in ("all", "each") and not (span.isdecimal() and int(span) >= 1):
        raise InputError(f'span {span!r}: expected "all", "each" or a number from 1')
    if span != "all" and first.student.config.classes:
        raise InputError(f"span {span!r}: {first.name} classifies; expected no --span")
    if span != "all" and target == "own" and len(readers) > 1:
        raise InputError(
            f"span {span!r}: the models' own spans may differ; expected --target first, or all"
        )
    if class_name is not None:
        for reader in readers:
            reader.of_class(class_name)


def _blocks(
    readers: Sequence[ImportanceReader],
    number: int,
    text: str,
    target: Target,
    class_name: str | None,
    span: str,
) -> list[tuple[Block, list[Explained]]]:
    """The pictures of a text, still to be read, and what is explained there of every model."""
    from coteach.highlighting.blocks import Block

    def block(name: str, about: str | None = None) -> Block:
        return Block(name, "Texts", text, [], about=about)

    if class_name is not None:
        return [(block(str(number)), [reader.of_class(class_name) for reader in readers])]
    if span == "all":
        if target == "own":
            return [(block(str(number)), [reader.answer(text) for reader in readers])]
        explained = readers[0].answer(text)
        return [(block(str(number)), [_for(reader, explained, readers[0]) for reader in readers])]
    found = readers[0].spans(text)
    chosen = list(enumerate(found, start=1))
    if span != "each":
        if int(span) > len(found):
            raise InputError(
                f"span {span}: {readers[0].name} finds {len(found)} in text {number}; expected a "
                "number of one of them"
            )
        chosen = [chosen[int(span) - 1]]
    if not chosen:
        return [(block(str(number)), [readers[0].answer(text)] * len(readers))]
    return [
        (block(f"span{place}_{number}", f"span {place}: {it.about}"), [it] * len(readers))
        for place, it in chosen
    ]


def _for(reader: ImportanceReader, explained: Explained, first: ImportanceReader) -> Explained:
    """What is explained of a model, where it is the first one's answer: a class by its name."""
    classes = first.student.config.classes
    return reader.of_class(classes[explained.answers[0]]) if classes else explained


if __name__ == "__main__":
    sys.exit(main())
