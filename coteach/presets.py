"""Changes of a whole recipe that have a name."""

from __future__ import annotations

from dataclasses import replace

from coteach.errors import InputError
from coteach.graph.edges import Edge
from coteach.graph.nodes import Node, Student, Submissions
from coteach.graph.objectives import CoTeaching
from coteach.graph.weights import Equal
from coteach.losses import ClassBalancedFocal
from coteach.recipe import Optimisation, Recipe, Selection

__all__ = ["paper"]


def paper(recipe: Recipe) -> Recipe:
    """A co-teaching recipe with the settings of the co-teaching paper (§3, §4.2) and its code.

    Where the data lies, the encoder and the seed stay. At most 2,000 pages; the loss is
    class-balanced focal with β = 0.999 (of the paper's grid {0.999, 0.9999, 0.99999}) and γ = 2;
    teams weigh the same and are taken to have processed every page; ½(teams + gold) where an
    example has gold; AdamW at 5e-5 in batches of 16 for 100 epochs, linearly down to 0, without
    warm-up, decay or clipping; p_out selects on dev; windows of what the encoder holds, at most
    510, overlapping by 100.

    Args:
        recipe: with a node of submissions and one student; its edges keep their names.

    Raises:
        InputError: its edges are not one from the submissions and one from other labels.
    """
    loss = ClassBalancedFocal(beta=0.999, gamma=2.0)
    nodes: dict[str, Node] = {}
    for name, node in recipe.nodes.items():
        if isinstance(node, Submissions):
            nodes[name] = replace(node, weights=Equal(), masks=False)
        elif isinstance(node, Student):
            nodes[name] = replace(node, window=None, overlap=Student().overlap, mean="equal")
        else:
            nodes[name] = node
    edges = {name: Edge(edge.source, edge.target, loss) for name, edge in recipe.edges.items()}
    roles = {
        "teams" if isinstance(nodes[edge.source], Submissions) else "gold": name
        for name, edge in edges.items()
    }
    if len(edges) != 2 or len(roles) != 2:
        raise InputError(
            f"edges: expected one from the submissions and one from the gold, got {list(edges)}"
        )
    return replace(
        recipe,
        data=replace(recipe.task_data(), max_pages=2000),
        nodes=nodes,
        edges=edges,
        objective=CoTeaching(teams=roles["teams"], gold=roles["gold"]),
        optimisation=Optimisation(),
        selection=Selection(probability="p_out"),
    )
