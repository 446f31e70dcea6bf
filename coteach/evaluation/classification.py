"""How good predicted classes are: accuracy, macro-F1 and the loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import accuracy_score, f1_score

__all__ = ["class_figures", "majority"]


def class_figures(labels: Sequence[int], probabilities: np.ndarray) -> dict[str, float]:
    """The figures of predicted class probabilities.

    Args:
        labels: (texts,), the gold classes.
        probabilities: (texts, classes).

    Returns:
        "accuracy" and "macro_f1" of the likeliest classes (a class that neither stands in the
        gold nor is predicted does not count), fractions of 1, and "loss", the mean −log p of the
        gold class, in nats.

    Raises:
        ValueError: there is no text, or not as many labels as probabilities.
    """
    if not len(labels) or len(labels) != len(probabilities):
        raise ValueError(
            f"expected as many labels as probabilities, at least one; got {len(labels)} and "
            f"{len(probabilities)}"
        )
    gold = np.asarray(labels)
    predicted = probabilities.argmax(axis=1)
    likelihoods = probabilities[np.arange(len(gold)), gold].astype(np.float64)
    return {
        "accuracy": float(accuracy_score(gold, predicted)),
        "macro_f1": float(f1_score(gold, predicted, average="macro", zero_division=0)),
        "loss": float(-np.log(np.maximum(likelihoods, np.finfo(np.float32).tiny)).mean()),
    }


def majority(labels: Sequence[int], classes: int, texts: int) -> np.ndarray:
    """What knows only how frequent classes are in training: their shares, for every text.

    Args:
        labels: of the training texts.
        classes: how many there are.
        texts: how many to answer for.

    Returns:
        (texts, classes), probabilities.
    """
    shares = np.bincount(labels, minlength=classes) / len(labels)
    return np.tile(shares, (texts, 1))
