from __future__ import annotations

import multiprocessing
import pickle
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import coteach.data.store as module
from coteach.data.store import StoredValues, hold_values, store_values
from coteach.errors import InputError
from coteach.model.spans import Span

A, B = Span("場所", 0, 1, 0, 3), Span("名前", 2, 0, 3, 1)
# Scattered pages and repeated values, near and far.
ENTRIES = [("2", A), ("1", A), ("1", B), ("1", A), ("2", A), ("2", B), ("'", B)]
VALUES = {"2": {A, B}, "1": {A, B}, "'": {B}}


def found_by(values: Mapping[str, frozenset[Span]]) -> list[tuple[str, list[Span]]]:
    return [(page_id, sorted(spans)) for page_id, spans in values.items()]


def test_stored_values(tmp_path: Path) -> None:
    stored, count = store_values("team/a.json", ENTRIES, tmp_path / "new" / "cache")
    assert stored == VALUES
    assert (list(stored), len(stored), count) == (["2", "1", "'"], 3, 5)
    assert stored.get("3") is None
    assert "3" not in stored
    assert all(isinstance(span, Span) for span in stored["1"])
    (file,) = (tmp_path / "new" / "cache").iterdir()
    assert file == stored.path


def test_no_value(tmp_path: Path) -> None:
    stored, count = store_values("a", [], tmp_path)
    assert (dict(stored), len(stored), count) == ({}, 0, 0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["1", "2", "10", "ページ"]),
            st.builds(
                Span,
                st.sampled_from(["a", "名\u2028前"]),
                st.integers(0, 1),
                st.integers(0, 2),
                st.just(2),
                st.just(5),
            ),
        ),
        max_size=30,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_on_disk_is_in_memory(tmp_path: Path, entries: list[tuple[str, Span]]) -> None:
    held, held_count = hold_values(entries)
    stored, stored_count = store_values("a", entries, tmp_path)
    assert found_by(stored) == found_by(held)
    assert stored_count == held_count == len(set(entries))


def look_up(values: StoredValues) -> list[tuple[str, list[Span]]]:
    return found_by(values)


def test_worker_processes_read_it(tmp_path: Path) -> None:
    stored, _ = store_values("a", ENTRIES, tmp_path)
    expected = look_up(stored)  # the parent has a connection of its own by now
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(look_up, [stored, stored]) == [expected, expected]
    assert look_up(pickle.loads(pickle.dumps(stored))) == expected


def test_each_reading_replaces_the_last(tmp_path: Path) -> None:
    before, _ = store_values("a", ENTRIES, tmp_path)
    assert before["1"] == {A, B}
    after, _ = store_values("a", [("1", A)], tmp_path)
    other, _ = store_values("b", [], tmp_path)
    assert after == {"1": {A}}
    assert before == VALUES  # who began to read goes on with what was there
    assert {path.name for path in tmp_path.iterdir()} == {after.path.name, other.path.name}


def test_the_digest_tells_values_apart(tmp_path: Path) -> None:
    sources = [ENTRIES, ENTRIES[:-1], [], [("1", A)], [("1", B)], [("2", A)], [("1", A), ("2", B)]]
    digests = [store_values("a", entries, tmp_path)[0].digest for entries in sources]
    assert len(set(digests)) == len(sources)
    assert store_values("b", ENTRIES, tmp_path)[0].digest == digests[0]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[tuple[str, Span]]:
        yield "1", A
        raise InputError("line 2")

    with pytest.raises(InputError, match=r"^line 2$"):
        store_values("a", broken(), tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(module, "_fill", full)
    with pytest.raises(InputError, match=r"values-\w+\.sqlite: cannot be written: .* is full"):
        store_values("a", ENTRIES, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written: (File exists|Not a directory)"):
        store_values("a", ENTRIES, tmp_path / "file")
