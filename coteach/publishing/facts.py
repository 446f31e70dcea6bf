"""What a finished run says of its student: recipe, graph, data and scores."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from coteach.data.files import read_json
from coteach.errors import InputError
from coteach.reporting.graph_of_run import RunGraph, graph_of_run

__all__ = ["RunFacts", "data_names", "data_title", "encoder_on_hub", "places", "run_facts"]

ROLES = {
    "root": "task",
    "category": "category",
    "pages": "pages",
    "gold": "training gold",
    "train": "training",
    "dev": "selection (dev)",
    "report": "final scores (report)",
    "unlabelled": "unlabelled",
    "submissions": "submissions",
}


@dataclass(frozen=True)
class RunFacts:
    """A finished run.

    Attributes:
        recipe: as ``recipe.json`` has it.
        version: of coteach that ran it.
        summary: as ``summary.json`` has it.
        graph: who taught whom.
        split: whose pages or texts were scored.
        scored: how many.
    """

    recipe: Mapping[str, Any]
    version: str
    summary: Mapping[str, Any]
    graph: RunGraph
    split: str
    scored: int

    @property
    def classifies(self) -> bool:
        """Whether the student classifies texts; else it extracts values from pages."""
        return self.summary.get("task") == "classification"

    @property
    def found_nothing(self) -> bool:
        """Whether the student has no right value on the pages that were scored."""
        own = [
            of["f1"]
            for of in self.summary["scores"].values()
            if of["kind"] == "student" and "f1" in of
        ]
        return bool(own) and not any(own)


def places(model: Path) -> tuple[Path, Path | None]:
    """Where a student and its run are.

    Args:
        model: folder of a finished run, or of a student. One named "student" in a run's folder is
            that run's.

    Returns:
        The student's folder, and the run's; None where there is none.

    Raises:
        InputError: it is neither, or holds several students.
    """
    if not model.is_dir():
        raise InputError.at(model, None, "no such folder; expected that of a run or of a student")
    if (model / "recipe.json").is_file():
        if not (model / "student").is_dir():
            _refuse_several(model)
            raise InputError.at(model / "student", None, "missing: this run is not finished")
        return model / "student", model
    if (model / "config.json").is_file():
        folder = model.resolve()
        is_runs = folder.name == "student" and (folder.parent / "recipe.json").is_file()
        return model, folder.parent if is_runs else None
    _refuse_several(model)
    raise InputError.at(
        model, None, "no student here; expected a folder of a finished run or of a student"
    )


def _refuse_several(model: Path) -> None:
    found = sorted(it.parent for it in model.glob("*/student") if it.is_dir())
    if found:
        named = ", ".join(str(it) for it in found[:5]) + (", …" if len(found) > 5 else "")
        raise InputError.at(
            model,
            None,
            f"holds {len(found)} run(s), each with a student; push them one by one, each under a "
            f"name of its own: {named}",
        )


def run_facts(folder: Path) -> RunFacts:
    """Read a finished run.

    Raises:
        InputError: it is not finished, or its files are not those of a run.
    """
    graph = graph_of_run(folder)
    described = read_json(folder / "recipe.json")
    if not (folder / "summary.json").exists():
        raise InputError.at(
            folder / "summary.json",
            None,
            "missing: this run is not finished; the same command of coteach.train goes on with it",
        )
    summary = read_json(folder / "summary.json")
    try:
        students = [of for of in summary["scores"].values() if of["kind"] == "student"]
        split = students[0]["split"]
        scored = (
            len(read_json(folder / "pages.json")["page_ids"])
            if "pages" in summary
            else int(summary["texts"][split])
        )
        recipe, version = described["recipe"], str(described["versions"]["coteach"])
        return RunFacts(recipe, version, summary, graph, str(split), scored)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError.at(
            folder / "summary.json", None, f"expected a run's summary: {error!r}"
        ) from None


def encoder_on_hub(recipe: Mapping[str, Any]) -> str | None:
    """The pretrained encoder of the recipe's student, where that looks like a name on the Hub."""
    encoders = [of.get("encoder") for of in recipe["nodes"].values() if of["type"] == "Student"]
    name = encoders[0] if len(encoders) == 1 else None
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name):
        return None
    return None if name.startswith("runs/") or Path(name).exists() else name


def data_names(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Role → names of files, folders and data sets of a run, without their places."""
    # The only kinds of data whose places may be names on the Hub.
    hub = data["type"] == "ClassificationData" or (data.get("format") or {}).get("type") == "Hub"
    for field, role in ROLES.items():
        given = data.get(field)
        values = given if isinstance(given, list) else [given]
        names = [_name(str(it), hub) for it in values if it not in (None, "")]
        if names:
            yield role, ", ".join(dict.fromkeys(names))


def data_title(data: Mapping[str, Any]) -> str:
    """What the data is called: its category, or its folder of pages, or its training files."""
    named = dict(data_names(data))
    for role in ("category", "pages", "training"):
        if role in named:
            return named[role]
    return str(data["type"])


def _name(place: str, hub: bool) -> str:
    """The last part of a place; the name of a data set on the Hub as it is."""
    parts = PureWindowsPath(place) if "\\" in place else PurePosixPath(place)
    is_name = hub and len(parts.parts) == 2 and not parts.suffix and not parts.is_absolute()
    return place if is_name and not Path(place).exists() else parts.name
