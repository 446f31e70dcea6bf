"""Whether the parts of a recipe fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from coteach.aggregation import check_installed
from coteach.data.augmentation import Augmentation
from coteach.data.sources import TaskData
from coteach.data.unlabelled import UnlabelledText
from coteach.errors import InputError
from coteach.graph.edges import Edge
from coteach.graph.nodes import (
    Aggregated,
    Gold,
    Node,
    PartOfSpeech,
    Student,
    Submissions,
    Teacher,
)
from coteach.graph.objectives import CoTeaching
from coteach.losses import ImportanceJaccard, TaggingLoss

if TYPE_CHECKING:
    from coteach.recipe import Recipe, Stage


def check_recipe(recipe: Recipe) -> None:
    """Raise InputError where names do not fit together, or a value is none of its choices."""
    _check_choices(recipe, "")
    if not 0 <= recipe.seed < 2**32:
        raise InputError(f"seed: expected a whole number in [0, 2**32), got {recipe.seed}")
    if recipe.processes < 1:
        raise InputError(f"processes: expected at least 1, got {recipe.processes}")
    name, student = recipe.student()
    if student.encoder is None and not student.encoder_config:
        raise InputError(f"nodes.{name}: expected an encoder or encoder_config, got neither")
    if student.encoder is None and "model_type" not in student.encoder_config:
        raise InputError(
            f"nodes.{name}.encoder_config: no model_type; expected that of an encoder, for "
            'example "bert"'
        )
    if student.encoder is None and student.encoder_layers:
        raise InputError(
            f"nodes.{name}.encoder_layers: {student.encoder_layers} of no encoder; expected "
            "an encoder to take them from"
        )
    _check_edges(recipe, recipe.edges, "edges", name)
    for stage_name, stage in recipe.stages.items():
        if not stage_name or {".", "/"} & set(stage_name):
            raise InputError(f"stages: {stage_name!r}: expected a name without '.' and '/'")
        _check_stage(recipe, stage, f"stages.{stage_name}", name)
    if recipe.augmentation is not None and isinstance(recipe.data, TaskData):
        raise InputError(
            "augmentation: for the classification of texts; expected None where spans are "
            "extracted, whose places it would lose"
        )
    _check_words(recipe, name, student)
    _check_task(recipe, name, student)
    if isinstance(recipe.objective, CoTeaching):
        for role in ("teams", "gold"):
            if getattr(recipe.objective, role) not in recipe.edges:
                raise InputError(
                    f"objective.{role}: no edge {getattr(recipe.objective, role)!r}; expected "
                    f"one of {list(recipe.edges)}"
                )
    for baseline in recipe.baselines:
        check_installed(baseline)
    if "gold_only" in recipe.baselines and not any(
        isinstance(recipe.nodes[edge.source], Gold) for edge in recipe.edges.values()
    ):
        raise InputError("baselines: 'gold_only' needs an edge from the gold, and there is none")


def _check_edges(recipe: Recipe, edges: Mapping[str, Edge], place: str, student: str) -> None:
    """Whether the edges of a stage have a source that can teach, and a loss for it."""
    if not edges:
        raise InputError(f"{place}: expected at least one edge, got none")
    if not any(edge.weight > 0 for edge in edges.values()):
        raise InputError(f"{place}: the weight of each is 0; expected one above 0")
    for name, edge in edges.items():
        here = f"{place}.{name}"
        if "." in name:
            raise InputError(f"{place}: {name!r}: expected a name without '.'")
        if edge.target != student:
            raise InputError(f"{here}.target: {edge.target!r} is no student; expected {student!r}")
        source = recipe.nodes.get(edge.source)
        if source is None or isinstance(source, Student):
            teachers = [n for n, node in recipe.nodes.items() if not isinstance(node, Student)]
            raise InputError(
                f"{here}.source: {edge.source!r} cannot teach; expected one of {teachers}"
            )
        _check_source(recipe, edge, source, here)
        others = [n for n, it in edges.items() if it.source == edge.source]
        if others[0] != name and not isinstance(source, PartOfSpeech | Teacher):
            raise InputError(
                f"{here}.source: {edge.source!r} teaches its heads by {others[0]!r} already; "
                "expected one edge from it"
            )
    if all(isinstance(recipe.nodes[it.source], PartOfSpeech) for it in edges.values()):
        raise InputError(
            f"{place}: all are from parts of speech, an auxiliary task; expected one from the "
            "gold, the submissions or a teacher as well"
        )


def _check_source(recipe: Recipe, edge: Edge, source: Node, here: str) -> None:
    """Whether an edge's loss and options are for its source, and its source for the data."""
    is_teacher = isinstance(source, Teacher)
    if is_teacher == isinstance(edge.loss, TaggingLoss):
        expected = "one that compares models" if is_teacher else "CrossEntropy or so"
        raise InputError(
            f"{here}.loss: {type(edge.loss).__name__} is not for {edge.source!r}, a node "
            f"{type(source).__name__}; expected {expected}"
        )
    alone = isinstance(source, PartOfSpeech | Teacher) or not isinstance(recipe.data, TaskData)
    if alone and edge.smoothing:
        raise InputError(
            f"{here}.smoothing: {edge.source!r} is one source, which agrees with itself; "
            f"expected 0, got {edge.smoothing}"
        )
    if isinstance(source, Aggregated):
        check_installed(source.method)
    if isinstance(recipe.data, TaskData):
        reads = isinstance(source, Submissions | Aggregated)
        if reads and recipe.data.submissions is None:
            raise InputError(
                f"data.submissions: expected a folder, got None; the node {edge.source!r} reads it"
            )
    elif not isinstance(source, Gold | PartOfSpeech | Teacher):
        raise InputError(
            f"{here}.source: {edge.source!r} knows spans, not classes of texts; expected a "
            "node Gold, PartOfSpeech or Teacher"
        )


