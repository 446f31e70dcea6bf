"""What every format is read into and written from, and what a format is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import NamedTuple, TypeVar

from tqdm.auto import tqdm

from coteach.data.files import not_utf8, opening, temporary_beside, whole
from coteach.data.formats.losses import Losses
from coteach.data.pages import Page
from coteach.errors import InputError, quote
from coteach.model.spans import Span

__all__ = ["Documents", "Format", "Token", "all_lines", "file_name", "new_folder", "progress"]

T = TypeVar("T")


class Token(NamedTuple):
    """A token's place in a page: a line, and code points within it, the end exclusive."""

    line: int
    start: int
    end: int


@dataclass(frozen=True)
class Documents:
    """Pages and the values found there.

    Attributes:
        pages: every page by id, in the order of the file; a page may be without values.
        values: page id → its distinct spans. A page without a value may be missing.
        tokens: page id → its tokens in reading order, where the format has tokens.
        named: whether the ids are those of the file; otherwise they are numbers from 1.
    """

    pages: Mapping[str, Page]
    values: Mapping[str, frozenset[Span]]
    tokens: Mapping[str, Sequence[Token]] = field(default_factory=dict)
    named: bool = True

    @property
    def count(self) -> int:
        """The number of values."""
        return sum(map(len, self.values.values()))


class Format(ABC):
    """A file format with its options: subclasses are frozen dataclasses, the fields options."""

    @abstractmethod
    def read(self, path: Path, losses: Losses, known: Documents | None = None) -> Documents:
        """What a file (or folder) holds.

        Args:
            path: the file or folder.
            losses: is told what was read but cannot be held by ``Documents``.
            known: documents that the file speaks of, for files that do not repeat all of their
                text or tokens. The result may still stand on texts of its own:
                ``coteach.data.formats.matching.read_known`` puts it on the known ones.

        Raises:
            InputError: the file is missing or not of this format.
        """

    @abstractmethod
    def write(self, path: Path, documents: Documents, losses: Losses) -> None:
        """Write documents; nothing appears at ``path`` unless all of it does.

        Args:
            path: the file, which is replaced, or the folder, which must be new or empty.
            documents: what to write.
            losses: is told what the format cannot hold.

        Raises:
            InputError: it cannot be written.
        """

    def exists(self, path: Path) -> bool:
        """Whether there is something to read."""
        return path.exists()


def all_lines(path: Path) -> Iterator[tuple[int, str]]:
    """All lines with their numbers from 1, without a byte order mark and their ends.

    Lines end in "\\n" or "\\r\\n"; U+2028 and the like are characters as any other.

    Raises:
        InputError: the file cannot be read or is not UTF-8.
    """
    content = whole(path)
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError.at(path, number, f"{not_utf8(error)} of the line") from None
        yield number, text.removesuffix("\r")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write to, which becomes ``folder`` when the block ends without an error.

    Raises:
        InputError: ``folder`` is something else than an empty folder, or cannot be made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError.at(folder, None, "exists already; expected a new or an empty folder")
    temporary = temporary_beside(folder)
    with opening(folder, "written"):
        temporary.mkdir(parents=True)
    try:
        yield temporary
        with opening(folder, "written"):
            temporary.replace(folder)
    finally:
        rmtree(temporary, ignore_errors=True)


def file_name(page_id: str) -> str:
    """``page_id``, if it can be the name of a file.

    Raises:
        InputError: it cannot.
    """
    if page_id.startswith(".") or "/" in page_id or "\0" in page_id:
        raise InputError(f"page id {quote(page_id)} cannot be the name of a file")
    return page_id


def progress(items: Iterable[T], description: str, total: int | None = None) -> Iterable[T]:
    """The same items, with a bar where they take more than a moment."""
    return tqdm(items, description, total=total, unit="page", delay=2, leave=False)
