"""A classifying student as a pipeline of transformers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from .classification import Classifier
from .student_pipeline import StudentPipeline

Text = str | tuple[str, str]


class ClassificationPipeline(StudentPipeline):
    """Classifies texts, with the preprocessing and the tokens that the student was trained with.

    ::

        pipe = pipeline("student-text-classification", model="a student's folder or name")
        pipe("また泊まりたい宿です。")  # {"label": "positive", "score": 0.98}

    A text gives a dictionary, a list of texts a list of such, any other iterable an iterator
    that reads up to 1,024 texts ahead. A pair of texts is a tuple of two str. A text may also be
    given as ``{"text": …}``, a pair as ``{"text": …, "text_pair": …}``. Options, here or in a
    call:

    Args:
        top_k: how many classes a text gets, the likeliest first, as a list; None for all of them.
            By default the likeliest alone, not in a list.
        batch_size: texts a batch, 32 by default.

    Raises:
        ValueError: the student does not classify, or an input is not what it was trained with.
    """

    def __init__(self, *arguments: Any, batch_size: int = 32, **options: Any) -> None:
        super().__init__(*arguments, batch_size=batch_size, **options)
        self.classifier = Classifier(self.model, self.tokenizer, batch_size)

    def __call__(self, inputs: Text | Iterable[Text], *_: Any, **options: Any) -> Any:
        """The class of one text, or of each: see the class."""
        if isinstance(inputs, (str, tuple, Mapping)):
            return super().__call__([inputs], **options)[0]
        if not isinstance(inputs, Iterable):
            raise ValueError(f"expected a text or several, got {inputs!r}")
        results = super().__call__((text for text in inputs), **options)
        return list(results) if isinstance(inputs, list) else results

    def _sanitize_parameters(
        self, **options: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        for name in options:
            if name != "top_k":
                raise ValueError(f"option {name!r}: expected top_k")
        if options.get("top_k") is not None and options["top_k"] < 1:
            raise ValueError(f"top_k: expected at least 1, or None, got {options['top_k']}")
        return {}, {}, options

    def get_iterator(
        self,
        inputs: Iterable[Text],
        num_workers: int,
        batch_size: int,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> Iterator[Any]:
        """The three steps on a stream of texts, so that they can share batches."""
        self.classifier.batch_size = batch_size
        found = self._forward(map(self.preprocess, inputs))
        return (self.postprocess(it, **postprocess_params) for it in found)

    def preprocess(self, text: Any) -> list[int]:  # type: ignore[override]
        """A text's token ids."""
        if isinstance(text, Mapping):
            parts = (text.get("text"), text.get("text_pair"))
            text = parts[0] if parts[1] is None else parts
        texts = text if isinstance(text, tuple) else (text,)
        if not all(isinstance(it, str) for it in texts):
            raise ValueError(f"expected a text or several, got {text!r} among them")
        return self.classifier.content(text)

    def _forward(self, contents: Iterable[list[int]]) -> Iterator[np.ndarray]:  # type: ignore[override]
        return self.classifier.from_contents(contents)

    def postprocess(  # type: ignore[override]
        self, probabilities: np.ndarray, **options: Any
    ) -> Any:
        """The likeliest classes, as users see them."""
        classes = self.model.config.classes
        order = np.argsort(-probabilities, kind="stable")
        ranked = [
            {"label": classes[number], "score": float(probabilities[number])} for number in order
        ]
        return ranked[: options["top_k"]] if "top_k" in options else ranked[0]
