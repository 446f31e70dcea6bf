"""Pure functions on tensors: what is compared, never who with whom."""

from coteach.losses.distillation import BoundKnowledge, Shape
from coteach.losses.importance import ImportanceJaccard
from coteach.losses.layers import (
    AttentionScores,
    AttentionTransfer,
    HiddenStates,
    RelationalDistances,
)
from coteach.losses.logits import Dist, KullbackLeibler, LogitMeanSquaredError, SoftCrossEntropy
from coteach.losses.tagging import (
    ClassBalancedFocal,
    CrossEntropy,
    TaggingLoss,
    class_balanced_weights,
    focal_loss,
)

LabelLoss = ClassBalancedFocal | CrossEntropy
"""Losses that compare a student with labels."""

KnowledgeLoss = (
    AttentionScores
    | AttentionTransfer
    | Dist
    | HiddenStates
    | ImportanceJaccard
    | KullbackLeibler
    | LogitMeanSquaredError
    | RelationalDistances
    | SoftCrossEntropy
)
"""Losses that compare a student with a teacher."""

__all__ = [
    "AttentionScores",
    "AttentionTransfer",
    "BoundKnowledge",
    "ClassBalancedFocal",
    "CrossEntropy",
    "Dist",
    "HiddenStates",
    "ImportanceJaccard",
    "KnowledgeLoss",
    "KullbackLeibler",
    "LabelLoss",
    "LogitMeanSquaredError",
    "RelationalDistances",
    "Shape",
    "SoftCrossEntropy",
    "TaggingLoss",
    "class_balanced_weights",
    "focal_loss",
]
