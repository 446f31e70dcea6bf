"""Makes students and their pipeline known to transformers."""

from transformers import AutoConfig, AutoModel
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration import TASK, StudentConfig
from .pipeline import AttributeExtractionPipeline
from .student import Student

__all__ = ["AttributeExtractionPipeline", "Student", "StudentConfig"]

AutoConfig.register(StudentConfig.model_type, StudentConfig)
AutoModel.register(StudentConfig, Student)
PIPELINE_REGISTRY.register_pipeline(TASK, AttributeExtractionPipeline, pt_model=AutoModel)
