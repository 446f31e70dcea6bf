"""What every loss and every gate must do, as tests that a new one inherits.

A test class names its loss or gate by a pytest fixture and has all of the tests::

    class TestMyLoss(LabelLossSuite):
        @pytest.fixture
        def loss(self) -> MyLoss:
            return MyLoss()
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from torch.autograd import gradcheck

from coteach.graph.gates import Gate, Step
from coteach.losses import BoundKnowledge, Shape, TaggingLoss
from coteach.training.record import as_json

__all__ = [
    "CLASSES",
    "LARGE",
    "LENGTHS",
    "SMALL",
    "GateSuite",
    "KnowledgeLossSuite",
    "LabelLossSuite",
    "bound",
    "gradients",
    "knowledge",
    "mask_of",
]

SMALL = Shape("small", depth=2, width=4, heads=2)
LARGE = Shape("large", depth=4, width=6, heads=2)
LENGTHS = (5, 3, 1)
"""Of the examples; 5 is the length of the batch."""
CLASSES = 3


def mask_of(*lengths: int) -> Tensor:
    """(batch, longest), bool."""
    return torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(-1)


def bound(loss: Any, student: Shape = SMALL, teacher: Shape = LARGE) -> BoundKnowledge:
    """A loss between two models, in float64, with projections that are not small."""
    torch.manual_seed(0)
    result: BoundKnowledge = loss.bind(student, teacher).double()
    for parameter in result.parameters():
        torch.nn.init.normal_(parameter)
    return result


def knowledge(
    loss: BoundKnowledge, mask: Tensor, student: Shape = SMALL, teacher: Shape = LARGE
) -> tuple[list[Tensor], list[Tensor]]:
    """Random tensors of both sides, float64, in the order that the loss asks for."""
    generator = torch.Generator().manual_seed(1)
    batch, length = mask.shape
    sides = []
    for shape, layers in ((student, loss.student_layers), (teacher, loss.teacher_layers)):
        size = {
            "logits": (batch, length, CLASSES),
            "hidden_states": (batch, length, shape.width),
            "attention_scores": (batch, shape.heads, length, length),
        }[loss.knowledge]
        number = 1 if loss.knowledge == "logits" else len(layers)
        values = [torch.randn(size, generator=generator).double() for _ in range(number)]
        sides.append([value.requires_grad_() for value in values])
    return sides[0], sides[1]


def gradients(losses: Tensor, loss: BoundKnowledge, *sides: list[Tensor]) -> list[Tensor]:
    """Of the sum of the losses in everything that could learn."""
    leaves = [*loss.parameters(), *(value for side in sides for value in side)]
    return list(torch.autograd.grad(losses.sum(), leaves))


class LabelLossSuite:
    """Tests of a loss between logits and labels, a :class:`coteach.losses.TaggingLoss`.

    The fixture is ``loss``. Its unit is a position: a token and an attribute.
    """

    def example(self, loss: TaggingLoss) -> tuple[Tensor, Tensor, Tensor | None]:
        """Logits (2, 4, 3, classes) in float64, labels (2, 4, 3) of which some are unknown, and
        class weights of the loss's own, of which one class was never seen."""
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(2, 4, 3, CLASSES, generator=generator, dtype=torch.float64)
        labels = torch.randint(0, CLASSES, (2, 4, 3), generator=generator, dtype=torch.int8)
        labels[0, 1] = labels[1, :, 2] = -100
        counts = torch.tensor([[100, 7, 12], [80, 0, 3], [0, 0, 0]])
        return logits.requires_grad_(), labels, loss.class_weights(counts)

    def test_a_loss_of_every_position_finite_and_not_negative(self, loss: TaggingLoss) -> None:
        logits, labels, weights = self.example(loss)
        losses = loss(logits, labels, weights)
        assert losses.shape == labels.shape
        assert losses.isfinite().all()
        assert (losses >= 0).all()
        assert (losses[labels == -100] == 0).all()
        assert losses.sum() > 0.01
        if weights is not None:
            assert weights.shape == (3, CLASSES)
            assert weights.isfinite().all()

    def test_the_gradient_reaches_the_known_positions_alone(self, loss: TaggingLoss) -> None:
        logits, labels, weights = self.example(loss)
        (gradient,) = torch.autograd.grad(loss(logits, labels, weights).sum(), logits)
        reached = gradient.abs().sum(dim=-1) > 0
        torch.testing.assert_close(reached, labels != -100)

    def test_gradients_are_those_of_finite_differences(self, loss: TaggingLoss) -> None:
        logits, labels, weights = self.example(loss)
        assert gradcheck(lambda it: loss(it, labels, weights), (logits,), fast_mode=True)

    def test_nothing_known_is_a_differentiable_zero(self, loss: TaggingLoss) -> None:
        logits, labels, weights = self.example(loss)
        losses = loss(logits, torch.full_like(labels, -100), weights)
        (gradient,) = torch.autograd.grad(losses.sum(), logits)
        assert not losses.any()
        assert not gradient.any()

    def test_a_batch_without_an_example(self, loss: TaggingLoss) -> None:
        logits, labels, weights = self.example(loss)
        losses = loss(logits[:0], labels[:0], weights)
        assert losses.shape == (0, 4, 3)
        (gradient,) = torch.autograd.grad(losses.sum(), logits)
        assert not gradient.any()

    def test_the_order_of_the_batch_does_not_matter(self, loss: TaggingLoss) -> None:
        logits, labels, weights = self.example(loss)
        turned = loss(logits.flip(0), labels.flip(0), weights)
        torch.testing.assert_close(turned, loss(logits, labels, weights).flip(0))

    def test_extreme_logits_stay_finite(self, loss: TaggingLoss) -> None:
        logits, labels, weights = self.example(loss)
        extreme = (1e4 * logits.detach().sign()).float().requires_grad_()
        losses = loss(extreme, labels, weights)
        (gradient,) = torch.autograd.grad(losses.sum(), extreme)
        assert losses.isfinite().all()
        assert gradient.isfinite().all()


