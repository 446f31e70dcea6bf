"""The nodes a recipe can name. Each is a description; training builds what it describes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tyro

from coteach.aggregation import Method
from coteach.errors import InputError
from coteach.graph.weights import Equal, TeamWeights
from coteach.model.configuration import Pooling


@dataclass(frozen=True)
class Gold:
    """An annotation node: the gold of the training pages, spans or classes. It teaches the head
    "output"."""


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
class Aggregated:
    """An annotation node: the gold where a training page has it, elsewhere what the teams say
    together. It teaches the head "output"; classes are counted in the gold alone."""

    method: Method = "vote"
    """How the teams become one: see ``coteach.aggregation.aggregate``."""
    minimum: int | None = None
    """For the method "vote": the votes that a value needs; None: the number best on dev."""
    teams: tuple[str, ...] = ()
    """The teams to use; none named: all of them."""

    def __post_init__(self) -> None:
        if self.minimum is not None and self.method != "vote":
            raise InputError(
                f"minimum belongs to method='vote', got {self.minimum} with method={self.method!r}"
            )


@dataclass(frozen=True)
class Predicted:
    """An annotation node for self-teaching (co-teaching paper, §4.2; the baseline of its original
    code): the gold where a training page has it, elsewhere what a finished student finds there.
    It teaches the head "output"; classes are counted in the gold alone."""

    student: Path
    """The folder "student" of a finished run, best of one taught by the gold alone."""


@dataclass(frozen=True)
class PartOfSpeech:
    """An annotation node: the parts of speech that a morphological analyser finds in any text,
    at no cost (part-of-speech paper, §3.2.3). Each edge from it gives the student an auxiliary
    head of the edge's name, on the edge's layer: O, and B and I of every class."""

    analyzer: Literal["mecab", "sudachi"] = "mecab"
    """Who analyses. Sudachi needs pip install coteach[sudachi]."""
    dictionary: str | None = None
    """MeCab: unidic_lite (None), ipadic or unidic, where their packages are installed, or the
    folder of a compiled dictionary, such as NEologd's (the paper's); Sudachi: core (None), small or
    full."""
    user_dictionary: Path | None = None
    """A compiled user dictionary of MeCab's, read beside the dictionary."""
    split_mode: Literal["A", "B", "C"] = "C"
    """Sudachi's units: short ones (A) to named entities in one (C)."""
    tag_set: Literal["unidic", "ipadic"] | None = None
    """How the dictionary names parts of speech; None: known by its name. A folder needs it."""
    classes: tuple[str, ...] = ("名詞", "副詞", "形容詞")
    """The classes to tell apart (the paper's: noun, adverb, adjective)."""
    mapping: tyro.conf.Suppress[dict[str, tuple[str, ...]]] = field(default_factory=dict)
    """Class → beginnings of the analyser's parts of speech, such as ("接尾辞,名詞的",); for classes
    of your own, or instead of the tag set's table. In a recipe only, not on the command line."""


@dataclass(frozen=True)
class Teacher:
    """A frozen model, in evaluation mode. A finished student answers with its heads as well; a
    bare encoder has hidden states and attention alone (TinyBERT's general distillation).

    It is asked once about a text, and its answer kept on disk in the recipe's cache, as long as
    all of them take no more than 8 GiB; otherwise at every step."""

    model: str
    """A name on the Hub or a folder: of a run, a student or an encoder. Its tokenizer must be the
    student's."""
    precision: Literal["no", "bf16"] = "no"
    """What it computes with: float32, or bfloat16 autocast."""


@dataclass(frozen=True)
class Student:
    """A model that is trained: an encoder and the heads that its edges give it."""

    encoder: str | None = None
    """Pretrained encoder: a name on the Hub or a folder, also that of a run or a student to go on
    from. None: from encoder_config, untrained."""
    encoder_layers: tuple[int, ...] = ()
    """Only these of the encoder's layers, counted from 1, where a small student is to begin as a
    part of a large model, such as 3 6 9 12; none named: all of them."""
    encoder_config: dict[str, Any] = field(default_factory=dict)
    """The encoder's configuration with its model_type, where encoder is None."""
    tokenizer: str | None = None
    """Name or folder of the tokenizer, also that of a run or a student; None: the encoder's."""
    trained_layers: Literal["all", "read"] | tuple[int, ...] = "all"
    """What of the encoder learns: all of it; only the layers that some edge's head reads, the rest
    frozen with the embeddings (part-of-speech paper, §3.4), also where that edge weighs 0, as for
    its single-task twin; or layers by number, from 1, where 0 is the embeddings and −1 the last.
    Heads always learn."""
    head_dropout: float | None = None
    """Dropout before the main heads; None: the encoder's own rate, or 0.1."""
    pooling: Pooling = "first"
    """Where texts are classified, what the head reads: the first token ([CLS]), or the mean of all
    tokens."""
    words: Literal["mecab", "part_of_speech"] | None = None
    """Split text before the tokenizer: at MeCab words, so that its pieces end where words end, or,
    with a node PartOfSpeech, at the words of its classes, what lies between being left whole, so
    that no piece crosses a boundary of those (part-of-speech paper, §3.3). Tokenizers of the class
    BertJapaneseTokenizer split at MeCab's words by themselves."""
    mecab_options: str = ""
    """MeCab's options for words; by default unidic-lite. On the command line with "=", as in
    --nodes.student.mecab-options="-d DICTIONARY"."""
    window: int | None = None
    """Content tokens of a window; None: what the encoder's positions hold, at most 510."""
    overlap: int = 100
    """Tokens that two windows of a page share (original code: 100)."""
    trim_head: int = 0
    """Lines at the top of a page that the student never reads, neither here nor when it is used
    (original code: 20; SHINRA 2022's baseline: 10). Gold there counts as missed."""
    trim_tail: int = 0
    """The same at the end of a page (original code: 100; SHINRA 2022's baseline: 4)."""
    mean: Literal["weighted", "equal"] = "weighted"
    """Whether p_mean uses the teams' weights. With equal weights the two are the same."""


Node = Gold | Submissions | Aggregated | Predicted | PartOfSpeech | Teacher | Student
