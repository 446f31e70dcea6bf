from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import AdamW

import coteach.training.checkpoint as module
from coteach.errors import InputError
from coteach.training.checkpoint import (
    latest_checkpoint,
    load_checkpoint,
    replacing_folder,
    save_checkpoint,
)

STATE: dict[str, Any] = {"schedule": {"last_epoch": 3}, "progress": {"best": 0.1 + 0.2}}


def trained(seed: int, steps: int = 3, width: int = 4) -> tuple[nn.Module, AdamW]:
    """A model and its optimiser after some steps; one parameter never had a gradient."""
    torch.manual_seed(seed)
    model = nn.ModuleDict({"used": nn.Linear(width, 2), "unused": nn.Linear(2, 2)})
    model.register_buffer("halves", torch.randn(3).half())
    used, unused = model["used"].parameters(), model["unused"].parameters()
    optimizer = AdamW([{"params": list(used), "lr": 0.1}, {"params": list(unused), "lr": 0.2}])
    for _ in range(steps):
        optimizer.zero_grad()
        model["used"](torch.randn(5, width)).square().sum().backward()
        optimizer.step()
    return model, optimizer


def assert_equal(one: Any, other: Any) -> None:
    """Equal nested dictionaries and lists, tensors bit for bit and of one type."""
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_equal(a, b)
    else:
        assert one == other


def test_everything_comes_back(tmp_path: Path) -> None:
    model, optimizer = trained(0)
    save_checkpoint(tmp_path, 3, model, optimizer, STATE)
    found = latest_checkpoint(tmp_path)
    assert found == tmp_path / "step-00000003"
    other, its_optimizer = trained(1, steps=1)
    assert load_checkpoint(found, other, its_optimizer) == (3, STATE)
    assert_equal(other.state_dict(), model.state_dict())
    assert_equal(its_optimizer.state_dict(), optimizer.state_dict())


def test_a_new_optimizer_has_nothing_to_keep(tmp_path: Path) -> None:
    model, optimizer = trained(0, steps=0)
    save_checkpoint(tmp_path, 0, model, optimizer, {})
    other, its_optimizer = trained(1, steps=0)
    assert load_checkpoint(tmp_path / "step-00000000", other, its_optimizer) == (0, {})
    assert its_optimizer.state_dict()["state"] == {}


def test_files_are_safetensors_and_json(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 3, *trained(0), STATE)
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"model.safetensors", "optimizer.safetensors", "state.json"}


def test_only_the_newest_stays(tmp_path: Path) -> None:
    for step in (9, 10, 200):
        save_checkpoint(tmp_path, step, *trained(step), STATE)
        assert [path.name for path in tmp_path.iterdir()] == [f"step-{step:08d}"]


def test_a_run_without_a_checkpoint(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "absent") is None


@pytest.mark.parametrize("stage", ["model", "optimizer", "state"])
def test_an_interrupted_save_leaves_the_last_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    model, optimizer = trained(0)
    save_checkpoint(tmp_path, 3, model, optimizer, STATE)

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    calls: list[Path] = []
    real = module.save_file

    def save_file(tensors: Any, path: Path) -> None:
        calls.append(path)
        if path.stem == stage:
            path.write_bytes(b"half")
            raise KeyboardInterrupt
        real(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_file", save_file)
        if stage == "state":
            patch.setattr(Path, "write_text", interrupt)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(tmp_path, 6, *trained(1), STATE)
    assert calls
    assert latest_checkpoint(tmp_path) == tmp_path / "step-00000003"
    other, its_optimizer = trained(2)
    assert load_checkpoint(tmp_path / "step-00000003", other, its_optimizer)[0] == 3
    assert_equal(other.state_dict(), model.state_dict())

    save_checkpoint(tmp_path, 6, *trained(1), STATE)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000006"]


def test_a_checkpoint_of_another_model(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 3, *trained(0), STATE)
    with pytest.raises(
        InputError, match=r"step-00000003: is of another student.*size mis"
    ) as error:
        load_checkpoint(tmp_path / "step-00000003", *trained(0, width=5))
    assert "\n" not in str(error.value)


def test_a_folder_is_replaced_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "student"
    with replacing_folder(folder) as temporary:
        (temporary / "a").write_text("first")
        assert not folder.exists()
    with replacing_folder(folder) as temporary:
        (temporary / "b").write_text("second")
        assert [path.name for path in folder.iterdir()] == ["a"]
    assert [path.name for path in folder.iterdir()] == ["b"]
    with pytest.raises(FileNotFoundError), replacing_folder(folder) as temporary:
        (temporary / "absent" / "c").write_text("third")
    assert [path.name for path in folder.iterdir()] == ["b"]
    with replacing_folder(folder) as temporary:
        assert not any(temporary.iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["student"]
