"""How importance is computed, as options of a command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from coteach.attribution import IntegratedGradients

__all__ = ["AttributionOptions"]


@dataclass(frozen=True, kw_only=True)
class AttributionOptions:
    """Settings of Integrated Gradients (Sundararajan et al. 2017), without heavy imports."""

    nodes: int = 16
    """Points of the path from the baseline to the text at which the gradient is taken. The
    completeness gap says whether they are enough."""

    quadrature: Literal["gauss_legendre", "right_riemann", "trapezoid"] = "gauss_legendre"
    """Which points, and their weights; right_riemann is the importance-transfer thesis's eq.
    2.9."""

    baseline: Literal["padding", "mask", "zero"] = "padding"
    """What the tokens are replaced by at the start of the path: [PAD], [MASK] or zeros. Special
    tokens such as [CLS] stay, and so have importance 0."""

    answer: Literal["probability", "logit"] = "probability"
    """What of the answer is explained."""

    aggregation: Literal["norm", "sum"] = "norm"
    """A token's importance: the L2 norm over the width of the embeddings (eq. 3.1), which has no
    sign, or the sum, which says whether the token speaks for the answer or against it."""

    def settings(self) -> IntegratedGradients:
        """The same for :mod:`coteach.attribution`.

        Raises:
            InputError: a value cannot be used.
        """
        from coteach.attribution import IntegratedGradients

        return IntegratedGradients(
            self.nodes, self.quadrature, self.baseline, self.answer, self.aggregation
        )
