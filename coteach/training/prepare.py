"""From a recipe to everything that training it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import set_seed
from safetensors import SafetensorError
from transformers import AutoTokenizer

from coteach.data.classification import ClassificationData, LabelledTexts
from coteach.data.corpus import Corpus, load_corpus
from coteach.data.pages import Page
from coteach.data.windowed import Windowed, build_windows
from coteach.errors import InputError, in_one_line
from coteach.graph.build import StudentGraph
from coteach.graph.bundles import (
    Bundle,
    auxiliary_heads,
    bundles,
    head_layers,
    label_sources,
    part_of_speech_description,
    tag_sources,
)
from coteach.graph.nodes import Student as StudentNode
from coteach.graph.nodes import Teacher as TeacherNode
from coteach.graph.teachers import FrozenTeacher, folder_of
from coteach.model import Student, StudentConfig
from coteach.model.alignment import Aligner
from coteach.model.configuration import OUTPUT_HEAD
from coteach.model.extraction import build_aligner, longest_window
from coteach.model.layers import HeadError
from coteach.recipe import Recipe, Stage, gold_only
from coteach.training.recomputing import recompute_layers
from coteach.training.self_teaching import predictions


@dataclass(frozen=True)
class Reading:
    """How a recipe's student reads text, and what its sources say about it."""

    recipe: Recipe
    corpus: Corpus | LabelledTexts
    sources: Mapping[str, Bundle]
    aligner: Aligner
    config: Any


@dataclass
class Prepared:
    """Everything that training a recipe needs, before the first step."""

    recipe: Recipe
    corpus: Corpus | LabelledTexts
    sources: Mapping[str, Bundle]
    tokenizer: Any
    student: Student
    windowed: Windowed
    graph: StudentGraph
    everything: Windowed
    """The windows of all texts, also those of dev and report, where texts are classified."""
    stages: Mapping[str, StudentGraph]
    """The graphs of the stages before the main one."""
    reading: Reading
    """For the windows of other texts."""


def load_data(recipe: Recipe) -> Corpus | LabelledTexts:
    """Read and check what a recipe learns from: pages and spans, or texts and classes.

    Raises:
        InputError: a file is missing or wrong.
    """
    if isinstance(recipe.data, ClassificationData):
        return recipe.data.read(recipe.seed)
    return load_corpus(recipe.data, recipe.seed, recipe.cache)


def prepare(recipe: Recipe, corpus: Corpus | LabelledTexts) -> Prepared:
    """Build the student, the graph and the windows of a recipe.

    Raises:
        InputError: the encoder or the tokenizer cannot be loaded, or parts do not fit.
    """
    if recipe.optimisation.precision == "fp16" and not torch.cuda.is_available():
        raise InputError(
            "optimisation.precision: 'fp16' needs a GPU and none was found; expected 'no' or 'bf16'"
        )
    name, node = recipe.student()
    predicted = predictions(recipe, corpus) if isinstance(corpus, Corpus) else None
    sources = bundles(recipe.nodes, recipe.every_edge(), corpus, predicted)
    teachers = _load_teachers(recipe)
    tokenizer = _load_tokenizer(name, node)
    student = _build_student(name, node, recipe, corpus, sources, tokenizer, teachers)
    parts: list[Recipe | Stage] = [recipe, *recipe.stages.values()]
    if any(part.optimisation.gradient_checkpointing for part in parts):
        recompute_layers(student, True)  # or say now that it cannot
    if recipe.selection.probability not in student.config.probability_names:
        raise InputError(
            f"selection.probability: this student has no {recipe.selection.probability!r}; "
            f"expected one of {student.config.probability_names}"
        )
    try:
        aligner = build_aligner(tokenizer, student.config)
    except ValueError as error:
        raise InputError(f"nodes.{name}: {in_one_line(error)}") from None
    reading = Reading(recipe, corpus, sources, aligner, student.config)
    windowed = _windowed(reading)
    training = windowed
    if isinstance(corpus, LabelledTexts):
        training = windowed.only(corpus.train)

    def graph_of(stage: Recipe | Stage, place: str = "") -> StudentGraph:
        try:
            return StudentGraph(
                student,
                stage.edges,
                stage.objective,
                sources,
                training,
                teachers,
                tokenizer,
                recipe.cache,
            )
        except InputError as error:
            if str(error).startswith("edges."):
                raise InputError(f"{place}{error}") from None
            raise

    return Prepared(
        recipe,
        corpus,
        sources,
        tokenizer,
        student,
        training,
        graph_of(recipe),
        windowed,
        {name: graph_of(stage, f"stages.{name}.") for name, stage in recipe.stages.items()},
        reading,
    )


