"""Self-teaching: what a finished student finds becomes the labels of the next one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from tqdm.auto import tqdm

from coteach.data.corpus import Corpus
from coteach.data.files import opening
from coteach.data.pages import Annotations
from coteach.data.shinra import read_annotation_file, write_submission
from coteach.errors import InputError
from coteach.graph.bundles import without_gold
from coteach.graph.nodes import Predicted
from coteach.recipe import Recipe
from coteach.training.loading import load_extractor
from coteach.training.processes import processes

__all__ = ["predictions"]

_FORMAT = 1  # part of the cache's key: raise it when predictions change


def predictions(recipe: Recipe, corpus: Corpus) -> dict[str, Annotations]:
    """What the student of each ``Predicted`` node that teaches finds on pages without gold.

    It is kept in the recipe's cache, by the content of the student's files and of the pages.

    Raises:
        InputError: there is no such student.
    """
    page_ids = without_gold(corpus)
    return {
        edge.source: _predicted(edge.source, node.student, corpus, page_ids, recipe.cache)
        for edge in recipe.edges.values()
        if isinstance(node := recipe.nodes[edge.source], Predicted)
    }


def _predicted(
    name: str, folder: Path, corpus: Corpus, page_ids: Sequence[str], cache: Path
) -> Annotations:
    if not (folder / "config.json").is_file():
        raise InputError(
            f"nodes.{name}.student: no student in {str(folder)!r}; expected the folder "
            '"student" of a finished run'
        )
    path = cache / f"predicted-{_fingerprint(folder, corpus, page_ids)}.json"
    with processes().main_process_first():  # the others find its file
        if not path.exists():
            _predict(name, folder, corpus, page_ids, path)
    return Annotations(name, read_annotation_file(path).values, frozenset(page_ids))


def _predict(name: str, folder: Path, corpus: Corpus, page_ids: Sequence[str], path: Path) -> None:
    """Write the submission of a student for some pages."""
    try:
        extractor = load_extractor(folder)
    except InputError as error:
        raise InputError(f"nodes.{name}: {error}") from None
    bar = tqdm(page_ids, desc=f"{name}: predict", unit="page")
    found = extractor(corpus.pages[page_id].text for page_id in bar)
    pages = (corpus.pages[page_id] for page_id in page_ids)
    write_submission(path, ((page, result["p"]) for page, result in zip(pages, found, strict=True)))


def _fingerprint(folder: Path, corpus: Corpus, page_ids: Sequence[str]) -> str:
    """A key that changes with the student's files and with the pages."""
    digest = hashlib.sha256(str(_FORMAT).encode())
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        digest.update(file.name.encode())
        with opening(file), file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    for page_id in page_ids:
        digest.update(json.dumps([page_id, corpus.pages[page_id].text]).encode())
    return digest.hexdigest()[:32]
