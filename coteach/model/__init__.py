"""The student and all that ships with it: this folder imports nothing else of coteach.

Importing one of its classes makes students known to transformers:
``AutoModel.from_pretrained(student)``, ``pipeline("attribute-extraction", model=student)``,
``pipeline("student-text-classification", model=student)``. A student is saved with the files of
this folder, by which the same works without coteach, with ``trust_remote_code=True``.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .registration import (
        AttributeExtractionPipeline,
        ClassificationPipeline,
        OnnxStudent,
        OnnxStudentConfig,
        Student,
        StudentConfig,
    )

__all__ = [
    "AttributeExtractionPipeline",
    "ClassificationPipeline",
    "OnnxStudent",
    "OnnxStudentConfig",
    "Student",
    "StudentConfig",
]


def __getattr__(name: str) -> Any:
    """The classes are loaded when they are asked for: spans and texts need neither torch nor
    transformers, whose import takes seconds."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import registration

    return getattr(registration, name)
