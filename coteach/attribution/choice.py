"""Which engine takes a loss's gradient through a student's attributions."""

from __future__ import annotations

import torch

from coteach.attribution.engines import Engine, Totals, central_difference, double_backward
from coteach.attribution.scores import answer_function
from coteach.attribution.settings import IntegratedGradients
from coteach.attribution.targets import Targets
from coteach.errors import in_one_line
from coteach.model.student import Student

GRAPH_NODES = 4
"""Up to so many nodes the graphs of all are kept."""

TOKENS = 4
"""Length of the text that a double backward is tried on."""
LEAST = 0.1
"""Of the largest gradient, what a parameter's must have to be compared: differences have too few
digits for small ones."""
TOLERANCE = 0.05
"""Relative error of a double backward that is right, by differences. Measured below 0.005 where it
is, and from 0.14 (new weights) to 1 (trained ones) with an attention that hides its own."""


def choose_engine(
    student: Student, settings: IntegratedGradients, device: torch.device
) -> tuple[Engine, str]:
    """The engine for a student, and why, as a sentence for the log.

    Args:
        student: on the device, as it will be trained.
        settings: of the integral.
        device: where the student is.
    """
    reason = _double_backward_error(student, device)
    if reason is not None:
        return "finite_difference", f"the student has no double backward ({reason})"
    if settings.nodes > GRAPH_NODES:
        return "two_pass", (
            f"the graphs of {settings.nodes} nodes would need more memory than a step "
            f"should (they are kept for up to {GRAPH_NODES})"
        )
    return "graph", f"the graphs of {settings.nodes} nodes are kept, which is fastest"


def _double_backward_error(student: Student, device: torch.device) -> str | None:
    """What is wrong with the double backward of a text of some tokens; None for nothing.

    That it runs is not enough: an attention whose backward pass autograd cannot see into gives a
    part of the gradient without an error. So it is compared with differences.
    """
    ids = torch.arange(TOKENS, device=device).unsqueeze(0)
    targets = Targets.of_classes(torch.zeros(1, dtype=torch.int64, device=device))
    function = answer_function(student, ids, torch.ones_like(ids), targets, "probability")
    point = student.get_input_embeddings()(ids).detach()
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(point.shape, generator=generator).to(point)
    parameters = [it for it in student.parameters() if it.requires_grad]
    found: Totals = [None] * len(parameters)
    expected: Totals = [None] * len(parameters)
    arguments = (function, point, direction, parameters)
    with torch.enable_grad(), torch.autocast(device.type, enabled=False):
        try:
            by_point = double_backward(*arguments, found)
        except RuntimeError as error:
            return in_one_line(error)
        exact = central_difference(*arguments, expected)
    pairs = [
        (float((one - other).norm()), float(other.norm()))
        for one, other in zip([by_point, *found], [exact, *expected], strict=True)
        if one is not None and other is not None
    ]
    least = LEAST * max(size for _, size in pairs)
    wrong = [error / size for error, size in pairs if size > least and error > TOLERANCE * size]
    return f"what runs as one is wrong by {max(wrong):.0%}" if wrong else None
