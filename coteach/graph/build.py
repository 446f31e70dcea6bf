"""From a recipe's nodes and edges to what is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from coteach.aggregation import aggregate
from coteach.data.corpus import Corpus
from coteach.data.pages import Annotations
from coteach.data.windowed import Windowed
from coteach.errors import InputError
from coteach.graph.edges import BoundEdge, Edge, EdgeSums
from coteach.graph.gates import Step
from coteach.graph.nodes import Aggregated, Gold, Node, Predicted, Submissions
from coteach.graph.objectives import CoTeaching, WeightedSum
from coteach.graph.weights import team_weights
from coteach.model import Student
from coteach.model.configuration import OUTPUT_HEAD
from coteach.model.iob2 import CLASSES


@dataclass(frozen=True)
class Bundle:
    """The annotation nodes behind one node of a recipe.

    Attributes:
        sources: what each of them says.
        heads: the head that each of them teaches.
        weights: (members, attributes), mean 1 over the members.
        counted: whose labels the classes are counted in, where it is not one of the sources.
    """

    sources: tuple[Annotations, ...]
    heads: tuple[str, ...]
    weights: np.ndarray
    counted: Annotations | None = None


def bundles(
    nodes: Mapping[str, Node],
    edges: Mapping[str, Edge],
    corpus: Corpus,
    predicted: Mapping[str, Annotations] | None = None,
) -> dict[str, Bundle]:
    """The sources of every node that an edge starts from.

    Args:
        nodes: the recipe's.
        edges: the recipe's.
        corpus: what they speak about.
        predicted: for every ``Predicted`` node, what its student found on ``without_gold``'s pages.

    Raises:
        InputError: a node names a team that handed nothing in, or two nodes share a head.
    """
    result: dict[str, Bundle] = {}
    gold, ones = corpus.train.gold, np.ones((1, len(corpus.attributes)))
    for edge in edges.values():
        node = nodes[edge.source]
        if isinstance(node, Gold):
            result[edge.source] = Bundle((gold,), (OUTPUT_HEAD,), ones)
        elif isinstance(node, Aggregated):
            teams = _teams(edge.source, node, corpus)
            labels = aggregate(node.method, teams, corpus, without_gold(corpus), node.minimum)
            result[edge.source] = Bundle((_joined(gold, labels),), (OUTPUT_HEAD,), ones, gold)
        elif isinstance(node, Predicted):
            labels = (predicted or {})[edge.source]
            result[edge.source] = Bundle((_joined(gold, labels),), (OUTPUT_HEAD,), ones, gold)
        elif isinstance(node, Submissions):
            teams = _teams(edge.source, node, corpus)
            result[edge.source] = Bundle(
                teams if node.masks else tuple(replace(team, processed=None) for team in teams),
                tuple(team.name for team in teams),
                team_weights(node.weights, teams, corpus.attributes, corpus),
            )
    names = [source.name for source in label_sources(result)]
    heads = [head for bundle in result.values() for head in bundle.heads]
    for name in [*names, *heads]:
        if max(names.count(name), heads.count(name)) > 1:
            raise InputError(
                f"nodes: two sources or heads are named {name!r}; expected different names (no "
                f'team may be called "gold" or "{OUTPUT_HEAD}")'
            )
    return result


def label_sources(sources: Mapping[str, Bundle]) -> list[Annotations]:
    """Everything that training data must hold: the bundles' sources, and what is counted."""
    held = [source for bundle in sources.values() for source in bundle.sources]
    for bundle in sources.values():
        if bundle.counted is not None and not any(bundle.counted is source for source in held):
            held.append(bundle.counted)
    return held


def without_gold(corpus: Corpus) -> list[str]:
    """The training pages that have no gold."""
    labelled = frozenset(corpus.train.page_ids)
    return [page_id for page_id in corpus.page_ids if page_id not in labelled]


def _joined(gold: Annotations, labels: Annotations) -> Annotations:
    """The gold on its own pages, and labels on others."""
    assert gold.processed is not None
    assert labels.processed is not None
    return Annotations(
        f"{gold.name} + {labels.name}",
        {**gold.values, **labels.values},
        gold.processed | labels.processed,
    )


def _teams(name: str, node: Submissions | Aggregated, corpus: Corpus) -> tuple[Annotations, ...]:
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
            (bundle.counted or bundle.sources[0]).name
            for bundle in sources.values()
            if OUTPUT_HEAD in bundle.heads
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
    rate = windowed.labelled_rate(edges[objective.gold].members[0])
    return replace(objective, labelled_rate=rate or 1.0)  # without gold, no loss to scale
