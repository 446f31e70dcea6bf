"""From a recipe to everything that training it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from accelerate.utils import set_seed
from transformers import AutoTokenizer

from coteach.data.corpus import Corpus
from coteach.data.windowed import Windowed, build_windows
from coteach.errors import InputError, in_one_line
from coteach.graph.build import Bundle, StudentGraph, bundles, head_layers, label_sources
from coteach.graph.nodes import Student as StudentNode
from coteach.model import Student, StudentConfig
from coteach.model.configuration import OUTPUT_HEAD
from coteach.model.extraction import PADDED_TO, build_aligner
from coteach.recipe import Recipe, gold_only
from coteach.training.self_teaching import predictions


@dataclass
class Prepared:
    """Everything that training a recipe needs, before the first step."""

    recipe: Recipe
    corpus: Corpus
    sources: Mapping[str, Bundle]
    tokenizer: Any
    student: Student
    windowed: Windowed
    graph: StudentGraph


def prepare(recipe: Recipe, corpus: Corpus) -> Prepared:
    """Build the student, the graph and the windows of a recipe.

    Raises:
        InputError: the encoder or the tokenizer cannot be loaded, or parts do not fit.
    """
    if recipe.optimisation.precision == "fp16" and not torch.cuda.is_available():
        raise InputError(
            "optimisation.precision: 'fp16' needs a GPU and none was found; expected 'no' or 'bf16'"
        )
    name, node = recipe.student()
    sources = bundles(recipe.nodes, recipe.edges, corpus, predictions(recipe, corpus))
    tokenizer = _load_tokenizer(name, node)
    student = _build_student(name, node, recipe, corpus, sources, tokenizer)
    config = student.config
    if recipe.selection.probability not in config.probability_names:
        raise InputError(
            f"selection.probability: this student has no {recipe.selection.probability!r}; "
            f"expected one of {config.probability_names}"
        )
    # Pages without gold teach nothing where the gold alone speaks.
    only_gold = all(source is corpus.train.gold for source in label_sources(sources))
    page_ids = corpus.train.page_ids if only_gold else corpus.page_ids
    try:
        aligner = build_aligner(tokenizer, config)
    except ValueError as error:
        raise InputError(f"nodes.{name}: {in_one_line(error)}") from None
    windowed = build_windows(
        corpus.pages,
        page_ids,
        label_sources(sources),
        corpus.attributes,
        aligner,
        config.window,
        config.overlap,
        recipe.cache,
        recipe.processes,
    )
    graph = StudentGraph(student, recipe.edges, recipe.objective, sources, windowed)
    return Prepared(recipe, corpus, sources, tokenizer, student, windowed, graph)


def prepare_gold_only(prepared: Prepared) -> Prepared:
    """The baseline ``gold_only`` of a prepared recipe: fewer pages, but as many steps."""
    recipe = prepared.recipe
    baseline = prepare(gold_only(recipe), prepared.corpus)
    longer = len(prepared.windowed.rows) / len(baseline.windowed.rows)
    return replace(baseline, recipe=gold_only(recipe, longer))


def _load_tokenizer(name: str, node: StudentNode) -> Any:
    source = node.tokenizer or node.encoder
    if source is None:
        raise InputError(
            f"nodes.{name}.tokenizer: expected a name or folder, got None; a student without a "
            "pretrained encoder has no tokenizer of its own"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise InputError(
            f"nodes.{name}: tokenizer {source!r} cannot be loaded: {in_one_line(error)}"
        ) from None
    for special in ("cls_token", "sep_token", "pad_token"):
        if getattr(tokenizer, special) is None:
            raise InputError(
                f"nodes.{name}: tokenizer {source!r} has no {special}; expected one to build "
                "windows with"
            )
    return tokenizer


def _build_student(
    name: str,
    node: StudentNode,
    recipe: Recipe,
    corpus: Corpus,
    sources: Mapping[str, Bundle],
    tokenizer: Any,
) -> Student:
    """The student with a head for every member of every edge, its heads freshly drawn."""
    config = StudentConfig(
        encoder=node.encoder_config,
        attributes=list(corpus.attributes),
        heads=head_layers(recipe.edges, sources),
        teacher_weights=_mean_weights(node, sources),
        overlap=node.overlap,
        words=node.words,
        mecab_options=node.mecab_options,
        trim_head=node.trim_head,
        trim_tail=node.trim_tail,
    )
    set_seed(recipe.seed)
    try:
        if node.encoder is not None:
            student = Student.from_encoder(node.encoder, config)
        else:
            config.encoder = config.encoder | {
                "vocab_size": len(tokenizer),
                "pad_token_id": tokenizer.pad_token_id,
            }
            student = Student(config)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"nodes.{name}: the student cannot be built: {in_one_line(error)}"
        ) from None
    if config.overlap < 0:
        raise InputError(f"nodes.{name}.overlap: expected at least 0, got {config.overlap}")
    longest = _longest_window(student.encoder)
    config.window = min(510, longest) if node.window is None else node.window
    if not config.overlap < config.window <= longest:
        raise InputError(
            f"nodes.{name}.window: expected more than the overlap ({config.overlap}) and at most "
            f"the {longest} content tokens of the encoder's positions, got {config.window}"
        )
    return student


def _longest_window(encoder: Any) -> int:
    """How many content tokens, beside two special ones, the encoder's positions hold."""
    positions = getattr(encoder.config, "max_position_embeddings", 512)
    embeddings = getattr(encoder, "embeddings", None)
    padding = getattr(getattr(embeddings, "position_embeddings", None), "padding_idx", None)
    if padding is not None:  # RoBERTa's first position comes after that of its padding
        positions -= padding + 1
    return positions // PADDED_TO * PADDED_TO - 2


def _mean_weights(node: StudentNode, sources: Mapping[str, Bundle]) -> list[Any] | None:
    """The weights of p_mean, (teachers, attributes); None where they are equal."""
    if node.mean == "equal":
        return None
    rows = [bundle.weights for bundle in sources.values() if OUTPUT_HEAD not in bundle.heads]
    if not rows or all(np.allclose(weights, 1) for weights in rows):
        return None
    return np.concatenate(rows).round(6).tolist()