def _check_stage(recipe: Recipe, stage: Stage, place: str, student: str) -> None:
    """Whether a stage before the main one has edges and data that fit."""
    _check_edges(recipe, stage.edges, f"{place}.edges", student)
    sources = {name: recipe.nodes[edge.source] for name, edge in stage.edges.items()}
    for name, source in sources.items():
        if not isinstance(source, Gold | Teacher):
            raise InputError(
                f"{place}.edges.{name}.source: a node {type(source).__name__} teaches in the "
                "main stage alone; expected a node Teacher or Gold"
            )
        loss = stage.edges[name].loss
        explains_gold = isinstance(loss, ImportanceJaccard) and loss.target == "gold"
        if isinstance(stage.data, UnlabelledText) and (isinstance(source, Gold) or explains_gold):
            part = "loss.target" if explains_gold else "source"
            expected = "'teacher'" if explains_gold else "a Teacher"
            raise InputError(
                f"{place}.edges.{name}.{part}: unlabelled text has no gold; expected {expected}"
            )
    if isinstance(stage.data, Augmentation) and isinstance(recipe.data, TaskData):
        raise InputError(
            f"{place}.data: Augmentation is for the classification of texts, got pages with "
            "spans; expected None or UnlabelledText"
        )
    if stage.optimisation.precision != recipe.optimisation.precision:
        raise InputError(
            f"{place}.optimisation.precision: a run has one precision; expected that of the main "
            f"stage, {recipe.optimisation.precision!r}, got {stage.optimisation.precision!r}"
        )
    if stage.selection.by == "score":
        raise InputError(
            f"{place}.selection.by: a stage before the main one has no score; expected "
            "'last' or 'loss', got 'score'"
        )


def _check_words(recipe: Recipe, name: str, student: Student) -> None:
    """Whether it is clear at which parts of speech text is split."""
    nodes = [n for n, node in recipe.nodes.items() if isinstance(node, PartOfSpeech)]
    if student.words == "part_of_speech" and len(nodes) != 1:
        raise InputError(
            f"nodes.{name}.words: 'part_of_speech' splits at the words of a node PartOfSpeech; "
            f"expected one such node, got {nodes}"
        )


def _check_task(recipe: Recipe, name: str, student: Student) -> None:
    """Whether what is asked of a student is what its task has."""
    if isinstance(recipe.data, TaskData):
        if recipe.selection.by == "loss":
            raise InputError(
                "selection.by: 'loss' is for the classification of texts; expected 'score' or "
                "'last'"
            )
        if student.pooling != "first":
            raise InputError(
                f"nodes.{name}.pooling: for the classification of texts, got "
                f"{student.pooling!r}; expected 'first' for the extraction of spans"
            )
        return
    for option in ("trim_head", "trim_tail"):
        if getattr(student, option):
            raise InputError(
                f"nodes.{name}.{option}: a text that is classified is read from its first line "
                f"to its last, got {getattr(student, option)}; expected 0"
            )
    if recipe.selection.thresholds != "none":
        raise InputError(
            "selection.thresholds: classes of texts have none, got "
            f"{recipe.selection.thresholds!r}; expected 'none'"
        )
    if isinstance(recipe.objective, CoTeaching):
        raise InputError(
            "objective: CoTeaching combines submissions and gold of spans; expected "
            "WeightedSum or UncertaintyWeighting for the classification of texts"
        )
    if asked := [it for it in recipe.baselines if it != "vote"]:
        raise InputError(
            f"baselines: {asked[0]!r} is for the extraction of spans; expected none for the "
            "classification of texts"
        )


def _check_choices(part: Any, place: str) -> None:
    """Refuse what the Literal types of a recipe's fields do not name; nothing else would."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            _check_choices(value, f"{place}.{key}")
    if not is_dataclass(part):
        return
    hints = get_type_hints(type(part))
    for entry in fields(part):
        value, hint = getattr(part, entry.name), hints[entry.name]
        here = f"{place}.{entry.name}".lstrip(".")
        literals = [it for it in (hint, *get_args(hint)) if get_origin(it) is Literal]
        if isinstance(value, tuple) and any(get_origin(it) is tuple for it in get_args(hint)):
            literals = []  # what may be given instead of a choice
        choices = [choice for it in literals for choice in get_args(it)]
        for chosen in value if isinstance(value, tuple) else (value,):
            if choices and chosen is not None and chosen not in choices:
                raise InputError(f"{here}: expected one of {choices}, got {chosen!r}")
        _check_choices(value, here)
