"""Who teaches whom: nodes, edges, gates and objectives."""

from coteach.graph.edges import Edge
from coteach.graph.gates import Gate, Through
from coteach.graph.nodes import Gold, Node, Student, Submissions
from coteach.graph.objectives import CoTeaching, Objective, WeightedSum
from coteach.graph.weights import Agreement, DevScore, Equal, Given, TeamWeights

__all__ = [
    "Agreement",
    "CoTeaching",
    "DevScore",
    "Edge",
    "Equal",
    "Gate",
    "Given",
    "Gold",
    "Node",
    "Objective",
    "Student",
    "Submissions",
    "TeamWeights",
    "Through",
    "WeightedSum",
]
