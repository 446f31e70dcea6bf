"""What a frozen model said of each text, on disk, found by the text's content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from coteach.data.files import opening, temporary_beside
from coteach.errors import InputError, in_one_line

__all__ = ["AnswerStore", "Value", "content_key"]

KEY_BYTES = 16

Dtype = Literal["float32", "float16", "int32"]
_NAMES: Mapping[Dtype, str] = {"float32": "F32", "float16": "F16", "int32": "I32"}
"""What safetensors calls them."""


@dataclass(frozen=True)
class Value:
    """The kind of one answer: rows, as many as the text needs, of a fixed shape."""

    dtype: Dtype = "float32"
    """Of every number."""
    shape: tuple[int, ...] = ()
    """Of a row: () for a score a token, (layers, width) for hidden states of a token."""


def content_key(ids: Sequence[int] | np.ndarray) -> bytes:
    """16 bytes that stand for a text's token ids, without special tokens; the text may be empty."""
    content = np.asarray(ids, dtype="<i4").tobytes()
    return hashlib.blake2b(content, digest_size=KEY_BYTES).digest()


class AnswerStore:
    """The answers of a frozen model in a folder, in parts that are never changed.

    A part is ``part-<a random name>.safetensors``: ``keys`` (texts, 16) uint8, and for every value
    its rows of all texts, one text after the other, (rows, *shape), with ``<name>.lengths``
    (texts,) int64, the rows of each text. It is written whole or not at all, so a run that is
    killed loses one part at most, and several processes may fill the same folder. Values are
    read from the disk as they are asked for; the memory held is about 200 bytes a text and what
    is not yet written.

    What the answers depend on, beside the text, is not known here: the folder's name has to tell
    it, for example by the model's fingerprint. Of two answers to one text the first is kept.

    Args:
        folder: where the parts lie; made when the first is written.
        values: name → kind of value; names are those of tensors, "keys" is none of them.
        part_texts: a part is written when it has so many texts
        part_bytes: or so many bytes.

    Raises:
        InputError: a part is damaged, or holds other values than ``values``.
    """

    def __init__(
        self,
        folder: Path,
        values: Mapping[str, Value],
        part_texts: int = 4096,
        part_bytes: int = 1 << 26,
    ) -> None:
        names = {"keys", *values, *map(_lengths_of, values)}
        if not values or len(names) < 1 + 2 * len(values):
            raise ValueError(f"values: expected names that are not taken, got {list(values)}")
        self.folder = folder
        self.values = dict(values)
        self._part_texts = part_texts
        self._part_bytes = part_bytes
        self._pending: dict[bytes, dict[str, np.ndarray]] = {}
        self._pending_bytes = 0
        self._parts: list[_Part] = []
        self._known: set[str] = set()
        self._places: dict[bytes, int] = {}  # part's number × 2³² + text's number in the part
        self._look_again()

    def __len__(self) -> int:
        return len(self._places) + len(self._pending)

    def __contains__(self, key: object) -> bool:
        return key in self._places or key in self._pending

    def missing(self, keys: Iterable[bytes]) -> list[int]:
        """Numbers of the keys without an answer, of equal ones the first.

        Raises:
            InputError: as of the class, for parts that another process wrote since.
        """
        self._look_again()
        first: dict[bytes, int] = {}
        for number, key in enumerate(keys):
            if key not in self:
                first.setdefault(key, number)
        return list(first.values())

    def add(self, keys: Sequence[bytes], answers: Mapping[str, Sequence[np.ndarray]]) -> None:
        """Keep answers, which are written once they make a part; :meth:`flush` writes the rest.

        Args:
            keys: of the texts.
            answers: name of every value → each text's array, (rows, *shape).

        Raises:
            InputError: a number is not finite, or not in its dtype; a part cannot be written.
        """
        if set(answers) != set(self.values):
            raise ValueError(f"expected the values {list(self.values)}, got {list(answers)}")
        columns = [answers[name] for name in self.values]
        for key, *arrays in zip(keys, *columns, strict=True):
            if len(key) != KEY_BYTES:
                raise ValueError(f"expected a key of {KEY_BYTES} bytes, got {key!r}")
            if key in self:
                continue
            kinds = self.values.items()
            self._pending[key] = held = {
                name: _stored(name, kind, array)
                for (name, kind), array in zip(kinds, arrays, strict=True)
            }
            self._pending_bytes += sum(array.nbytes for array in held.values())
            if len(self._pending) >= self._part_texts or self._pending_bytes >= self._part_bytes:
                self.flush()

    def flush(self) -> None:
        """Write what is not written yet.

        Raises:
            InputError: it cannot be written.
        """
        if not self._pending:
            return
        keys = np.frombuffer(b"".join(self._pending), dtype=np.uint8).reshape(-1, KEY_BYTES)
        tensors = {"keys": keys}
        for name in self.values:
            arrays = [held[name] for held in self._pending.values()]
            tensors[name] = np.concatenate(arrays)
            tensors[_lengths_of(name)] = np.array([len(array) for array in arrays], dtype=np.int64)
        path = self.folder / f"part-{uuid4().hex[:12]}.safetensors"
        temporary = temporary_beside(path)
        with opening(path, "written"):
            self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with opening(path, "written"):
                temporary.write_bytes(save(tensors))
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        self._pending = {}
        self._pending_bytes = 0
        self._take(path)

    def __getitem__(self, key: bytes) -> dict[str, np.ndarray]:
        """A text's answers: name → (rows, *shape).

        Raises:
            KeyError: there are none.
            InputError: the part where they are cannot be read any more.
        """
        if key in self._pending:
            return {name: array.copy() for name, array in self._pending[key].items()}
        if key not in self._places:
            self._look_again()
        part, number = divmod(self._places[key], 1 << 32)
        return self._parts[part].read(number)

    def __getstate__(self) -> dict[str, Any]:
        """What is written can be handed to another process."""
        if self._pending:
            raise ValueError("a store with answers that are not written cannot be handed on")
        return self.__dict__

    def _look_again(self) -> None:
        """Take the parts that are new in the folder."""
        with opening(self.folder):
            for path in sorted(self.folder.glob("part-*.safetensors")):
                if path.name not in self._known:
                    self._take(path)

    def _take(self, path: Path) -> None:
        part = _Part(path, self.values)
        first = len(self._parts) << 32
        for number, key in enumerate(part.keys()):
            self._places.setdefault(key, first + number)
        self._parts.append(part)
        self._known.add(path.name)


