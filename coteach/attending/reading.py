"""A student reads a text: what it predicts, and how its attention spreads over the words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coteach.attending.words import Special, Word, join
from coteach.errors import InputError, quote
from coteach.model import Student
from coteach.model.classification import shortened
from coteach.model.extraction import assemble, build_aligner
from coteach.model.mecab import without_surrogates
from coteach.model.preprocessing import joined_pair, preprocess

__all__ = ["AttentionReader", "Reading"]


@dataclass(frozen=True)
class Reading:
    """What one student makes of one text.

    Attributes:
        student: its name.
        words: what it read, in order; joined, they are the text after the student's
            preprocessing.
        specials: tokens without text, in order: [CLS], separators, [SEP]. Their weights and those
            of the words sum to 1.
        predicted: the most probable class; None for a student that extracts.
        probability: of that class.
    """

    student: str
    words: list[Word]
    specials: list[Special]
    predicted: str | None
    probability: float | None


class AttentionReader:
    """Reads texts with one student and keeps its attention.

    The weights are those of one layer, the mean of its heads (part-of-speech paper, §4.2), as they
    were while the text was classified. They are the attention from the token that the class head
    reads, the first; where it reads the mean of all tokens, or where a student extracts, they are
    the mean over all tokens. Only the first window of a text is read.

    Args:
        name: of the student.
        student: it is put into evaluation mode, and its encoder is set to eager attention, the
            only kind that keeps weights.
        tokenizer: the one that it was trained with.
        layer: from 1, or, negative, from the end, −1 being the last; None for the layer that the
            class head reads, the last one unless its recipe says otherwise.

    Raises:
        InputError: the student has no such layer.
    """

    def __init__(
        self, name: str, student: Student, tokenizer: Any, layer: int | None = None
    ) -> None:
        self.name = name
        self._student = student.eval()
        self._tokenizer = tokenizer
        self._aligner = build_aligner(tokenizer, student.config)
        self.layer = self._absolute(layer)
        # The encoder is typed as any module by torch.
        encoder: Any = student.encoder
        encoder.set_attn_implementation("eager")

    def __call__(self, text: str, prepared: bool = False) -> Reading:
        """Read one text.

        Args:
            text: or, for a student of pairs, two texts, a line each or with a tab between them.
            prepared: whether it has been preprocessed, as the texts of a run's report are.

        Raises:
            InputError: the text is no pair though the student reads pairs, or the encoder gives
                no attention weights.
        """
        config = self._student.config
        text = without_surrogates(text)
        text = text if prepared else self._prepared(text)
        pairs = config.pair_separator is not None
        tokens = shortened(self._aligner(text), config.window, pairs)
        weights, logits = self._run(tokens.ids)
        first, *inner, last = weights.tolist()
        start, *names, end = self._tokenizer.convert_ids_to_tokens(
            [self._tokenizer.cls_token_id, *tokens.ids, self._tokenizer.sep_token_id]
        )
        words, specials = join(text, tokens, inner, names)
        predicted = probability = None
        if config.classes:
            probabilities = logits.softmax(dim=-1)
            best = int(probabilities.argmax())
            predicted, probability = config.classes[best], float(probabilities[best])
        specials = [Special(start, first), *specials, Special(end, last)]
        return Reading(self.name, words, specials, predicted, probability)

    def _prepared(self, text: str) -> str:
        """The text as the student's tokenizer gets it."""
        config = self._student.config
        if not config.classes:
            return text
        if config.pair_separator is None:
            return preprocess(text, config.preprocessing)
        first, separator, second = text.partition("\n" if "\n" in text else "\t")
        if not separator:
            raise InputError(
                f"text {quote(text)}: {self.name} reads pairs; expected two texts, a line each "
                "or with a tab between them"
            )
        return joined_pair(*(preprocess(part, config.preprocessing) for part in (first, second)))

    @torch.no_grad()
    def _run(self, ids: list[int]) -> tuple[Tensor, Tensor]:
        """Attention of the tokens, (tokens,), float64, and the logits of the text, without batch.

        Hooks keep the weights of the very pass that classifies.
        """
        kept: list[Any] = []

        def ask(module: Any, positional: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            return positional, {**named, "output_attentions": True}

        def keep(module: Any, positional: Any, output: Any) -> None:
            kept.append(getattr(output, "attentions", None))

        encoder = self._student.encoder
        given, mask = assemble([ids], self._tokenizer, multiple=1)
        device = self._student.device
        with (
            encoder.register_forward_pre_hook(ask, with_kwargs=True),
            encoder.register_forward_hook(keep),
        ):
            logits = self._student(given.to(device), mask.to(device)).logits[0].float().cpu()
        attention = kept[0][self.layer - 1] if kept[0] else None
        size = given.shape[1]
        if attention is None or attention.shape[2:] != (size, size):
            raise InputError(
                f"{self.name}: its encoder, a {type(encoder).__name__}, gives no attention weights"
                " from every token to every token"
            )
        mean = attention[0].double().mean(dim=0).cpu()  # (from, to)
        config = self._student.config
        from_first = config.classes and config.pooling == "first"
        return (mean[0] if from_first else mean.mean(dim=0)), logits

    def _absolute(self, layer: int | None) -> int:
        config = self._student.config
        encoder: Any = self._student.encoder
        depth = encoder.config.num_hidden_layers
        if layer is None:
            # A class head counts from 0, the embeddings, or from the end, as well.
            layer = config.class_layer if config.classes else -1
        absolute = layer if layer >= 0 else depth + 1 + layer
        if not 1 <= absolute <= depth:
            raise InputError(
                f"layer {layer}: expected 1 to {depth}, or {-depth} to -1, in {self.name}"
            )
        return absolute
