"""Teacher and students to compare: who they are, and whether they can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coteach.errors import InputError
from coteach.highlighting.given import student_names
from coteach.model import StudentConfig
from coteach.model.extraction import build_aligner
from coteach.training.loading import load_configuration

__all__ = ["Candidate", "System", "check_comparable", "read_systems"]


@dataclass(frozen=True)
class Candidate:
    """A model, not loaded yet, and how it reads texts.

    Attributes:
        folder: of it, or of its run; or its name on the Hub.
        config: its configuration.
        tokenizer: its tokenizer.
    """

    folder: str
    config: StudentConfig
    tokenizer: Any

    @classmethod
    def read(cls, folder: str | Path) -> Candidate:
        """Read it.

        Raises:
            InputError: there is no student.
        """
        return cls(str(folder), *load_configuration(folder))

    @property
    def aligner(self) -> Any:
        """Turns text into tokens."""
        return build_aligner(self.tokenizer, self.config)


@dataclass(frozen=True)
class System:
    """A student, in one or several runs, which differ by their seed.

    Attributes:
        name: for people.
        runs: in the order given.
    """

    name: str
    runs: tuple[Candidate, ...]


def read_systems(given: Sequence[str]) -> list[System]:
    """The students of a command: RUN, NAME=RUN or NAME=RUN,RUN,….

    Raises:
        InputError: one is not to be read so, is no student, or two have one name.
    """
    parsed = [_parse(item) for item in given]
    unnamed = [folders[0] for name, folders in parsed if name is None]
    short = iter(student_names(unnamed)) if unnamed else iter(())
    named = [(next(short) if name is None else name, folders) for name, folders in parsed]
    names = [name for name, _ in named]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"student {name!r} is given twice; expected NAME=RUN with other names")
    return [System(name, tuple(map(Candidate.read, folders))) for name, folders in named]


def check_comparable(teacher: Candidate, other: Candidate) -> None:
    """Refuse a student that does not answer the teacher's questions, or reads other tokens.

    Raises:
        InputError: its classes, attributes, kind of texts, preprocessing, vocabulary or special
            tokens are not the teacher's.
    """
    for name in ("classes", "attributes", "preprocessing"):
        wanted, got = getattr(teacher.config, name), getattr(other.config, name)
        if got != wanted:
            raise InputError(
                f"student {other.folder!r}: its {name} are {got}; expected those of the teacher "
                f"{teacher.folder!r}, {wanted}"
            )
    if (teacher.config.pair_separator is None) != (other.config.pair_separator is None):
        kinds = ("single texts", "pairs of texts")
        got, wanted = kinds if other.config.pair_separator is None else kinds[::-1]
        raise InputError(f"student {other.folder!r} reads {got}; expected {wanted}, as the teacher")
    theirs, ours = teacher.tokenizer.get_vocab(), other.tokenizer.get_vocab()
    if theirs != ours:
        raise InputError(
            f"student {other.folder!r}: its tokenizer is not that of the teacher "
            f"{teacher.folder!r} ({len(ours):,} and {len(theirs):,} entries, not the same ones); "
            "importance of tokens can be compared between models of one tokenizer only"
        )
    for special in ("cls_token_id", "sep_token_id", "pad_token_id"):
        if getattr(teacher.tokenizer, special) != getattr(other.tokenizer, special):
            raise InputError(
                f"student {other.folder!r}: its {special} is {getattr(other.tokenizer, special)}; "
                f"expected that of the teacher, {getattr(teacher.tokenizer, special)}"
            )


def _parse(item: str) -> tuple[str | None, list[str]]:
    """A name, if there is one, and runs."""
    name, sign, rest = item.partition("=")
    if not sign or Path(item).exists():
        return None, [item]
    if not name or not rest:
        raise InputError(f"student {item!r}: expected RUN, NAME=RUN or NAME=RUN,RUN,…")
    return name, _split(rest)


def _split(runs: str) -> list[str]:
    """Runs between commas; a folder's name may hold commas itself."""
    parts = runs.split(",")
    result = []
    while parts:
        # The longest that is a folder; what is none stands for itself, such as a name on the Hub.
        lengths = [n for n in range(len(parts), 0, -1) if Path(",".join(parts[:n])).exists()]
        length = lengths[0] if lengths else 1
        result.append(",".join(parts[:length]))
        parts = parts[length:]
    return result
