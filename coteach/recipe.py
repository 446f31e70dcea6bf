"""What a run is: data, nodes, edges, an objective and how it is optimised, as plain data.

A recipe is a Python module with a variable ``recipe``; its docstring says what it needs and how
it is launched. Any field can be overridden on the command line of ``coteach.train``.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Literal

from coteach.data.augmentation import Augmentation
from coteach.data.classification import ClassificationData
from coteach.data.sources import TaskData
from coteach.data.unlabelled import UnlabelledText
from coteach.errors import InputError
from coteach.graph.edges import Edge
from coteach.graph.nodes import (
    Gold,
    Node,
    PartOfSpeech,
    Student,
)
from coteach.graph.objectives import CoTeaching, UncertaintyWeighting, WeightedSum
from coteach.model.configuration import Probability
from coteach.recipe_checks import check_recipe


@dataclass(frozen=True)
class Optimisation:
    """How the student's weights move. The defaults are the co-teaching paper's (§4.2)."""

    epochs: float = 100
    """Passes over the training pages; the schedule ends with them."""
    batch_size: int = 16
    """Windows of a micro-batch; the paper searches {8, 16, 32}."""
    accumulation: int = 1
    """Micro-batches of a step, on each process."""
    learning_rate: float = 5e-5
    """AdamW's, at the top of the schedule (β = 0.9, 0.999; ε = 1e-8)."""
    head_learning_rate: float | None = None
    """The heads' own learning rate; None: the same."""
    weight_decay: float = 0.0
    """Not applied to biases and normalisation layers."""
    schedule: Literal["linear", "constant"] = "linear"
    """The learning rate after warm-up: down to 0 in a line, or as it is."""
    warmup: float = 0.0
    """Share of the steps over which the learning rate rises from 0."""
    clip_norm: float | None = None
    """Gradients of a larger norm are scaled down to this; None: never, as in the paper."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    """Autocast to bfloat16 (GPUs, CPUs with AVX512-BF16) or float16 (GPUs)."""
    group_by_length: bool = True
    """Windows of similar length share a batch."""
    gradient_checkpointing: bool = False
    """The encoder's layers are computed again in the backward pass instead of being kept: the
    same gradients with less memory and about a third more time (Chen et al. 2016). Importance
    edges take their own passes, which keep them all the same."""

    def __post_init__(self) -> None:
        positive = ("epochs", "batch_size", "accumulation", "learning_rate")
        positive_or_none = ("head_learning_rate", "clip_norm")
        for name in positive + positive_or_none:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"optimisation.{name} must be above 0, got {value}")
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(
                f"optimisation.weight_decay must be at least 0, got {self.weight_decay}"
            )
        if not 0 <= self.warmup < 1:
            raise InputError(f"optimisation.warmup must be in [0, 1), got {self.warmup}")


@dataclass(frozen=True)
class Selection:
    """Which checkpoint becomes the student: the best on dev."""

    by: Literal["score", "loss", "last"] = "score"
    """What decides: the micro-F1 of the values or the accuracy of the classes; where texts are
    classified, the main task's loss (part-of-speech paper, §3.4); or nothing, the last one is
    kept. In a stage before the main one there is no score: "loss" is that of its edges on dev."""
    probability: Probability = "p"
    """The probability whose F1 decides. The original code decides by p_out."""
    evaluate_every: float = 1.0
    """Epochs between two evaluations, each followed by a checkpoint."""
    checkpoint_every: float = 10.0
    """Minutes after which there is a checkpoint without an evaluation; what a run that is killed
    has done since its last checkpoint is lost."""
    patience: int | None = None
    """Stop after so many evaluations without a better one; None: never."""
    thresholds: Literal["none", "f1"] = "none"
    """Whether the student keeps every value of p, or those above a confidence: per attribute that
    with the highest F1 on dev. ``coteach.thresholds`` chooses others for a trained student."""

    def __post_init__(self) -> None:
        if not 0 < self.evaluate_every < math.inf:
            raise InputError(f"selection.evaluate_every must be above 0, got {self.evaluate_every}")
        if not self.checkpoint_every > 0:
            raise InputError(
                f"selection.checkpoint_every must be above 0, got {self.checkpoint_every}"
            )
        if self.patience is not None and self.patience < 1:
            raise InputError(f"selection.patience must be at least 1, got {self.patience}")

    def figure(self, figures: Mapping[str, float]) -> float:
        """What decides, of the figures of an evaluation; higher is better, no number the worst."""
        if self.by == "last":
            return math.inf
        if self.by == "loss":
            return -math.inf if math.isnan(figures["loss"]) else -figures["loss"]
        return figures["accuracy"] if "accuracy" in figures else figures[self.probability]


@dataclass(frozen=True)
class Stage:
    """A training of the recipe's student before the main one, by edges of its own: TinyBERT's
    general and intermediate distillation (Jiao et al. 2020, §3.2)."""

    edges: dict[str, Edge]
    """Who teaches it in this stage: name → edge."""
    data: UnlabelledText | Augmentation | None = None
    """What it reads: unlabelled text; the recipe's training texts with augmented ones; or the
    former alone (None)."""
    objective: WeightedSum | UncertaintyWeighting = field(default_factory=WeightedSum)
    """How the edges combine into the student's loss."""
    optimisation: Optimisation = field(default_factory=Optimisation)
    """How the student's weights move."""
    selection: Selection = field(default_factory=lambda: Selection(by="last"))
    """Which checkpoint the next stage begins with. The original code keeps the last one."""


