"""A student reads a text: what it answers, and how important each word is for that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from coteach.attribution import Attributor, IntegratedGradients, TokenScores
from coteach.errors import InputError
from coteach.highlighting.blocks import Measure, Reading
from coteach.highlighting.reading import TextReader
from coteach.highlighting.words import LEVELS, line_starts
from coteach.model import Student
from coteach.model.alignment import Tokens
from coteach.model.extraction import Extractor, assemble
from coteach.model.iob2 import CLASSES, Locator

__all__ = ["Explained", "ImportanceReader", "importance_measure"]


@dataclass(frozen=True)
class Explained:
    """What is explained of a text.

    Attributes:
        about: a name for people.
        answers: the answers' numbers (:class:`coteach.attribution.Targets`); none where there is
            nothing to explain.
        tokens: the ids of the tokens that ``answers`` counts, where they are of tokens.
        marks: spans, [start, end) in code points of the text as it is read.
    """

    about: str
    answers: tuple[int, ...]
    tokens: tuple[int, ...] | None = None
    marks: tuple[tuple[int, int], ...] = ()


def importance_measure(settings: IntegratedGradients, spans: bool) -> Measure:
    """What the colours of importance mean.

    Args:
        settings: of the integral.
        spans: whether spans are explained, not classes.
    """
    signed = settings.aggregation == "sum"
    levels = f"{LEVELS} levels of red, from importance 0 to the largest of a word in each picture"
    if signed:
        levels = (
            f"Red speaks for what is explained, blue against it, in {LEVELS} levels from 0 to the "
            "word in each picture that is farthest from 0"
        )
    return Measure(
        "Importance",
        f"{levels}; special tokens stand apart and do not count for that scale. Grey: not read. "
        f"{'Underlined: the spans that are explained. ' if spans else ''}Integrated Gradients, "
        f"{settings.nodes} nodes ({settings.quadrature.replace('_', ' ')}), baseline "
        f"{settings.baseline}, of the {settings.output}; the completeness gap is what the "
        "integral misses of the answer's difference to the baseline's.",
        signed,
    )


class ImportanceReader(TextReader):
    """Reads texts with one student and explains its answers by Integrated Gradients.

    Only the first window of a text is read.

    Args:
        name: of the student.
        student: it is put into evaluation mode.
        tokenizer: the one that it was trained with.
        settings: of the integral.

    Raises:
        InputError: the tokenizer does not have the baseline's token.
    """

    def __init__(
        self, name: str, student: Student, tokenizer: Any, settings: IntegratedGradients
    ) -> None:
        super().__init__(name, student, tokenizer)
        self.attributor = Attributor(student, tokenizer, settings)
        self._extractor = None if student.config.classes else Extractor(student, tokenizer)

    def answer(self, text: str) -> Explained:
        """What the student itself says of a text: its most probable class, or all its spans."""
        if self._extractor is None:
            _, tokens = self.tokens(text)
            return self.of_class(self.student.config.classes[int(self._classes(tokens).argmax())])
        spans = self.spans(text)
        if not spans:
            return Explained("no span found", ())
        return Explained(
            "1 span" if len(spans) == 1 else f"all {len(spans)} spans",
            tuple(sorted({number for span in spans for number in span.answers})),
            spans[0].tokens,
            tuple(mark for span in spans for mark in span.marks),
        )

    def of_class(self, name: str) -> Explained:
        """A class by name.

        Raises:
            InputError: the student does not know it.
        """
        classes = self.student.config.classes
        if name not in classes:
            known = ", ".join(classes) or "none: it extracts spans"
            raise InputError(f"class {name!r}: the classes of {self.name} are {known}")
        return Explained(f"class {name}", (classes.index(name),))

    def spans(self, text: str) -> list[Explained]:
        """The spans that a student finds, one by one, in the order of the text."""
        assert self._extractor is not None
        text, tokens = self.tokens(text)
        if not tokens.ids:
            return []
        (found,) = self._extractor.from_tokens([tokens], ["p"])
        tags = self._tags(tokens)
        locate, starts, lines = Locator(tokens), line_starts(text), text.split("\n")
        attributes = self.student.config.attributes
        result = []
        for span, _ in sorted(found["p"], key=lambda it: (it[0][1:], it[0][0])):
            place = locate(span)
            assert place is not None
            attribute = attributes.index(span.attribute)
            answers = tuple(
                ((position + 1) * len(attributes) + attribute) * CLASSES + int(tag)
                for position in range(place[0], place[1])
                if tokens.starts[position] < tokens.ends[position]
                and (tag := tags[position, attribute])
            )
            mark = (
                starts[span.start_line] + span.start_offset,
                starts[span.end_line] + span.end_offset,
            )
            about = f"{span.attribute} {' '.join(span.text(lines).split())}"
            result.append(Explained(about, answers, tuple(tokens.ids), (mark,)))
        return result

    def __call__(self, text: str, explained: Explained) -> Reading:
        """Read one text.

        Args:
            text: as of :meth:`tokens`.
            explained: the answers whose importance is wanted, the student's own or another's.

        Raises:
            InputError: they are about other tokens than the student's.
        """
        text, tokens = self.tokens(text)
        if explained.tokens is not None and explained.tokens != tuple(tokens.ids):
            raise InputError(
                f"{self.name}: its tokens are others than those whose spans are explained; "
                "expected a student of the same tokenizer and window, or --target own"
            )
        found = self.scores(tokens, explained)
        words, specials = self.join(text, tokens, found.scores.tolist(), explained.marks)
        predicted = probability = None
        if self._extractor is None:
            probabilities = self._classes(tokens)
            best = int(probabilities.argmax())
            predicted, probability = self.student.config.classes[best], float(probabilities[best])
        count = len(explained.answers)
        return Reading(
            self.name,
            words,
            specials,
            predicted,
            probability,
            {
                "explained": explained.about,
                _sum_name(self.attributor.settings.output, count): found.value if count else None,
                "completeness gap": found.gap if count else None,
            },
        )

    def scores(self, tokens: Tokens, explained: Explained) -> TokenScores:
        """The importance of every token, with [CLS] and [SEP] at the ends."""
        (found,) = self.attributor([tokens.ids], [list(explained.answers)])
        return found

    @torch.no_grad()
    def _logits(self, tokens: Tokens) -> torch.Tensor:
        ids, mask = assemble([tokens.ids], self.tokenizer)
        device = self.student.device
        return self.student(ids.to(device), mask.to(device)).logits.float()

    def _classes(self, tokens: Tokens) -> np.ndarray:
        """The probability of every class."""
        return self._logits(tokens)[0].softmax(dim=-1).cpu().numpy()

    def _tags(self, tokens: Tokens) -> np.ndarray:
        """The most probable tag, (tokens, attributes)."""
        p = self.student.probabilities(self._logits(tokens)).p[0, 1 : len(tokens) + 1]
        return p.argmax(dim=-1).cpu().numpy()


def _sum_name(output: str, count: int) -> str:
    return f"its {output}" if count == 1 else f"sum of {count} tags' {_plural(output)}"


def _plural(output: str) -> str:
    return {"probability": "probabilities", "logit": "logits"}[output]
