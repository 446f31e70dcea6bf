"""Where boxes and arrows of a run's graph stand: who teaches left, who learns right."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from coteach.reporting.graph_of_run import Edge, Node, RunGraph

__all__ = ["Arrow", "Box", "Drawing", "drawings"]

_LANE = 62  # pixels an edge
_GAP = 16  # between boxes
_BOX = 250  # width of a box
_MIDDLE = 320  # between the columns
_LINE = 16  # of a box's text
_PADDING = 10
_COLUMNS = 36  # of a box's text: as many narrow characters fit
_DETAILS = 4  # lines


@dataclass(frozen=True)
class Box:
    """A node, in pixels: its upper left corner, its size, and its lines of text.

    Attributes:
        full: the whole text, of which ``lines`` may be a part.
    """

    left: float
    top: float
    width: float
    height: float
    kind: str
    lines: tuple[str, ...]
    full: str


@dataclass(frozen=True)
class Arrow:
    """An edge: a curve from one box to another, what it compares above and when below its end.

    Attributes:
        path: of SVG.
        x, y: the arrow's point.
        above, below: texts; ``below`` may be empty.
        head: what learns there, inside the target's box.
        colour: number of the source, for its colour.
    """

    path: str
    x: float
    y: float
    above: str
    below: str
    head: str
    colour: int


@dataclass(frozen=True)
class Drawing:
    """The graph of one stage."""

    title: str
    width: float
    height: float
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    text: str
    """The same in words."""


def drawings(graph: RunGraph, teams: int = 0) -> list[Drawing]:
    """One drawing a stage, the main one last.

    Args:
        graph: of a run.
        teams: how many there are, as far as known; else 0.
    """
    stages = list(dict.fromkeys(edge.stage for edge in graph.edges))
    nodes = {node.name: _with_teams(node, teams) for node in graph.nodes}
    colours = {name: number for number, name in enumerate(nodes)}
    return [
        _drawing(
            f"stage {stage}" if stage else ("main stage" if len(stages) > 1 else ""),
            nodes,
            colours,
            [edge for edge in graph.edges if edge.stage == stage],
        )
        for stage in stages
    ]


def _with_teams(node: Node, teams: int) -> Node:
    if node.kind != "Submissions" or not teams:
        return node
    count = f"{teams} team" + ("s" if teams > 1 else "")
    return Node(node.name, node.kind, ", ".join(filter(None, (count, node.detail))))


def _drawing(
    title: str, nodes: dict[str, Node], colours: dict[str, int], edges: Sequence[Edge]
) -> Drawing:
    order = list(nodes)
    edges = sorted(edges, key=lambda it: (order.index(it.target), order.index(it.source)))
    right: list[Box] = []
    places: dict[int, float] = {}  # of an edge: its height
    top = float(_PADDING)
    for target in dict.fromkeys(edge.target for edge in edges):
        own = [number for number, edge in enumerate(edges) if edge.target == target]
        lines, full = _lines(nodes[target])
        head = len(lines) * _LINE + 2 * _PADDING
        for place, number in enumerate(own):
            places[number] = top + head + (place + 0.5) * _LANE
        height = head + len(own) * _LANE
        right.append(Box(_BOX + _MIDDLE, top, _BOX, height, nodes[target].kind, lines, full))
        top += height + _GAP
    bottom = top
    left: list[Box] = []
    ends: dict[str, Box] = {}
    top = float(_PADDING)
    sources = list(dict.fromkeys(edge.source for edge in edges))
    middle = {
        source: _mean([places[n] for n, edge in enumerate(edges) if edge.source == source])
        for source in sources
    }
    for source in sorted(sources, key=middle.__getitem__):
        lines, full = _lines(nodes[source])
        height = len(lines) * _LINE + 2 * _PADDING
        top = max(top, middle[source] - height / 2)
        box = Box(0, top, _BOX, height, nodes[source].kind, lines, full)
        ends[source] = box
        left.append(box)
        top += height + _GAP
    arrows = []
    for number, edge in enumerate(edges):
        box = ends[edge.source]
        start, y, x = box.top + box.height / 2, places[number], float(_BOX + _MIDDLE)
        bend = _MIDDLE * 0.3
        arrows.append(
            Arrow(
                f"M{_BOX} {start:g} C{_BOX + bend:g} {start:g} {_BOX + bend:g} {y:g} "
                f"{_BOX + 0.4 * _MIDDLE:g} {y:g} H{x - 8:g}",
                x,
                y,
                f"{edge.loss} × {edge.weight:g}",
                edge.gate,
                _head(edge),
                colours[edge.source],
            )
        )
    words = "; ".join(
        f"{edge.source} teaches {edge.target} by {edge.loss} × {edge.weight:g}"
        + (f", {_head(edge)}" if edge.layer is not None else "")
        + (f", {edge.gate}" if edge.gate else "")
        for edge in edges
    )
    total = max(bottom, top) - _GAP + _PADDING
    return Drawing(title, 2 * _BOX + _MIDDLE, total, (*left, *right), tuple(arrows), words)


def _head(edge: Edge) -> str:
    if edge.layer is None:
        return edge.name
    return f"{edge.name}: " + ("last layer" if edge.layer == -1 else f"layer {edge.layer}")


def _lines(node: Node) -> tuple[tuple[str, ...], str]:
    """A node's name and kind, then its details, cut where there are too many."""
    details = textwrap.wrap(node.detail, _COLUMNS - max(0, _wide(node.detail)))
    if len(details) > _DETAILS:
        details = [*details[: _DETAILS - 1], details[_DETAILS - 1][: _COLUMNS // 2] + " …"]
    return (node.name, node.kind, *details), "\n".join((node.name, node.kind, node.detail))


def _wide(text: str) -> int:
    """How many columns a line loses to wide characters, if they are spread evenly."""
    return round(_COLUMNS * (1 - len(text) / cell_len(text))) if text else 0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
