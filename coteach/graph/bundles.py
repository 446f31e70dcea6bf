"""The annotation nodes of a recipe: what each of them says, and which heads it teaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from coteach.aggregation import aggregate
from coteach.data import part_of_speech
from coteach.data.classification import LabelledTexts
from coteach.data.corpus import Corpus
from coteach.data.pages import Annotations
from coteach.data.windowed import TagSource
from coteach.errors import InputError, in_one_line
from coteach.graph.edges import Edge
from coteach.graph.nodes import (
    Aggregated,
    Gold,
    Node,
    PartOfSpeech,
    Predicted,
    Submissions,
    Teacher,
)
from coteach.graph.teachers import FrozenTeacher
from coteach.graph.weights import team_weights
from coteach.model.configuration import OUTPUT_HEAD
from coteach.model.part_of_speech import PartOfSpeechLabeler


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
        if isinstance(node, Teacher):
            continue  # what it knows is asked for, not read
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
    heads += [name for name, edge in edges.items() if _tags_of(edge, result) is not None]
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


def head_layers(
    edges: Mapping[str, Edge],
    sources: Mapping[str, Bundle],
    teachers: Mapping[str, FrozenTeacher] | None = None,
) -> list[dict[str, Any]]:
    """The main heads that the edges give the student, as its configuration has them.

    Where no labels teach it, they are those of the first teacher whose answers it learns, on its
    last layer.
    """
    heads = [
        {"name": head, "layer": edge.layer}
        for edge in edges.values()
        if edge.source in sources
        for head in sources[edge.source].heads
    ]
    students = [it.student for it in (teachers or {}).values() if it.student is not None]
    if heads or not students:
        return heads
    names = [OUTPUT_HEAD] if students[0].config.classes else students[0].config.head_names
    return [{"name": name, "layer": -1} for name in names]


def _tags_of(edge: Edge, sources: Mapping[str, Bundle]) -> TagSource | None:
    """The tags that an edge teaches an auxiliary head; None for any other edge."""
    return sources[edge.source].tags if edge.source in sources else None


def auxiliary_heads(
    edges: Mapping[str, Edge], sources: Mapping[str, Bundle]
) -> list[dict[str, Any]]:
    """The auxiliary heads, one an edge and of its name."""
    return [
        {"name": name, "layer": edge.layer, "tags": list(tags.tags)}
        for name, edge in edges.items()
        if (tags := _tags_of(edge, sources)) is not None
    ]
