from __future__ import annotations

import hashlib
import multiprocessing
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from coteach.data.answer_store import AnswerStore, Value, content_key
from coteach.errors import InputError

VALUES = {
    "hidden": Value("float16", (2, 3)),
    "scores": Value(),
    "target": Value("int32"),
}
Answers = dict[str, np.ndarray]


def answers_of(ids: Sequence[int]) -> Answers:
    """Invented answers to a text, which tell it; a text of an odd length has no target."""
    rows = np.arange(len(ids) * 6, dtype=np.float64).reshape(-1, 2, 3)
    return {
        "hidden": rows / 4 + len(ids),
        "scores": np.array([*ids, 0.5, -1]) / 3,
        "target": np.array(ids[: len(ids) // 2 if len(ids) % 2 == 0 else 0], dtype=np.int64),
    }


def store_of(folder: Path, **options: int) -> AnswerStore:
    return AnswerStore(folder, VALUES, **options)


def fill(store: AnswerStore, texts: Sequence[Sequence[int]]) -> None:
    every = [answers_of(ids) for ids in texts]
    answers = {name: [of[name] for of in every] for name in VALUES}
    store.add([content_key(ids) for ids in texts], answers)


def check(store: AnswerStore, texts: Sequence[Sequence[int]]) -> None:
    for ids in texts:
        found, expected = store[content_key(ids)], answers_of(ids)
        assert list(found) == list(VALUES)
        for name, kind in VALUES.items():
            assert found[name].dtype == kind.dtype
            np.testing.assert_array_equal(found[name], expected[name].astype(kind.dtype))


TEXTS = [[1, 2, 3, 4], [], [7], [2**31 - 1, 5], [1, 2, 3], list(range(30))]


def test_key() -> None:
    little_endian = b"\x01\x00\x00\x00\xff\x00\x00\x00"
    assert content_key([1, 255]) == hashlib.blake2b(little_endian, digest_size=16).digest()
    assert content_key(np.array([1, 255])) == content_key((1, 255))
    assert len({content_key(ids) for ids in [*TEXTS, [0], [0, 0], [1, 255]]}) == 9


@pytest.mark.parametrize("part_texts", [1, 2, 4096])
def test_what_is_kept_is_read_back(tmp_path: Path, part_texts: int) -> None:
    folder = tmp_path / "new" / "answers"
    store = store_of(folder, part_texts=part_texts)
    keys = [content_key(ids) for ids in TEXTS]
    assert store.missing(keys) == [0, 1, 2, 3, 4, 5]
    fill(store, TEXTS[:4])
    check(store, TEXTS[:4])  # whether it is written yet or not
    assert store.missing(keys) == [4, 5]
    assert store.missing([keys[5], keys[0], keys[4], keys[5]]) == [0, 2]
    fill(store, TEXTS[4:])
    store.flush()
    store.flush()
    check(store, TEXTS)
    again = store_of(folder)
    check(again, TEXTS)
    assert again.missing(keys) == []
    assert len(again) == len(store) == 6
    assert content_key([]) in again
    assert content_key([0]) not in again
    assert len(list(folder.iterdir())) == -(-6 // part_texts)


def test_a_part_without_a_row(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path, {"hidden": VALUES["hidden"]})
    store.add([content_key([])], {"hidden": [np.empty((0, 2, 3))]})
    store.flush()
    found = AnswerStore(tmp_path, store.values)[content_key([])]["hidden"]
    assert (found.shape, found.dtype) == ((0, 2, 3), np.float16)


def test_parts_are_no_larger_than_asked_for(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path, {"scores": Value()}, part_bytes=1000)
    for number in range(10):
        store.add([content_key([number])], {"scores": [np.full(100, number)]})  # 400 bytes
    assert len(list(tmp_path.iterdir())) == 3
    assert store_of_scores(tmp_path).missing(content_key([n]) for n in range(10)) == [9]


def store_of_scores(folder: Path) -> AnswerStore:
    return AnswerStore(folder, {"scores": Value()})


def test_the_first_answer_is_kept(tmp_path: Path) -> None:
    key = content_key([1])
    for part_texts in (1, 10):
        folder = tmp_path / str(part_texts)
        store = AnswerStore(folder, {"scores": Value()}, part_texts=part_texts)
        store.add([key, key], {"scores": [np.array([1.0]), np.array([2.0])]})
        store.add([key], {"scores": [np.array([3.0])]})
        store.flush()
        assert store[key]["scores"].tolist() == [1.0]
        assert len(list(folder.iterdir())) == 1


def test_other_answers_of_another_process(tmp_path: Path) -> None:
    keys = [content_key([number]) for number in range(2)]
    stores = [store_of_scores(tmp_path), store_of_scores(tmp_path)]
    for number, store in enumerate(stores):
        store.add(keys[: number + 1], {"scores": [np.full(1, number)] * (number + 1)})
        store.flush()
    assert [store.missing(keys) for store in stores] == [[], []]
    assert [float(store[keys[0]]["scores"][0]) for store in stores] == [0, 1]  # each its own


def test_what_is_read_or_added_can_be_changed(tmp_path: Path) -> None:
    store, key, array = store_of_scores(tmp_path), content_key([1]), np.ones(2, dtype=np.float32)
    store.add([key], {"scores": [array]})
    array[:] = 5
    store[key]["scores"][:] = 6
    store.flush()
    store[key]["scores"][:] = 7
    assert store[key]["scores"].tolist() == [1, 1]


def test_two_stores_grow(tmp_path: Path) -> None:
    one, other = store_of(tmp_path, part_texts=2), store_of(tmp_path, part_texts=2)
    fill(one, TEXTS[:2])
    fill(other, TEXTS[1:5])  # one of them is in both
    check(one, TEXTS[:5])  # found when it is asked for
    assert other.missing(map(content_key, TEXTS)) == [5]
    assert len(one) == len(other) == 5
    check(store_of(tmp_path), TEXTS[:5])


def fill_in_a_process(folder: Path, first: int) -> None:
    store = store_of(folder, part_texts=3)
    fill(store, [[number] for number in range(first, first + 20)])
    store.flush()


def test_processes_fill_the_same_folder(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.starmap(fill_in_a_process, [(tmp_path, 0), (tmp_path, 10)])
    store = store_of(tmp_path)
    assert len(store) == 30
    check(store, [[number] for number in range(30)])


def look_up(store: AnswerStore) -> float:
    return float(store[content_key([7])]["scores"][0])


def test_worker_processes_read_it(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    fill(store, TEXTS)
    with pytest.raises(ValueError, match="not written"):
        pickle.dumps(store)
    store.flush()
    expected = look_up(store)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(look_up, [store, store]) == [expected, expected]
    assert look_up(pickle.loads(pickle.dumps(store))) == expected


def test_killed_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(tmp_path)
    fill(store, TEXTS[:3])
    store.flush()
    (tmp_path / ".part.0123.tmp").write_bytes(b"half")  # what a killed process leaves
    again = store_of(tmp_path)
    assert again.missing(map(content_key, TEXTS)) == [3, 4, 5]
    fill(again, TEXTS[3:])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            again.flush()
    assert len(list(tmp_path.glob(".*.tmp"))) == 1  # nothing new lies about
    assert store_of(tmp_path).missing(map(content_key, TEXTS)) == [3, 4, 5]
    again.flush()  # nothing was lost
    check(store_of(tmp_path), TEXTS)


def a_part(folder: Path) -> Path:
    store = store_of(folder)
    fill(store, TEXTS)
    store.flush()
    (path,) = folder.iterdir()
    return path


@pytest.mark.parametrize("kept", [0, 5, 60, -1])
def test_a_part_that_is_cut_off(tmp_path: Path, kept: int) -> None:
    path = a_part(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=rf"{path.name}: damaged: .*; remove this file"):
        store_of(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores.lengths": np.array([1], dtype=np.int64)}, "damaged: the lengths of 'scores'"),
        ({"target.lengths": np.array([4, -1, 0, 0, 0, 15])}, "damaged: the lengths of 'target'"),
        ({"target.lengths": np.array([2, 0, 0, 1, 0, 16])}, "damaged: the lengths of 'target'"),
        ({"hidden.lengths": np.array([4, 0, 1, 2, 3, 30.0])}, "damaged: the lengths of 'hidden'"),
        ({"keys": np.zeros((6, 8), dtype=np.uint8)}, "damaged: the lengths of 'hidden'"),
        ({"keys": np.zeros((6, 16), dtype=np.int32)}, "damaged: the lengths of 'hidden'"),
        ({"keys": np.zeros(6, dtype=np.uint8)}, "damaged: the lengths of 'hidden'"),
        ({"keys": None}, "damaged: .*keys"),
        ({"scores": None}, "damaged: .*scores"),
        ({"hidden.lengths": None}, r"damaged: .*hidden\.lengths"),
        (
            {"scores": np.zeros((43, 2), dtype=np.float32)},
            r"'scores' is F32 \(43, 2\); expected F32 \(rows\)",
        ),
        (
            {"hidden": np.zeros((40, 2, 3), dtype=np.float32)},
            r"'hidden' is F32 \(40, 2, 3\); expected F16 \(rows, 2, 3\)",
        ),
        ({"scores": np.array(1.0)}, r"'scores' is F64 \(\); expected F32 \(rows\)"),
        ({"scores": np.ones(1, dtype=np.float32)}, "damaged: the lengths of 'scores'"),
        ({"scores": np.array(1, dtype=np.float32)}, r"'scores' is F32 \(\); expected"),
    ],
)
def test_a_part_that_holds_something_else(
    tmp_path: Path, changes: dict[str, np.ndarray | None], message: str
) -> None:
    path = a_part(tmp_path)
    tensors = {**load_file(path), **changes}
    save_file({name: of for name, of in tensors.items() if of is not None}, path)
    with pytest.raises(InputError, match=rf"{path.name}: {message}"):
        store_of(tmp_path)


def test_another_process_left_a_damaged_part(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    (tmp_path / "part-0.safetensors").write_bytes(b"none")
    with pytest.raises(InputError, match=r"part-0\.safetensors: damaged"):
        store.missing([])


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (
            "hidden",
            np.full((1, 2, 3), 1e5),
            r"'hidden' of a text: expected a finite float16, got 1",
        ),
        (
            "scores",
            np.array([0, np.nan]),
            r"'scores' of a text: expected a finite float32, got nan",
        ),
        ("target", np.array([2**31]), r"expected a whole number of 32 bits, got 2147483648"),
        ("target", np.array([0.5]), r"expected a whole number of 32 bits, got 0\.5"),
        ("hidden", np.zeros((1, 3, 2)), r"expected rows of shape \(2, 3\), got .* \(1, 3, 2\)"),
        ("scores", np.array(1.0), r"expected rows of shape \(\), got an array of shape \(\)"),
    ],
)
def test_an_answer_that_cannot_be_kept(
    tmp_path: Path, name: str, array: np.ndarray, message: str
) -> None:
    store = store_of(tmp_path)
    answers = {**answers_of([1]), name: array}
    with pytest.raises(ValueError, match=message):
        store.add([content_key([1])], {of: [value] for of, value in answers.items()})
    assert len(store) == 0


def test_calls_that_make_no_sense(tmp_path: Path) -> None:
    store, scores = store_of_scores(tmp_path), {"scores": [np.ones(1)]}
    with pytest.raises(ValueError, match="expected a key of 16 bytes, got b'1'"):
        store.add([b"1"], scores)
    with pytest.raises(ValueError, match=r"expected the values \['scores'\], got \['score'\]"):
        store.add([content_key([1])], {"score": [np.ones(1)]})
    with pytest.raises(ValueError, match="zip"):
        store.add([content_key([1]), content_key([2])], scores)
    with pytest.raises(KeyError):
        store[content_key([9])]
    with pytest.raises(ValueError, match="names that are not taken"):
        AnswerStore(tmp_path, {"a": Value(), "a.lengths": Value()})


def test_nowhere_to_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = store_of_scores(tmp_path / "file")
    store.add([content_key([1])], {"scores": [np.ones(1)]})
    with pytest.raises(InputError, match=r"part-\w+\.safetensors: cannot be written: File exists"):
        store.flush()
