"""Pure functions on tensors: what is compared, never who with whom."""

from coteach.losses.tagging import (
    ClassBalancedFocal,
    CrossEntropy,
    TaggingLoss,
    class_balanced_weights,
    focal_loss,
)

__all__ = [
    "ClassBalancedFocal",
    "CrossEntropy",
    "TaggingLoss",
    "class_balanced_weights",
    "focal_loss",
]
