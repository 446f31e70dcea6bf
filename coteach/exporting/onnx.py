"""A student as an ONNX graph, in float32 or with weights of 8 bits."""

from __future__ import annotations

import copy
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from coteach.errors import InputError, in_one_line
from coteach.model import OnnxStudent, OnnxStudentConfig, Student
from coteach.model.extraction import assemble
from coteach.model.onnx_student import INPUTS, ONNX_FILE

__all__ = ["export_onnx"]

LARGEST = 2**31  # bytes of an ONNX file
TOLERANCE = 1e-4  # of a probability, between torch and ONNX Runtime
DYNAMIC = {0: "batch", 1: "tokens"}


class _Graph(nn.Module):
    """What the ONNX file computes: the logits, and from them the final probabilities."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student
        classifies = bool(student.config.classes)
        self.names = ["p"] if classifies else list(student.config.probability_names)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        logits = self.student(input_ids, attention_mask).logits
        if self.student.config.classes:
            return logits, logits.softmax(dim=-1)
        probabilities = self.student.probabilities(logits)
        return (logits, *(getattr(probabilities, name) for name in self.names))


def export_onnx(student: Student, tokenizer: Any, folder: Path, quantize: bool = False) -> None:
    """Write a student as an ONNX graph with what it needs to be loaded again.

    The graph takes ``input_ids`` and ``attention_mask``, (batch, tokens), int64, of any size, and
    gives, in float32, ``logits`` as of ``Student.forward`` and ``p``: of an extracting student
    (batch, tokens, attributes, 3), the last axis being O, B, I, and so ``p_out`` and ``p_mean``
    where it has both kinds of heads; of a classifying one (batch, classes).

    Args:
        student: in evaluation mode; it is not changed.
        tokenizer: the student's.
        folder: an existing one.
        quantize: whether the weights of matrix products are stored in 8 bits, a scale for each
            output, and multiplied with activations that are rounded to 8 bits, a scale for each
            batch (dynamic quantisation). Embeddings and heads stay in float32: they take no time,
            and small changes of a head's weights are changes of the answer.

    Raises:
        InputError: the packages are missing, the student is too large for one file, torch cannot
            export its encoder, or the graph answers otherwise than the student.
    """
    try:
        import onnx  # noqa: F401  # what torch and the quantisation write with
        import onnxruntime  # noqa: F401  # the file is tried below
        import onnxscript  # noqa: F401  # what torch exports with
    except ModuleNotFoundError as error:
        raise InputError(
            f"an export to ONNX needs the package {error.name}: pip install coteach[export]"
        ) from None
    size = sum(it.numel() for it in student.parameters()) * torch.float32.itemsize
    if size >= LARGEST:
        raise InputError(
            f"the student's weights take {size / 2**30:.1f} GiB; an ONNX file holds at most 2 GiB"
        )
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        file = Path(scratch) / ONNX_FILE
        _write(student, tokenizer, file)
        config = OnnxStudentConfig.from_dict(
            {**student.config.to_dict(), "model_type": OnnxStudentConfig.model_type}
        )
        _verify(student, OnnxStudent(config, file), tokenizer)
        if quantize:
            file = _quantized(file, student)
        OnnxStudent(config, file).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _write(student: Student, tokenizer: Any, file: Path) -> None:
    graph = _Graph(copy.deepcopy(student).float().cpu()).eval()
    # Fewer operations than the graph of torch's own attention, which guards against rows of
    # padding only.
    graph.student.encoder.set_attn_implementation("eager")
    example = assemble([[tokenizer.cls_token_id] * 13, [tokenizer.cls_token_id] * 5], tokenizer)
    try:
        with warnings.catch_warnings(), _quiet("torch.onnx"):
            warnings.simplefilter("ignore")  # torch's of its own parts, and of the axes' names
            torch.onnx.export(
                graph,
                example,
                file,
                input_names=INPUTS,
                output_names=["logits", *graph.names],
                dynamic_shapes=(DYNAMIC, DYNAMIC),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        kind = type(student.encoder).__name__
        raise InputError(f"torch cannot export the {kind}: {in_one_line(error)}") from None


@contextmanager
def _quiet(logger: str) -> Iterator[None]:
    """Keep another library's warnings from the user, who can do nothing about them."""
    of = logging.getLogger(logger)
    level = of.level
    of.setLevel(logging.ERROR)
    try:
        yield
    finally:
        of.setLevel(level)


@torch.no_grad()
def _verify(student: Student, exported: OnnxStudent, tokenizer: Any) -> None:
    """Refuse a graph that answers otherwise, such as one that has learnt the example's size."""
    drawn = torch.Generator().manual_seed(0)
    for lengths in ((1,), (3, 0, 30), (student.config.window,)):
        contents = [
            torch.randint(len(tokenizer), (length,), generator=drawn).tolist() for length in lengths
        ]
        ids, mask = assemble(contents, tokenizer)
        expected = student(ids.to(student.device), mask.to(student.device)).logits.cpu()
        difference = (exported(ids, mask).logits.softmax(-1) - expected.float().softmax(-1)).abs()
        if not difference.max() <= TOLERANCE:
            raise InputError(
                f"the exported graph gives a probability that differs by {difference.max():.1e} "
                f"from the student's; expected at most {TOLERANCE:.0e}"
            )


def _quantized(file: Path, student: Student) -> Path:
    """The same graph with 8-bit weights but for the heads, beside it."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    result = file.with_name("quantized.onnx")
    with _quiet(""):  # it asks for a preparation that changes nothing here
        quantize_dynamic(
            file,
            result,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_products_of_heads(file, student),
        )
    return result


def _products_of_heads(file: Path, student: Student) -> list[str]:
    """The names of the graph's matrix products with the heads' weights."""
    import onnx

    linears: list[Any] = [*student.heads.values()]
    if student.config.classes:
        linears.append(student.classifier)
    weights = [linear.weight.detach().float().cpu().numpy().T for linear in linears]
    graph = onnx.load(file).graph
    shapes = {weight.shape for weight in weights}
    constants = {
        it.name: onnx.numpy_helper.to_array(it)
        for it in graph.initializer
        if tuple(it.dims) in shapes
    }
    names = [
        node.name
        for node in graph.node
        if node.op_type == "MatMul"
        and node.input[1] in constants
        and any(np.array_equal(constants[node.input[1]], weight) for weight in weights)
    ]
    if len(names) < len(weights):
        raise InputError(
            f"int8: found {len(names)} of the products of the {len(weights)} layers of heads"
        )
    return names
