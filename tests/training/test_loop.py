from __future__ import annotations

import math
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import tiny_loop
import torch
from accelerate import Accelerator
from tiny_loop import Loop, exactly, log_of, parameters

import coteach.training.loop as module
from coteach.data.collator import Collator
from coteach.graph import CoTeaching, WeightedSum
from coteach.graph.gates import Step
from coteach.model.extraction import Extractor
from coteach.recipe import Optimisation, Selection
from coteach.training.loop import Running, train_step
from coteach.training.plan import Plan
from coteach.training.prepare import prepare

# Steps and rates


@pytest.mark.parametrize(
    ("windows", "epochs", "every", "accumulation", "processes", "expected"),
    [
        (15, 2, 1, 1, 1, Plan(per_epoch=4, total=8, evaluate_every=4)),
        (16, 2, 1, 1, 1, Plan(per_epoch=4, total=8, evaluate_every=4)),
        (17, 2, 1, 2, 1, Plan(per_epoch=3, total=6, evaluate_every=3)),
        (17, 2, 1, 1, 2, Plan(per_epoch=3, total=6, evaluate_every=3)),
        (17, 1.5, 0.5, 1, 1, Plan(per_epoch=5, total=8, evaluate_every=2)),
        (1, 0.1, 0.1, 1, 1, Plan(per_epoch=1, total=1, evaluate_every=1)),
    ],
)
def test_plan(
    windows: int, epochs: float, every: float, accumulation: int, processes: int, expected: Plan
) -> None:
    optimisation = Optimisation(epochs=epochs, batch_size=4, accumulation=accumulation)
    assert Plan.of(windows, optimisation, Selection(evaluate_every=every), processes) == expected


def test_clipping(loop: Loop, tmp_path: Path) -> None:
    """Adam does not feel a gradient's size, unless it is as small as its ε."""
    before = parameters(prepare(loop.recipe, loop.corpus))
    for clip_norm, bounds in ((None, (0.5, 1.1)), (1e-12, (0, 1e-3))):
        _, prepared, _ = loop(
            tmp_path / str(clip_norm),
            optimisation={"epochs": 0.25, "clip_norm": clip_norm, "learning_rate": 1e-3},
        )
        moved = max((v - before[k]).abs().max().item() for k, v in parameters(prepared).items())
        assert bounds[0] <= moved / 1e-3 <= bounds[1]


# One trajectory


@pytest.mark.parametrize(
    "objective", [CoTeaching(), CoTeaching(combination="batch"), WeightedSum()]
)
def test_accumulation_is_one_large_batch(loop: Loop, tmp_path: Path, objective: Any) -> None:
    loop.recipe = replace(loop.recipe, objective=objective)
    found = {}
    for batch_size, accumulation in ((8, 1), (4, 2), (2, 4), (4, 1)):
        progress, prepared, _ = loop(
            tmp_path / f"{batch_size}x{accumulation}",
            optimisation={
                "batch_size": batch_size,
                "accumulation": accumulation,
                "epochs": 1.5 if batch_size * accumulation == 8 else 0.75,
            },
            change=exactly,
        )
        assert progress.step == 3
        found[batch_size, accumulation] = parameters(prepared)
    whole = found[8, 1]
    for pieces in ((4, 2), (2, 4)):
        for name, value in found[pieces].items():
            torch.testing.assert_close(value, whole[name], rtol=0, atol=1e-9, msg=name)
    different = found[4, 1]["heads.2.weight"]
    assert (different - whole["heads.2.weight"]).abs().max() > 1e-4


def test_a_step_sums_up_its_micro_batches(loop: Loop) -> None:
    prepared = prepare(loop.recipe, loop.corpus)
    exactly(prepared)
    rows = [prepared.windowed.rows[number] for number in range(9)]
    collate = Collator(prepared.windowed, prepared.tokenizer)
    accelerator = Accelerator()
    model = accelerator.prepare(prepared.student)
    prepared.graph.to(accelerator.device)
    found = []
    for cuts in ((0, 9), (0, 3, 9), (0, 1, 2, 9)):
        batches = [collate(rows[a:b]) for a, b in pairwise(cuts)]
        model.zero_grad()
        running = train_step(model, prepared.graph, batches, accelerator, Step(0.0))
        gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
        found.append((running.means(accelerator), gradient))
    (means, gradient), *others = found
    assert set(means) == {"loss", "loss_teams", "loss_gold"}
    for other_means, other_gradient in others:
        assert other_means == pytest.approx(means)
        torch.testing.assert_close(other_gradient, gradient)
    two = running + running
    assert two.means(accelerator) == pytest.approx({**means, "loss": means["loss"]})
    assert Running().edges == {}


