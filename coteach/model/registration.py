"""Makes students and their pipelines known to transformers."""

from transformers import AutoConfig, AutoModel
from transformers.pipelines import PIPELINE_REGISTRY

from .classification_pipeline import ClassificationPipeline
from .configuration import CLASSIFICATION_TASK, TASK, OnnxStudentConfig, StudentConfig
from .onnx_student import OnnxStudent
from .pipeline import AttributeExtractionPipeline
from .student import Student

__all__ = [
    "AttributeExtractionPipeline",
    "ClassificationPipeline",
    "OnnxStudent",
    "OnnxStudentConfig",
    "Student",
    "StudentConfig",
]

AutoConfig.register(StudentConfig.model_type, StudentConfig)
AutoModel.register(StudentConfig, Student)
AutoConfig.register(OnnxStudentConfig.model_type, OnnxStudentConfig)
AutoModel.register(OnnxStudentConfig, OnnxStudent)
PIPELINE_REGISTRY.register_pipeline(TASK, AttributeExtractionPipeline, pt_model=AutoModel)
PIPELINE_REGISTRY.register_pipeline(CLASSIFICATION_TASK, ClassificationPipeline, pt_model=AutoModel)
