"""What a search remembers: an Optuna study in ``study.db``, shared by all that work on it.

A trial enters the study when it has ended. That a cell is being run is told by a lock, which a
process that is killed lets go of: its cell is free again, and nothing is left to clean up. Both
the locks and SQLite need a file system with working locks where several machines share it.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from coteach.errors import InputError, in_one_line
from coteach.recipe import Recipe
from coteach.searching.space import DATABASE, SEED, Cell, Grid
from coteach.training.record import as_json, write_recipe

__all__ = ["MICRO_F1", "Outcome", "Study", "run_cell"]

GRID = "grid"  # the study's attribute that holds what is searched
MICRO_F1 = "micro-F1"  # what is compared where nothing names it


@dataclass(frozen=True)
class Outcome:
    """How the run of a cell ended.

    Attributes:
        cell: its name.
        dev: what a search compares, a fraction: on the dev pages micro-F1 of the probability
            that the recipe's selection names, on dev texts accuracy; None where the run failed.
        step: of the checkpoint that was selected.
        seconds: that the run took, since it was last begun.
        error: why it failed.
        score_name: what ``dev`` is, "micro-F1 (p)" or "accuracy"; None where there is none, or
            an older version wrote none down.
        number: of the trial in the study; later ones are larger.
    """

    cell: str
    dev: float | None = None
    step: int | None = None
    seconds: float = 0.0
    error: str | None = None
    score_name: str | None = None
    number: int = -1

    @property
    def shown(self) -> str:
        """The score in percent with its name, or the error."""
        if self.dev is None:
            return f"failed: {self.error}"
        return f"dev {self.score_name or MICRO_F1} {100 * self.dev:.2f}"


class Study:
    """The study of a folder, begun where there is none.

    Args:
        folder: of the search.
        recipe: what its cells share.
        grid: what they differ in, and what every setting is repeated with.

    Attributes:
        folder: of the search.
        lock: held while its files are written.

    Raises:
        InputError: Optuna is missing, or the folder holds another search.
    """

    def __init__(self, folder: Path, recipe: Recipe, grid: Grid) -> None:
        try:
            import optuna
            from sqlalchemy.exc import SQLAlchemyError
        except ImportError as error:
            raise InputError(
                f"a search needs the package {error.name}: pip install coteach[search]"
            ) from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder = folder
        self._choices = {path: [_plain(v) for v in values] for path, values in grid.over.items()}
        repeated = {
            f"repeat {path}": [_plain(value) for value in values]
            for path, values in grid.repeat.items()
            if path != SEED
        }
        seeds = list(grid.repeat.get(SEED, ()))
        described = json.loads(json.dumps({**self._choices, "seeds": seeds, **repeated}))
        write_recipe(recipe, folder)
        self._locks = folder / ".locks"
        self._locks.mkdir(exist_ok=True)
        self.lock = FileLock(self._locks / "study.lock")
        path = folder / DATABASE
        with self.lock:
            try:
                self._study = optuna.create_study(
                    storage=f"sqlite:///{path.absolute()}",
                    study_name=recipe.name,
                    direction="maximize",
                    load_if_exists=True,
                )
                if not self._study.user_attrs and not self._study.trials:
                    self._study.set_user_attr(GRID, described)
            except (SQLAlchemyError, optuna.exceptions.OptunaError) as error:
                raise InputError.at(
                    path, None, f"cannot be used as an Optuna study: {in_one_line(error)}"
                ) from None
            before = self._study.user_attrs.get(GRID, {})
            if before != described and _is_longer(before, described):
                self._study.set_user_attr(GRID, described)
        _check_same(path, self._study.user_attrs.get(GRID, {}), described)

    def outcomes(self) -> dict[str, Outcome]:
        """Name of a cell → how it ended; a failure gives way to what was tried later."""
        from optuna.trial import TrialState

        result = {}
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state in (TrialState.COMPLETE, TrialState.FAIL):
                dev = trial.value if trial.state == TrialState.COMPLETE else None
                outcome = Outcome(dev=dev, number=trial.number, **trial.user_attrs)
                result[outcome.cell] = outcome
        return result

    def has_ended(self, cell: Cell, after: int = -1) -> bool:
        """Whether a cell is done, or has failed in a trial of a larger number than ``after``."""
        outcome = self.outcomes().get(cell.name)
        return outcome is not None and (outcome.dev is not None or outcome.number > after)

    def add(self, cell: Cell, outcome: Outcome) -> None:
        """Remember how a cell ended."""
        from optuna.distributions import CategoricalDistribution
        from optuna.trial import FrozenTrial, TrialState

        now = datetime.now()
        trial = FrozenTrial(
            number=-1,  # the storage gives both
            trial_id=-1,
            state=TrialState.FAIL if outcome.dev is None else TrialState.COMPLETE,
            value=outcome.dev,
            datetime_start=now - timedelta(seconds=outcome.seconds),
            datetime_complete=now,
            params={path: _plain(value) for path, value in cell.values.items()},
            distributions={
                path: CategoricalDistribution(choices) for path, choices in self._choices.items()
            },
            user_attrs={
                "cell": cell.name,
                "step": outcome.step,
                "seconds": outcome.seconds,
                "error": outcome.error,
                "score_name": outcome.score_name,
            },
            system_attrs={},
            intermediate_values={},
        )
        with self.lock:
            self._study.add_trial(trial)

    @contextmanager
    def claim(self, cell: Cell) -> Iterator[bool]:
        """Hold a cell against all other processes; False where one of them holds it."""
        lock = FileLock(self._locks / f"{cell.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()


def run_cell(
    study: Study, cell: Cell, run: Callable[[Recipe, Path], Mapping[str, Any]]
) -> Outcome | None:
    """Run a cell in this process, unless that is done or being done.

    Args:
        study: that the cell is of.
        cell: what to run.
        run: carries a recipe out in a folder and returns its summary.

    Returns:
        How it ended; None where another process is running it.
    """
    with study.claim(cell) as mine:
        if not mine:
            return None
        before = study.outcomes().get(cell.name)
        if before is not None and before.dev is not None:
            return before
        since = time.perf_counter()
        try:
            dev = run(cell.recipe, study.folder / cell.name)["dev"]
            score, score_name = _score(dev)
            outcome = Outcome(cell.name, score, dev["step"], score_name=score_name)
        except InputError as error:
            outcome = Outcome(cell.name, error=str(error))
        except Exception as error:  # whatever it was, the other cells go on
            traceback.print_exc()
            outcome = Outcome(cell.name, error=f"{type(error).__name__}: {in_one_line(error)}")
        outcome = replace(outcome, seconds=time.perf_counter() - since)
        study.add(cell, outcome)
        return outcome


def _score(dev: Mapping[str, Any]) -> tuple[float, str]:
    """What a summary's ``dev`` is compared by, and its name."""
    if "score" in dev:
        return dev["score"], dev["score_name"]
    # A run that an older version finished.
    return dev["f1"][dev["probability"]], f"{MICRO_F1} ({dev['probability']})"


def _plain(value: Any) -> Any:
    """A value as a study can keep it: what is no number, text or None is JSON text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.dumps(as_json(value), ensure_ascii=False)


def _is_longer(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a grid is another one with more repetitions: no cell that was begun is lost."""
    longer = [
        field
        for field in now
        if (field == "seeds" or field.startswith("repeat "))
        and before.get(field)
        and set(map(json.dumps, before[field])) <= set(map(json.dumps, now[field]))
    ]
    return before.keys() == now.keys() and all(
        field in longer or before[field] == now[field] for field in now
    )


def _check_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    different = [
        f"{field} was {before.get(field)}, now {now.get(field)}"
        for field in dict.fromkeys([*before, *now])
        if before.get(field) != now.get(field)
    ]
    if different:
        raise InputError.at(
            path, None, "this search was begun with another grid: " + "; ".join(different)
        )