@pytest.mark.parametrize("interrupted_at", [1, 2])  # after a checkpoint in, and between, epochs
def test_resumed_is_uninterrupted(loop: Loop, tmp_path: Path, interrupted_at: int) -> None:
    """Bit for bit, with dropout."""

    def interrupt(evaluation: int) -> None:
        if evaluation == interrupted_at:
            raise KeyboardInterrupt

    options: dict[str, Any] = {
        "optimisation": {
            "batch_size": 2,
            "epochs": 2.5,
            "warmup": 0.2,
            "weight_decay": 0.01,
            "head_learning_rate": 1e-2,
            "clip_norm": 1.0,
        },
        "selection": {"evaluate_every": 0.5},
    }
    figures = [0.1, 0.4, 0.2, 0.5, 0.3]
    expected, whole, _ = loop(tmp_path / "whole", figures=figures, **options)
    assert whole.student.dropout.p > 0
    with pytest.raises(KeyboardInterrupt):
        loop(tmp_path / "parts", figures=figures, at_evaluation=interrupt, **options)
    rest = figures[interrupted_at:]
    progress, resumed, kept = loop(tmp_path / "parts", figures=rest, **options)

    assert asdict(progress) == asdict(expected)
    assert progress.step == 20
    assert kept == [number for number, figure in enumerate(rest) if figure in (0.4, 0.5)]
    for name, value in parameters(whole).items():
        assert torch.equal(parameters(resumed)[name], value), name

    log, expected_log = log_of(tmp_path / "parts"), log_of(tmp_path / "whole")
    assert [(it["event"], it["step"]) for it in log] == [
        (it["event"], it["step"]) for it in expected_log
    ]
    for one, other in zip(log, expected_log, strict=True):
        assert one["event"] != "dev" or one == other


