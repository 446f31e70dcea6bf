"""The data of a finished run, read again by what its ``recipe.json`` says."""

from __future__ import annotations

import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from coteach.data.annotated_files import AnnotatedFiles
from coteach.data.corpus import Corpus, load_corpus
from coteach.data.formats import FORMATS
from coteach.data.shinra_distribution import ShinraDistribution
from coteach.data.shinra_task import ShinraData
from coteach.data.sources import Split, TaskData
from coteach.errors import InputError
from coteach.reporting.runs import Run

__all__ = ["read_corpus", "task_data"]

_TASKS: Mapping[str, type[TaskData]] = {
    it.__name__: it for it in (ShinraData, ShinraDistribution, AnnotatedFiles)
}
_PARTS: Mapping[str, type[Any]] = {it.__name__: it for it in FORMATS.values()}


def task_data(described: Mapping[str, Any]) -> TaskData:
    """The data of a recipe from its JSON.

    Args:
        described: what ``recipe.json`` has under ``data``.

    Raises:
        InputError: it is of another type than the package's own, or of another version.
    """
    name = str(described.get("type"))
    if name not in _TASKS:
        raise InputError(f"data: expected one of {[*_TASKS]}, got {name!r}")
    try:
        data = _restored(_TASKS[name], described)
    except (KeyError, TypeError) as error:
        raise InputError(f"data: not the fields of {name}: {error!r}") from None
    assert isinstance(data, TaskData)
    return data


def read_corpus(run: Run) -> tuple[Corpus, Split]:
    """The data of a run and the split that it was scored on.

    Raises:
        InputError: the data is gone, cannot be read, or is no longer what was scored.
    """
    corpus = load_corpus(task_data(run.recipe["data"]), run.seed)
    split = corpus.report or corpus.dev
    if split.page_ids != run.page_ids:
        raise InputError(
            f"the {split.name} split has {len(split.page_ids)} page(s), others than the "
            f"{len(run.page_ids)} that {run.folder} was scored on"
        )
    return corpus, split


def _restored(of: type[Any], described: Mapping[str, Any]) -> Any:
    hints = get_type_hints(of)
    return of(**{k: _value(it, hints[k]) for k, it in described.items() if k != "type"})


def _value(value: Any, hint: Any) -> Any:
    if isinstance(value, Mapping):
        return _restored(_PARTS[value["type"]], value)
    if isinstance(value, list):
        return tuple(value)
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return Path(value) if isinstance(value, str) and Path in kinds else value
