"""SHINRA's data as it lies on disk once its zips are unpacked: 2019, 2020 and 2022."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from coteach.data.defects import Defects, LineError, OnBadLine
from coteach.data.entity_definitions import EntityDefinition, find_definition, read_definitions
from coteach.data.files import byte_lines
from coteach.data.page_folder import PageFolder, read_page_ids
from coteach.data.pages import Annotations
from coteach.data.shinra import (
    AnnotationFile,
    read_annotation_file,
    read_annotations,
    read_gold,
)
from coteach.data.shinra_files import (
    PageKind,
    find_annotations,
    find_child,
    find_pages,
    list_categories,
    unpacked_folders,
)
from coteach.data.shinra_html import HtmlText
from coteach.data.shinra_lines import Offsets, check_place, decoded, lines_of, parse_entry
from coteach.data.shinra_merged import read_merged
from coteach.data.shinra_task import read_splits
from coteach.data.sources import Sources, Split, TaskData, gold_split
from coteach.errors import InputError, quote
from coteach.model.spans import Span

__all__ = ["ShinraDistribution"]

Values = Mapping[str, frozenset[Span]]

_ALL = "*"
_TEXT_OFFSET = re.compile(rb'"text_offset"\s*:\s*\{')


@dataclass(frozen=True, kw_only=True)
class ShinraDistribution(TaskData):
    """One or several categories of a SHINRA shared task, found in its unpacked distribution.

    ``submissions`` holds <team>/<Category>.json, or <Category>.json in the organisers' merged form
    (page → attribute → values with the systems that gave them). In both, the pages that a team
    processed are listed in <team>/<Category>.processed.txt; without it they are all.

    Values that have no ``text_offset`` are read by their ``html_offset``, where the HTML page is
    there and its text is that of the plain page; all others are counted and left out.
    """

    root: Path
    """Folder of the distribution: annotation/, plain/ and html/ here or up to two folders down."""
    category: str | tuple[str, ...] = _ALL
    """A category's name or, with definitions, its ENE id. Several, or "*" for all that have gold:
    one run each."""
    offsets: Offsets = "text"
    """What a page is: its plain text with text_offset, or its raw HTML with html_offset."""
    definitions: Path | None = None
    """Definitions of the categories, JSON lines (2022): only attributes that are to be extracted
    are read, and only gold of the category's own ENE id."""
    splits: Path | None = None
    """JSON: split → page ids, or a folder of such files, <Category>.json. By default the gold of
    dev and report is that of <Category>_dev.json and <Category>_report.json, where they exist."""
    report_fraction: float = 0.0
    """The share of the labelled pages kept for the final table, where no file names them; the
    same pages for every seed."""
    on_bad_line: OnBadLine = "stop"
    """A line that cannot be used: stop with an error, or skip it, count it and go on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.report_fraction < 1:
            raise InputError(
                f"data.report_fraction: expected a share in [0, 1), got {self.report_fraction}"
            )
        if not self.category:
            raise InputError('data.category: expected a name, several, or "*", got none')

    def parts(self) -> dict[str, TaskData]:
        if isinstance(self.category, str) and self.category != _ALL:
            return {}
        if self.category == _ALL:
            names: Sequence[str] = list_categories(unpacked_folders(self.root))
            if not names:
                raise InputError.at(self.root, None, "no file <Category>_dist.json or .jsonl here")
        else:
            names = [self.category] if isinstance(self.category, str) else self.category
        return {name: replace(self, category=name) for name in dict.fromkeys(names)}

    def read(self, cache: Path | None = None) -> Sources:
        if not isinstance(self.category, str) or self.category == _ALL:
            raise InputError(f"data.category: expected one category here, got {self.category!r}")
        definition = self._definition()
        category = definition.category if definition else self.category
        folders = unpacked_folders(self.root)
        kind: PageKind = "plain" if self.offsets == "text" else "html"
        pages, of_all_categories = find_pages(folders, kind, category)
        html: PageFolder | None = None
        with suppress(InputError):  # a category may be without: only its text_offsets are read
            html, _ = find_pages(folders, "html", category)
        defects = Defects(self.on_bad_line)
        reader = _Reader(self.offsets, pages, html, definition, defects, cache)

        files = {
            part: reader.gold(path) for part, path in find_annotations(folders, category).items()
        }
        teams = self._teams(category, reader)
        listed = read_splits(_splits_file(self.splits, category), pages) if self.splits else {}
        splits = _gold_splits(files, listed, self.report_fraction)
        if of_all_categories:
            named = [*(file.values for file in files.values()), *(team.values for team in teams)]
            own = {page_id for ids in (*named, *listed.values()) for page_id in ids}
            pages = PageFolder(pages.folder, pages.suffix, own & set(pages))
        return Sources(
            pages=pages,
            train=splits["train"],
            dev=splits.get("dev"),
            report=splits.get("report"),
            teams=teams,
            listed=listed,
            defects=defects,
            offsets=self.offsets,
        )

    def _definition(self) -> EntityDefinition | None:
        """The definition of the one category, where there are definitions."""
        if self.definitions is None:
            return None
        assert isinstance(self.category, str)
        definitions = read_definitions(self.definitions)
        definition = find_definition(definitions, self.category)
        if definition is None:
            raise InputError.at(
                self.definitions,
                None,
                f"no category {self.category!r}; expected a name or an ENE id, such as "
                f"{definitions[0].category!r} or {definitions[0].entity_type!r}",
            )
        return definition

    def _teams(self, category: str, reader: _Reader) -> tuple[Annotations, ...]:
        """The submissions of all teams that took part, sorted by team."""
        if self.submissions is None:
            return ()
        folder = Path(self.submissions)
        if not folder.is_dir():
            raise InputError.at(folder, None, "no such folder; expected the teams' submissions")
        merged = find_child(folder, category)
        if merged is not None:
            found = reader.merged(merged)
            return tuple(
                reader.as_team(team, values, _processed(folder / team, category))
                for team, values in found.items()
            )
        files = {
            team: path
            for team in sorted(folder.iterdir())
            if team.is_dir() and (path := find_child(team, category))
        }
        if not files:
            here = ", ".join(sorted(path.name for path in folder.iterdir())[:12]) or "nothing"
            raise InputError.at(
                folder,
                None,
                f"no submission; expected <team>/{category}.json or, merged, {category}.json; "
                f"there is {here}",
            )
        return tuple(
            reader.team(path, team.name, _processed(team, category)) for team, path in files.items()
        )


@dataclass(frozen=True)
class _Reader:
    """Reads values as spans of ``pages``, whichever of the two offsets a file has."""

    offsets: Offsets
    pages: PageFolder
    html: PageFolder | None
    definition: EntityDefinition | None
    defects: Defects
    cache: Path | None

    def gold(self, path: Path) -> AnnotationFile:
        offsets = self._offsets_in(path)
        checked = self.pages if offsets == "text" else None
        if self.definition is None:
            file = read_gold(path, pages=checked, offsets=offsets, defects=self.defects)
        else:
            file = read_annotation_file(path, pages=checked, offsets=offsets, defects=self.defects)
            file = _of_entity_type(path, file, self.definition.entity_type, offsets)
        values = self._as_spans_of_pages(path, file.values, offsets)
        if not values:
            raise InputError.at(path, None, "no value that can be used; expected the gold")
        return replace(file, values=values)

    def team(self, path: Path, name: str, processed: Path | None) -> Annotations:
        offsets = self._offsets_in(path)
        team = read_annotations(
            path,
            name=name,
            pages=self.pages if offsets == "text" else None,
            processed=processed,
            offsets=offsets,
            check_text=False,
            defects=self.defects,
            cache=self.cache,
        )
        return replace(team, values=self._as_spans_of_pages(path, team.values, offsets))

    def merged(self, path: Path) -> dict[str, Values]:
        offsets = self._offsets_in(path)
        checked = self.pages if offsets == "text" else None
        found = read_merged(path, pages=checked, offsets=offsets, defects=self.defects)
        return {
            team: self._as_spans_of_pages(path, values, offsets) for team, values in found.items()
        }

    def as_team(self, team: str, values: Values, processed: Path | None) -> Annotations:
        """A team of the merged form, on the pages that it processed."""
        if processed is None:
            return Annotations(team, values)
        listed = frozenset(read_page_ids(processed))
        for page_id in values.keys() - listed:
            message = f"{team!r} has a value on page {quote(page_id)}, which is not listed"
            self.defects.skip(processed, None, LineError("page not listed", message))
        known = {page_id: spans for page_id, spans in values.items() if page_id in listed}
        return Annotations(team, known, listed)

    def _offsets_in(self, path: Path) -> Offsets:
        """Those asked for, but html where a text_offset is nowhere in the file."""
        if self.offsets == "html" or self.html is None:
            return self.offsets
        empty = True
        for _, line in byte_lines(path):
            if _TEXT_OFFSET.search(line):
                return "text"
            empty = False
        return "text" if empty else "html"

    def _as_spans_of_pages(self, path: Path, values: Values, offsets: Offsets) -> Values:
        """Values of the category's attributes as spans of the pages."""
        if self.definition is not None:
            values = _only(values, self.definition.attributes, path, self.defects)
        if offsets == "text":
            return values  # checked while they were read
        convert = self._check_html if self.offsets == "html" else self._text_of_html
        return {
            page_id: frozenset(converted)
            for page_id, spans in values.items()
            if (converted := convert(path, page_id, spans))
        }

    def _check_html(self, path: Path, page_id: str, spans: Collection[Span]) -> list[Span]:
        """The spans that lie in the HTML page."""
        found = []
        page_lines = lines_of(self.pages)
        for span in spans:
            try:
                check_place(span, page_lines(page_id))
            except LineError as error:
                self.defects.skip(path, None, error)
            else:
                found.append(span)
        return found

    def _text_of_html(self, path: Path, page_id: str, spans: Collection[Span]) -> list[Span]:
        """The spans as spans of the plain page."""
        assert self.html is not None
        found: list[Span] = []
        if page_id in self.pages and page_id in self.html:
            text, plain = HtmlText(self.html[page_id].text), self.pages[page_id]
            found = [it for span in spans if (it := text.span(span, plain)) is not None]
        self.defects.note(path, "read by its html_offset", len(found))
        self.defects.note(path, "html_offset without a place in the text", len(spans) - len(found))
        return found


