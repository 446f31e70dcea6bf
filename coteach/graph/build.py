"""From a recipe's nodes and edges to what is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from coteach.data.corpus import Corpus
from coteach.data.pages import Annotations
from coteach.data.windowed import Windowed
from coteach.errors import InputError
from coteach.graph.edges import BoundEdge, Edge, EdgeSums
from coteach.graph.gates import Step
from coteach.graph.nodes import Gold, Node, Submissions
from coteach.graph.objectives import CoTeaching, WeightedSum
from coteach.graph.weights import team_weights
from coteach.model.configuration import OUTPUT_HEAD
from coteach.model.iob2 import CLASSES
from coteach.model.student import Student


@dataclass(frozen=True)
class Bundle:
    """The annotation nodes behind one node of a recipe.

    Attributes:
        sources: what each of them says.
        heads: the head that each of them teaches.
        weights: (members, attributes), mean 1 over the members.
    """

    sources: tuple[Annotations, ...]
    heads: tuple[str, ...]
    weights: np.ndarray


def bundles(
    nodes: Mapping[str, Node], edges: Mapping[str, Edge], corpus: Corpus
) -> dict[str, Bundle]:
    """The sources of every node that an edge starts from.

    Raises:
        InputError: a node names a team that handed nothing in, or two nodes share a head.
    """
    result: dict[str, Bundle] = {}
    for edge in edges.values():
        node = nodes[edge.source]
        if isinstance(node, Gold):
            ones = np.ones((1, len(corpus.attributes)))
            result[edge.source] = Bundle((corpus.train.gold,), (OUTPUT_HEAD,), ones)
        elif isinstance(node, Submissions):
            teams = _teams(edge.source, node, corpus)
            result[edge.source] = Bundle(
                teams if node.masks else tuple(replace(team, processed=None) for team in teams),
                tuple(team.name for team in teams),
                team_weights(node.weights, teams, corpus.attributes, corpus),
            )
    names = [source.name for bundle in result.values() for source in bundle.sources]
    heads = [head for bundle in result.values() for head in bundle.heads]
    for name in [*names, *heads]:
        if max(names.count(name), heads.count(name)) > 1:
            raise InputError(
                f"nodes: two sources or heads are named {name!r}; expected different names (no "
                f'team may be called "gold" or "{OUTPUT_HEAD}")'
            )
    return result


def _teams(name: str, node: Submissions, corpus: Corpus) -> tuple[Annotations, ...]:
    if not node.teams:
        return corpus.teams
    known = {team.name: team for team in corpus.teams}
    missing = [team for team in node.teams if team not in known]
    if missing:
        raise InputError(
            f"nodes.{name}.teams: no submission of {missing[0]!r}; expected some of {list(known)}"
        )
    return tuple(known[team] for team in node.teams)


def head_layers(
    edges: Mapping[str, Edge], sources: Mapping[str, Bundle]
) -> list[dict[str, object]]:
    """The heads that the edges give the student, as its configuration has them."""
    return [
        {"name": head, "layer": edge.layer}
        for edge in edges.values()
        for head in sources[edge.source].heads
    ]


class StudentGraph:
    """A student and all that teaches it.

    Args:
        student: with a head for every member of every edge.
        edges: the recipe's, all into this student.
        objective: how they combine.
        sources: the bundle behind each source node.
        windowed: the training data, for the place of each source and the class counts.
    """

    def __init__(
        self,
        student: Student,
        edges: Mapping[str, Edge],
        objective: CoTeaching | WeightedSum,
        sources: Mapping[str, Bundle],
        windowed: Windowed,
    ) -> None:
        self.student = student
        gold = [
            bundle.sources[0].name for bundle in sources.values() if OUTPUT_HEAD in bundle.heads
        ]
        if gold:
            counts = windowed.class_counts(gold[0])
        else:  # nothing to balance by: every class counts as seen once
            counts = torch.ones(len(windowed.attributes), CLASSES, dtype=torch.int64)
        self.edges: dict[str, BoundEdge] = {}
        for name, edge in edges.items():
            bundle = sources[edge.source]
            self.edges[name] = BoundEdge(
                edge,
                members=[source.name for source in bundle.sources],
                sources=[windowed.sources.index(source.name) for source in bundle.sources],
                heads=[student.config.head_names.index(head) for head in bundle.heads],
                weights=torch.from_numpy(bundle.weights).float(),
                class_counts=counts,
            )
        self.objective = _with_labelled_rate(objective, self.edges, windowed)

    def to(self, device: torch.device) -> None:
        """Move the edges' own tensors; the student is moved by who prepares it."""
        for edge in self.edges.values():
            edge.to(device)

    def totals(self, labels: Tensor) -> Tensor:
        """The objective's denominators of a micro-batch, from its labels alone."""
        return self.objective.totals({k: edge.counts(labels) for k, edge in self.edges.items()})

    def losses(self, logits: Tensor, labels: Tensor, step: Step) -> dict[str, EdgeSums]:
        """Every edge's losses on a micro-batch."""
        return {name: edge(logits, labels, step) for name, edge in self.edges.items()}

    def combine(self, sums: Mapping[str, EdgeSums], totals: Tensor) -> Tensor:
        """The micro-batch's share of the student's loss, a scalar."""
        return self.objective(sums, self.edges, totals)


def _with_labelled_rate(
    objective: CoTeaching | WeightedSum, edges: Mapping[str, BoundEdge], windowed: Windowed
) -> CoTeaching | WeightedSum:
    """Count the original code's labelled rate where the objective asks for it."""
    if not isinstance(objective, CoTeaching) or objective.gold_scale == "none":
        return objective
    if objective.labelled_rate is not None:
        return objective
    gold = windowed.sources.index(edges[objective.gold].members[0])
    labelled = total = 0
    for row in windowed.rows.select_columns(["has_text", "processed"]):
        positions = sum(row["has_text"])
        total += positions
        labelled += positions * row["processed"][gold]
    # Nothing labelled: there is no gold loss to scale.
    return replace(objective, labelled_rate=labelled / total if labelled else 1.0)
