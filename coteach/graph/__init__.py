"""Who teaches whom: nodes, edges, gates and objectives."""

from coteach.graph.edges import Edge
from coteach.graph.gates import Gate, Through
from coteach.graph.nodes import (
    Aggregated,
    Gold,
    Node,
    PartOfSpeech,
    Predicted,
    Student,
    Submissions,
)
from coteach.graph.objectives import (
    CoTeaching,
    Objective,
    UncertaintyWeighting,
    WeightedSum,
)
from coteach.graph.weights import Agreement, DevScore, Equal, Given, TeamWeights

__all__ = [
    "Aggregated",
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
    "PartOfSpeech",
    "Predicted",
    "Student",
    "Submissions",
    "TeamWeights",
    "Through",
    "UncertaintyWeighting",
    "WeightedSum",
]