def _of_entity_type(
    path: Path, file: AnnotationFile, entity_type: str, offsets: Offsets
) -> AnnotationFile:
    """What the lines of one ENE id say, of a file that has lines of several."""
    if len(file.entity_types) < 2:
        return file  # the ids of 2019 are those of an older version: one alone is the category's
    if entity_type not in file.entity_types:
        found = ", ".join(sorted(file.entity_types))
        raise InputError.at(path, None, f"expected lines of ENE {entity_type}, got {found}")
    said: dict[str, set[Span]] = {}
    for _, line in byte_lines(path):
        try:
            entry = parse_entry(decoded(line), offsets)
        except LineError:  # counted when the file was read
            continue
        if entry.entity_type == entity_type and entry.span is not None:
            said.setdefault(entry.page_id, set()).add(entry.span)
    values = {
        page_id: known
        for page_id, spans in file.values.items()
        if (known := spans & said.get(page_id, set()))
    }
    return replace(file, values=values, entity_types=frozenset({entity_type}))


def _only(values: Values, attributes: Collection[str], path: Path, defects: Defects) -> Values:
    """The values of some attributes; the others are counted."""
    kept = {
        page_id: frozenset(span for span in spans if span.attribute in attributes)
        for page_id, spans in values.items()
    }
    dropped = sum(map(len, values.values())) - sum(map(len, kept.values()))
    defects.note(path, "attribute that is not to be extracted", dropped)
    return {page_id: spans for page_id, spans in kept.items() if spans}


