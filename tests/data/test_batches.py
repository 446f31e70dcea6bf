from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coteach.data.batches import plan_epoch

Steps = list[list[list[int]]]


def lengths(count: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(1, 511, size=count).tolist()


def planned(*arguments: Any, **options: Any) -> Steps:
    return list(plan_epoch(*arguments, **options))


def flat(steps: Steps) -> list[int]:
    return list(chain.from_iterable(chain.from_iterable(steps)))


@given(st.integers(0, 120), st.integers(1, 5), st.integers(1, 4), st.booleans())
def test_every_window_comes_once(count: int, batch: int, pieces: int, grouped: bool) -> None:
    steps = planned(lengths(count), batch, pieces, seed=1, epoch=0, group_by_length=grouped)
    assert len(steps) == -(-count // (batch * pieces))
    for step in steps:
        assert len(step) == pieces
        assert all(1 <= len(piece) <= batch for piece in step)
    rest = count % (batch * pieces)
    repeated = max(0, pieces - rest) if rest else 0  # a step too short to give every piece one
    assert len(flat(steps)) == count + repeated
    assert set(flat(steps)) == set(range(count))


@pytest.mark.parametrize(("processes", "accumulation"), [(2, 1), (2, 2), (4, 1)])
def test_processes_share_what_one_process_would_accumulate(
    processes: int, accumulation: int
) -> None:
    pieces = processes * accumulation
    steps = planned(lengths(50), 3, pieces, seed=1, epoch=0)
    for step in steps:
        # As the loop deals pieces out: every process gets ``accumulation`` of each step.
        shares = [step[process::processes] for process in range(processes)]
        assert [len(share) for share in shares] == [accumulation] * processes
        assert sorted(chain.from_iterable(shares)) == sorted(step)


def test_pieces_only_cut_a_step_up() -> None:
    # One micro-batch of 8, two of 4 or four of 2: the same windows in the same steps.
    whole, halves, quarters = (
        planned(lengths(52), 8 // pieces, pieces, seed=3, epoch=1) for pieces in (1, 2, 4)
    )
    for steps in (halves, quarters):
        assert [flat([step]) for step in steps] == [flat([step]) for step in whole]


@pytest.mark.parametrize("grouped", [True, False])
def test_seed_and_epoch_decide_the_order(grouped: bool) -> None:
    def plan(seed: int, epoch: int) -> Steps:
        return planned(lengths(100), 4, 2, seed, epoch, grouped)

    assert plan(1, 0) == plan(1, 0)
    assert plan(1, 0) != plan(2, 0)
    assert plan(1, 0) != plan(1, 1)
    assert plan(1, 2) != plan(2, 1)


def test_windows_of_similar_length_share_a_step() -> None:
    sizes = lengths(400)

    def padding(grouped: bool) -> int:
        steps = planned(sizes, 8, 1, seed=1, epoch=0, group_by_length=grouped)
        batches = [[sizes[i] for i in batch] for step in steps for batch in step]
        return sum(max(batch) * len(batch) - sum(batch) for batch in batches)

    assert padding(True) < padding(False) / 5
    longest = [max(sizes[i] for i in step[0]) for step in planned(sizes, 8, 1, seed=1, epoch=0)]
    assert longest != sorted(longest)  # the steps themselves come in any order
    assert longest != sorted(longest, reverse=True)


def test_fewer_windows_than_pieces_are_repeated() -> None:
    (step,) = plan_epoch([5], 2, 4, seed=1, epoch=0)
    assert step == [[0], [0], [0], [0]]


def test_no_window_makes_no_step() -> None:
    assert planned([], 4, 2, seed=1, epoch=0) == []