class KnowledgeLossSuite:
    """Tests of a loss between two models, which ``bind`` fits to their shapes.

    The fixture is ``loss``. Its unit is what its ``counts`` count, an example's sums are its
    output (:class:`coteach.losses.BoundKnowledge`).
    """

    def test_a_loss_is_finite_not_negative_and_one_for_each_example(self, loss: Any) -> None:
        it, mask = bound(loss), mask_of(*LENGTHS)
        student, teacher = knowledge(it, mask)
        losses = it(student, teacher, mask)
        assert losses.shape == it.counts(mask).shape == (3,)
        assert losses.isfinite().all()
        assert (losses >= 0).all()
        assert losses.sum() > 0.01

    def test_the_gradient_reaches_the_student_and_what_the_loss_learns(self, loss: Any) -> None:
        it, mask = bound(loss), mask_of(*LENGTHS)
        student, teacher = knowledge(it, mask)
        losses = it(student, teacher, mask)
        assert all(gradient.abs().sum() > 0 for gradient in gradients(losses, it, student))

    def test_gradients_are_those_of_finite_differences(self, loss: Any) -> None:
        it, mask = bound(loss), mask_of(2, 2, 1)
        student, teacher = knowledge(it, mask)
        half = len(student)
        parameters = dict(it.named_parameters())

        def losses(*values: Tensor) -> Tensor:
            sides = (list(values[:half]), list(values[half : 2 * half]), mask)
            of_names = dict(zip(parameters, values[2 * half :], strict=True))
            return torch.func.functional_call(it, of_names, sides)

        assert gradcheck(losses, (*student, *teacher, *parameters.values()), fast_mode=True)

    def test_what_is_masked_does_not_matter_even_if_it_is_no_number(self, loss: Any) -> None:
        it, mask = bound(loss), mask_of(*LENGTHS)
        student, teacher = knowledge(it, mask)
        losses = it(student, teacher, mask)
        expected = gradients(losses, it, student)

        def spoilt(values: Tensor) -> Tensor:
            if it.knowledge == "attention_scores":
                known = mask[:, None, :, None] & mask[:, None, None, :]
            else:
                known = mask.unsqueeze(-1)
            return torch.where(known, values.detach(), torch.nan).requires_grad_()

        student, teacher = ([spoilt(values) for values in side] for side in (student, teacher))
        again = it(student, teacher, mask)
        torch.testing.assert_close(again, losses)
        torch.testing.assert_close(gradients(again, it, student), expected)

    def test_a_batch_without_a_unit_is_a_differentiable_zero(self, loss: Any) -> None:
        for length in (1, 4):
            it, mask = bound(loss), torch.zeros(2, length, dtype=torch.bool)
            student, teacher = knowledge(it, mask)
            losses = it(student, teacher, mask)
            assert losses.tolist() == it.counts(mask).tolist() == [0, 0]
            assert not any(gradient.any() for gradient in gradients(losses, it, student, teacher))

    def test_an_example_without_a_unit_changes_nothing_for_the_others(self, loss: Any) -> None:
        it, mask = bound(loss), mask_of(*LENGTHS, 0)
        student, teacher = knowledge(it, mask)
        losses, counts = it(student, teacher, mask), it.counts(mask)
        alone = it([v[:3] for v in student], [v[:3] for v in teacher], mask[:3])
        torch.testing.assert_close(losses, torch.cat([alone, torch.zeros(1).double()]))
        torch.testing.assert_close(counts, torch.cat([it.counts(mask[:3]), torch.zeros(1)]))

    def test_one_text_of_one_unit_is_finite(self, loss: Any) -> None:
        it, mask = bound(loss), mask_of(1)
        student, teacher = knowledge(it, mask)
        losses = it(student, teacher, mask)
        every = [losses, *gradients(losses, it, student, teacher)]
        assert all(tensor.isfinite().all() for tensor in every)

    def test_the_order_of_the_batch_does_not_matter(self, loss: Any) -> None:
        it, mask = bound(loss), mask_of(*LENGTHS)
        student, teacher = knowledge(it, mask)
        turned = it([v.flip(0) for v in student], [v.flip(0) for v in teacher], mask.flip(0))
        torch.testing.assert_close(turned, it(student, teacher, mask).flip(0))


