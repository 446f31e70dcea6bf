"""The configuration of a student."""

from __future__ import annotations

from typing import Any, Literal

from transformers import AutoConfig, PreTrainedConfig

OUTPUT_HEAD = "output"
TASK = "attribute-extraction"
"""The name under which transformers knows the pipeline of students."""

Probability = Literal["p", "p_out", "p_mean"]


class StudentConfig(PreTrainedConfig):
    """An encoder, and heads that tag its tokens in IOB2 for every attribute.

    Args:
        encoder: the encoder's own configuration (as a dictionary, with its ``model_type``).
        attributes: names of the attributes, in the order of every attribute axis.
        heads: ``{"name": …, "layer": …}``, in the order of every head axis. A layer counts from
            0 (the embeddings) or, negative, from the end, −1 being the last. The head named
            "output" learns from the gold; the others are teacher heads, one per team.
        teacher_weights: the weight of each teacher head in p_mean, (teachers,) or
            (teachers, attributes); None for equal weights, as in the paper.
        head_dropout: dropout before the heads; None for the encoder's own rate, or 0.1.
        window: content tokens of a window, and ``overlap`` between two windows (510 and 100 in
            the original code).
        words: "mecab" to split text at MeCab words before the tokenizer, None to leave it be.
        mecab_options: MeCab's command line for ``words``, for example "-d DICTIONARY".
        trim_head: lines at the top of a page that are not read, and ``trim_tail`` at its end.
        thresholds: the minimal confidence, per attribute, of the values that p finds; None, and
            an attribute that is left out, for no minimum.
    """

    model_type = "coteach_student"

    def __init__(
        self,
        encoder: dict[str, Any] | PreTrainedConfig | None = None,
        attributes: list[str] | None = None,
        heads: list[dict[str, Any]] | None = None,
        teacher_weights: list[Any] | None = None,
        head_dropout: float | None = None,
        window: int = 510,
        overlap: int = 100,
        words: str | None = None,
        mecab_options: str = "",
        trim_head: int = 0,
        trim_tail: int = 0,
        thresholds: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(encoder, PreTrainedConfig):
            encoder = encoder.to_dict()
        self.encoder = encoder or {"model_type": "bert"}
        self.attributes = list(attributes or [])
        self.heads = list(heads or [{"name": OUTPUT_HEAD, "layer": -1}])
        self.teacher_weights = teacher_weights
        self.head_dropout = head_dropout
        self.window = window
        self.overlap = overlap
        self.words = words
        self.mecab_options = mecab_options
        self.trim_head = trim_head
        self.trim_tail = trim_tail
        self.thresholds = thresholds
        super().__init__(**kwargs)

    @property
    def teachers(self) -> list[str]:
        """Names of the teacher heads, in the order of the teacher axis."""
        return [name for name in self.head_names if name != OUTPUT_HEAD]

    @property
    def head_names(self) -> list[str]:
        """Names of all heads, in the order of the head axis."""
        return [head["name"] for head in self.heads]

    @property
    def probability_names(self) -> list[Probability]:
        """The final probabilities this student has: p alone unless it has both kinds of heads."""
        both = 0 < len(self.teachers) < len(self.heads)
        return ["p", "p_out", "p_mean"] if both else ["p"]

    @property
    def teacher_views(self) -> list[str]:
        """Names of the views of single teacher heads, in the order of the teacher axis."""
        return [f"teacher:{name}" for name in self.teachers]

    @property
    def custom_pipelines(self) -> dict[str, Any]:
        """The pipeline that comes with a student's files, where transformers looks for it.

        None where the package has registered its own: that one needs no ``trust_remote_code``.
        """
        from transformers.pipelines import PIPELINE_REGISTRY

        # By this import, too, the pipeline's file is among those saved with a student.
        from .pipeline import AttributeExtractionPipeline

        if TASK in PIPELINE_REGISTRY.get_supported_tasks():
            return {}
        implementation = f"pipeline.{AttributeExtractionPipeline.__name__}"
        return {TASK: {"impl": implementation, "pt": ["AutoModel"]}}

    def encoder_config(self) -> PreTrainedConfig:
        """The encoder's configuration as an object of its own class."""
        options = dict(self.encoder)
        return AutoConfig.for_model(options.pop("model_type"), **options)


StudentConfig.register_for_auto_class()  # saved with its code