@dataclass(frozen=True)
class Recipe:
    """A run, complete."""

    name: str
    """Names the run's folder."""
    data: TaskData | ClassificationData
    """Where the pages, the gold and the submissions are, or the texts and their classes."""
    nodes: dict[str, Node]
    """Who there is: name → node."""
    edges: dict[str, Edge]
    """Who teaches whom: name → edge."""
    objective: CoTeaching | WeightedSum | UncertaintyWeighting = field(default_factory=WeightedSum)
    """How the edges combine into the student's loss."""
    optimisation: Optimisation = field(default_factory=Optimisation)
    """How the student's weights move."""
    selection: Selection = field(default_factory=Selection)
    """Which checkpoint becomes the student."""
    stages: dict[str, Stage] = field(default_factory=dict)
    """What the student goes through before, in this order: name → stage. Edges, objective,
    optimisation and selection of the recipe itself are those of the last, main stage."""
    augmentation: Augmentation | None = None
    """More training texts for the main stage, from those that there are."""
    baselines: tuple[
        Literal["vote", "vote_per_attribute", "dawid_skene", "hidden_markov", "gold_only"], ...
    ] = ("vote",)
    """What to compare with: the teams' votes, with any number of votes or with one for each
    attribute that is chosen on dev; label models of the teams; and a student that learns from the
    gold alone (trained in the same run, before the student, with as many steps)."""
    seed: int = 1234
    """Of everything random (original code: 1234)."""
    processes: int = 2
    """Worker processes that tokenise pages."""
    cache: Path = Path(".cache/coteach")
    """Folder of the tokenised pages."""
    trackers: tuple[str, ...] = ("tensorboard",)
    """Where figures are shown beside ``log.jsonl``, by Accelerate's names: tensorboard, trackio,
    wandb, mlflow, … Without a name: nowhere."""

    def student(self) -> tuple[str, Student]:
        """The one student of the recipe, with its name."""
        students = [(name, node) for name, node in self.nodes.items() if isinstance(node, Student)]
        if len(students) != 1:
            raise InputError(f"nodes: expected one student, got {[name for name, _ in students]}")
        return students[0]

    def task_data(self) -> TaskData:
        """The data of a recipe that extracts spans.

        Raises:
            InputError: it classifies texts.
        """
        if not isinstance(self.data, TaskData):
            raise InputError(
                f"data: expected pages with spans, got {type(self.data).__name__}, texts with "
                "classes"
            )
        return self.data

    def every_edge(self) -> dict[str, Edge]:
        """All edges, those of the main stage first; of a stage as ``<stage>.<edge>``."""
        before = {
            f"{name}.{edge}": of
            for name, stage in self.stages.items()
            for edge, of in stage.edges.items()
        }
        return {**self.edges, **before}

    def check(self) -> None:
        """Raise InputError where names do not fit together, or a value is none of its choices."""
        check_recipe(self)

    def part_of_speech(self) -> tuple[str, PartOfSpeech] | None:
        """The node by whose words the student's text is split, with its name."""
        found = [(name, of) for name, of in self.nodes.items() if isinstance(of, PartOfSpeech)]
        return found[0] if found else None


