"""The configuration of a student."""

from __future__ import annotations

from typing import Any, Literal

from transformers import AutoConfig, PreTrainedConfig

OUTPUT_HEAD = "output"
TASK = "attribute-extraction"
"""The name under which transformers knows the pipeline of students."""

CLASSIFICATION_TASK = "student-text-classification"
"""The same for students that classify texts."""

Probability = Literal["p", "p_out", "p_mean"]
Pooling = Literal["first", "mean"]


class StudentConfig(PreTrainedConfig):
    """An encoder, and heads: those of its main task, and auxiliary ones.

    The main task is either to tag the encoder's tokens in IOB2 for every attribute, by several
    heads, or to classify a text, by one.

    Args:
        encoder: the encoder's own configuration (as a dictionary, with its ``model_type``).
        attributes: names of the attributes, in the order of every attribute axis; none for a
            student that classifies.
        heads: ``{"name": …, "layer": …}``, in the order of every head axis. A layer counts from
            0 (the embeddings) or, negative, from the end, −1 being the last. The head named
            "output" learns from the gold; the others are teacher heads, one per team.
        classes: names of the classes of a text, in the order of every class axis; none for a
            student that extracts.
        class_layer: the layer that the class head reads.
        pooling: what the class head reads of it: the "first" token ([CLS]), or the "mean" of all
            tokens but padding.
        pair_separator: the id of the token between the two texts of a pair; what follows it is
            the second segment, for encoders that tell two. None for single texts.
        preprocessing: steps of ``preprocess``, done to a text before it is classified.
        auxiliary_heads: ``{"name": …, "layer": …, "tags": […]}``, heads that tag tokens in one
            sequence, for the encoder's sake; no prediction is made of them.
        teacher_weights: the weight of each teacher head in p_mean, (teachers,) or
            (teachers, attributes); None for equal weights, as in the paper.
        head_dropout: dropout before the heads; None for the encoder's own rate, or 0.1.
        auxiliary_dropout: dropout before the auxiliary heads (part-of-speech paper, §3.4: 0.1).
        window: content tokens of a window, and ``overlap`` between two windows (510 and 100 in
            the original code).
        words: "mecab" to split text at MeCab words before the tokenizer, "part_of_speech" at the
            stretches of ``part_of_speech``, None to leave it be.
        mecab_options: MeCab's command line for "mecab", for example "-d DICTIONARY".
        part_of_speech: for "part_of_speech": the description of a ``PartOfSpeechLabeler``.
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
        classes: list[str] | None = None,
        class_layer: int = -1,
        pooling: Pooling = "first",
        pair_separator: int | None = None,
        preprocessing: list[str] | None = None,
        auxiliary_heads: list[dict[str, Any]] | None = None,
        teacher_weights: list[Any] | None = None,
        head_dropout: float | None = None,
        auxiliary_dropout: float = 0.1,
        window: int = 510,
        overlap: int = 100,
        words: str | None = None,
        mecab_options: str = "",
        part_of_speech: dict[str, Any] | None = None,
        trim_head: int = 0,
        trim_tail: int = 0,
        thresholds: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(encoder, PreTrainedConfig):
            encoder = encoder.to_dict()
        self.encoder = encoder or {"model_type": "bert"}
        self.attributes = list(attributes or [])
        self.classes = list(classes or [])
        alone = [] if self.classes else [{"name": OUTPUT_HEAD, "layer": -1}]
        self.heads = list(heads or alone)
        self.class_layer = class_layer
        self.pooling = pooling
        self.pair_separator = pair_separator
        self.preprocessing = list(preprocessing or [])
        self.auxiliary_heads = list(auxiliary_heads or [])
        self.teacher_weights = teacher_weights
        self.head_dropout = head_dropout
        self.auxiliary_dropout = auxiliary_dropout
        self.window = window
        self.overlap = overlap
        self.words = words
        self.mecab_options = mecab_options
        self.part_of_speech = part_of_speech
        self.trim_head = trim_head
        self.trim_tail = trim_tail
        self.thresholds = thresholds
        if self.classes:  # where other tools look for them
            kwargs["id2label"] = dict(enumerate(self.classes))
            kwargs["label2id"] = {name: number for number, name in enumerate(self.classes)}
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

        # By these imports, too, the pipelines' files are among those saved with a student.
        from .classification_pipeline import ClassificationPipeline
        from .pipeline import AttributeExtractionPipeline

        if TASK in PIPELINE_REGISTRY.get_supported_tasks():
            return {}
        if self.classes:
            implementation = f"classification_pipeline.{ClassificationPipeline.__name__}"
            return {CLASSIFICATION_TASK: {"impl": implementation, "pt": ["AutoModel"]}}
        implementation = f"pipeline.{AttributeExtractionPipeline.__name__}"
        return {TASK: {"impl": implementation, "pt": ["AutoModel"]}}

    def encoder_config(self) -> PreTrainedConfig:
        """The encoder's configuration as an object of its own class."""
        options = dict(self.encoder)
        return AutoConfig.for_model(options.pop("model_type"), **options)


class OnnxStudentConfig(StudentConfig):
    """The configuration of a student that was exported to ONNX: the same fields."""

    model_type = "coteach_onnx_student"


def refuse_exported(config: PreTrainedConfig) -> None:
    """Refuse an exported student where a model of torch is wanted.

    Raises:
        ValueError: the configuration is that of a student that was exported to ONNX.
    """
    if isinstance(config, OnnxStudentConfig):
        raise ValueError(
            "it was exported to ONNX, which can be used and not trained or looked into; expected "
            "the student that it was exported from"
        )


StudentConfig.register_for_auto_class()  # saved with its code
OnnxStudentConfig.register_for_auto_class()
