"""The student and all that ships with it: this folder imports nothing else of coteach."""

from transformers import AutoConfig, AutoModel

from .configuration import StudentConfig
from .student import Student

AutoConfig.register(StudentConfig.model_type, StudentConfig)
AutoModel.register(StudentConfig, Student)

__all__ = ["Student", "StudentConfig"]
