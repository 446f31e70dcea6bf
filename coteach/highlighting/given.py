"""What a command that shows texts is given: the students' names, and texts of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coteach.data.files import byte_lines, not_utf8
from coteach.errors import InputError

__all__ = ["read_texts", "student_names"]


def student_names(students: Sequence[str | Path], names: Sequence[str] = ()) -> list[str]:
    """What the students are called: as wanted, or their folders' names where these differ.

    Args:
        students: folders of students or of their runs, or names on the Hub.
        names: one a student, or none.

    Raises:
        InputError: there is no student, one is given twice, or the names do not fit.
    """
    if not students:
        raise InputError("no student given; expected at least one folder")
    if names:
        if len(names) != len(students) or len(set(names)) != len(names):
            raise InputError(
                f"names {', '.join(names)}: expected {len(students)} different ones, one a student"
            )
        return list(names)
    paths = [Path(student) for student in students]
    short = [path.parent.name if path.name == "student" else path.name for path in paths]
    if len(set(short)) == len(short) and all(short):
        return short
    if len(set(paths)) < len(paths):
        raise InputError("a student is given twice; expected different ones, or --names")
    return [str(student) for student in students]


def read_texts(path: Path) -> list[str]:
    """The texts of a file, a text a line; blank lines are skipped.

    Raises:
        InputError: the file cannot be read, is no UTF-8, or has no text.
    """
    texts = []
    for number, line in byte_lines(path):
        try:
            texts.append(line.decode("utf-8").rstrip("\r\n"))
        except UnicodeDecodeError as error:
            raise InputError.at(path, number, not_utf8(error)) from None
    if not texts:
        raise InputError.at(path, None, "expected a text a line, found none")
    return texts
