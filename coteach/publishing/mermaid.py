"""The graph of a run as the source of a Mermaid flowchart."""

from __future__ import annotations

import re

from coteach.reporting.graph_of_run import Edge, Node, RunGraph

__all__ = ["flowchart"]

SHAPES = {"Student": ('(["', '"])'), "Teacher": ('[["', '"]]')}
BOX = ('["', '"]')


def flowchart(graph: RunGraph) -> str:
    """Nodes as boxes, the student's with round ends, and an arrow for every edge with its loss.

    Edges of stages before the main one are dotted and name it. Names appear in quoted labels only,
    in which all that the language might read is written as a code of a character.
    """
    places = {node.name: f"n{number}" for number, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for node in graph.nodes:
        before, behind = SHAPES.get(node.kind, BOX)
        lines.append(f"    {places[node.name]}{before}{_node_label(node)}{behind}")
    for edge in graph.edges:
        arrow = "-.->" if edge.stage else "-->"
        ends = (places[edge.source], places[edge.target])
        lines.append(f'    {ends[0]} {arrow}|"{_edge_label(edge)}"| {ends[1]}')
    return "\n".join(lines)


def _node_label(node: Node) -> str:
    parts = [node.name, node.kind, node.detail] if node.detail else [node.name, node.kind]
    return "<br>".join(map(_encoded, parts))


def _edge_label(edge: Edge) -> str:
    parts = [edge.loss if edge.weight == 1 else f"{edge.loss} × {edge.weight:g}"]
    parts += [f"layer {edge.layer}"] if edge.layer not in (None, -1) else []
    parts += [edge.gate] if edge.gate else []
    label = "<br>".join(map(_encoded, parts))
    return f"{_encoded(edge.stage)}<br>{label}" if edge.stage else label


def _encoded(text: str) -> str:
    """Text of a quoted label: letters, digits and harmless marks as they are, the rest as codes."""
    text = "".join(it for it in " ".join(text.split()) if it.isprintable())
    coded = "".join(it if it.isalnum() or it in " _-,.()=×/" else f"#{ord(it)};" for it in text)
    # What begins like an item of a list would be read as one.
    item = re.match(r"(\d+)([.)])|[-]", coded)
    if item is None:
        return coded
    place = item.end() - 1
    return f"{coded[:place]}#{ord(coded[place])};{coded[place + 1 :]}"
