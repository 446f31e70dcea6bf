"""The student and all that ships with it: this folder imports nothing else of coteach.

Importing it makes students known to transformers: ``AutoModel.from_pretrained(student)``,
``pipeline("attribute-extraction", model=student)``. A student is saved with the files of this
folder, by which the same works without coteach, with ``trust_remote_code=True``.
"""

from transformers import AutoConfig, AutoModel
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration import TASK, StudentConfig
from .pipeline import AttributeExtractionPipeline
from .student import Student

AutoConfig.register(StudentConfig.model_type, StudentConfig)
AutoModel.register(StudentConfig, Student)
PIPELINE_REGISTRY.register_pipeline(TASK, AttributeExtractionPipeline, pt_model=AutoModel)

StudentConfig.register_for_auto_class()
Student.register_for_auto_class()

__all__ = ["AttributeExtractionPipeline", "Student", "StudentConfig"]