def _load_teachers(recipe: Recipe) -> dict[str, FrozenTeacher]:
    """The teachers that some edge starts from."""
    sources = {edge.source for edge in recipe.every_edge().values()}
    return {
        name: FrozenTeacher(name, node)
        for name, node in recipe.nodes.items()
        if isinstance(node, TeacherNode) and name in sources
    }


def _windowed(reading: Reading) -> Windowed:
    """The windows of the training pages, or of all texts, of which every fold takes its own."""
    corpus = reading.corpus
    if isinstance(corpus, LabelledTexts):
        return windows_of(reading, corpus.pages, list(corpus.pages), labels=corpus.labels)
    # Pages without gold teach nothing where the gold alone speaks.
    held = label_sources(reading.sources)
    edges = reading.recipe.every_edge().values()
    asked = any(isinstance(reading.recipe.nodes[edge.source], TeacherNode) for edge in edges)
    only_gold = all(source is corpus.train.gold for source in held)
    if only_gold and not asked and not tag_sources(reading.sources):
        return windows_of(reading, corpus.pages, corpus.train.page_ids)
    return windows_of(reading, corpus.pages, corpus.page_ids)


def windows_of(
    reading: Reading,
    pages: Mapping[str, Page],
    page_ids: Sequence[str],
    labels: Mapping[str, int] | None = None,
) -> Windowed:
    """Some pages as a student reads them, with the labels of all sources.

    Args:
        reading: who reads.
        pages: by id.
        page_ids: which of them.
        labels: the classes of texts, each then one window; −100 where one has none.
    """
    recipe, corpus, config = reading.recipe, reading.corpus, reading.config
    of_texts = isinstance(corpus, LabelledTexts)
    classes = len(corpus.classes) if isinstance(corpus, LabelledTexts) else 0
    return build_windows(
        pages,
        page_ids,
        [] if of_texts else label_sources(reading.sources),
        [] if of_texts else config.attributes,
        reading.aligner,
        config.window,
        0 if of_texts else config.overlap,
        recipe.cache,
        recipe.processes,
        tag_sources=tag_sources(reading.sources),
        labels=labels,
        classes=classes,
        pairs=isinstance(corpus, LabelledTexts) and corpus.pairs,
    )


def prepare_gold_only(prepared: Prepared) -> Prepared:
    """The baseline ``gold_only`` of a prepared recipe: fewer pages, but as many steps."""
    recipe = prepared.recipe
    baseline = prepare(gold_only(recipe), prepared.corpus)
    longer = len(prepared.windowed.rows) / len(baseline.windowed.rows)
    return replace(baseline, recipe=gold_only(recipe, longer))


