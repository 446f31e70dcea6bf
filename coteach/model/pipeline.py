"""The student as a pipeline of transformers: texts in, attribute values with their places out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate, tee
from typing import Any

from .alignment import Tokens
from .configuration import Probability
from .extraction import Extraction, Extractor, Threshold
from .spans import Span
from .student_pipeline import StudentPipeline


class AttributeExtractionPipeline(StudentPipeline):
    """Finds attribute values in texts of any length.

    ::

        pipe = pipeline("attribute-extraction", model="a student's folder or name on the Hub")
        pipe("1603年に徳川家康が築いた。")

    A str gives a list of values; a list of str gives a list of such lists; a generator, a dataset
    or any other iterable gives an iterator that reads up to 256 texts ahead. A value is::

        {
            "attribute": str,
            "start": int, "end": int,                # code points of the text, end exclusive
            "text": str,                             # the text between them
            "score": float,                          # the confidence, in (0, 1]
            "start_line": int, "start_offset": int,  # the same place by line, split on "\\n",
            "end_line": int, "end_offset": int,      # and code point within it, all from 0
        }

    Values are sorted by attribute, then by place. The score is the geometric mean of the
    probabilities of the value's tags. Options, here or in a call:

    Args:
        probability: which probability decides: that of the output head ("p_out"), the teachers'
            mean ("p_mean"), or the mean of both ("p", the default).
        teachers: also say what each teacher head finds. A text then gives ``{"values": [value, …],
            "teachers": {team: [value, …]}}``.
        threshold: the minimal score, a number or a dictionary by attribute; by default, for "p",
            the student's own ``thresholds``, otherwise 0.
        batch_size: windows a batch, 16 by default; windows of different texts share batches.

    Raises:
        ValueError: the student has no such probability or attribute, or an input is no str.
    """

    def __init__(self, *arguments: Any, batch_size: int = 16, **options: Any) -> None:
        super().__init__(*arguments, batch_size=batch_size, **options)
        self.extractor = Extractor(self.model, self.tokenizer, batch_size)

    def __call__(self, inputs: str | Iterable[str], *_: Any, **options: Any) -> Any:
        """The values of one text, or of each: see the class."""
        if isinstance(inputs, str):
            return super().__call__([inputs], **options)[0]
        results = super().__call__((text for text in inputs), **options)
        return list(results) if isinstance(inputs, (list, tuple)) else results

    def _sanitize_parameters(  # type: ignore[override]  # no others than these
        self,
        probability: Probability | None = None,
        teachers: bool | None = None,
        threshold: Threshold | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """The options given, for each of the three steps below."""
        views = {"probability": probability, "teachers": teachers}
        views = {name: value for name, value in views.items() if value is not None}
        return {}, views if threshold is None else {**views, "threshold": threshold}, views

    def get_iterator(
        self,
        inputs: Iterable[str],
        num_workers: int,
        batch_size: int,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> Iterator[Any]:
        """The three steps on a stream of texts, so that their windows can share batches."""
        self.extractor.batch_size = batch_size
        texts, read = tee(inputs)
        found = self._forward(map(self.preprocess, read), **forward_params)
        return (
            self.postprocess((text, extraction), **postprocess_params)
            for text, extraction in zip(texts, found, strict=True)
        )

    def preprocess(self, text: str) -> Tokens:  # type: ignore[override]
        """A text's tokens."""
        if not isinstance(text, str):
            raise ValueError(f"expected a text or several, got {text!r} among them")
        return self.extractor.aligner(text)

    def _forward(  # type: ignore[override]
        self,
        pages: Iterable[Tokens],
        probability: Probability = "p",
        teachers: bool = False,
        threshold: Threshold | None = None,
    ) -> Iterator[Extraction]:
        """What the student finds in each of the texts."""
        views = [probability, *(self.model.config.teacher_views if teachers else ())]
        return self.extractor.from_tokens(pages, views, threshold)

    def postprocess(  # type: ignore[override]
        self,
        found: tuple[str, Extraction],
        probability: Probability = "p",
        teachers: bool = False,
    ) -> Any:
        """What was found in a text, as users see it."""
        text, extraction = found
        line_starts = list(accumulate((len(line) + 1 for line in text.split("\n")), initial=0))
        values = {
            view: [_value(text, line_starts, *it) for it in spans]
            for view, spans in extraction.items()
        }
        if not teachers:
            return values[probability]
        config = self.model.config
        views = zip(config.teachers, config.teacher_views, strict=True)
        return {
            "values": values[probability],
            "teachers": {name: values[view] for name, view in views},
        }


def _value(text: str, line_starts: list[int], span: Span, score: float) -> dict[str, Any]:
    start = line_starts[span.start_line] + span.start_offset
    end = line_starts[span.end_line] + span.end_offset
    return {
        "attribute": span.attribute,
        "start": start,
        "end": end,
        "text": text[start:end],
        "score": score,
        "start_line": span.start_line,
        "start_offset": span.start_offset,
        "end_line": span.end_line,
        "end_offset": span.end_offset,
    }
