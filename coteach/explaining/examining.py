"""What one model makes of the texts: answers, importance, faithfulness, speed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from coteach.attribution import Attributor, IntegratedGradients, Targets, TokenScores
from coteach.explaining.candidates import Candidate
from coteach.explaining.faithfulness import batches, falls
from coteach.explaining.texts import Windows
from coteach.model.extraction import assemble
from coteach.training.loading import load_student

__all__ = ["Examined", "Examiner"]

_TIMED = 512
"""Windows whose reading is timed."""
_REPEATS = 3
"""How often; the fastest counts, which other work on the machine disturbs least."""


@dataclass(frozen=True)
class Examined:
    """What one model makes of the windows.

    Attributes:
        own: the numbers of the answers that it gives itself: its class, or its spans' tags.
        targets: those of the answers that are explained.
        scores: the importance of every token for these, (tokens,), with [CLS] and [SEP].
        falls: by :data:`.faithfulness.FALLS`, (windows,), for its own answers.
        gaps: the completeness gap of each window, (windows,); NaN where nothing is explained.
        parameters: how many it has.
        seconds: for reading 1,000 windows.
    """

    own: list[np.ndarray]
    targets: list[np.ndarray]
    scores: list[np.ndarray]
    falls: dict[str, np.ndarray]
    gaps: np.ndarray
    parameters: int
    seconds: float


@dataclass(frozen=True)
class Examiner:
    """Examines models on the same windows.

    Attributes:
        windows: of the texts.
        settings: of the importance.
        percent: of the tokens that are deleted for faithfulness.
        draws: of random tokens to delete.
        seed: of these.
        batch_size: windows a batch.
    """

    windows: Windows
    settings: IntegratedGradients
    percent: tuple[float, ...]
    draws: int
    seed: int
    batch_size: int

    def __call__(
        self, name: str, candidate: Candidate, targets: Sequence[np.ndarray] | None
    ) -> Examined:
        """Load a model and examine it.

        Args:
            name: for the progress bars.
            candidate: the model.
            targets: of each window, the numbers of the answers to explain; None for its own.

        Raises:
            InputError: it cannot be loaded, or the settings do not suit it.
        """
        student, tokenizer = load_student(candidate.folder)
        attributor = Attributor(student, tokenizer, self.settings, self.batch_size)
        own, seconds = self._answers(name, attributor)
        chosen = own if targets is None else list(targets)
        every = range(len(self.windows.contents))
        found = self._importance(f"{name}: importance", attributor, every, chosen)
        # Faithfulness is to what the model itself says, where that is something else.
        differing = [n for n in every if not np.array_equal(own[n], chosen[n])]
        faithful = [it.scores for it in found]
        again = f"{name}: importance for its own answers"
        for number, it in zip(
            differing, self._importance(again, attributor, differing, own), strict=True
        ):
            faithful[number] = it.scores
        deletions = (1 + (2 + self.draws) * len(self.percent)) * len(every)
        with tqdm(total=deletions, unit="text", desc=f"{name}: deletions", leave=False) as bar:
            fallen = falls(
                student,
                tokenizer,
                self.windows.contents,
                faithful,
                own,
                percent=self.percent,
                draws=self.draws,
                seed=self.seed,
                batch_size=self.batch_size,
                advance=bar.update,
            )
        return Examined(
            own=own,
            targets=chosen,
            scores=[it.scores for it in found],
            falls=fallen,
            gaps=np.array([it.gap if len(it.target) else np.nan for it in found]),
            parameters=sum(it.numel() for it in student.parameters()),
            seconds=seconds,
        )

    def _importance(
        self,
        what: str,
        attributor: Attributor,
        numbers: Sequence[int],
        targets: Sequence[np.ndarray],
    ) -> list[TokenScores]:
        contents = [self.windows.contents[number] for number in numbers]
        found = attributor(contents, [targets[number] for number in numbers])
        return list(tqdm(found, total=len(contents), unit="text", desc=what, leave=False))

    def _answers(self, name: str, attributor: Attributor) -> tuple[list[np.ndarray], float]:
        """What the model says of every window, and the seconds for 1,000 of them."""
        contents = self.windows.contents
        result: list[np.ndarray] = [np.empty(0, dtype=np.int32)] * len(contents)
        with tqdm(total=len(contents), unit="text", desc=f"{name}: answers", leave=False) as bar:
            for numbers in batches([len(it) for it in contents], self.batch_size, bar.update):
                ids, mask = self._batch(attributor, numbers)
                with torch.no_grad():
                    logits = attributor.student(ids, mask).logits
                found = Targets.of_predictions(
                    attributor.student, logits, attributor.tokens.are_content(ids)
                )
                for number, it in zip(numbers, found.lists(), strict=True):
                    result[number] = it
        # Spread over the texts, which may be sorted in some way.
        timed = range(0, len(contents), -(-len(contents) // _TIMED))
        lengths = [len(contents[number]) for number in timed]
        prepared = [
            self._batch(attributor, [timed[place] for place in places])
            for places in batches(lengths, self.batch_size, lambda _: None)
        ]
        fastest = min(_seconds(attributor, prepared) for _ in range(_REPEATS))
        return result, 1000 * fastest / len(timed)

    def _batch(self, attributor: Attributor, numbers: Sequence[int]) -> tuple[Any, Any]:
        ids, mask = assemble(
            [self.windows.contents[number] for number in numbers], attributor.tokenizer
        )
        return ids.to(attributor.student.device), mask.to(attributor.student.device)


def _seconds(attributor: Attributor, prepared: Sequence[tuple[Any, Any]]) -> float:
    """How long the model takes to read batches."""
    start = time.perf_counter()
    with torch.no_grad():
        for ids, mask in prepared:
            attributor.student(ids, mask)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    return time.perf_counter() - start
