"""The tiny task, and a loop that trains on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import tiny_task
from accelerate.state import AcceleratorState
from tiny_loop import Loop

from coteach.data.corpus import Corpus, load_corpus
from coteach.recipe import Recipe


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    """Accelerate keeps one precision for the whole process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return tiny_task.load(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_corpus(tiny_recipe: Recipe) -> Corpus:
    return load_corpus(tiny_recipe.data, tiny_recipe.seed)


@pytest.fixture
def loop(tiny_recipe: Recipe, tiny_corpus: Corpus) -> Loop:
    return Loop(tiny_recipe, tiny_corpus)
