"""What every distillation loss must do, and which layers are compared."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from distilled import IN_PARITY, LAYER_LOSSES, LOGIT_LOSSES, LOSSES, Loss, by_loss
from torch import Tensor

from coteach.errors import InputError
from coteach.losses import (
    AttentionScores,
    AttentionTransfer,
    Dist,
    HiddenStates,
    RelationalDistances,
)
from coteach.testing import (
    LARGE,
    LENGTHS,
    SMALL,
    KnowledgeLossSuite,
    bound,
    gradients,
    knowledge,
    mask_of,
)

WIDE = replace(LARGE, width=SMALL.width)
by_masked_loss = pytest.mark.parametrize(
    "loss", [loss for loss in LOSSES if loss not in IN_PARITY], ids=repr
)


# Every loss


class TestEveryLoss(KnowledgeLossSuite):
    @pytest.fixture(params=LOGIT_LOSSES + LAYER_LOSSES, ids=repr)
    def loss(self, request: pytest.FixtureRequest) -> Loss:
        return request.param


class TestEveryLossInParity(KnowledgeLossSuite):
    """Padding counts, as in the original code."""

    test_what_is_masked_does_not_matter_even_if_it_is_no_number = None
    test_a_batch_without_a_unit_is_a_differentiable_zero = None
    test_an_example_without_a_unit_changes_nothing_for_the_others = None

    @pytest.fixture(params=IN_PARITY, ids=repr)
    def loss(self, request: pytest.FixtureRequest) -> Loss:
        return request.param


# A cross-entropy is least, but not 0, where both sides are the same.
@pytest.mark.parametrize("loss", LOGIT_LOSSES[2:] + LAYER_LOSSES + IN_PARITY, ids=repr)
def test_a_student_that_is_its_teacher_has_nothing_to_learn(loss: Loss) -> None:
    if isinstance(loss, HiddenStates):
        loss = replace(loss, projection="none")
    if loss in LAYER_LOSSES + IN_PARITY:
        loss = replace(loss, layers=((1, 1), (2, 2)))
    it, mask = bound(loss, SMALL, SMALL), mask_of(*LENGTHS)
    student, _ = knowledge(it, mask, SMALL, SMALL)
    losses = it(student, [values.detach() for values in student], mask)
    torch.testing.assert_close(losses, torch.zeros(3).double(), rtol=0, atol=1e-12)
    for gradient in gradients(losses, it, student):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)


@by_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_compared_in_float32(loss: Loss, dtype: torch.dtype) -> None:
    if isinstance(loss, HiddenStates):  # a projection is computed in what autocast says
        loss = replace(loss, projection="none")
    it, mask = bound(loss, SMALL, WIDE), mask_of(*LENGTHS)
    student, teacher = knowledge(it, mask, SMALL, WIDE)
    halves = [[values.to(dtype) for values in side] for side in (student, teacher)]
    losses = it(*halves, mask)
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, it(*[[v.float() for v in s] for s in halves], mask))


@by_loss
def test_it_works_under_autocast(loss: Loss) -> None:
    it, mask = bound(loss), mask_of(*LENGTHS)
    student, teacher = knowledge(it, mask)
    expected = it(student, teacher, mask).float()
    student, teacher = ([v.detach().float() for v in side] for side in (student, teacher))
    with torch.autocast("cpu", torch.bfloat16):
        losses = it.float()(student, teacher, mask)
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, expected, rtol=0.05, atol=0.05)


@by_masked_loss
def test_more_padding_changes_nothing(loss: Loss) -> None:
    it, mask = bound(loss), mask_of(*LENGTHS)
    student, teacher = knowledge(it, mask)
    longer = torch.nn.functional.pad(mask, (0, 3))

    def padded(values: Tensor) -> Tensor:
        ends = (0, 3, 0, 3) if it.knowledge == "attention_scores" else (0, 0, 0, 3)
        return torch.nn.functional.pad(values, ends, value=7.0)

    losses = it([padded(v) for v in student], [padded(v) for v in teacher], longer)
    torch.testing.assert_close(losses, it(student, teacher, mask))
    torch.testing.assert_close(it.counts(longer), it.counts(mask))


@pytest.mark.parametrize(
    "loss",
    [it for it in LOSSES if not isinstance(it, Dist | RelationalDistances)] + [Dist(intra=0.0)],
    ids=repr,
)
def test_micro_batches_sum_up_to_the_batch(loss: Loss) -> None:
    it, mask = bound(loss), mask_of(*LENGTHS)
    student, teacher = knowledge(it, mask)
    parts = [
        it([v[n : n + 1] for v in student], [v[n : n + 1] for v in teacher], mask[n : n + 1])
        for n in range(len(LENGTHS))
    ]
    torch.testing.assert_close(torch.cat(parts), it(student, teacher, mask))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [(loss, [5, 3, 1]) for loss in LOGIT_LOSSES]
    + [
        (AttentionScores(), [25, 9, 1]),
        (AttentionScores(parity=True), [25, 25, 25]),
        (HiddenStates(), [5, 3, 1]),
        (HiddenStates(parity=True), [5, 5, 5]),
        (AttentionTransfer(), [1, 1, 1]),
        (RelationalDistances(), [1, 1, 1]),
    ],
    ids=repr,
)
def test_units_are_counted_from_the_mask(loss: Loss, expected: list[int]) -> None:
    assert bound(loss).counts(mask_of(*LENGTHS)).tolist() == expected


@pytest.mark.parametrize("loss", LAYER_LOSSES + IN_PARITY, ids=repr)
def test_layers_are_added_up(loss: Loss) -> None:
    pairs = ((1, 4), (2, 2), (2, 1))
    it, mask = bound(replace(loss, layers=pairs)), mask_of(*LENGTHS)
    assert (it.student_layers, it.teacher_layers) == ((1, 2, 2), (4, 2, 1))
    student, teacher = knowledge(it, mask)
    alone = []
    for number, pair in enumerate(pairs):
        one = bound(replace(loss, layers=(pair,)))
        one.load_state_dict({k: v for k, v in it.state_dict().items() if k in one.state_dict()})
        alone.append(one(student[number : number + 1], teacher[number : number + 1], mask))
    torch.testing.assert_close(it(student, teacher, mask), sum(alone))
    torch.testing.assert_close(it.counts(mask), one.counts(mask))


@by_loss
def test_both_sides_must_give_what_is_asked_for(loss: Loss) -> None:
    it, mask = bound(loss), mask_of(*LENGTHS)
    student, teacher = knowledge(it, mask)
    with pytest.raises(ValueError, match=r"argument 2 is (longer|shorter)"):
        it(student, [*teacher, teacher[0]], mask)


# Which layers


@pytest.mark.parametrize(
    ("loss", "mine", "theirs"),
    [
        (AttentionScores(), (1, 2), (2, 4)),
        (AttentionTransfer(), (1, 2), (2, 4)),
        (HiddenStates(), (0, 1, 2), (0, 2, 4)),
        (RelationalDistances(), (2,), (4,)),
        (HiddenStates(layers=((0, 1), (2, 3))), (0, 2), (1, 3)),
        (LOGIT_LOSSES[0], (), ()),
    ],
)
def test_layers_are_uniform_unless_given(loss: Loss, mine: object, theirs: object) -> None:
    it = loss.bind(SMALL, LARGE)
    assert (it.student_layers, it.teacher_layers) == (mine, theirs)


def test_the_mapping_is_that_of_the_paper() -> None:
    it = HiddenStates().bind(replace(SMALL, depth=4), replace(LARGE, depth=12))
    assert it.teacher_layers == (0, 3, 6, 9, 12)


@pytest.mark.parametrize("loss", [AttentionScores(), AttentionTransfer(), HiddenStates()])
@pytest.mark.parametrize(("depth", "wanted"), [(3, 4), (4, 3)])
def test_depths_that_do_not_divide_are_refused(loss: Loss, depth: int, wanted: int) -> None:
    with pytest.raises(
        InputError, match=rf"'large' has {wanted} .* the {depth} of 'small'.*expected layers=\(\("
    ):
        loss.bind(replace(SMALL, depth=depth), replace(LARGE, depth=wanted))


@pytest.mark.parametrize("depth", [3, 5])
def test_last_layers_fit_whatever_the_depths(depth: int) -> None:
    it = RelationalDistances().bind(SMALL, replace(LARGE, depth=depth))
    assert it.teacher_layers == (depth,)


@pytest.mark.parametrize("loss", LAYER_LOSSES, ids=repr)
@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ((3, 1), "expected a layer of 'small' from . to 2, got 3"),
        ((1, 5), "expected a layer of 'large' from . to 4, got 5"),
        ((-1, 1), "expected a layer of 'small' from . to 2, got -1"),
        ((0, 1), "expected a layer of 'small' from 1 to 2, got 0"),
    ],
)
def test_layers_that_are_not_there_are_refused(
    loss: Loss, pair: tuple[int, int], message: str
) -> None:
    by_hand = replace(loss, layers=((1, 1), pair))
    if by_hand.knowledge == "hidden_states" and pair == (0, 1):
        assert by_hand.bind(SMALL, LARGE).student_layers == (1, 0)
        return
    with pytest.raises(InputError, match=message) as error:
        by_hand.bind(SMALL, LARGE)
    assert f"pair 2 of layers, {pair}, from 'small' (2 layers)" in str(error.value)


# What does not fit


def test_attention_scores_need_as_many_heads() -> None:
    with pytest.raises(InputError, match="got 2 in 'small' and 3 in 'large'"):
        AttentionScores().bind(SMALL, replace(LARGE, heads=3))


def test_hidden_states_without_a_projection_need_equal_widths() -> None:
    with pytest.raises(InputError, match="got 4 in 'small' and 6 in 'large'"):
        HiddenStates(projection="none").bind(SMALL, LARGE)


def test_logits_of_other_classes_are_refused() -> None:
    it, mask = bound(LOGIT_LOSSES[0]), mask_of(*LENGTHS)
    (student,), (teacher,) = knowledge(it, mask)
    with pytest.raises(ValueError, match=r"\(3, 5, 3\) of the student and \(3, 5, 1\) of the te"):
        it([student], [teacher[..., :1]], mask)