class _Part:
    """A file of answers, opened when something is read from it."""

    def __init__(self, path: Path, values: Mapping[str, Value]) -> None:
        self.path = path
        self._values = values
        self._file: Any = None
        with self._opened() as file:
            self._bounds = {name: self._checked(file, name, kind) for name, kind in values.items()}

    def keys(self) -> list[bytes]:
        """Of the texts, in order."""
        with self._opened() as file:
            joined: bytes = file.get_tensor("keys").tobytes()
        return [joined[at : at + KEY_BYTES] for at in range(0, len(joined), KEY_BYTES)]

    def read(self, number: int) -> dict[str, np.ndarray]:
        """The answers to a text by its number."""
        answers = {}
        with self._opened() as file:
            for name, kind in self._values.items():
                start, end = map(int, self._bounds[name][number : number + 2])
                if start < end:
                    answers[name] = file.get_slice(name)[start:end]
                else:  # safetensors refuses to slice nothing at a tensor's end
                    answers[name] = np.empty((0, *kind.shape), dtype=kind.dtype)
        return answers

    def _checked(self, file: Any, name: str, kind: Value) -> np.ndarray:
        """Where each text's rows of a value begin, and where the last ones end, (texts + 1,)."""
        values = file.get_slice(name)
        dtype, shape = values.get_dtype(), values.get_shape()
        if not shape or (dtype, *shape[1:]) != (_NAMES[kind.dtype], *kind.shape):
            expected = (
                f"expected {_NAMES[kind.dtype]} ({', '.join(['rows', *map(str, kind.shape)])})"
            )
            message = f"{name!r} is {dtype} {tuple(shape)}; {expected}"
            raise InputError.at(self.path, None, message)
        keys = file.get_slice("keys")
        lengths = file.get_tensor(_lengths_of(name))
        bounds = np.cumsum([0, *lengths])
        texts = [len(lengths), KEY_BYTES]
        if (
            (keys.get_dtype(), keys.get_shape()) != ("U8", texts)
            or lengths.dtype != np.int64
            or (lengths < 0).any()
            or bounds[-1] != shape[0]
        ):
            message = f"damaged: the lengths of {name!r} do not fit; remove this file"
            raise InputError.at(self.path, None, message)
        return bounds

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """The file, and what goes wrong with it told with its name."""
        try:
            with opening(self.path):
                if self._file is None:
                    self._file = safe_open(self.path, framework="numpy")
                yield self._file
        except SafetensorError as error:
            message = f"damaged: {in_one_line(error)}; remove this file"
            raise InputError.at(self.path, None, message) from None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}


def _lengths_of(name: str) -> str:
    return f"{name}.lengths"


def _stored(name: str, kind: Value, array: np.ndarray) -> np.ndarray:
    """A copy of an array in the dtype of its kind."""
    array = np.asarray(array)
    if array.shape[1:] != kind.shape or array.ndim < 1:
        expected = f"expected rows of shape {kind.shape}"
        raise ValueError(f"value {name!r}: {expected}, got an array of shape {array.shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        stored = array.astype(kind.dtype)
    exact = kind.dtype == "int32"
    unfit = (stored != array) if exact else ~np.isfinite(stored)
    if unfit.any():
        number = array[unfit].flat[0]
        expected = "a whole number of 32 bits" if exact else f"a finite {kind.dtype}"
        raise InputError(f"the model's {name!r} of a text: expected {expected}, got {number}")
    return stored