def gold_only(recipe: Recipe, longer: float = 1.0) -> Recipe:
    """The paper's baseline "BERT": the same student, taught by the gold alone.

    Args:
        recipe: whose student it is.
        longer: how many times the recipe's epochs it learns; evaluations are as many.
    """
    nodes: dict[str, Node] = {
        k: node for k, node in recipe.nodes.items() if isinstance(node, Gold | Student)
    }
    name, student = recipe.student()
    if student.trained_layers == "read":  # those of the recipe, whoever reads them
        read = tuple(dict.fromkeys(edge.layer for edge in recipe.edges.values()))
        nodes[name] = replace(student, trained_layers=read)
    spoken = recipe.part_of_speech()
    if spoken is not None and student.words == "part_of_speech":
        nodes[spoken[0]] = spoken[1]  # its words are the tokens', though nobody learns from it
    edges = {
        k: edge for k, edge in recipe.edges.items() if isinstance(nodes.get(edge.source), Gold)
    }
    return replace(
        recipe,
        name="gold_only",
        nodes=nodes,
        edges=edges,
        objective=WeightedSum(),
        stages={},
        augmentation=None,
        optimisation=replace(recipe.optimisation, epochs=recipe.optimisation.epochs * longer),
        selection=replace(
            recipe.selection,
            probability="p",
            evaluate_every=recipe.selection.evaluate_every * longer,
        ),
        baselines=(),
    )


def load_recipe(name: str) -> Recipe:
    """The recipe of a module.

    Args:
        name: path of a .py file, or a dotted module name.

    Raises:
        InputError: there is no such module, it has no variable ``recipe``, or one of the
            recipe's values is out of range.
    """
    recipe = getattr(load_module(name), "recipe", None)
    if not isinstance(recipe, Recipe):
        raise InputError(f"recipe {name!r}: expected a variable `recipe`, a coteach.recipe.Recipe")
    return recipe


def load_module(name: str) -> ModuleType:
    """A recipe's module, which may hold more than the recipe, such as a ``search_space``.

    Raises:
        InputError: there is no such module, or one of its values is out of range.
    """
    try:
        return _load_module(name)
    except InputError as error:
        raise InputError(f"recipe {name!r}: {error}") from None


def _load_module(name: str) -> ModuleType:
    """Run a file or import a module; what fails inside it is raised as it is."""
    if name.endswith(".py") or "/" in name:
        path = Path(name)
        if not path.is_file():
            raise InputError("no such file")
        if path.suffix != ".py":
            raise InputError("expected a .py file")
        # Not its own name, which may be that of another module.
        spec = importlib.util.spec_from_file_location(f"recipe_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Dataclasses defined in a recipe look their module up by name.
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module
    missing = "no such module; expected a dotted name such as recipes.quickstart, or a .py file"
    if not name or name.startswith("."):  # not a name that Python could import from here
        raise InputError(missing)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and not f"{name}.".startswith(f"{error.name}."):
            raise
        raise InputError(missing) from None
