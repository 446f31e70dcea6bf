"""From a recipe's nodes and edges to what is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from coteach.aggregation import aggregate
from coteach.data import part_of_speech
from coteach.data.classification import LabelledTexts
from coteach.data.corpus import Corpus
from coteach.data.pages import Annotations
from coteach.data.windowed import TagSource, Windowed
from coteach.errors import InputError, in_one_line
from coteach.graph.edges import Answer, BoundEdge, Edge, EdgeSums
from coteach.graph.gates import Step
from coteach.graph.nodes import Aggregated, Gold, Node, PartOfSpeech, Predicted, Submissions
from coteach.graph.objectives import (
    CoTeaching,
    LearnedWeighting,
    UncertaintyWeighting,
    WeightedSum,
)
from coteach.graph.weights import team_weights
from coteach.model import Student
from coteach.model.configuration import OUTPUT_HEAD
from coteach.model.iob2 import CLASSES
from coteach.model.part_of_speech import PartOfSpeechLabeler
from coteach.model.student import StudentOutput


@dataclass(frozen=True)
class Bundle:
    """The annotation nodes behind one node of a recipe.

    Attributes:
        sources: what each of them says.
        heads: the head that each of them teaches.
        weights: (members, attributes), mean 1 over the members.
        counted: whose labels the classes are counted in, where it is not one of the sources.
        tags: for the auxiliary heads that it teaches; such a bundle has nothing else.
    """

    sources: tuple[Annotations, ...]
    heads: tuple[str, ...]
    weights: np.ndarray
    counted: Annotations | None = None
    tags: TagSource | None = None


def bundles(
    nodes: Mapping[str, Node],
    edges: Mapping[str, Edge],
    corpus: Corpus | LabelledTexts,
    predicted: Mapping[str, Annotations] | None = None,
) -> dict[str, Bundle]:
    """The sources of every node that an edge starts from.

    Args:
        nodes: the recipe's.
        edges: the recipe's.
        corpus: what they speak about.
        predicted: for every ``Predicted`` node, what its student found on ``without_gold``'s pages.

    Raises:
        InputError: a node names a team that handed nothing in, two nodes share a head, or an
            analyser of parts of speech cannot be started.
    """
    result: dict[str, Bundle] = {}
    for edge in edges.values():
        node, one = nodes[edge.source], np.ones((1, 1))
        if isinstance(node, PartOfSpeech):
            labeler = part_of_speech_labeler(edge.source, node)
            tagged = part_of_speech.annotations(edge.source, corpus.pages, labeler)
            result[edge.source] = Bundle((), (), one, tags=TagSource(tagged, node.classes))
        elif isinstance(corpus, LabelledTexts):
            result[edge.source] = Bundle((), (OUTPUT_HEAD,), one)
    if isinstance(corpus, Corpus):
        result |= _attribute_bundles(nodes, edges, corpus, predicted or {})
    names = [source.name for source in label_sources(result)]
    names += [source.annotations.name for source in tag_sources(result)]
    heads = [head for bundle in result.values() for head in bundle.heads]
    heads += [name for name, edge in edges.items() if result[edge.source].tags is not None]
    for name in [*names, *heads]:
        if max(names.count(name), heads.count(name)) > 1:
            raise InputError(
                f"nodes: two sources or heads are named {name!r}; expected different names (no "
                f'team may be called "gold" or "{OUTPUT_HEAD}")'
            )
    return result


def part_of_speech_labeler(name: str, node: PartOfSpeech) -> PartOfSpeechLabeler:
    """The analyser of a node, with its classes.

    Raises:
        InputError: it cannot be started, or a class is unknown.
    """
    described = part_of_speech_description(name, node)
    try:
        return PartOfSpeechLabeler(described)
    except ValueError as error:
        raise InputError(f"nodes.{name}: {in_one_line(error)}") from None


def part_of_speech_description(name: str, node: PartOfSpeech) -> dict[str, Any]:
    """What a node of parts of speech is, as a student's configuration keeps it.

    Raises:
        InputError: a class or a tag set is unknown.
    """
    try:
        return part_of_speech.description(
            node.analyzer,
            node.dictionary,
            node.user_dictionary,
            node.tag_set,
            node.classes,
            node.mapping,
            node.split_mode,
        )
    except InputError as error:
        raise InputError(f"nodes.{name}.{error}") from None


def _attribute_bundles(
    nodes: Mapping[str, Node],
    edges: Mapping[str, Edge],
    corpus: Corpus,
    predicted: Mapping[str, Annotations],
) -> dict[str, Bundle]:
    """The bundles of the sources that name spans of attributes."""
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
            labels = predicted[edge.source]
            result[edge.source] = Bundle((_joined(gold, labels),), (OUTPUT_HEAD,), ones, gold)
        elif isinstance(node, Submissions):
            teams = _teams(edge.source, node, corpus)
            result[edge.source] = Bundle(
                teams if node.masks else tuple(replace(team, processed=None) for team in teams),
                tuple(team.name for team in teams),
                team_weights(node.weights, teams, corpus.attributes, corpus),
            )
    return result


def tag_sources(sources: Mapping[str, Bundle]) -> list[TagSource]:
    """Everything that auxiliary heads learn from."""
    return [bundle.tags for bundle in sources.values() if bundle.tags is not None]


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


def head_layers(edges: Mapping[str, Edge], sources: Mapping[str, Bundle]) -> list[dict[str, Any]]:
    """The main heads that the edges give the student, as its configuration has them."""
    return [
        {"name": head, "layer": edge.layer}
        for edge in edges.values()
        for head in sources[edge.source].heads
    ]


def auxiliary_heads(
    edges: Mapping[str, Edge], sources: Mapping[str, Bundle]
) -> list[dict[str, Any]]:
    """The auxiliary heads, one an edge and of its name."""
    return [
        {"name": name, "layer": edge.layer, "tags": list(tags.tags)}
        for name, edge in edges.items()
        if (tags := sources[edge.source].tags) is not None
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
        objective: CoTeaching | WeightedSum | UncertaintyWeighting,
        sources: Mapping[str, Bundle],
        windowed: Windowed,
    ) -> None:
        self.student = student
        gold = [
            (bundle.counted or bundle.sources[0]).name
            for bundle in sources.values()
            if OUTPUT_HEAD in bundle.heads and bundle.sources
        ]
        if gold:
            counts = windowed.class_counts(gold[0])
        else:  # nothing to balance by: every class counts as seen once
            counts = torch.ones(len(windowed.attributes), CLASSES, dtype=torch.int64)
        self.edges: dict[str, BoundEdge] = {}
        auxiliary = [head["name"] for head in student.config.auxiliary_heads]
        for name, edge in edges.items():
            bundle = sources[edge.source]
            weights = torch.from_numpy(bundle.weights).float()
            if bundle.tags is not None:
                source = bundle.tags.annotations.name
                place = list(windowed.tag_sources).index(source)
                self.edges[name] = BoundEdge(
                    edge,
                    members=[source],
                    sources=[place],
                    heads=[0],
                    weights=weights,
                    class_counts=windowed.tag_counts(source),
                    answer=Answer("tags", auxiliary.index(name)),
                    names=[name],
                )
            elif windowed.classes:
                self.edges[name] = BoundEdge(
                    edge,
                    members=[edge.source],
                    sources=[0],
                    heads=[0],
                    weights=weights,
                    class_counts=windowed.label_counts(),
                    answer=Answer("classes"),
                    names=bundle.heads,
                )
            else:
                self.edges[name] = BoundEdge(
                    edge,
                    members=[source.name for source in bundle.sources],
                    sources=[windowed.sources.index(source.name) for source in bundle.sources],
                    heads=[student.config.head_names.index(head) for head in bundle.heads],
                    weights=weights,
                    class_counts=counts,
                    names=bundle.heads,
                )
        self.asks_for_tags = bool(auxiliary)
        self.objective = _bound(objective, self.edges, windowed)

    def to(self, device: torch.device) -> None:
        """Move the edges' own tensors; the student is moved by who prepares it."""
        for edge in self.edges.values():
            edge.to(device)
        if isinstance(self.objective, nn.Module):
            self.objective.to(device)

    def parameters(self) -> list[nn.Parameter]:
        """What the graph itself learns; it is no part of the student."""
        return list(self.objective.parameters()) if isinstance(self.objective, nn.Module) else []

    def state(self) -> list[list[float]]:
        """What the graph has learnt, for a checkpoint."""
        return [parameter.detach().flatten().tolist() for parameter in self.parameters()]

    def load_state(self, state: list[list[float]]) -> None:
        """Put back what ``state`` gave."""
        with torch.no_grad():
            for parameter, values in zip(self.parameters(), state, strict=True):
                parameter.copy_(torch.tensor(values).view_as(parameter))

    def figures(self) -> dict[str, float]:
        """What of that is worth logging."""
        return self.objective.figures() if isinstance(self.objective, LearnedWeighting) else {}

    def totals(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The objective's denominators of a micro-batch, from its labels alone."""
        return self.objective.totals(
            {name: edge.counts(edge.answer.labels(batch)) for name, edge in self.edges.items()}
        )

    def losses(
        self, output: StudentOutput, batch: Mapping[str, Tensor], step: Step
    ) -> dict[str, EdgeSums]:
        """Every edge's losses on a micro-batch."""
        return {
            name: edge(edge.answer.logits(output), edge.answer.labels(batch), step)
            for name, edge in self.edges.items()
        }

    def combine(self, sums: Mapping[str, EdgeSums], totals: Tensor) -> Tensor:
        """The micro-batch's share of the student's loss, a scalar."""
        return self.objective(sums, self.edges, totals)


def _bound(
    objective: CoTeaching | WeightedSum | UncertaintyWeighting,
    edges: Mapping[str, BoundEdge],
    windowed: Windowed,
) -> CoTeaching | WeightedSum | LearnedWeighting:
    """The objective with what it learns, or counts in the data: the original code's labelled
    rate, where it is asked for."""
    if isinstance(objective, UncertaintyWeighting):
        return LearnedWeighting([name for name, bound in edges.items() if bound.edge.weight > 0])
    if not isinstance(objective, CoTeaching) or objective.gold_scale == "none":
        return objective
    if objective.labelled_rate is not None:
        return objective
    rate = windowed.labelled_rate(edges[objective.gold].members[0])
    return replace(objective, labelled_rate=rate or 1.0)  # without gold, no loss to scale
