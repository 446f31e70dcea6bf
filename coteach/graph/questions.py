"""What edges ask of a model about a batch, and what it replies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from coteach.model.student import StudentOutput


@dataclass(frozen=True)
class Question:
    """What is wanted; a model computes nothing else.

    Attributes:
        logits: whether its heads are to answer. A student's main heads always do.
        tags: whether its auxiliary heads are to answer.
        hidden_states: layers, from 0, the embeddings; sorted.
        attention_scores: layers, from 1; sorted.
    """

    logits: bool = False
    tags: bool = False
    hidden_states: tuple[int, ...] = ()
    attention_scores: tuple[int, ...] = ()

    def __or__(self, other: Question) -> Question:
        """Both questions at once."""
        return Question(
            self.logits or other.logits,
            self.tags or other.tags,
            tuple(sorted({*self.hidden_states, *other.hidden_states})),
            tuple(sorted({*self.attention_scores, *other.attention_scores})),
        )


@dataclass(frozen=True)
class Reply:
    """A model's output on a batch, with the question that it answers."""

    output: StudentOutput
    question: Question

    @property
    def logits(self) -> Tensor:
        """As of ``Student.forward``."""
        assert self.output.logits is not None
        return self.output.logits

    def hidden_state(self, layer: int) -> Tensor:
        """(batch, tokens, width)."""
        assert self.output.hidden_states is not None
        return self.output.hidden_states[self.question.hidden_states.index(layer)]

    def attention_scores(self, layer: int) -> Tensor:
        """(batch, heads, tokens, tokens)."""
        assert self.output.attention_scores is not None
        return self.output.attention_scores[self.question.attention_scores.index(layer)]


@dataclass(frozen=True)
class Replies:
    """What the student and every teacher say of a batch; teachers by the name of their node."""

    student: Reply
    teachers: Mapping[str, Reply] = field(default_factory=dict)