def _load_tokenizer(name: str, node: StudentNode) -> Any:
    given = node.tokenizer or node.encoder
    if given is None:
        raise InputError(
            f"nodes.{name}.tokenizer: expected a name or folder, got None; a student without a "
            "pretrained encoder has no tokenizer of its own"
        )
    field = f"nodes.{name}.{'encoder' if node.tokenizer is None else 'tokenizer'}"
    source = folder_of(given)
    if source.startswith(("/", "./", "../", "~")) and not Path(source).is_dir():
        raise InputError(f"{field}: no such folder, got {source!r}; expected one, or a Hub name")
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{field}: the tokenizer of {source!r} cannot be loaded: {in_one_line(error)}"
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
    corpus: Corpus | LabelledTexts,
    sources: Mapping[str, Bundle],
    tokenizer: Any,
    teachers: Mapping[str, FrozenTeacher],
) -> Student:
    """The student with a head for every member of every edge, its heads freshly drawn."""
    spoken = recipe.part_of_speech() if node.words == "part_of_speech" else None
    config = StudentConfig(
        encoder=node.encoder_config,
        **_task(node, recipe, corpus, sources, tokenizer, teachers),
        auxiliary_heads=auxiliary_heads(recipe.edges, sources),
        head_dropout=node.head_dropout,
        overlap=node.overlap,
        words=node.words,
        mecab_options=node.mecab_options,
        part_of_speech=part_of_speech_description(*spoken) if spoken else None,
        trim_head=node.trim_head,
        trim_tail=node.trim_tail,
    )
    set_seed(recipe.seed)
    try:
        if node.encoder is not None:
            student = Student.from_encoder(folder_of(node.encoder), config, node.encoder_layers)
        else:
            config.encoder = config.encoder | {
                "vocab_size": len(tokenizer),
                "pad_token_id": tokenizer.pad_token_id,
            }
            student = Student(config)
    except HeadError as error:
        edge = next(
            of
            for of, it in recipe.edges.items()
            if it.source in sources and error.head in (of, *sources[it.source].heads)
        )
        raise InputError(f"edges.{edge}.layer: {error.message}") from None
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"nodes.{name}: the student cannot be built: {in_one_line(error)}"
        ) from None
    try:
        if node.trained_layers == "all":
            student.freeze_unread()
        else:
            read = student.read_layers
            student.train_only(read if node.trained_layers == "read" else node.trained_layers)
    except ValueError as error:
        raise InputError(f"nodes.{name}.trained_layers: {error}") from None
    if config.overlap < 0:
        raise InputError(f"nodes.{name}.overlap: expected at least 0, got {config.overlap}")
    longest = longest_window(student.encoder)
    config.window = min(510, longest) if node.window is None else node.window
    least = 0 if config.classes else config.overlap
    if not least < config.window <= longest:
        raise InputError(
            f"nodes.{name}.window: expected more than the overlap ({least}) and at most "
            f"the {longest} content tokens of the encoder's positions, got {config.window}"
        )
    return student


def _task(
    node: StudentNode,
    recipe: Recipe,
    corpus: Corpus | LabelledTexts,
    sources: Mapping[str, Bundle],
    tokenizer: Any,
    teachers: Mapping[str, FrozenTeacher],
) -> dict[str, Any]:
    """What a student's configuration says of its main task."""
    heads = head_layers(recipe.edges, sources, teachers)
    if isinstance(corpus, Corpus):
        if not heads:
            raise InputError(
                "edges: nothing teaches the student's heads; expected an edge from labels, or from "
                "a teacher that is a finished student"
            )
        return {
            "attributes": list(corpus.attributes),
            "heads": heads,
            "teacher_weights": _mean_weights(node, sources),
        }
    assert isinstance(recipe.data, ClassificationData)
    return {
        "classes": list(corpus.classes),
        "class_layer": heads[0]["layer"] if heads else -1,
        "pooling": node.pooling,
        "pair_separator": tokenizer.sep_token_id if corpus.pairs else None,
        "preprocessing": list(recipe.data.preprocessing),
    }


def _mean_weights(node: StudentNode, sources: Mapping[str, Bundle]) -> list[Any] | None:
    """The weights of p_mean, (teachers, attributes); None where they are equal."""
    if node.mean == "equal":
        return None
    rows = [
        bundle.weights
        for bundle in sources.values()
        if bundle.heads and OUTPUT_HEAD not in bundle.heads
    ]
    if not rows or all(np.allclose(weights, 1) for weights in rows):
        return None
    return np.concatenate(rows).round(6).tolist()
