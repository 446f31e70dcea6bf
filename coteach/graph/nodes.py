"""The nodes a recipe can name. Each is a description; training builds what it describes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from coteach.graph.weights import Equal, TeamWeights


@dataclass(frozen=True)
class Gold:
    """An annotation node: the gold of the training pages. It teaches the head "output"."""


@dataclass(frozen=True)
class Submissions:
    """A bundle of annotation nodes: one per team, each teaching a head of its own name."""

    weights: TeamWeights = field(default_factory=Equal)
    """How far each team is trusted. Equal in the paper."""
    teams: tuple[str, ...] = ()
    """The teams to use; none named: all of them."""
    masks: bool = True
    """Whether a team says nothing on pages that it did not process. False: that it found nothing
    there, as in the original code, which cannot tell the two apart."""


@dataclass(frozen=True)
class Student:
    """A model that is trained: an encoder and the heads that its edges give it."""

    encoder: str | None = None
    """Pretrained encoder: a name on the Hub or a folder. None: from encoder_config, untrained."""
    encoder_config: dict[str, Any] = field(default_factory=dict)
    """The encoder's configuration with its model_type, where encoder is None."""
    tokenizer: str | None = None
    """Name or folder of the tokenizer; None: the encoder's."""
    words: Literal["mecab"] | None = None
    """Split text at MeCab words before the tokenizer, so that its pieces end where words end.
    Tokenizers of the class BertJapaneseTokenizer do so by themselves."""
    mecab_options: str = ""
    """MeCab's options for words; by default unidic-lite. On the command line with "=", as in
    --nodes.student.mecab-options="-d DICTIONARY"."""
    window: int | None = None
    """Content tokens of a window; None: what the encoder's positions hold, at most 510."""
    overlap: int = 100
    """Tokens that two windows of a page share (original code: 100)."""
    mean: Literal["weighted", "equal"] = "weighted"
    """Whether p_mean uses the teams' weights. With equal weights the two are the same."""


Node = Gold | Submissions | Student
