"""Publishes a student on the Hub, with a model card: ``python -m coteach.push MODEL NAME``."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from coteach.command import program
from coteach.errors import InputError

if TYPE_CHECKING:
    from coteach.publishing.card import Statement
    from coteach.publishing.files import PublishedFile

__all__ = ["Options", "main", "publication"]

CARD = "README.md"
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]+)*|multilingual|code")
LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]*")
BRANCH = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*")


@dataclass(frozen=True)
class Options:
    """Publishes a student: weights, configuration, tokenizer, code and a model card, in one commit.

    The card tells of a run who taught whom (with a drawing), teams and their weights, data,
    scores with their intervals, limits and papers; of a student alone, what it is and its use.
    The token is that of huggingface_hub: HF_TOKEN, or a login by `hf auth login`.
    """

    model: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """The folder of a finished run, or of a student."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """Its name on the Hub, user/name."""

    public: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Everybody may read it; otherwise it is private."""

    update: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace what is there under this name. Otherwise that is an error."""

    revision: Annotated[str | None, tyro.conf.arg(metavar="BRANCH")] = None
    """The branch, made where there is none; None: main."""

    message: str = "Publish a student"
    """Of the commit."""

    licence: str | None = None
    """The model's licence, as the Hub names it, such as apache-2.0 or cc-by-sa-4.0."""

    data_licence: str | None = None
    """The licence of the data that it learnt from, in words."""

    data_name: str | None = None
    """What that data is called; None: by the names of its files."""

    language: tuple[str, ...] = ("ja",)
    """The languages that it reads, as ISO 639 codes."""

    base_model: str | None = None
    """The encoder's name on the Hub; None: the recipe's encoder, where that looks like one."""

    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Publish nothing, and show what would go up; no network is needed."""

    output: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """With --dry-run: a new folder for the very files that would go up."""


def publication(model: Path, statement: Statement) -> tuple[list[PublishedFile], list[str]]:
    """What is published of a student, and the names of what is left out of its folder.

    Args:
        model: folder of a finished run, or of a student.
        statement: what only who publishes it can say.

    Raises:
        InputError: there is no such student, or a part of it or of its run cannot be used.
    """
    from coteach.model import StudentConfig
    from coteach.publishing.card import model_card
    from coteach.publishing.facts import places, run_facts
    from coteach.publishing.files import PublishedFile, student_files

    student, run = places(model)
    facts = None if run is None else run_facts(run)
    files, others = student_files(student)
    contents = {file.name: file for file in files}
    config = StudentConfig.from_dict(_json_of(contents["config.json"]))
    tokenizer = _json_of(contents["tokenizer_config.json"])
    card = model_card(statement, config, tokenizer, facts)
    every = [*files, PublishedFile(CARD, card.encode())]
    return sorted(every, key=lambda file: file.name), [name for name in others if name != CARD]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code, 0, or 2 where it cannot be done."""
    options = tyro.cli(Options, prog=program("push"), args=arguments)
    console = Console(highlight=False)
    try:
        statement = _statement(options)
        if options.dry_run and options.output is not None:
            _check_new(options.output)
        files, others = publication(options.model, statement)
        console.print(_table(files))
        if others:
            console.print(f"Not published: {', '.join(others)}", markup=False, soft_wrap=True)
        if options.dry_run:
            if options.output is not None:
                _write(files, options.output)
                console.print(f"Written to {options.output}", markup=False, soft_wrap=True)
            return 0
        from coteach.publishing.upload import Destination, upload

        to = Destination(options.name, options.revision, options.public, options.update)
        address, sent = upload(files, to, options.message)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    kind = "public" if options.public else "private"
    told = f"Published, {kind}: " if sent else "Nothing to do, these very files are there: "
    console.print(told + address, markup=False, soft_wrap=True)
    return 0


def _statement(options: Options) -> Statement:
    """What the options say of the student.

    Raises:
        InputError: a value is none that the Hub takes, or options do not fit together.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    from coteach.publishing.card import Statement

    if options.output is not None and not options.dry_run:
        raise InputError("--output: for --dry-run alone; expected both or no --output")
    for field, name in (("NAME", options.name), ("--base-model", options.base_model)):
        if name is None:
            continue
        try:
            validate_repo_id(name)
            if name.count("/") != 1:
                raise HFValidationError("no user before a slash")
        except HFValidationError:
            raise InputError(
                f"{field}: expected user/name, in letters, digits, '-', '_' and '.', got {name!r}"
            ) from None
    for field, values, form, expected in (
        ("--language", options.language, LANGUAGE, "codes such as ja"),
        ("--licence", (options.licence,), LICENCE, "a name such as apache-2.0"),
        ("--revision", (options.revision,), BRANCH, "the name of a branch"),
    ):
        for value in values:
            if value is not None and not form.fullmatch(value):
                raise InputError(f"{field}: expected {expected}, got {value!r}")
    if not options.language:
        raise InputError("--language: expected at least one, such as ja, got none")
    if not options.message.strip():
        raise InputError("--message: expected some words, got none")
    return Statement(
        name=options.name,
        revision=options.revision,
        licence=options.licence,
        data_licence=options.data_licence,
        languages=options.language,
        base_model=options.base_model,
        data_name=options.data_name,
    )


def _json_of(file: PublishedFile) -> dict:
    """What a file of JSON says, as it is published."""
    return json.loads(file.read())


def _table(files: Sequence[PublishedFile]) -> Table:
    table = Table(title="To publish", title_justify="left")
    table.add_column("file", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    for file in files:
        table.add_row(escape(file.name), decimal(file.size))
    table.add_section()
    table.add_row(f"{len(files)} files", decimal(sum(file.size for file in files)))
    return table


def _check_new(folder: Path) -> None:
    if folder.exists():
        raise InputError.at(folder, None, "exists; expected the name of a new folder")


def _write(files: Sequence[PublishedFile], folder: Path) -> None:
    from coteach.training.checkpoint import replacing_folder

    _check_new(folder)
    with replacing_folder(folder) as place:
        for file in files:
            if isinstance(file.content, Path):
                shutil.copyfile(file.content, place / file.name)
            else:
                (place / file.name).write_bytes(file.content)


if __name__ == "__main__":
    sys.exit(main())
