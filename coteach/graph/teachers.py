"""Frozen teachers: what they can be asked, and their answers, kept on disk by content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoTokenizer

from coteach.data.answer_store import AnswerStore, Value, content_key
from coteach.errors import InputError, in_one_line
from coteach.graph.nodes import Teacher
from coteach.graph.questions import Question, Reply
from coteach.losses.distillation import Shape
from coteach.model import Student, StudentConfig
from coteach.model.attention_scores import collecting_scores, projections
from coteach.model.configuration import refuse_exported
from coteach.model.extraction import longest_window
from coteach.model.student import StudentOutput, without_pooler

STORED_AT_MOST = 8 * 2**30  # bytes of a teacher's answers to one question about all texts


def shape_of(name: str, encoder: Any) -> Shape:
    """The depth, the width and the heads of an encoder, for people as ``name``."""
    config = encoder.config
    return Shape(name, config.num_hidden_layers, config.hidden_size, config.num_attention_heads)


def folder_of(model: str | Path) -> str:
    """Where a model is: of a run its folder "student", of anything else the place itself."""
    inner = Path(model) / "student"
    return str(inner if inner.is_dir() else model)


def model_fingerprint(model: Any, beside: str) -> str:
    """Tells models of other weights or of another configuration apart, and what is ``beside``."""
    digest = hashlib.blake2b(beside.encode(), digest_size=12)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    digest.update(model.config.to_json_string().encode())
    return digest.hexdigest()


class FrozenTeacher:
    """A node ``Teacher``, loaded, in evaluation mode and float32.

    Args:
        name: of the node.
        node: the recipe's.

    Raises:
        InputError: it cannot be loaded, or weights of it are missing.
    """

    def __init__(self, name: str, node: Teacher) -> None:
        self.name = name
        self.precision = node.precision
        place = folder_of(node.model)
        if place.startswith(("/", "./", "../", "~")) and not Path(place).is_dir():
            raise InputError(
                f"nodes.{name}.model: no such folder, got {place!r}; expected that of a run, a "
                "student or an encoder, or a Hub name"
            )
        try:
            config = AutoConfig.from_pretrained(place)
            refuse_exported(config)
            if config.is_encoder_decoder:
                raise ValueError(f"{config.model_type!r} is an encoder-decoder")
            is_student = isinstance(config, StudentConfig)
            kind: Any = Student if is_student else AutoModel
            self.model: Any
            self.model, found = kind.from_pretrained(
                place,
                dtype=torch.float32,
                output_loading_info=True,
                **({} if is_student else without_pooler(config)),
            )
            self.tokenizer: Any = AutoTokenizer.from_pretrained(place)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise InputError(
                f"nodes.{name}.model: {place!r} cannot be loaded: {in_one_line(error)}"
            ) from None
        if missing := sorted(found["missing_keys"]):
            raise InputError(
                f"nodes.{name}.model: {place!r} lacks {len(missing)} of its weights, such as "
                f"{missing[0]!r}, which would be drawn by chance; expected all of them"
            )
        self.student: Student | None = self.model if is_student else None
        self.encoder: Any = self.model.encoder if is_student else self.model
        self.model.requires_grad_(False).eval()
        self.shape = shape_of(f"the teacher {name!r}", self.encoder)

    @cached_property
    def fingerprint(self) -> str:
        """Tells teachers of other weights, or of another precision, apart."""
        return model_fingerprint(self.model, self.precision)

    def autocast(self) -> Any:
        """The context that it computes in."""
        if self.precision == "no":
            return torch.autocast(self.model.device.type, enabled=False)
        return torch.autocast(self.model.device.type, dtype=torch.bfloat16)

    @torch.no_grad()
    def __call__(self, ids: Tensor, mask: Tensor, question: Question) -> StudentOutput:
        """Its answer to a batch, in float32; tensors as of ``Student.forward``.

        Args:
            ids: (batch, tokens).
            mask: (batch, tokens), 1 for tokens, 0 for padding.
            question: what is wanted.
        """
        with self.autocast():
            if self.student is not None:
                output = self.student(
                    ids,
                    mask,
                    hidden_states=question.hidden_states,
                    attention_scores=question.attention_scores,
                )
            else:
                output = self._bare(ids, mask, question)
        return StudentOutput(
            logits=output.logits.float() if question.logits else None,
            hidden_states=_floats(output.hidden_states),
            attention_scores=_floats(output.attention_scores),
        )

    def _bare(self, ids: Tensor, mask: Tensor, question: Question) -> StudentOutput:
        """What an encoder without heads knows."""
        with collecting_scores(self.encoder, question.attention_scores) as scores:
            encoded = self.encoder(
                input_ids=ids,
                attention_mask=mask,
                output_hidden_states=bool(question.hidden_states),
                return_dict=True,
            )
        return StudentOutput(
            hidden_states=tuple(encoded.hidden_states[n] for n in question.hidden_states) or None,
            attention_scores=tuple(scores[n] for n in question.attention_scores) or None,
        )


def _floats(tensors: tuple[Tensor, ...] | None) -> tuple[Tensor, ...] | None:
    return None if tensors is None else tuple(tensor.float() for tensor in tensors)


def check_question(teacher: FrozenTeacher, question: Question, place: str) -> None:
    """Refuse what a teacher cannot be asked.

    Args:
        teacher: whom.
        question: what.
        place: the field of the recipe that asks.

    Raises:
        InputError: a bare encoder is asked for classes or tags, or the attention of a kind of
            encoder that has no scores to take.
    """
    if question.logits and teacher.student is None:
        raise InputError(
            f"{place}: the teacher {teacher.name!r} is a bare encoder, which has no classes or "
            "tags; expected the folder of a finished run or student"
        )
    check_scores(teacher.encoder, question.attention_scores, f"{place}: {teacher.shape.name}")


def check_scores(encoder: Any, layers: Sequence[int], place: str) -> None:
    """Refuse an encoder whose attention scores cannot be taken.

    Args:
        encoder: of a teacher or a student.
        layers: from 1.
        place: the field of the recipe that asks, and whose encoder it is.

    Raises:
        InputError: it is of a kind that has no scores to take.
    """
    for layer in layers:
        try:
            projections(encoder, layer)
        except ValueError as error:
            raise InputError(f"{place}: {in_one_line(error)}") from None


def check_same_task(teacher: FrozenTeacher, config: StudentConfig, place: str) -> None:
    """Refuse a teacher whose answers are about something else than the student's.

    Raises:
        InputError: other classes or attributes, texts on one side and pairs on the other.
    """
    assert teacher.student is not None
    theirs = teacher.student.config
    for name in ("classes", "attributes"):
        if getattr(theirs, name) != getattr(config, name):
            raise InputError(
                f"{place}: the teacher {teacher.name!r} knows the {name} {getattr(theirs, name)}; "
                f"expected those of the student, {getattr(config, name)}"
            )
    if (theirs.pair_separator is None) != (config.pair_separator is None):
        kinds = ("pairs of texts", "single texts")
        has, wanted = kinds if config.pair_separator is None else reversed(kinds)
        raise InputError(
            f"{place}: the teacher {teacher.name!r} reads {has}; expected {wanted}, as the student"
        )


def check_same_tokens(teacher: FrozenTeacher, tokenizer: Any, config: StudentConfig) -> None:
    """Refuse a teacher that cannot read the student's tokens.

    Args:
        teacher: who is to read them.
        tokenizer: the student's.
        config: the student's.

    Raises:
        InputError: its vocabulary, its special tokens or the words at which it splits are others,
            or it has too few positions.
    """
    place = f"nodes.{teacher.name}.model"
    theirs, ours = teacher.tokenizer.get_vocab(), tokenizer.get_vocab()
    if theirs != ours:
        other = next(iter({*theirs.items()} ^ {*ours.items()}))
        raise InputError(
            f"{place}: the teacher's vocabulary ({len(theirs):,} tokens) is not the student's "
            f"({len(ours):,}); they differ in {other[0]!r}. Knowledge of tokens can only pass "
            "between models of one tokenizer: give the student the teacher's"
        )
    for special in ("cls_token_id", "sep_token_id", "pad_token_id"):
        if getattr(teacher.tokenizer, special) != getattr(tokenizer, special):
            raise InputError(
                f"{place}: the teacher's {special} is {getattr(teacher.tokenizer, special)}; "
                f"expected {getattr(tokenizer, special)}, as the student's"
            )
    if teacher.student is not None:
        for name in ("words", "mecab_options"):
            if (of_teacher := getattr(teacher.student.config, name)) != getattr(config, name):
                raise InputError(
                    f"{place}: the teacher learnt from texts split with {name}={of_teacher!r}; "
                    f"expected the student's, {getattr(config, name)!r}"
                )
    longest = longest_window(teacher.encoder)
    if config.window > longest:
        raise InputError(
            f"{place}: the teacher holds {longest} content tokens, the student's window "
            f"{config.window}; expected a window that fits both"
        )


class TeacherAnswers:
    """A teacher's answers to one question: from the disk where they are, else computed.

    Args:
        teacher: who answers.
        question: what about.
        folder: of the recipe's cache.
    """

    def __init__(
        self, teacher: FrozenTeacher, question: Question, folder: Path, keep: bool = True
    ) -> None:
        self.teacher = teacher
        self.question = question
        self._folder, self._keep = folder, keep
        self._store: AnswerStore | None = None

    @property
    def is_kept(self) -> bool:
        """Whether answers are written down."""
        return self._store is not None

    def plan(self, lengths: np.ndarray) -> str | None:
        """Decide whether the answers are written down: unless they would take more than 8 GiB.

        Args:
            lengths: of every text, in tokens, with special ones.

        Returns:
            What to tell where they are not.
        """
        needed = 4 * self._numbers(lengths.astype(np.int64))
        if self._keep and needed <= STORED_AT_MOST:
            self._open()
            return None
        self._store = None
        reason = "compare padding as well, which is another in every batch"
        if self._keep:
            reason = f"would take {needed / 2**30:.0f} GiB of disk"
        return f"The answers of {self.teacher.name!r} {reason}: it is asked at every step."

    def remember(self, batch: Mapping[str, Tensor]) -> None:
        """Ask about the texts of a batch that are not known yet."""
        if self._store is None:
            return
        keys = content_keys(batch)
        if missing := self._store.missing(keys):
            ids, mask = batch["input_ids"][missing], batch["attention_mask"][missing]
            rows = self._rows(self.teacher(ids, mask, self.question), mask.sum(dim=1).tolist())
            self._store.add([keys[number] for number in missing], rows)

    def flush(self) -> None:
        """Write down what is not yet."""
        if self._store is not None:
            self._store.flush()

    def __call__(self, batch: Mapping[str, Tensor]) -> Reply:
        """The answer to a batch, on its device."""
        ids, mask = batch["input_ids"], batch["attention_mask"]
        if self._store is not None:
            keys = content_keys(batch)
            if all(key in self._store for key in keys):
                rows = [self._store[key] for key in keys]
                return Reply(self._padded(rows, ids.shape[1], ids.device), self.question)
        return Reply(self.teacher(ids, mask, self.question), self.question)

    def _numbers(self, lengths: np.ndarray) -> int:
        """How many floats the answers about texts of so many tokens are."""
        shape, question = self.teacher.shape, self.question
        per_token = len(question.hidden_states) * shape.width
        config = None if self.teacher.student is None else self.teacher.student.config
        if question.logits and config is not None:
            per_token += 3 * len(config.head_names) * len(config.attributes)
        per_pair = len(question.attention_scores) * shape.heads
        return int(lengths.sum()) * per_token + int((lengths**2).sum()) * per_pair

    def _open(self) -> None:
        """The store of this question, on disk."""
        if self._store is None:
            shape, asked = self.teacher.shape, self.question
            values: dict[str, Value] = {}
            if asked.logits:
                assert self.teacher.student is not None
                config = self.teacher.student.config
                tags = (len(config.head_names), len(config.attributes), 3)
                values["logits"] = Value(shape=(len(config.classes),) if config.classes else tags)
            if asked.hidden_states:
                values["hidden_states"] = Value(shape=(len(asked.hidden_states), shape.width))
            if asked.attention_scores:
                values["attention_scores"] = Value(shape=(len(asked.attention_scores), shape.heads))
            name = hashlib.blake2b(repr(asked).encode(), digest_size=8).hexdigest()
            place = self._folder / "teachers" / self.teacher.fingerprint / name
            self._store = AnswerStore(place, values)

    def _rows(self, output: StudentOutput, lengths: Sequence[int]) -> dict[str, list[np.ndarray]]:
        """A batch's answers, text by text, without padding."""
        result: dict[str, list[np.ndarray]] = {}
        if output.logits is not None:
            logits = output.logits.cpu().numpy()
            result["logits"] = (
                list(logits[:, None])
                if logits.ndim == 2
                else [of[:length] for of, length in zip(logits, lengths, strict=True)]
            )
        if output.hidden_states is not None:
            states = torch.stack(output.hidden_states, dim=2).cpu().numpy()
            result["hidden_states"] = [of[:n] for of, n in zip(states, lengths, strict=True)]
        if output.attention_scores is not None:
            # (batch, queries, keys, layers, heads)
            scores = torch.stack(output.attention_scores, dim=1).permute(0, 3, 4, 1, 2)
            result["attention_scores"] = [
                of[:n, :n].reshape(n * n, *of.shape[2:])
                for of, n in zip(scores.cpu().numpy(), lengths, strict=True)
            ]
        return result

    def _padded(
        self, rows: Sequence[Mapping[str, np.ndarray]], length: int, device: Any
    ) -> StudentOutput:
        """The reverse of ``_rows``: a batch again, 0 where there is padding."""
        logits = states = scores = None
        if "logits" in rows[0]:
            found = [row["logits"] for row in rows]
            assert self.teacher.student is not None
            of_texts = bool(self.teacher.student.config.classes)
            logits = torch.from_numpy(np.concatenate(found) if of_texts else _pad(found, length))
            logits = logits.to(device)
        if "hidden_states" in rows[0]:
            joined = torch.from_numpy(_pad([row["hidden_states"] for row in rows], length))
            states = tuple(joined.to(device).unbind(dim=2))
        if "attention_scores" in rows[0]:
            first = rows[0]["attention_scores"]
            padded = np.zeros((len(rows), length, length, *first.shape[1:]), dtype=np.float32)
            for number, row in enumerate(rows):
                n = round(len(row["attention_scores"]) ** 0.5)
                padded[number, :n, :n] = row["attention_scores"].reshape(n, n, *first.shape[1:])
            kept = torch.from_numpy(padded).permute(3, 0, 4, 1, 2)  # (layers, batch, heads, …)
            scores = tuple(kept.to(device).unbind(dim=0))
        return StudentOutput(logits=logits, hidden_states=states, attention_scores=scores)


def content_keys(batch: Mapping[str, Tensor]) -> list[bytes]:
    """The keys of a batch's texts, by their tokens without the special ones at the ends."""
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    ids = batch["input_ids"].cpu().numpy()
    return [content_key(row[1 : n - 1]) for row, n in zip(ids, lengths, strict=True)]


def _pad(arrays: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Ragged arrays as one, 0 where one is shorter: (texts, length, …)."""
    result = np.zeros((len(arrays), length, *arrays[0].shape[1:]), dtype=np.float32)
    for number, array in enumerate(arrays):
        result[number, : len(array)] = array
    return result
