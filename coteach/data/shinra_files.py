"""Where the files of a SHINRA distribution lie, as its zips were unpacked.

What is looked for, in upper or lower case, in the folder of the distribution or one or two folders
further down (several zips side by side, such as JP-5 and JP-30)::

    annotation/<Category>_dist.json      2019, 2020; <Category>_dist.jsonl in 2022
    annotation/<Category>_dev.json       where there is one; the same for report
    plain/<Category>/<page_id>.txt       or, of all categories together, plain/<page_id>.txt
    html/<Category>/<page_id>.html       likewise

Annotations and folders of pages may also lie in folders of groups, as in plain/Location/Bay.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from coteach.data.page_folder import PageFolder
from coteach.errors import InputError

__all__ = [
    "PageKind",
    "find_annotations",
    "find_child",
    "find_pages",
    "list_categories",
    "unpacked_folders",
]

PageKind = Literal["plain", "html"]

_KINDS = ("annotation", "plain", "html")
_SUFFIXES = {"plain": ".txt", "html": ".html"}
_ANNOTATION = re.compile(r"(?P<category>.+)_(?P<part>dist|dev|report)\.jsonl?", re.IGNORECASE)
_DEPTH = 2  # folders between that of the distribution and its annotation/, plain/ and html/
_SHOWN = 12


def unpacked_folders(root: Path) -> dict[str, list[Path]]:
    """The folders annotation/, plain/ and html/ of a distribution: name in lower case → paths.

    Raises:
        InputError: there is no such folder as ``root``, or it has no annotations.
    """
    if not root.is_dir():
        raise InputError.at(root, None, "no such folder; expected an unpacked distribution")
    found: dict[str, list[Path]] = {kind: [] for kind in _KINDS}
    level = [root]
    for _ in range(_DEPTH + 1):
        further = []
        for folder in level:
            for child in _children(folder):
                if child.name.lower() in found:
                    found[child.name.lower()].append(child)
                elif child.is_dir():
                    further.append(child)
        level = further
    if not found["annotation"]:
        here = [child.name for child in _children(root)]
        raise InputError.at(
            root,
            None,
            f"no folder annotation/ here or {_DEPTH} folders further down, in upper or lower case; "
            f"there is {_shown(here)}",
        )
    return found


def list_categories(folders: Mapping[str, list[Path]]) -> list[str]:
    """The categories that have a file <Category>_dist.json(l), sorted."""
    return sorted({category for category, part, _ in _annotations(folders) if part == "dist"})


def find_annotations(folders: Mapping[str, list[Path]], category: str) -> dict[str, Path]:
    """The annotations of a category: "dist" and, where there are such files, "dev" and "report".

    Raises:
        InputError: there is no gold of the category, or there are two files of the same part.
    """
    found: dict[str, Path] = {}
    for name, part, path in _annotations(folders):
        if name.casefold() != category.casefold():
            continue
        if part in found:
            raise InputError(f"annotations of {category!r} are there twice: {found[part]}, {path}")
        found[part] = path
    if "dist" not in found:
        where = " and ".join(map(str, folders["annotation"]))
        raise InputError(
            f"no {category}_dist.json or {category}_dist.jsonl in {where}; "
            f"there is gold of {_shown(list_categories(folders))}"
        )
    return found


def find_pages(
    folders: Mapping[str, list[Path]], kind: PageKind, category: str
) -> tuple[PageFolder, bool]:
    """The pages of a category, or of all categories where they lie in one folder.

    Returns:
        The pages, and whether they are those of all categories.

    Raises:
        InputError: there are none, or there are two such folders.
    """
    suffix = _SUFFIXES[kind]
    if not folders[kind]:
        beside = folders["annotation"][0].parent
        raise InputError.at(beside, None, f"no folder {kind}/ here, in upper or lower case")
    named = [child for folder in folders[kind] for child in _subfolders(folder)]
    found = _of_name(named, category)
    found = found or _of_name([below for group in named for below in _subfolders(group)], category)
    found = found or [folder for folder in folders[kind] if _page_ids(folder, suffix)]
    if len(found) > 1:
        raise InputError(f"pages of {category!r} are there twice: {found[0]}, {found[1]}")
    page_ids = _page_ids(found[0], suffix) if found else []
    if not page_ids:
        where = " and ".join(map(str, found or folders[kind]))
        expected = f"<page_id>{suffix}" if found else f"{category}/<page_id>{suffix}"
        there = "" if found else f"; there is {_shown([folder.name for folder in named])}"
        raise InputError(f"no page in {where}; expected {expected}{there}")
    return PageFolder(found[0], suffix, page_ids), found[0] in folders[kind]


def find_child(
    folder: Path, name: str, suffixes: tuple[str, ...] = (".json", ".jsonl")
) -> Path | None:
    """The file ``name`` with one of ``suffixes`` in a folder, in whatever case."""
    wanted = {(name + suffix).casefold() for suffix in suffixes}
    return next((path for path in _children(folder) if path.name.casefold() in wanted), None)


def _annotations(folders: Mapping[str, list[Path]]) -> Iterator[tuple[str, str, Path]]:
    """Category, part and path; <Category>_dist_for_view.json repeats the gold and is left out."""
    for folder in folders["annotation"]:
        groups = _subfolders(folder)
        for path in (
            *_children(folder),
            *(child for group in groups for child in _children(group)),
        ):
            if match := _ANNOTATION.fullmatch(path.name):
                yield match["category"], match["part"].lower(), path


def _of_name(folders: list[Path], category: str) -> list[Path]:
    return [folder for folder in folders if folder.name.casefold() == category.casefold()]


def _subfolders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:  # it knows what is a folder without asking of each file
        return sorted(Path(entry.path) for entry in entries if entry.is_dir())


def _page_ids(folder: Path, suffix: str) -> list[str]:
    with os.scandir(folder) as entries:
        return [it.name.removesuffix(suffix) for it in entries if it.name.endswith(suffix)]


def _children(folder: Path) -> list[Path]:
    """What is in a folder, sorted, without hidden files and what archives of macOS leave."""
    if not folder.is_dir():
        return []
    paths = (path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))
    return sorted(paths)


def _shown(names: list[str]) -> str:
    names = sorted(set(names))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more if names else "nothing"
