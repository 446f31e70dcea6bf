"""What the pipelines of students share."""

from __future__ import annotations

from typing import Any

from transformers import Pipeline


class StudentPipeline(Pipeline):
    """A pipeline of transformers that reads texts with a student and its own tokenizer."""

    _load_tokenizer: Any = True
    _load_processor: Any = False
    _load_image_processor: Any = False
    _load_video_processor: Any = False
    _load_feature_extractor: Any = False

    model: Any
    tokenizer: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.model.eval()

    def save_pretrained(self, save_directory: Any, **options: Any) -> None:
        """Save the student, with whom goes the code of this pipeline, and its tokenizer."""
        self.model.save_pretrained(save_directory, **options)
        self.tokenizer.save_pretrained(save_directory, **options)
