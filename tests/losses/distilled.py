"""The losses that compare a student with a teacher, for their tests."""

from __future__ import annotations

import pytest

from coteach.losses import (
    AttentionScores,
    AttentionTransfer,
    Dist,
    HiddenStates,
    KullbackLeibler,
    LogitMeanSquaredError,
    RelationalDistances,
    SoftCrossEntropy,
)

Loss = (
    AttentionScores
    | AttentionTransfer
    | Dist
    | HiddenStates
    | KullbackLeibler
    | LogitMeanSquaredError
    | RelationalDistances
    | SoftCrossEntropy
)

LOGIT_LOSSES: list[Loss] = [
    SoftCrossEntropy(temperature=2.0),
    SoftCrossEntropy(parity=True),
    LogitMeanSquaredError(),
    KullbackLeibler(temperature=3.0),
    Dist(inter=2.0, intra=0.5, temperature=1.5),
]
LAYER_LOSSES: list[Loss] = [
    AttentionScores(),
    HiddenStates(),
    HiddenStates(projection="separate"),
    AttentionTransfer(),
    RelationalDistances(),
    RelationalDistances(layers=((1, 4), (2, 3))),
]
IN_PARITY: list[Loss] = [AttentionScores(parity=True), HiddenStates(parity=True)]
LOSSES = LOGIT_LOSSES + LAYER_LOSSES + IN_PARITY
by_loss = pytest.mark.parametrize("loss", LOSSES, ids=repr)
