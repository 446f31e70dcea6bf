from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_loop import Loop

from coteach.errors import InputError
from coteach.training.room import check_room, check_writable, size_on_disk


def test_a_folder_to_be_made(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "run", "no place")
    check_writable(tmp_path, "no place")
    assert not any(tmp_path.iterdir())


def test_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(InputError, match=f"{path}: no place: .*file is no folder"):
            check_writable(path, "no place")
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(InputError, match=rf"run: no place: {tmp_path} may not be written to"):
        check_writable(tmp_path / "new" / "run", "no place")


def test_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=20_000_000))
    check_room(tmp_path, 20_000_000)
    with pytest.raises(InputError, match=r"need 0\.03 GB here .*; 0\.02 GB are free"):
        check_room(tmp_path, 30_000_000)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "model").write_bytes(bytes(10_000_000))  # to be replaced
    check_room(tmp_path, 30_000_000)


def test_size_on_disk(loop: Loop, tmp_path: Path) -> None:
    """Twice what a run leaves behind, but for some small files."""
    _, prepared, _ = loop(tmp_path / "run", optimisation={"epochs": 0.25})
    prepared.student.save_pretrained(tmp_path / "run" / "student")
    files = (tmp_path / "run").rglob("*.safetensors")
    left = sum(path.stat().st_size for path in files)
    assert left * 1.5 < size_on_disk(prepared.student) < left * 2.05
