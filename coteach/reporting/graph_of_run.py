"""Who taught whom in a run, read from its ``recipe.json``: what drawings and cards show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from coteach.data.files import read_json
from coteach.errors import InputError

__all__ = ["Edge", "Node", "RunGraph", "graph_of_run", "name_of_place"]

# Losses of labels, by a head on one layer; the others compare models, and name their own layers.
LABEL_LOSSES = ("ClassBalancedFocal", "CrossEntropy")
OPEN_GATE = "Through"


@dataclass(frozen=True)
class Node:
    """Who teaches or learns.

    Attributes:
        name: in the recipe.
        kind: the type of the recipe's node: Gold, Submissions, Teacher, Student, ….
        detail: what else tells it, in a few words, without machine paths; may be empty.
    """

    name: str
    kind: str
    detail: str


@dataclass(frozen=True)
class Edge:
    """Who teaches whom, and how.

    Attributes:
        name: in the recipe, unique within its stage.
        source: name of the node that teaches.
        target: name of the node that learns.
        loss: the type of the recipe's loss.
        weight: among the edges of the same stage.
        layer: that its heads read, as the recipe counts it; None where the loss names its own.
        gate: when the edge speaks, in words; empty for always.
        stage: before the main one; empty for the main one.
    """

    name: str
    source: str
    target: str
    loss: str
    weight: float
    layer: int | None
    gate: str
    stage: str


@dataclass(frozen=True)
class RunGraph:
    """Nodes in the recipe's order; edges stage by stage, those of the main one last."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def graph_of_run(folder: Path) -> RunGraph:
    """The graph of a run, finished or not.

    Args:
        folder: of the run, with its ``recipe.json``.

    Raises:
        InputError: there is no such file, or it is no run's recipe.
    """
    path = folder / "recipe.json"
    described = read_json(path)
    try:
        recipe = described["recipe"]
        nodes = tuple(_node(name, of) for name, of in recipe["nodes"].items())
        stages = {name: stage["edges"] for name, stage in (recipe.get("stages") or {}).items()}
        edges = tuple(
            _edge(name, of, stage)
            for stage, found in {**stages, "": recipe["edges"]}.items()
            for name, of in found.items()
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError.at(path, None, f"expected a run's recipe: {error!r}") from None
    names = {node.name for node in nodes}
    for edge in edges:
        for end in (edge.source, edge.target):
            if end not in names:
                raise InputError.at(
                    path, None, f"edge {edge.name!r}: no node {end!r}; expected one of {[*names]}"
                )
    return RunGraph(nodes, edges)


def name_of_place(place: str) -> str:
    """What names a model or a file: a path's last part, of a run for its folder "student"; a name
    on the Hub, such as ``user/name``, as it is."""
    parts = PureWindowsPath(place) if "\\" in place else PurePosixPath(place)
    if re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", place) and parts.parts[0] != "runs":
        return place
    return parts.parent.name if parts.name == "student" and parts.parent.name else parts.name


def _node(name: str, of: Mapping[str, Any]) -> Node:
    return Node(name, str(of["type"]), ", ".join(_details(of)))


def _details(of: Mapping[str, Any]) -> Iterator[str]:
    """What tells a node apart from others of its kind."""
    kind = of["type"]
    if kind == "Submissions":
        yield from map(str, of.get("teams") or ())
        if rule := of.get("weights"):
            yield "weights: " + _written(rule)
    elif kind == "Aggregated":
        minimum = of.get("minimum")
        yield str(of["method"]) + ("" if minimum is None else f" of at least {minimum}")
    elif kind == "Predicted":
        yield name_of_place(str(of["student"]))
    elif kind == "PartOfSpeech":
        dictionary = of.get("dictionary")
        yield str(of["analyzer"]) + (
            f" with {name_of_place(str(dictionary))}" if dictionary else ""
        )
        yield from map(str, of["classes"])
    elif kind == "Teacher":
        yield name_of_place(str(of["model"]))
    elif kind == "Student":
        encoder = of.get("encoder")
        yield name_of_place(str(encoder)) if encoder else str(of["encoder_config"]["model_type"])
        if layers := of.get("encoder_layers"):
            yield "its layers " + ", ".join(map(str, layers))


def _edge(name: str, of: Mapping[str, Any], stage: str) -> Edge:
    loss = str(of["loss"]["type"])
    gate = of.get("gate") or {"type": OPEN_GATE}
    return Edge(
        name=name,
        source=str(of["source"]),
        target=str(of["target"]),
        loss=loss,
        weight=float(of["weight"]),
        layer=int(of["layer"]) if loss in LABEL_LOSSES else None,
        gate="" if gate["type"] == OPEN_GATE else _gate(gate),
        stage=stage,
    )


def _gate(gate: Mapping[str, Any]) -> str:
    if gate["type"] != "Every":
        return _written(gate)
    return "" if gate["steps"] == 1 else f"every {gate['steps']} steps"


def _written(part: Mapping[str, Any]) -> str:
    """A part of a recipe as one writes it there: ``DevScore(by='attribute', power=2)``."""
    values = ", ".join(f"{key}={value!r}" for key, value in part.items() if key != "type")
    return f"{part['type']}({values})" if values else str(part["type"])
