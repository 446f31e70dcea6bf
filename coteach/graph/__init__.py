"""Who teaches whom: nodes, edges, gates and objectives."""

from coteach.graph.edges import Edge
from coteach.graph.gates import Every, Gate, Through
from coteach.graph.nodes import (
    Aggregated,
    Gold,
    Node,
    PartOfSpeech,
    Predicted,
    Student,
    Submissions,
    Teacher,
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
    "Every",
    "Gate",
    "Given",
    "Gold",
    "Node",
    "Objective",
    "PartOfSpeech",
    "Predicted",
    "Student",
    "Submissions",
    "Teacher",
    "TeamWeights",
    "Through",
    "UncertaintyWeighting",
    "WeightedSum",
]
