"""The student: any BERT-like encoder with the heads of its task, and auxiliary heads."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import MODEL_MAPPING, AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from .attention_scores import collecting_scores
from .configuration import OUTPUT_HEAD, StudentConfig, refuse_exported
from .iob2 import CLASSES
from .layers import absolute, keep_layers, layer_of, layer_stack
from .probabilities import TagProbabilities, tag_probabilities


@dataclass
class StudentOutput(ModelOutput):
    """What a forward pass gives.

    Attributes:
        logits: of an extracting student (batch, tokens, heads, attributes, 3), float, the last
            axis being O, B, I; of a classifying one (batch, classes).
        tags: of every auxiliary head (batch, tokens, tags), where they were asked for.
        hidden_states: of every layer asked for (batch, tokens, width), in the order asked.
        attention_scores: of every layer asked for (batch, heads, tokens, tokens), before the
            softmax and without the mask of the padding, in the order asked.
    """

    logits: Tensor | None = None
    tags: tuple[Tensor, ...] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attention_scores: tuple[Tensor, ...] | None = None


class Student(PreTrainedModel):
    """An encoder whose token states are tagged by several heads, or whose texts are classified.

    The tagging heads that read the same layer are the rows of one linear layer, ordered head,
    attribute, class; so nine teams cost one product, and a head whose team is absent from a
    batch still gets a (zero) gradient. A class head is one linear layer on the first token or
    the mean. Auxiliary heads (part-of-speech paper, §3.4: dropout, then a linear layer, on any
    layer) tag tokens in one sequence each, and only where they are asked for.
    """

    config_class = StudentConfig
    base_model_prefix = "encoder"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(self, config: StudentConfig) -> None:
        super().__init__(config)
        names = config.head_names
        if len(set(names)) != len(names):
            raise ValueError(f"heads must have different names, got {names}")
        if not config.attributes and not config.classes:
            raise ValueError("a student needs at least one attribute, or classes; got none")
        if config.classes and (config.attributes or names):
            raise ValueError(
                "a student either tags attributes or classifies, got the attributes "
                f"{config.attributes} and the heads {names} beside the classes {config.classes}"
            )
        if config.pooling not in ("first", "mean"):
            raise ValueError(f'pooling={config.pooling!r}: expected "first" or "mean"')
        encoder_config = config.encoder_config()
        if encoder_config.is_encoder_decoder:
            raise ValueError(
                f"expected a BERT-like encoder, got {encoder_config.model_type!r}, an "
                "encoder-decoder"
            )
        self.encoder = AutoModel.from_config(encoder_config, **without_pooler(encoder_config))
        depth, width = encoder_config.num_hidden_layers, encoder_config.hidden_size
        self._layers = [layer_of(head, depth) for head in config.heads]
        self._class_layer = layer_of({"name": OUTPUT_HEAD, "layer": config.class_layer}, depth)
        self._auxiliary_layers = [layer_of(head, depth) for head in config.auxiliary_heads]
        self._last = depth
        rate = config.head_dropout
        if rate is None:
            rate = getattr(encoder_config, "hidden_dropout_prob", 0.1)
        self.dropout = nn.Dropout(rate)
        self.auxiliary_dropout = nn.Dropout(config.auxiliary_dropout)
        per_head = len(config.attributes) * CLASSES
        self.heads = nn.ModuleDict(
            {
                str(layer): nn.Linear(width, self._layers.count(layer) * per_head)
                for layer in sorted(set(self._layers))
            }
        )
        if config.classes:
            self.classifier = nn.Linear(width, len(config.classes))
        self.auxiliary = nn.ModuleList(
            nn.Linear(width, len(head["tags"])) for head in config.auxiliary_heads
        )
        # Where the heads stand once the layers' products are joined, back in the heads' order.
        joined = sorted(range(len(names)), key=lambda head: self._layers[head])
        self._order = [joined.index(head) for head in range(len(names))]
        self.adopted: list[str] = []
        """Heads that go on from what another student's had learnt."""
        self.post_init()

    @classmethod
    def from_encoder(
        cls, encoder: str, config: StudentConfig, layers: Sequence[int] = (), **options: Any
    ) -> Student:
        """A student on a pretrained encoder, in float32, with newly drawn heads.

        Args:
            encoder: a name on the Hub or a folder. It may be that of a student: then heads that
                tag the same, a team's and an attribute's, go on from what they have learnt, so
                that teams can come and go without starting again.
            config: its ``encoder`` is replaced by the checkpoint's.
            layers: those of the encoder's to keep, counted from 1; none: all of them.
            **options: for the encoder's ``from_pretrained`` (``revision``, ``token``, …).

        Raises:
            ValueError: the student there reads other tokens than ``config`` wants, or was exported
                to ONNX; or there is no such layer.
        """
        source = AutoConfig.from_pretrained(encoder, **options)
        refuse_exported(source)
        if isinstance(source, StudentConfig):
            trained = cls.from_pretrained(encoder, dtype=torch.float32, **options)
            if layers:
                keep_layers(trained.encoder, layers)
            config.encoder = trained.encoder.config.to_dict()
            student = cls(config)
            student.adopt(trained)
            return student
        pretrained = AutoModel.from_pretrained(
            encoder, dtype=torch.float32, **without_pooler(source), **options
        )
        if layers:
            keep_layers(pretrained, layers)
        config.encoder = pretrained.config.to_dict()
        student = cls(config)
        student.encoder = pretrained
        return student

    @torch.no_grad()
    def adopt(self, other: Student) -> None:
        """Take over another student's encoder, and its heads as far as both tag the same.

        Args:
            other: of the same encoder and the same words. Heads are matched by name and layer,
                their rows by attribute, a class head's by class, an auxiliary head's by tag;
                what the other does not have stays as it is.

        Raises:
            ValueError: the other reads other tokens, or its encoder is another.
        """
        for name in ("words", "mecab_options", "part_of_speech"):
            wanted, given = getattr(other.config, name), getattr(self.config, name)
            if given != wanted:
                raise ValueError(
                    f"{name}: expected {wanted!r}, as in the student to go on from, got {given!r}"
                )
        self.encoder.load_state_dict(other.encoder.state_dict())
        places = other._rows()
        for key, (mine, rows) in self._rows().items():
            if key in places:
                self.adopted += [key[0]] if key[0] not in self.adopted else []
                theirs, their_rows = places[key]
                mine.weight[rows] = theirs.weight[their_rows]
                mine.bias[rows] = theirs.bias[their_rows]

    def without(self, teams: Collection[str], auxiliary: bool = True) -> Student:
        """The same student without some of its teachers' heads.

        Thresholds were chosen with those teachers in p_mean: they go as well.

        Args:
            teams: names of teacher heads.
            auxiliary: whether the auxiliary heads stay.

        Raises:
            ValueError: there is no such head, or none would be left.
        """
        config = StudentConfig.from_dict(self.config.to_dict())
        for team in teams:
            if team not in config.teachers:
                raise ValueError(
                    f"no teacher {team!r}; expected some of {', '.join(config.teachers) or 'none'}"
                )
        kept = [number for number, name in enumerate(config.teachers) if name not in teams]
        if config.teacher_weights is not None:
            config.teacher_weights = [config.teacher_weights[number] for number in kept] or None
        config.heads = [head for head in config.heads if head["name"] not in teams]
        if not auxiliary:
            config.auxiliary_heads = []
        config.thresholds = None
        if not config.heads and not config.classes:
            raise ValueError("a student needs at least one head, and none would be left")
        student = type(self)(config)
        student.adopt(self)
        return student.eval()

    def _rows(self) -> dict[tuple[str, int, str], tuple[Any, slice]]:
        """(head, layer, what it tells apart) → a linear layer, and its rows there."""
        result: dict[tuple[str, int, str], tuple[Any, slice]] = {}
        seen = dict.fromkeys(self._layers, 0)
        for name, layer in zip(self.config.head_names, self._layers, strict=True):
            for attribute in self.config.attributes:
                rows = slice(seen[layer], seen[layer] + CLASSES)
                result[name, layer, attribute] = (self.heads[str(layer)], rows)
                seen[layer] += CLASSES
        for row, name in enumerate(self.config.classes):
            key = (OUTPUT_HEAD, self._class_layer, name)
            result[key] = (self.classifier, slice(row, row + 1))
        for number, head in enumerate(self.config.auxiliary_heads):
            for row, tag in enumerate(head["tags"]):
                key = (head["name"], self._auxiliary_layers[number], tag)
                result[key] = (self.auxiliary[number], slice(row, row + 1))
        return result

    def _init_weights(self, module: nn.Module) -> None:
        """Heads start like the encoder's own linear layers; the encoder initialises itself."""
        if isinstance(module, nn.Linear):
            deviation = self.config.encoder.get("initializer_range", 0.02)
            nn.init.normal_(module.weight, std=deviation)
            nn.init.zeros_(module.bias)

    def get_input_embeddings(self) -> nn.Module:
        """The encoder's embedding matrix."""
        return self.encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the encoder's embedding matrix."""
        self.encoder.set_input_embeddings(value)

    @property
    def read_layers(self) -> list[int]:
        """The layers that some head reads, from 0, the embeddings; sorted."""
        main = [self._class_layer] if self.config.classes else self._layers
        return sorted({*main, *self._auxiliary_layers})

    def train_only(self, layers: Collection[int]) -> None:
        """Freeze the encoder but for some of its layers; every head goes on learning.

        What comes before the first of them is run without autograd: nothing there asks for a
        gradient.

        Args:
            layers: counted from 1, the first one; 0 stands for the embeddings. Negative ones
                count from the end.

        Raises:
            ValueError: there is no such layer, no head reads it or one above it, or the encoder
                keeps its layers in no list.
        """
        stack, highest = layer_stack(self.encoder), max(self.read_layers)
        places = [absolute(layer, len(stack)) for layer in layers]
        for place, layer in zip(places, layers, strict=True):
            if place > highest:
                raise ValueError(
                    f"layer {layer} cannot learn: the highest that a head reads is {highest}"
                )
        embeddings = getattr(self.encoder, "embeddings", None)
        if 0 in places and embeddings is None:
            raise ValueError(f"{type(self.encoder).__name__} has no embeddings of its own to train")
        self.encoder.requires_grad_(False)
        for place in places:
            part: Any = stack[place - 1] if place else embeddings
            part.requires_grad_(True)

    def freeze_unread(self) -> None:
        """Freeze the layers above all that heads read: no gradient would ever reach them."""
        highest = max(self.read_layers)
        if highest < self._last:
            for layer in layer_stack(self.encoder)[highest:]:
                layer.requires_grad_(False)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        tags: bool = False,
        hidden_states: Sequence[int] = (),
        attention_scores: Sequence[int] = (),
        inputs_embeds: Tensor | None = None,
        **_: Any,
    ) -> StudentOutput:
        """The logits of every head, and what else is asked for.

        Args:
            input_ids: (batch, tokens), integer, with the special tokens.
            attention_mask: (batch, tokens), 1 for tokens, 0 for padding; None for all tokens.
            tags: whether the auxiliary heads answer too.
            hidden_states: layers whose output is wanted, from 0, the embeddings; negative ones
                count from the end.
            attention_scores: layers whose attention scores are wanted, from 1.
            inputs_embeds: (batch, tokens, width), read in the place of the tokens' own word
                embeddings; ``input_ids`` still tell a pair's texts apart.

        Raises:
            ValueError: there is no such layer, or it has no attention scores to give.
        """
        wanted = [absolute(layer, self._last) for layer in hidden_states]
        auxiliary = self._auxiliary_layers if tags else []
        main = [self._class_layer] if self.config.classes else self._layers
        segments = {}
        tells_segments = getattr(self.encoder.config, "type_vocab_size", 0) > 1
        if self.config.pair_separator is not None and tells_segments:
            segments["token_type_ids"] = self._segments(input_ids, attention_mask)
        read = (
            {"input_ids": input_ids} if inputs_embeds is None else {"inputs_embeds": inputs_embeds}
        )
        with collecting_scores(self.encoder, attention_scores) as scores:
            encoded = self.encoder(
                **read,
                attention_mask=attention_mask,
                output_hidden_states=any(
                    layer != self._last for layer in (*main, *auxiliary, *wanted)
                ),
                return_dict=True,
                **segments,
            )

        def states(layer: int) -> Tensor:
            last = layer == self._last
            return encoded.last_hidden_state if last else encoded.hidden_states[layer]

        if self.config.classes:
            logits = self._classify(states(self._class_layer), attention_mask)
        else:
            logits = self._tag(states, input_ids.shape)
        answers = tuple(
            head(self.auxiliary_dropout(states(layer)))
            for head, layer in zip(self.auxiliary if tags else (), auxiliary, strict=True)
        )
        return StudentOutput(
            logits=logits,
            tags=answers if tags else None,
            hidden_states=tuple(states(layer) for layer in wanted) or None,
            attention_scores=tuple(scores[layer] for layer in attention_scores) or None,
        )

    def _segments(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """0 up to the first separator, 1 behind it, 0 for padding; (batch, tokens)."""
        separators = (input_ids == self.config.pair_separator).long()
        behind = separators.cumsum(dim=1) - separators > 0
        return (behind if attention_mask is None else behind & (attention_mask > 0)).long()

    def _classify(self, states: Tensor, attention_mask: Tensor | None) -> Tensor:
        """(batch, tokens, width) → (batch, classes)."""
        if self.config.pooling == "first":
            pooled = states[:, 0]
        elif attention_mask is None:
            pooled = states.mean(dim=1)
        else:
            known = attention_mask.unsqueeze(-1).to(states.dtype)
            pooled = (states * known).sum(dim=1) / known.sum(dim=1)
        return self.classifier(self.dropout(pooled))

    def _tag(self, states: Callable[[int], Tensor], batch: Sequence[int]) -> Tensor:
        """The states of layers → (batch, tokens, heads, attributes, 3)."""
        products = [
            linear(self.dropout(states(int(layer)))) for layer, linear in self.heads.items()
        ]
        shape = (*batch, len(self._layers), len(self.config.attributes), CLASSES)
        if len(products) == 1:
            return products[0].view(shape)
        return torch.cat(products, dim=-1).view(shape)[:, :, self._order]

    def probabilities(self, logits: Tensor) -> TagProbabilities:
        """Every view of what the student believes, from ``forward``'s logits."""
        return tag_probabilities(logits, self.config)


def without_pooler(config: PreTrainedConfig) -> dict[str, bool]:
    """Leave out the sentence pooler, where the encoder has one: no head reads it."""
    encoder_class: Any = MODEL_MAPPING[type(config)]
    parameters = inspect.signature(encoder_class).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in parameters else {}


Student.register_for_auto_class()  # saved with its code
