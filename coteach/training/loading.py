"""Finished students, loaded to be used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer

from coteach.errors import InputError, in_one_line
from coteach.graph.teachers import folder_of, model_fingerprint
from coteach.model import OnnxStudent, OnnxStudentConfig, Student, StudentConfig
from coteach.model.classification import Classifier
from coteach.model.configuration import refuse_exported
from coteach.model.extraction import Extractor, Predictor

__all__ = [
    "check_precision",
    "load_classifier",
    "load_configuration",
    "load_extractor",
    "load_predictor",
    "load_student",
    "reader_fingerprint",
]

Reader = TypeVar("Reader", Extractor, Classifier)


def load_student(student: str | Path, device: str | None = None) -> tuple[Student, Any]:
    """A student and its tokenizer, in evaluation mode.

    Args:
        student: a folder, also that of its run, or a name on the Hub.
        device: where it is to be; None: on a GPU, where there is one.

    Raises:
        InputError: it cannot be loaded, or was exported to ONNX.
    """
    place = _place_of(student)
    with _loading(student):
        refuse_exported(AutoConfig.from_pretrained(place))
        model: Any = Student.from_pretrained(place)
        tokenizer = AutoTokenizer.from_pretrained(place)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return model.to(device).eval(), tokenizer


def load_predictor(student: str | Path, device: str | None = None) -> tuple[Predictor, Any]:
    """A student, which may be one that was exported to ONNX, and its tokenizer.

    Args:
        student: as of :func:`load_student`.
        device: as there; an exported one is on the CPU.

    Raises:
        InputError: it cannot be loaded, or ONNX Runtime is needed and not installed.
    """
    place = _place_of(student)
    with _loading(student):
        config = AutoConfig.from_pretrained(place)
        if isinstance(config, OnnxStudentConfig):
            return OnnxStudent.from_pretrained(place), AutoTokenizer.from_pretrained(place)
    return load_student(student, device)


def check_precision(model: Predictor, precision: str) -> None:
    """Refuse a precision for a student that computes in that of its file.

    Raises:
        InputError: it was exported to ONNX, and ``precision`` is not "no".
    """
    if precision != "no" and isinstance(model, OnnxStudent):
        raise InputError(
            f"precision {precision!r}: a student that was exported to ONNX computes in the "
            'precision of its file; expected "no"'
        )


def load_configuration(student: str | Path) -> tuple[StudentConfig, Any]:
    """A student's configuration and tokenizer, not its weights; else as :func:`load_student`."""
    place = _place_of(student)
    with _loading(student):
        config = StudentConfig.from_pretrained(place)
        if not config.classes and not config.attributes:
            raise ValueError("expected a student, which has classes or attributes; got neither")
        return config, AutoTokenizer.from_pretrained(place)


def load_extractor(
    student: str | Path, batch_size: int = 16, device: str | None = None
) -> Extractor:
    """A student that extracts, or one exported to ONNX, which stays on the CPU; errors as of
    :func:`load_predictor`."""
    return _ready(Extractor, student, batch_size, device)


def load_classifier(
    student: str | Path, batch_size: int = 32, device: str | None = None
) -> Classifier:
    """A student that classifies, or one exported to ONNX, which stays on the CPU; errors as of
    :func:`load_predictor`."""
    return _ready(Classifier, student, batch_size, device)


def _place_of(student: str | Path) -> str:
    """Where a student is: on this disk, or else its name on the Hub.

    Raises:
        InputError: the folder holds none, or there is none of this name where its first part is a
            folder: a path with a mistake, which the Hub need not be asked about.
    """
    place = Path(student)
    parts = ("student", "config.json", "model.safetensors")
    if place.is_dir() and not any((place / name).exists() for name in parts):
        runs = sorted(folder for folder in place.iterdir() if (folder / "student").is_dir())
        such = f", such as {runs[-1]}" if runs else ""
        raise InputError(
            f"student {str(student)!r}: this folder holds none; expected that of a run or of a "
            f"student{such}"
        )
    if not place.exists() and len(place.parts) > 1 and Path(place.parts[0]).is_dir():
        raise InputError(
            f"student {str(student)!r}: no such folder; expected that of a run or of a student, "
            "or a name on the Hub"
        )
    return folder_of(student)


@contextmanager
def _loading(student: str | Path) -> Iterator[None]:
    """Turn the errors of files that are no student's into one that names it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise
        raise InputError(
            f"student {str(student)!r} was exported to ONNX, which needs the package "
            f"{error.name}: pip install coteach[export]"
        ) from None
    except (OSError, RuntimeError, SafetensorError, ValueError) as error:
        raise InputError(
            f"student {str(student)!r} cannot be loaded: {in_one_line(error)}"
        ) from None


def reader_fingerprint(reader: Extractor | Classifier) -> str:
    """Tells students apart that may read a text differently, wherever they lie."""
    beside = reader.aligner.fingerprint
    if isinstance(reader.student, OnnxStudent):  # its weights are in its file alone
        with reader.student.file.open("rb") as file:
            beside += hashlib.file_digest(file, "blake2b").hexdigest()
    return model_fingerprint(reader.student, beside)


def _ready(
    reader: type[Reader], student: str | Path, batch_size: int, device: str | None
) -> Reader:
    if batch_size < 1:
        raise InputError(f"batch_size: expected at least 1, got {batch_size}")
    model, tokenizer = load_predictor(student, device)
    try:
        return reader(model, tokenizer, batch_size)
    except ValueError as error:
        raise InputError(f"student {str(student)!r}: {in_one_line(error)}") from None
