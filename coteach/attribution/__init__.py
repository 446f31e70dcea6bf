"""Integrated Gradients of a student: what of a text its answers rest on."""

from coteach.attribution.attributor import Attributor, TokenScores
from coteach.attribution.baselines import SpecialTokens
from coteach.attribution.choice import choose_engine
from coteach.attribution.engines import Engine, integrated_gradients
from coteach.attribution.scores import Attributed, attribute
from coteach.attribution.settings import IntegratedGradients, quadrature
from coteach.attribution.targets import Targets

__all__ = [
    "Attributed",
    "Attributor",
    "Engine",
    "IntegratedGradients",
    "SpecialTokens",
    "Targets",
    "TokenScores",
    "attribute",
    "choose_engine",
    "integrated_gradients",
    "quadrature",
]