def _processed(folder: Path, category: str) -> Path | None:
    return find_child(folder, f"{category}.processed", (".txt",))


def _splits_file(path: Path, category: str) -> Path:
    if not path.is_dir():
        return path
    found = find_child(path, category, (".json",))
    if found is None:
        raise InputError.at(path, None, f"no {category}.json here; expected its splits")
    return found


def _gold_splits(
    files: Mapping[str, AnnotationFile], listed: Mapping[str, Sequence[str]], fraction: float
) -> dict[str, Split]:
    """Train and, where there are such pages, dev and report.

    A split is the pages listed for it, or those of its own file; training pages are the others.
    """
    values: dict[str, frozenset[Span]] = {}
    for file in files.values():
        for page_id, spans in file.values.items():
            values[page_id] = values.get(page_id, frozenset()) | spans
    apart = {
        part: listed.get(part) or tuple(files[part].values if part in files else ())
        for part in ("dev", "report")
    }
    taken = {page_id for page_ids in apart.values() for page_id in page_ids}
    rest = [page_id for page_id in listed.get("train") or values if page_id not in taken]
    if not apart["report"] and fraction:
        apart["report"] = _share(rest, fraction)
        rest = [page_id for page_id in rest if page_id not in apart["report"]]
    outside = values.keys() - taken - {*rest, *apart["report"]}
    if outside:
        raise InputError(f"page {min(outside)!r} has gold but is in no split; expected it in one")
    entity_type = next(iter(files["dist"].entity_types), None)
    return {
        name: gold_split(name, page_ids, values, entity_type)
        for name, page_ids in (("train", rest), *apart.items())
        if name == "train" or values.keys() & set(page_ids)  # gold may be kept back
    }


def _share(page_ids: Sequence[str], fraction: float) -> tuple[str, ...]:
    """Some of the pages, chosen by their ids alone: neither a seed nor other pages move them."""

    def number(page_id: str) -> float:
        return int.from_bytes(hashlib.sha256(page_id.encode()).digest()[:8]) / 2**64

    return tuple(page_id for page_id in page_ids if number(page_id) < fraction)
