"""A student that was exported to ONNX, run by ONNX Runtime in the place of the student."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, PreTrainedModel
from transformers.dynamic_module_utils import custom_object_save
from transformers.utils import cached_file

from .configuration import OnnxStudentConfig
from .probabilities import TagProbabilities, tag_probabilities
from .student import StudentOutput

ONNX_FILE = "model.onnx"
INPUTS = ("input_ids", "attention_mask")
_OF_THE_HUB = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")


class OnnxStudent(PreTrainedModel):
    """Answers as the :class:`.student.Student` does that was exported; it cannot be trained.

    It computes on the CPU, in the precision of its file, with as many threads as torch had when it
    was made (``torch.set_num_threads``, or the environment variable OMP_NUM_THREADS).

    Args:
        config: of the exported student.
        file: the ONNX file, whose inputs are ``input_ids`` and ``attention_mask``, (batch,
            tokens), int64, and one of whose outputs is ``logits``, as of ``Student.forward``.

    Attributes:
        file: the same, as a path.

    Raises:
        ModuleNotFoundError: ONNX Runtime is not installed.
        ValueError: the file is no ONNX model.
    """

    config_class = OnnxStudentConfig
    main_input_name = "input_ids"

    def __init__(self, config: OnnxStudentConfig, file: str | Path) -> None:
        import onnxruntime

        super().__init__(config)
        self.file = Path(file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self._session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors have no other common class
            raise ValueError(f"{file}: expected an ONNX model: {error}") from None

    @classmethod
    def from_pretrained(  # type: ignore[override]  # nothing else has a meaning for a finished graph
        cls,
        pretrained_model_name_or_path: str | Path,
        *_: Any,
        config: OnnxStudentConfig | None = None,
        **options: Any,
    ) -> OnnxStudent:
        """An exported student, from its folder or the Hub.

        Args:
            pretrained_model_name_or_path: the folder, or a name on the Hub.
            config: None for the one there.
            **options: of transformers, for the Hub; those for weights, such as ``dtype``, do
                nothing.

        Raises:
            OSError: there is no such folder, or no ONNX file in it.
            ValueError: what is there is no exported student.
        """
        place = str(pretrained_model_name_or_path)
        of_the_hub = {name: options[name] for name in _OF_THE_HUB if name in options}
        if config is None:
            config = AutoConfig.from_pretrained(place, **of_the_hub)
        # By its name: code that comes with a folder may be loaded twice, as two classes.
        if config.model_type != OnnxStudentConfig.model_type:
            raise ValueError(
                f"{place}: expected a student that was exported to ONNX, got {config.model_type!r}"
            )
        file = cached_file(place, ONNX_FILE, **of_the_hub)
        assert file is not None  # or it would have raised
        return cls(config, file)

    def save_pretrained(self, save_directory: str | Path, **_: Any) -> None:  # type: ignore[override]
        """Save the ONNX file, the configuration and the code of this class."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        if self.file.resolve() != (folder / ONNX_FILE).resolve():
            shutil.copyfile(self.file, folder / ONNX_FILE)
        self.config.architectures = [type(self).__name__]
        config: Any = self.config
        custom_object_save(self, folder, config=config)
        config.save_pretrained(folder)

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """That of its answers."""
        return torch.float32

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> StudentOutput:
        """The logits of every head.

        Args:
            input_ids: (batch, tokens), integer, with the special tokens.
            attention_mask: (batch, tokens), 1 for tokens, 0 for padding; None for all tokens.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        arrays = (tensor.to("cpu", torch.int64).numpy() for tensor in (input_ids, mask))
        feed = dict(zip(INPUTS, arrays, strict=True))
        (logits,) = self._session.run(["logits"], feed)
        return StudentOutput(logits=torch.from_numpy(logits))

    def probabilities(self, logits: Tensor) -> TagProbabilities:
        """Every view of what the student believes, from ``forward``'s logits."""
        return tag_probabilities(logits, self.config)


OnnxStudent.register_for_auto_class("AutoModel")
