"""Distillation losses between layers against their definitions."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear, mse_loss

from coteach.errors import InputError
from coteach.losses import AttentionScores, AttentionTransfer, HiddenStates, RelationalDistances
from coteach.losses.layers import ProjectedStates
from coteach.testing import LARGE, LENGTHS, SMALL, bound, knowledge, mask_of

L = max(LENGTHS)


# Attention scores


def test_attention_scores_are_compared_where_query_and_key_are_known() -> None:
    it, mask = bound(AttentionScores()), mask_of(*LENGTHS)
    student, teacher = knowledge(it, mask)
    losses = it(student, teacher, mask)
    for example, length in enumerate(LENGTHS):
        expected = 0.0
        for mine, theirs in zip(student, teacher, strict=True):
            for head in range(SMALL.heads):
                for query in range(length):
                    for key in range(length):
                        place = (example, head, query, key)
                        expected += (mine[place] - theirs[place]).item() ** 2 / SMALL.heads
        assert losses[example].item() == pytest.approx(expected)


def test_units_may_be_masked_anywhere() -> None:
    it, mask = bound(AttentionScores()), torch.tensor([[True, False, True]])
    student, teacher = knowledge(it, mask)
    at = [0, 2]
    kept = [[values[:, :, at][..., at] for values in side] for side in (student, teacher)]
    torch.testing.assert_close(it(student, teacher, mask), it(*kept, torch.ones(1, 2).bool()))


def test_attention_scores_in_parity_are_the_original_mean() -> None:
    it, mask = bound(AttentionScores(parity=True)), mask_of(*LENGTHS)
    student, teacher = knowledge(it, mask)
    expected = torch.zeros((), dtype=torch.float64)
    # The original adds the mask to the scores, and takes what is −100 at most as 0.
    added = torch.where(mask, 0.0, -10000.0)[:, None, None, :]
    for mine, theirs in zip(student, teacher, strict=True):
        sides = [scores + added for scores in (mine, theirs)]
        sides = [torch.where(scores <= -1e2, torch.zeros_like(scores), scores) for scores in sides]
        expected = expected + mse_loss(sides[0], sides[1])
    torch.testing.assert_close(
        it(student, teacher, mask).sum() / it.counts(mask).sum().double(), expected
    )


# Hidden states


@pytest.mark.parametrize("projection", ["shared", "separate"])
def test_hidden_states_are_projected_and_compared_at_known_tokens(projection: str) -> None:
    it, mask = bound(HiddenStates(projection=projection)), mask_of(*LENGTHS)  # type: ignore[arg-type]
    assert isinstance(it, ProjectedStates)
    student, teacher = knowledge(it, mask)
    losses = it(student, teacher, mask)
    embeddings = "layers" if projection == "shared" else "embeddings"
    for example, length in enumerate(LENGTHS):
        expected = 0.0
        for layer, (mine, theirs) in enumerate(zip(student, teacher, strict=True)):
            part = it.projections["layers" if layer else embeddings]
            for token in range(length):
                wanted = linear(mine[example, token], part.weight, part.bias)
                differences = (wanted - theirs[example, token]).tolist()
                expected += sum(value**2 for value in differences) / LARGE.width
        assert losses[example].item() == pytest.approx(expected)


def test_hidden_states_in_parity_are_the_original_mean() -> None:
    it, mask = bound(HiddenStates(parity=True)), mask_of(*LENGTHS)
    assert isinstance(it, ProjectedStates)
    student, teacher = knowledge(it, mask)
    part = it.projections["layers"]
    expected = sum(mse_loss(part(s), t) for s, t in zip(student, teacher, strict=True))
    torch.testing.assert_close(
        it(student, teacher, mask).sum() / it.counts(mask).sum().double(), expected
    )


def test_hidden_states_of_equal_widths_may_be_compared_as_they_are() -> None:
    same = replace(LARGE, width=SMALL.width)
    it, mask = bound(HiddenStates(projection="none"), SMALL, same), mask_of(*LENGTHS)
    assert not list(it.parameters())
    student, teacher = knowledge(it, mask, SMALL, same)
    expected = sum(
        (s - t)[mask].square().sum() / SMALL.width for s, t in zip(student, teacher, strict=True)
    )
    torch.testing.assert_close(it(student, teacher, mask).sum(), expected)


@pytest.mark.parametrize(
    ("loss", "names"),
    [
        (HiddenStates(), ["layers"]),
        (HiddenStates(projection="separate"), ["embeddings", "layers"]),
        (HiddenStates(projection="separate", layers=((1, 2),)), ["layers"]),
        (HiddenStates(projection="separate", layers=((0, 2),)), ["embeddings"]),
    ],
)
@pytest.mark.parametrize("width", [SMALL.width, LARGE.width])
def test_projections_are_those_that_some_pair_needs(
    loss: HiddenStates, names: list[str], width: int
) -> None:
    it = loss.bind(replace(SMALL, width=width), LARGE)  # also where the widths are equal
    assert {name.split(".")[1] for name, _ in it.named_parameters()} == set(names)
    for name, parameter in it.named_parameters():
        kind = name.split(".")[2]
        assert parameter.shape == ((6, width) if kind == "weight" else (6,))


def test_projections_start_small_and_by_the_seed() -> None:
    wide = (replace(SMALL, width=64), replace(LARGE, width=96))
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(HiddenStates(projection="separate").bind(*wide).state_dict())
    for name, value in drawn[0].items():
        assert torch.equal(value, drawn[1][name])
        if name.endswith("bias"):
            assert not value.any()
        else:
            assert not torch.equal(value, drawn[2][name])
            assert value.std().item() == pytest.approx(0.02, rel=0.1)
            assert abs(value.mean().item()) < 0.002


def test_a_projection_is_one_of_three() -> None:
    with pytest.raises(InputError, match="projection='both': expected one of shared, separate"):
        HiddenStates(projection="both")  # type: ignore[arg-type]


# Attention maps


def naive_attention(scores: Tensor, length: int) -> list[float]:
    """The mean over heads of the attention (heads, L, L) between known tokens, flat."""
    result = []
    for query in range(length):
        for key in range(length):
            total = 0.0
            for head in scores:
                powers = [math.exp(value) for value in head[query, :length].tolist()]
                total += powers[key] / sum(powers)
            result.append(total / len(scores))
    return result


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_attention_maps_are_compared_whatever_the_heads(heads: int) -> None:
    teacher_shape = replace(LARGE, heads=heads)
    it, mask = bound(AttentionTransfer(), SMALL, teacher_shape), mask_of(*LENGTHS)
    student, teacher = knowledge(it, mask, SMALL, teacher_shape)
    losses = it(student, teacher, mask)
    for example, length in enumerate(LENGTHS):
        expected = 0.0
        for mine, theirs in zip(student, teacher, strict=True):
            maps = [naive_attention(side[example], length) for side in (mine, theirs)]
            norms = [math.sqrt(sum(value**2 for value in it)) for it in maps]
            expected += math.sqrt(
                sum((p / norms[0] - q / norms[1]) ** 2 for p, q in zip(*maps, strict=True))
            )
        assert losses[example].item() == pytest.approx(expected)


# Distances


def naive_relations(points: Tensor) -> list[float]:
    distances = [math.dist(a, b) for a, b in combinations(points.tolist(), 2)]
    return [distance * len(distances) / sum(distances) for distance in distances]


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_distances_are_compared_by_the_huber_loss(scale: float) -> None:
    lengths = (5, 3, 1, 4, 0)
    it, mask = bound(RelationalDistances()), mask_of(*lengths)
    (student,), (teacher,) = knowledge(it, mask)
    with torch.no_grad():
        teacher[0] *= scale  # one example far from the rest: differences above δ
    losses = it([student], [teacher], mask)
    relations = []
    for side in (student, teacher):
        points = [side[n, :length].mean(dim=0) for n, length in enumerate(lengths) if length]
        relations.append(naive_relations(torch.stack(points)))
    differences = [abs(p - q) for p, q in zip(*relations, strict=True)]
    if scale > 1:
        assert max(differences) > 1 > min(differences)
    expected = sum(x**2 / 2 if x <= 1 else x - 0.5 for x in differences) / len(differences)
    assert losses.tolist() == pytest.approx([expected] * 4 + [0.0])
    assert it.counts(mask).tolist() == [1, 1, 1, 1, 0]


@pytest.mark.parametrize("lengths", [(3,), (3, 0), (0, 3, 0)])
def test_one_example_has_no_distances(lengths: tuple[int, ...]) -> None:
    it, mask = bound(RelationalDistances()), mask_of(*lengths)
    student, teacher = knowledge(it, mask)
    losses = it(student, teacher, mask)
    assert losses.tolist() == it.counts(mask).tolist() == [0.0] * len(lengths)
    assert not torch.autograd.grad(losses.sum(), student)[0].any()


@pytest.mark.parametrize("same", ["student", "teacher", "both"])
def test_examples_that_are_the_same_are_finite(same: str) -> None:
    it, mask = bound(RelationalDistances()), torch.ones(3, 2).bool()
    (student,), (teacher,) = knowledge(it, mask)
    with torch.no_grad():
        for name, side in (("student", student), ("teacher", teacher)):
            if same in (name, "both"):
                side[:] = side[0].clone()
    losses = it([student], [teacher], mask)
    assert losses.isfinite().all()
    assert (losses.sum() == 0) == (same == "both")
    assert all(g.isfinite().all() for g in torch.autograd.grad(losses.sum(), [student, teacher]))


def test_the_student_can_learn_what_its_teacher_knows() -> None:
    """Every loss between layers falls by half within some steps of gradient descent."""
    mask = mask_of(5, 4, 3, 5)
    for loss in (AttentionScores(), HiddenStates(), AttentionTransfer(), RelationalDistances()):
        it = bound(loss)
        student, teacher = knowledge(it, mask)
        optimizer = torch.optim.Adam([*student, *it.parameters()], lr=0.05)
        values = []
        for _ in range(60):
            total = it(student, [values.detach() for values in teacher], mask).sum()
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            values.append(total.item())
        assert values[-1] < values[0] / 2, loss
