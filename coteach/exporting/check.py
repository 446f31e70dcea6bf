"""What an export finds in texts, beside what the student itself finds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from coteach.data.page_folder import PageFolder, read_page
from coteach.errors import InputError
from coteach.model import Student
from coteach.model.classification import Classifier
from coteach.model.extraction import Extractor, Predictor
from coteach.model.iob2 import BEGIN, CLASSES, INSIDE, OUTSIDE
from coteach.model.probabilities import TagProbabilities
from coteach.model.spans import Span
from coteach.model.student import StudentOutput

__all__ = [
    "ClassCheck",
    "PlainModel",
    "ValueCheck",
    "check_classes",
    "check_values",
    "read_texts",
]


@dataclass
class ValueCheck:
    """What a student and its export find in the same texts.

    Attributes:
        texts: their number.
        both: values that both find.
        lost: values that only the student finds.
        new: values that only the export finds.
        difference: the largest one between the confidences of a value that both find.
        overlapping: values of the student that share characters with one of another attribute.
    """

    texts: int = 0
    both: int = 0
    lost: int = 0
    new: int = 0
    difference: float = 0.0
    overlapping: int = 0

    def __str__(self) -> str:
        found = self.both + self.lost
        share = f" ({self.both / found:.2%})" if found else ""
        return (
            f"{self.texts:,} texts, {found:,} values of the student: {self.both:,}{share} are "
            f"found, {self.lost:,} are not, {self.new:,} are new; the confidence differs by at "
            f"most {self.difference:.1e}"
        )


@dataclass
class ClassCheck:
    """What a student and its export say of the same texts.

    Attributes:
        texts: their number.
        same: those of the same class.
        difference: the largest one between two probabilities of a class.
    """

    texts: int = 0
    same: int = 0
    difference: float = 0.0

    def __str__(self) -> str:
        share = f" ({self.same / self.texts:.2%})" if self.texts else ""
        return (
            f"{self.texts:,} texts: {self.same:,}{share} get the same class; a probability "
            f"differs by at most {self.difference:.1e}"
        )


class PlainModel:
    """A model of transformers' own classes, asked as a student is.

    Args:
        model: it classifies texts, or tokens by joint labels.
        config: of the student that it was made from.
    """

    def __init__(self, model: PreTrainedModel, config: Any) -> None:
        self.model = model
        self.config = config

    @property
    def device(self) -> torch.device:
        """The model's."""
        return self.model.device

    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> StudentOutput:
        """The model's own logits, (batch, classes) or (batch, tokens, labels)."""
        return StudentOutput(
            logits=self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        )

    def probabilities(self, logits: Tensor) -> TagProbabilities:
        """As of a student with an output head alone.

        A token's likeliest label gives its attribute that tag, and all other attributes O, each
        with the label's probability.
        """
        best, labels = logits.float().softmax(dim=-1).max(dim=-1)
        attributes = len(self.config.attributes)
        tags = torch.full((*labels.shape, attributes), OUTSIDE, device=logits.device)
        tagged = labels > 0  # O is the first label; the others are B and I of each attribute
        attribute = (labels - 1).clamp(min=0) // 2
        tag = torch.where((labels - 1) % 2 == 0, BEGIN, INSIDE)
        chosen = torch.where(tagged, tag, OUTSIDE).unsqueeze(-1)
        tags.scatter_(-1, attribute.unsqueeze(-1), chosen)
        p = torch.nn.functional.one_hot(tags, CLASSES) * best[..., None, None]
        return TagProbabilities(teachers=p[..., :0, :, :], p_out=p, p_mean=None)

    def eval(self) -> PlainModel:
        """Answer as in use."""
        self.model.eval()
        return self

    def to(self, device: Any) -> PlainModel:
        """Compute on another device."""
        self.model.to(device)
        return self


def read_texts(path: Path) -> list[str]:
    """The pages of a folder of <page_id>.txt, or the lines of a text file but the empty ones.

    Raises:
        InputError: neither can be read, or there is none.
    """
    if path.is_dir():
        return [page.text for page in PageFolder(path).values()]
    texts = [line for line in read_page(path).text.split("\n") if line.strip()]
    if not texts:
        raise InputError.at(path, None, "expected texts, one a line; got none")
    return texts


def check_values(
    student: Student,
    export: Predictor,
    tokenizer: Any,
    texts: Iterable[str],
    views: tuple[str, str] = ("p", "p"),
) -> ValueCheck:
    """Compare what a student and its export find, whatever the confidence.

    Args:
        student: in evaluation mode.
        export: of it.
        tokenizer: of both.
        texts: read once.
        views: of the student, and of the export.
    """
    first, second = tee(texts)
    result = ValueCheck()
    mine = Extractor(student, tokenizer)(first, views[:1], 0.0)
    theirs = Extractor(export, tokenizer)(second, views[1:], 0.0)
    for ours, other in zip(mine, theirs, strict=True):
        expected, given = dict(ours[views[0]]), dict(other[views[1]])
        common = expected.keys() & given.keys()
        result.texts += 1
        result.both += len(common)
        result.lost += len(expected) - len(common)
        result.new += len(given) - len(common)
        result.overlapping += _overlapping(list(expected))
        result.difference = max(
            [result.difference, *(abs(expected[span] - given[span]) for span in common)]
        )
    return result


def check_classes(
    student: Student, export: Predictor, tokenizer: Any, texts: Sequence[str]
) -> ClassCheck:
    """The same for a student that classifies single texts."""
    result = ClassCheck()
    mine, theirs = (Classifier(model, tokenizer)(texts) for model in (student, export))
    for expected, given in zip(mine, theirs, strict=True):
        result.texts += 1
        result.same += int(expected.argmax() == given.argmax())
        result.difference = max(result.difference, float(abs(expected - given).max()))
    return result


def _overlapping(spans: Sequence[Span]) -> int:
    """How many spans share a character with one of another attribute."""
    places = [(it.attribute, it[1:3], it[3:]) for it in spans]
    return sum(
        any(name != other and start < last and first < end for other, first, last in places)
        for name, start, end in places
    )
