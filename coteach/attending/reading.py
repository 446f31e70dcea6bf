"""A student reads a text: what it predicts, and how its attention spreads over the words."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from coteach.errors import InputError
from coteach.highlighting.blocks import Measure, Reading
from coteach.highlighting.reading import TextReader
from coteach.highlighting.words import LEVELS
from coteach.model import Student
from coteach.model.extraction import assemble

__all__ = ["ATTENTION", "AttentionReader"]

ATTENTION = Measure(
    "Attention",
    f"{LEVELS} levels of red, from weight 0 to the largest weight of a word in each picture; "
    "special tokens stand apart and do not count for that scale. Grey: not read.",
)


class AttentionReader(TextReader):
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
        super().__init__(name, student, tokenizer)
        self.layer = self._absolute(layer)
        # The encoder is typed as any module by torch.
        encoder: Any = student.encoder
        encoder.set_attn_implementation("eager")

    def __call__(self, text: str, prepared: bool = False) -> Reading:
        """Read one text; the weights of its words and special tokens sum to 1.

        Args:
            text: as of :meth:`tokens`.
            prepared: likewise.

        Raises:
            InputError: the text is no pair though the student reads pairs, or the encoder gives
                no attention weights.
        """
        config = self.student.config
        text, tokens = self.tokens(text, prepared)
        weights, logits = self._run(tokens.ids)
        words, specials = self.join(text, tokens, weights.tolist())
        predicted = probability = None
        if config.classes:
            probabilities = logits.softmax(dim=-1)
            best = int(probabilities.argmax())
            predicted, probability = config.classes[best], float(probabilities[best])
        return Reading(self.name, words, specials, predicted, probability)

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

        encoder = self.student.encoder
        given, mask = assemble([ids], self.tokenizer, multiple=1)
        device = self.student.device
        with (
            encoder.register_forward_pre_hook(ask, with_kwargs=True),
            encoder.register_forward_hook(keep),
        ):
            logits = self.student(given.to(device), mask.to(device)).logits[0].float().cpu()
        attention = kept[0][self.layer - 1] if kept[0] else None
        size = given.shape[1]
        if attention is None or attention.shape[2:] != (size, size):
            raise InputError(
                f"{self.name}: its encoder, a {type(encoder).__name__}, gives no attention weights"
                " from every token to every token"
            )
        mean = attention[0].double().mean(dim=0).cpu()  # (from, to)
        config = self.student.config
        from_first = config.classes and config.pooling == "first"
        return (mean[0] if from_first else mean.mean(dim=0)), logits

    def _absolute(self, layer: int | None) -> int:
        config = self.student.config
        encoder: Any = self.student.encoder
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
