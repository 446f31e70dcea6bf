"""A tokenizer of single characters, and windows made with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from coteach.data.pages import Annotations, Page
from coteach.data.windowed import Windowed, build_windows
from coteach.model.alignment import Aligner

MakeWindowed = Callable[..., Windowed]


def pytest_configure() -> None:
    """One thread, and Ctrl-C as usual, in the commands that tests start too.

    Two threads wait for each other with tensors as tiny as these, and would add them up in another
    order in a process that has once set their number than in one that has not. A shell lets what
    it starts in the background ignore Ctrl-C.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def character_tokenizer() -> PreTrainedTokenizerFast:
    """One token a character: a span's ends always lie on token boundaries.

    White space becomes a token without text; between lines stands a separator, also without.
    """
    characters = "abcdefghijklmnopqrstuvwxyz東京都城 "
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *characters]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


@pytest.fixture
def make_windowed(tmp_path: Path, character_tokenizer: PreTrainedTokenizerFast) -> MakeWindowed:
    """Builds a ``Windowed`` of texts by page id; windows of 6 characters that share 2."""

    def make(
        texts: Mapping[str, str],
        sources: Sequence[Annotations],
        attributes: Sequence[str] = ("name", "place"),
        window: int = 6,
        overlap: int = 2,
        cache: Path = tmp_path / "cache",
        processes: int = 1,
    ) -> Windowed:
        pages = {page_id: Page(page_id, text) for page_id, text in texts.items()}
        aligner = Aligner(character_tokenizer)
        return build_windows(
            pages, list(texts), sources, attributes, aligner, window, overlap, cache, processes
        )

    return make
