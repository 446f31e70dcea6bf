from __future__ import annotations

import io
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from torch import nn
from torch.optim import AdamW

import coteach.training.checkpoint as module
from coteach.errors import InputError
from coteach.training.checkpoint import (
    latest_checkpoint,
    load_checkpoint,
    recover_folder,
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
    with (
        pytest.raises(InputError, match="student: cannot be written: No such"),
        replacing_folder(folder) as temporary,
    ):
        (temporary / "absent" / "c").write_text("third")
    assert [path.name for path in folder.iterdir()] == ["b"]
    with replacing_folder(folder) as temporary:
        assert not any(temporary.iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["student"]


# Killed at any moment


class Killed(BaseException):
    """As if the process were killed: from here on, nothing reaches the disk."""


class Disk:
    """Counts the operations that change files, and is gone at one of them."""

    OPERATIONS = ("mkdir", "rename", "replace", "rmdir", "unlink", "remove", "fsync")

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.done = 0
        self.last: int | None = None
        for name in self.OPERATIONS:
            patch.setattr(os, name, self._limited(getattr(os, name)))
        patch.setattr(io, "open", self._limited(io.open))
        patch.setattr(module, "save_file", self._limited(module.save_file))

    def _limited(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def limited(*arguments: Any, **options: Any) -> Any:
            if self.last is not None and self.done >= self.last:
                raise Killed
            self.done += 1
            return real(*arguments, **options)

        return limited


@contextmanager
def killed_after(operations: int | None) -> Iterator[Disk]:
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch)
        disk.last = operations
        yield disk


def count_operations(work: Callable[[], object]) -> int:
    with killed_after(None) as disk:
        work()
    return disk.done


def test_a_checkpoint_is_the_old_or_the_new_whenever_a_run_is_killed(tmp_path: Path) -> None:
    states = {step: trained(step) for step in (3, 6)}

    def save(folder: Path, step: int) -> None:
        save_checkpoint(folder, step, *states[step], STATE)

    save(tmp_path / "counted", 3)
    operations = count_operations(lambda: save(tmp_path / "counted", 6))
    assert operations > 10
    seen = []
    for last in range(operations):
        folder = tmp_path / str(last)
        save(folder, 3)
        with killed_after(last) as disk, pytest.raises(Killed):
            save(folder, 6)
        assert disk.done == last
        found = latest_checkpoint(folder)
        assert found is not None
        other, its_optimizer = trained(0)
        step, _ = load_checkpoint(found, other, its_optimizer)
        assert_equal(other.state_dict(), states[step][0].state_dict())
        assert_equal(its_optimizer.state_dict(), states[step][1].state_dict())
        seen.append(step)
        save(folder, 6)  # what was left behind is in nobody's way
        assert [path.name for path in folder.iterdir()] == ["step-00000006"]
    assert seen == sorted(seen)
    assert set(seen) == {3, 6}


def test_a_student_is_the_old_or_the_new_whenever_a_run_is_killed(tmp_path: Path) -> None:
    def keep(folder: Path, content: str) -> None:
        with replacing_folder(folder / "student") as target:
            for name in ("config.json", "model.safetensors"):
                (target / name).write_text(content)

    keep(tmp_path / "counted", "old")
    operations = count_operations(lambda: keep(tmp_path / "counted", "new"))
    assert operations > 10
    seen, absent = [], 0
    for last in range(operations):
        folder = tmp_path / str(last)
        keep(folder, "old")
        with killed_after(last), pytest.raises(Killed):
            keep(folder, "new")
        absent += not (folder / "student").exists()
        recover_folder(folder / "student")
        contents = {path.read_text() for path in (folder / "student").iterdir()}
        assert len(list((folder / "student").iterdir())) == 2
        assert len(contents) == 1
        seen += contents
        keep(folder, "third")
        assert [path.name for path in folder.iterdir()] == ["student"]
        assert (folder / "student" / "config.json").read_text() == "third"
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == {"old", "new"}
    assert absent == 1  # between the two renames


def test_nothing_to_recover(tmp_path: Path) -> None:
    recover_folder(tmp_path / "student")
    assert not any(tmp_path.iterdir())


# Full disks and damage


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes; the system itself refuses."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path: Path) -> None:
    model, optimizer = trained(0, width=2000)
    save_checkpoint(tmp_path, 3, model, optimizer, STATE)
    sizes = sorted(path.stat().st_size for path in (tmp_path / "step-00000003").iterdir())
    for size in (0, sizes[0] - 1, sizes[1] - 1, sizes[2] - 1):
        with (
            room_for(size),
            pytest.raises(InputError, match=r"step-00000006: cannot be written: .*large") as error,
        ):
            save_checkpoint(tmp_path, 6, *trained(1, width=2000), STATE)
        assert "\n" not in str(error.value)
        assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]
        other, its_optimizer = trained(2, width=2000)
        load_checkpoint(tmp_path / "step-00000003", other, its_optimizer)
        assert_equal(other.state_dict(), model.state_dict())
    with room_for(sizes[2]):
        save_checkpoint(tmp_path, 6, *trained(1, width=2000), STATE)


def test_no_space_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(InputError, match=r"step-00000003: cannot be written: No space left on"):
        save_checkpoint(tmp_path, 3, *trained(0), STATE)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "empty", "other", "gone"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, name: str, damage: str) -> None:
    save_checkpoint(tmp_path, 3, *trained(0), STATE)
    path = tmp_path / "step-00000003" / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"cut": content[:-3], "empty": b"", "other": b"[1, 2]"}[damage])
    found = latest_checkpoint(tmp_path)
    assert found is not None
    model, optimizer = trained(1)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(InputError, match=f"{name}: this checkpoint is damaged") as error:
        load_checkpoint(found, model, optimizer)
    assert "\n" not in str(error.value)
    assert_equal(model.state_dict(), before)