class GateSuite:
    """Tests of a gate. The fixture is ``gate``."""

    def moments(self) -> list[Step]:
        """Steps of a training of ten."""
        return [Step(progress=number / 10, number=number) for number in range(11)]

    def losses(self) -> list[Tensor]:
        """Losses of examples, (batch,), and of positions, (batch, tokens, members, attributes)."""
        generator = torch.Generator().manual_seed(0)
        sizes = [(3,), (3, 4, 2, 2), (0,), (0, 4, 2, 2)]
        return [torch.rand(size, generator=generator, dtype=torch.float64) for size in sizes]

    def test_weights_fit_the_losses_and_are_finite_without_gradient(self, gate: Gate) -> None:
        for step in self.moments():
            for losses in self.losses():
                before = losses.clone()
                weights = gate(losses, step)
                assert torch.equal(losses, before)
                assert torch.broadcast_shapes(weights.shape, losses.shape) == losses.shape
                assert weights.dtype == losses.dtype
                assert weights.device == losses.device
                assert not weights.requires_grad
                assert weights.isfinite().all()
                assert (weights >= 0).all()

    def test_where_it_is_shut_nothing_passes(self, gate: Gate) -> None:
        for step in self.moments():
            if not gate.is_open(step):
                assert not any(gate(losses, step).any() for losses in self.losses())

    def test_it_opens_at_some_time(self, gate: Gate) -> None:
        assert any(
            gate.is_open(step) and all(gate(losses, step).any() for losses in self.losses()[:2])
            for step in self.moments()
        )

    def test_the_same_moment_gives_the_same_weights(self, gate: Gate) -> None:
        for step in self.moments():
            for losses in self.losses():
                assert torch.equal(gate(losses, step), gate(losses.clone(), step))

    def test_it_can_be_written_down_in_recipe_json(self, gate: Any) -> None:
        written = json.loads(json.dumps(as_json(gate), allow_nan=False))
        assert written.pop("type") == type(gate).__name__
        assert set(written) == {it.name for it in fields(gate)}
        assert type(gate)(**written) == gate
