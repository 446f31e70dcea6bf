"""Texts dealt into folds, and texts set aside: by class, and with groups that stay together."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

from coteach.errors import InputError

__all__ = ["assign", "set_aside"]


def assign(labels: Sequence[str], groups: Sequence[str] | None, folds: int, seed: int) -> list[int]:
    """The fold of each text, so that every fold has every class's share of the texts.

    Args:
        labels: each text's class.
        groups: each text's group, which is never split; the classes' shares are then only as
            even as whole groups allow. None: each text by itself, and a class's numbers of texts
            in two folds differ by at most one.
        folds: their number, at least 2.
        seed: in [0, 2**32).

    Raises:
        InputError: there are fewer texts of a class, or fewer groups, than folds, or whole groups
            leave a fold empty.
    """
    smallest, count = min(Counter(labels).items(), key=lambda of: of[1])
    if folds > count:
        raise InputError(
            f"data.folds: expected at most {count}, the number of texts of class {smallest!r}, "
            f"got {folds}"
        )
    if groups is not None and folds > len(set(groups)):
        raise InputError(
            f"data.folds: expected at most {len(set(groups))}, the number of groups, got {folds}"
        )
    fold_of = [0] * len(labels)
    for fold, members in enumerate(_folds(labels, groups, folds, seed)):
        for index in members:
            fold_of[index] = fold
    if len(set(fold_of)) < folds:
        raise InputError(f"data.folds: the groups are too large for {folds} folds; expected fewer")
    return fold_of


def set_aside(
    labels: Sequence[str], groups: Sequence[str] | None, fraction: float, seed: int
) -> set[int]:
    """The indices of a share of the texts, with every class's share among them.

    Args:
        labels: each text's class.
        groups: each text's group, which is never split; None: each text by itself.
        fraction: the share, in (0, 1). With groups it is that of one of round(1 / fraction)
            folds, so about the share and at most about a half.
        seed: in [0, 2**32).

    Raises:
        InputError: there are too few texts, or there is only one group.
    """
    try:
        if groups is None:
            from sklearn.model_selection import StratifiedShuffleSplit

            split = StratifiedShuffleSplit(1, test_size=fraction, random_state=seed)
            _, members = next(split.split(labels, labels))
        else:
            largest = max(Counter(labels).values())
            folds = min(max(2, round(1 / fraction)), len(set(groups)), largest)
            with warnings.catch_warnings():
                # A class of fewer texts than folds is none of dev's concern.
                warnings.simplefilter("ignore", UserWarning)
                members = _folds(labels, groups, folds, seed)[0]
    except ValueError as error:
        raise InputError(
            f"data.dev_fraction: {fraction} of {len(labels):,} texts cannot be set aside: {error}"
        ) from None
    return {int(index) for index in members}


def _folds(labels: Sequence[str], groups: Sequence[str] | None, folds: int, seed: int) -> list[Any]:
    """The members of each fold, as arrays of indices."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    splitter = kind(folds, shuffle=True, random_state=seed)
    return [members for _, members in splitter.split(labels, labels, groups)]