def test_a_run_may_be_killed_after_any_step(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints between evaluations change nothing, and lead to the same weights."""

    class Killed(BaseException):
        pass

    real, begun = module.train_step, 0

    def killed_at_the_third(*arguments: Any) -> Any:
        nonlocal begun
        begun += 1
        if begun % 3 == 0:
            raise Killed
        return real(*arguments)

    options: dict[str, Any] = {"optimisation": {"batch_size": 2, "epochs": 1.5}}
    expected, whole, _ = loop(tmp_path / "whole", **options)
    options["selection"] = {"checkpoint_every": 1e-9}
    monkeypatch.setattr(module, "train_step", killed_at_the_third)
    steps = []
    for _ in range(expected.step):
        try:
            progress, resumed, _ = loop(tmp_path / "parts", **options)
            break
        except Killed:
            (checkpoint,) = (tmp_path / "parts" / "checkpoints").iterdir()
            steps.append(int(checkpoint.name.removeprefix("step-")))
    assert expected.step == 12
    assert steps == [2, 4, 6, 8, 10]  # two steps a life, none of them lost
    assert asdict(progress) == asdict(expected)
    for name, value in parameters(whole).items():
        assert torch.equal(parameters(resumed)[name], value), name


def test_checkpoints_come_by_the_clock(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved, now = [], 0.0

    def clock() -> float:
        nonlocal now
        now += 50.0  # seconds a look
        return now

    monkeypatch.setattr(module.time, "monotonic", clock)
    monkeypatch.setattr(module, "save_checkpoint", lambda _, step, *__: saved.append(step))
    loop(tmp_path / "run", optimisation={"epochs": 3}, selection={"checkpoint_every": 2.5})
    assert saved == [3, 4, 7, 8, 11, 12]  # 12 steps; evaluations at 4, 8 and 12


def test_the_scale_of_half_precision_is_kept(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scaler whose scale doubles every third step, on the processor."""
    scalers = []

    def accelerator(**_: Any) -> Accelerator:
        scalers.append(torch.amp.GradScaler("cpu", init_scale=2.0**8, growth_interval=3))
        made = Accelerator()
        made.scaler = scalers[-1]
        return made

    def interrupt(evaluation: int) -> None:
        if evaluation == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(tiny_loop, "Accelerator", accelerator)
    _, whole, _ = loop(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        loop(tmp_path / "parts", at_evaluation=interrupt)
    _, resumed, _ = loop(tmp_path / "parts")
    # 8 steps, and a checkpoint after the fourth: the scale has grown, and is about to again.
    assert scalers[0].state_dict() == scalers[2].state_dict()
    assert scalers[0].get_scale() == 2.0**10
    for name, value in parameters(whole).items():
        assert torch.equal(parameters(resumed)[name], value), name


def test_a_finished_run_is_left_alone(loop: Loop, tmp_path: Path) -> None:
    first, prepared, _ = loop(tmp_path / "run", figures=[0.5, 0.2])
    log = log_of(tmp_path / "run")
    again, same, kept = loop(tmp_path / "run", figures=[0.9])
    assert asdict(again) == asdict(first)
    assert kept == []
    assert log_of(tmp_path / "run") == log
    for name, value in parameters(prepared).items():
        assert torch.equal(parameters(same)[name], value)


@pytest.mark.parametrize("seed", [0, 4_300, 2**32 - 1])
def test_the_seed_decides(loop: Loop, tmp_path: Path, seed: int) -> None:
    loop.recipe = replace(loop.recipe, seed=seed)
    _, one, _ = loop(tmp_path / "one", optimisation={"epochs": 0.5})
    _, two, _ = loop(tmp_path / "two", optimisation={"epochs": 0.5})
    loop.recipe = replace(loop.recipe, seed=1)
    _, other, _ = loop(tmp_path / "other", optimisation={"epochs": 0.5})
    weight = "heads.2.weight"
    assert torch.equal(parameters(one)[weight], parameters(two)[weight])
    assert not torch.equal(parameters(one)[weight], parameters(other)[weight])


# Selection


def test_the_best_is_kept(loop: Loop, tmp_path: Path) -> None:
    progress, _, kept = loop(
        tmp_path / "run", figures=[0.3, 0.5, 0.5, 0.4, 0.7, 0.6], optimisation={"epochs": 6}
    )
    assert kept == [0, 1, 4]
    assert (progress.best, progress.best_step, progress.waited) == (0.7, 5 * 4, 1)
    assert [it["p"] for it in progress.history] == [0.3, 0.5, 0.5, 0.4, 0.7, 0.6]
    assert [it["step"] for it in progress.history] == [4, 8, 12, 16, 20, 24]


def test_a_first_figure_of_zero_is_kept(loop: Loop, tmp_path: Path) -> None:
    _, _, kept = loop(tmp_path / "run", figures=[0.0, 0.0])
    assert kept == [0]


def test_patience(loop: Loop, tmp_path: Path) -> None:
    options: dict[str, Any] = {"optimisation": {"epochs": 9}, "selection": {"patience": 2}}
    progress, _, kept = loop(tmp_path / "run", figures=[0.3, 0.2, 0.5, 0.4, 0.5, 0.9], **options)
    assert kept == [0, 2]
    assert (progress.step, progress.best_step) == (5 * 4, 3 * 4)
    again, _, kept = loop(tmp_path / "run", figures=[0.9], **options)
    assert (again.step, kept) == (5 * 4, [])


def test_the_last_step_is_evaluated(loop: Loop, tmp_path: Path) -> None:
    progress, _, _ = loop(
        tmp_path / "run", optimisation={"epochs": 1.5}, selection={"evaluate_every": 1}
    )
    assert [it["step"] for it in progress.history] == [4, 6]


# What it is for


def test_log(loop: Loop, tmp_path: Path) -> None:
    loop(tmp_path / "run", optimisation={"epochs": 3}, figures=[0.1, 0.2, 0.3])
    log = log_of(tmp_path / "run")
    assert [(it["event"], it["step"]) for it in log] == [
        ("dev", 4),
        ("dev", 8),
        ("train", 10),
        ("train", 12),
        ("dev", 12),
    ]
    train = [it for it in log if it["event"] == "train"]
    keys = {"event", "step", "epoch", "learning_rate", "seconds", "loss", "loss_teams", "loss_gold"}
    for it in train:
        assert set(it) == keys
        assert all(math.isfinite(value) for key, value in it.items() if key != "event")
        assert it["epoch"] == it["step"] / 4
    assert [it["learning_rate"] for it in train] == pytest.approx([5e-3 * 2 / 12, 0.0])
    assert [it["p"] for it in log if it["event"] == "dev"] == [0.1, 0.2, 0.3]


def test_it_learns(loop: Loop, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    _, prepared, _ = loop(folder, optimisation={"epochs": 30, "learning_rate": 1e-2})
    losses = [it["loss"] for it in log_of(folder) if it["event"] == "train"]
    assert losses[-1] < losses[0] / 10
    train = loop.corpus.train
    extractor = Extractor(prepared.student.eval(), prepared.tokenizer)
    texts = [loop.corpus.pages[page_id].text for page_id in train.page_ids]
    true = {(i, span) for i, page in enumerate(train.page_ids) for span in train.gold.on(page)}
    found = {(i, span) for i, it in enumerate(extractor(texts)) for span, _ in it["p_out"]}
    assert len(true & found) / len(true | found) > 0.9


def test_bfloat16(loop: Loop, tmp_path: Path) -> None:
    before = parameters(prepare(loop.recipe, loop.corpus))
    _, prepared, _ = loop(tmp_path / "run", optimisation={"epochs": 0.5, "precision": "bf16"})
    for value in parameters(prepared).values():
        assert value.dtype == torch.float32
        assert torch.isfinite(value).all()
    assert not torch.equal(parameters(prepared)["heads.2.weight"], before["heads.2.weight"])
