"""Students against their teacher, text by text: answers, importance, faithfulness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from tqdm.auto import tqdm

from coteach.attribution import SpecialTokens
from coteach.errors import InputError
from coteach.evaluation.agreement import Comparison, by_chance
from coteach.explaining.candidates import Candidate, System
from coteach.explaining.examining import Examined, Examiner
from coteach.explaining.faithfulness import FALLS, content_places
from coteach.explaining.texts import Example, Windows

__all__ = ["ACCURACY", "SAME", "TOP_OVER_RANDOM", "Compared", "Comparer", "RunFigures", "fall"]

ACCURACY = "accuracy"
SAME = "class as the teacher"
TOP_OVER_RANDOM = "fall: top − random"

Target = Literal["teacher", "gold", "own"]

ByText = Mapping[str, np.ndarray]
"""Name of a figure → its value for every text, (texts,); NaN where it has none."""


def fall(which: str) -> str:
    """What the fall of a probability is called: see :data:`.faithfulness.FALLS`."""
    return f"fall: {which}"


@dataclass(frozen=True)
class RunFigures:
    """What is said of one run of a model.

    Attributes:
        run: its folder.
        figures: accuracy and agreement of classes where there are classes, agreement of importance
            where it is a student's, and faithfulness.
        chance: the figures of agreement for a teacher whose scores are shuffled.
        predicted: the class of every text; None where there are no classes.
        parameters: how many it has.
        seconds: for reading 1,000 texts.
        gap: the mean absolute completeness gap.
    """

    run: str
    figures: ByText
    chance: ByText
    predicted: list[str] | None
    parameters: int
    seconds: float
    gap: float


@dataclass(frozen=True)
class Compared:
    """Everybody on the same texts.

    Attributes:
        teacher: the one that the others are compared with.
        systems: name → the figures of its runs.
    """

    teacher: RunFigures
    systems: Mapping[str, Sequence[RunFigures]]


@dataclass(frozen=True)
class Comparer:
    """Compares students with a teacher.

    Attributes:
        examples: the texts.
        windows: their tokens.
        examiner: asks the models.
        comparison: which figures of agreement.
        target: the answer whose importance is compared: the teacher's for both, the gold for both,
            or of each model its own.
        specials: whether special tokens count among those compared.
        shuffles: of the teacher's scores, for what agreement would be by chance.
        teacher_nodes: of the teacher's integral; None for as many as the students'.
    """

    examples: Sequence[Example]
    windows: Windows
    examiner: Examiner
    comparison: Comparison
    target: Target
    specials: bool
    shuffles: int
    teacher_nodes: int | None = None

    def __call__(self, name: str, teacher: Candidate, systems: Sequence[System]) -> Compared:
        """Examine the teacher, then every run of every student.

        Args:
            name: of the teacher, for the progress bars.
            teacher: whom the students are compared with.
            systems: the students, comparable with the teacher.

        Raises:
            InputError: a model cannot be loaded, or the gold is asked for and not known.
        """
        given = self._gold(teacher) if self.target == "gold" else None
        nodes = self.teacher_nodes or self.examiner.settings.nodes
        settings = replace(self.examiner.settings, nodes=nodes)
        examined = replace(self.examiner, settings=settings)(name, teacher, given)
        if self.target == "teacher":
            given = examined.own
        compared = {}
        for system in systems:
            runs = []
            for number, run in enumerate(system.runs, start=1):
                called = system.name if len(system.runs) == 1 else f"{system.name} {number}"
                other = self.examiner(called, run, given)
                runs.append(self._figures(run, other, examined, called))
            compared[system.name] = runs
        return Compared(self._figures(teacher, examined), compared)

    def _gold(self, teacher: Candidate) -> list[np.ndarray]:
        classes = teacher.config.classes
        unknown = [example.id for example in self.examples if example.gold is None]
        if not classes or unknown:
            which = f"none for text {unknown[0]}" if classes else "none for models that extract"
            raise InputError(f"target gold: expected a class of every text, got {which}")
        return [
            np.array([classes.index(self.examples[number].gold or "")], dtype=np.int32)
            for number in self.windows.texts
        ]

    def _figures(
        self,
        run: Candidate,
        examined: Examined,
        teacher: Examined | None = None,
        called: str = "",
    ) -> RunFigures:
        """The figures of a run; of the teacher those that need no teacher."""
        by_window = {fall(name): examined.falls[name] for name in FALLS}
        by_window[TOP_OVER_RANDOM] = by_window[fall("top")] - by_window[fall("random")]
        chance: dict[str, np.ndarray] = {}
        if teacher is not None:
            agreement, chance = self._agreement(run, examined, teacher, called)
            by_window |= agreement
        figures = {}
        predicted = None
        if classes := run.config.classes:
            predicted = [classes[int(answer[0])] for answer in examined.own]
            golds = [example.gold for example in self.examples]
            if None not in golds:
                figures[ACCURACY] = _same(predicted, golds)
            if teacher is not None:
                theirs = [classes[int(answer[0])] for answer in teacher.own]
                figures[SAME] = _same(predicted, theirs)
        figures |= {name: self._by_text(values) for name, values in by_window.items()}
        per_text = len(self.windows.contents) / max(len(self.examples), 1)
        return RunFigures(
            run.folder,
            figures,
            {name: self._by_text(values) for name, values in chance.items()},
            predicted,
            examined.parameters,
            examined.seconds * per_text,
            _mean(np.abs(examined.gaps)),
        )

    def _agreement(
        self, run: Candidate, examined: Examined, teacher: Examined, called: str
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The figures of agreement, and those by chance, by window."""
        count = len(self.windows.contents)
        special = SpecialTokens.of(run.tokenizer)
        figures = {name: np.full(count, np.nan) for name in self.comparison.names}
        chance = {name: np.full(count, np.nan) for name in self.comparison.names}
        numbers = tqdm(range(count), unit="text", desc=f"{called}: agreement", leave=False)
        for number in numbers:
            if not len(teacher.targets[number]):
                continue
            content = self.windows.contents[number]
            places = content_places(content, special)
            if self.specials:
                places = np.arange(len(content) + 2)
            theirs, ours = (it.scores[number][places].astype(float) for it in (teacher, examined))
            random = np.random.default_rng([self.examiner.seed, number, 1])
            rows = (
                (figures, self.comparison(theirs, ours)),
                (chance, by_chance(self.comparison, theirs, ours, random, self.shuffles)),
            )
            for table, row in rows:
                for name, value in row.items():
                    table[name][number] = value
        return figures, chance

    def _by_text(self, values: np.ndarray) -> np.ndarray:
        """The mean over the windows of every text, of those that have the figure."""
        texts = np.asarray(self.windows.texts, dtype=np.int64)
        known = ~np.isnan(values)
        count = self.windows.count
        sums = np.bincount(texts[known], values[known], count)
        sizes = np.bincount(texts[known], minlength=count)
        return np.where(sizes > 0, sums / np.maximum(sizes, 1), np.nan)


def _same(names: Sequence[str], others: Sequence[str | None]) -> np.ndarray:
    """1 where both are the same, else 0."""
    pairs = zip(names, others, strict=True)
    return np.array([float(one == other) for one, other in pairs])


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
