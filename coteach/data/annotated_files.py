"""Training data in any of the file formats: a file a split, and one a team and split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from coteach.data.defects import Defects
from coteach.data.formats.documents import Documents, Format
from coteach.data.formats.losses import Losses
from coteach.data.formats.matching import read_known
from coteach.data.pages import Annotations, Page
from coteach.data.sources import Sources, TaskData, gold_split
from coteach.errors import InputError, quote

__all__ = ["AnnotatedFiles"]


@dataclass(frozen=True, kw_only=True)
class AnnotatedFiles(TaskData):
    """Files (or folders) of one format, with their tokens or values.

    A team's files speak of the same pages, found by their ids or, where there are none, by their
    order. Their tokens may be others and are put at their places in the pages by characters.
    """

    format: Format
    """How all of the files are written, with the format's options."""
    train: Path
    """The gold of the training pages."""
    dev: Path | None = None
    """The gold of the pages for selection; without it, dev_fraction is set aside."""
    report: Path | None = None
    """The gold of the pages for the final table; never used to train or to select."""
    unlabelled: Path | None = None
    """Pages that only the teams looked at; values that stand there are not read as gold."""
    submissions: Path | None = None
    """Folder with <team>/<name of the split's file>, for as many splits as a team has, or with
    <team>.<ending> (that of train's file): one file for all of the team's pages."""

    def read(self, cache: Path | None = None) -> Sources:
        paths = {
            name: path
            for name in ("train", "dev", "report", "unlabelled")
            if (path := getattr(self, name)) is not None
        }
        losses = {str(path): Losses() for path in paths.values()}
        documents = {
            name: _with_ids(self.format.read(path, losses[str(path)]), name)
            for name, path in paths.items()
        }
        pages = _all_pages(documents, paths)
        splits = {
            name: gold_split(name, tuple(of.pages), of.values, None)
            for name, of in documents.items()
            if name != "unlabelled"
        }
        teams = self._read_teams(documents, paths, losses) if self.submissions else ()
        return Sources(
            pages=pages,
            train=splits["train"],
            dev=splits.get("dev"),
            report=splits.get("report"),
            teams=tuple(teams),
            listed={name: tuple(of.pages) for name, of in documents.items()},
            defects=_defects(losses),
        )

    def _read_teams(
        self,
        documents: Mapping[str, Documents],
        paths: Mapping[str, Path],
        losses: dict[str, Losses],
    ) -> Iterable[Annotations]:
        assert self.submissions is not None
        folder = Path(self.submissions)
        if not folder.is_dir():
            raise InputError.at(folder, None, "no such folder; expected the teams' files")
        by_name: dict[str, str] = {}
        for name, path in paths.items():
            other = by_name.setdefault(path.name, name)
            if other != name:
                message = f"{other} and {name} have the same file name {path.name!r}; expected "
                raise InputError(f"data.{name}: {message}different ones, which the teams' bear")
        teams = []
        for entry in sorted(folder.iterdir(), key=lambda path: path.stem):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                files = {entry / name: documents[split] for name, split in by_name.items()}
                files = {path: of for path, of in files.items() if self.format.exists(path)}
                if not files:
                    message = f"no file of this team; expected some of {sorted(by_name)}"
                    raise InputError.at(entry, None, message)
            elif entry.suffix == self.train.suffix:
                files = {entry: _together(documents.values())}
            else:
                continue
            found = []
            for path, known in files.items():
                losses[str(path)] = Losses()
                found.append(read_known(self.format, path, known, losses[str(path)]))
            everything = _together(found)
            name = entry.name if entry.is_dir() else entry.stem
            teams.append(Annotations(name, everything.values, frozenset(everything.pages)))
        if not teams:
            ending = f"<team>/{self.train.name} or <team>{self.train.suffix}"
            raise InputError.at(folder, None, f"no team's file here; expected {ending}")
        names = [team.name for team in teams]
        for name in names:
            if names.count(name) > 1:
                message = f"team {quote(name)} has both a file and a folder; expected one of them"
                raise InputError.at(folder, None, message)
        return teams


def _with_ids(documents: Documents, split: str) -> Documents:
    """The documents, with the split's name before ids that are mere numbers of ours."""
    if documents.named:
        return documents

    def new(page_id: str) -> str:
        return f"{split}-{page_id}"

    return Documents(
        {new(page_id): Page(new(page_id), page.text) for page_id, page in documents.pages.items()},
        {new(page_id): spans for page_id, spans in documents.values.items()},
        {new(page_id): tokens for page_id, tokens in documents.tokens.items()},
    )


def _all_pages(documents: Mapping[str, Documents], paths: Mapping[str, Path]) -> dict[str, Page]:
    pages: dict[str, Page] = {}
    for name, of in documents.items():
        for page_id, page in of.pages.items():
            if page_id in pages:
                message = f"page {quote(page_id)} is also in another split; expected it in one"
                raise InputError.at(paths[name], None, message)
            pages[page_id] = page
    return pages


def _together(parts: Iterable[Documents]) -> Documents:
    """Documents without a common page as one."""
    together = Documents({}, {}, {})
    for part in parts:
        together = Documents(
            {**together.pages, **part.pages},
            {**together.values, **part.values},
            {**together.tokens, **part.tokens},
        )
    return together


def _defects(losses: Mapping[str, Losses]) -> Defects:
    defects = Defects()
    for path, of in losses.items():
        for kind, count in of.counts.items():
            defects.note(path, kind, count)
    return defects
