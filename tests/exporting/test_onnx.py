from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tiny_task
import torch
from onnx import load as load_onnx
from onnx import numpy_helper
from tiny_students import tiny_student, tiny_tagger, tiny_tokenizer
from transformers import pipeline

from coteach import predict, teams, train
from coteach.errors import InputError
from coteach.export import export
from coteach.exporting import onnx
from coteach.exporting.check import check_classes, check_values
from coteach.graph.nodes import Teacher
from coteach.graph.teachers import FrozenTeacher
from coteach.model import OnnxStudent, Student
from coteach.model.extraction import assemble
from coteach.training.loading import load_classifier, load_extractor, load_student

HEADS = [{"name": "exact", "layer": -1}, {"name": "hasty", "layer": 1}]
HEADS += [{"name": "output", "layer": -1}]
WEIGHTS = [[1.5, 0.25], [0.5, 1.75]]
TEXTS = [
    "この東京都の城はとても良い。\n\n駅から近い、最高。",
    "",
    "城",
    "このホテルはとても悪い部屋が狭く駅から近い料理が美味しかった。" * 4,
    "abc <e>\tabc",
]
WINDOW = 40


def save(student: Student, folder: Path) -> str:
    student.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A student with heads on two layers and weighted teachers."""
    student = tiny_tagger(heads=HEADS, teacher_weights=WEIGHTS, overlap=8)
    return save(student, tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def exported(folder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("exports") / "onnx"
    assert export(folder, "onnx", output) == []
    return output


def reuse(exported: Path, patch: pytest.MonkeyPatch) -> None:
    """Take a graph that was written already: torch needs seconds for one."""

    def write(student: Student, tokenizer: Any, file: Path) -> None:
        shutil.copyfile(exported / "model.onnx", file)

    patch.setattr(onnx, "_write", write)


@pytest.fixture(scope="module")
def quantized(folder: str, exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("exports") / "int8"
    with pytest.MonkeyPatch.context() as patch:
        reuse(exported, patch)
        assert export(folder, "int8", output) == []
    return output


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A student that classifies pairs by the mean of their tokens, and its export."""
    separator = tiny_tokenizer().sep_token_id
    student = tiny_student(pooling="mean", pair_separator=separator, preprocessing=["nfkc"])
    folder = save(student, tmp_path_factory.mktemp("student"))
    output = tmp_path_factory.mktemp("exports") / "onnx"
    export(folder, "onnx", output)
    return folder, output


def run(folder: Path, names: list[str], ids: torch.Tensor, mask: torch.Tensor) -> list[np.ndarray]:
    """Outputs of the graph, without anything of ours."""
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    return session.run(names, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})


@pytest.mark.parametrize("lengths", [(1,), (WINDOW,), (5, WINDOW, 0, 1), (13, 5), (9,) * 7])
def test_the_graph_gives_the_probabilities(
    folder: str, exported: Path, lengths: tuple[int, ...]
) -> None:
    student, tokenizer = load_student(folder)
    generator = np.random.default_rng(0)
    contents = [generator.integers(4, len(tokenizer), length).tolist() for length in lengths]
    ids, mask = assemble(contents, tokenizer)
    with torch.no_grad():
        logits = student(ids, mask).logits
        expected = student.probabilities(logits)
    names = ["p", "p_out", "p_mean", "logits"]
    for name, given in zip(names, run(exported, names, ids, mask), strict=True):
        wanted = logits if name == "logits" else getattr(expected, name)
        assert given.shape == wanted.shape
        # Padding attends and is attended to alike in both; its rows count as well.
        assert np.abs(given - wanted.numpy()).max() < (1e-4 if name == "logits" else 1e-5)


def test_one_token_without_padding(folder: str, exported: Path) -> None:
    student, _ = load_student(folder)
    ids = torch.tensor([[7]])
    with torch.no_grad():
        expected = student.probabilities(student(ids).logits).p.numpy()
    (given,) = run(exported, ["p"], ids, torch.ones_like(ids))
    assert np.abs(given - expected).max() < 1e-5
    by_default = OnnxStudent.from_pretrained(exported)
    logits = by_default(ids).logits
    assert torch.equal(logits, by_default(ids, torch.ones_like(ids)).logits)


def test_the_same_values_in_every_view(folder: str, exported: Path) -> None:
    views = ["p", "p_out", "p_mean", "teacher:exact", "teacher:hasty"]
    before, after = (
        list(load_extractor(it, batch_size=3)(TEXTS, views, 0.0)) for it in (folder, exported)
    )
    assert sum(len(it["p"]) for it in before) > 10
    for expected, given in zip(before, after, strict=True):
        for view in views:
            assert [span for span, _ in given[view]] == [span for span, _ in expected[view]]
            assert [score for _, score in given[view]] == pytest.approx(
                [score for _, score in expected[view]], abs=1e-5
            )


def test_the_pipeline_takes_its_folder(folder: str, exported: Path, tmp_path: Path) -> None:
    student, onnx_student = (
        pipeline("attribute-extraction", model=str(it)) for it in (folder, exported)
    )
    expected = student(TEXTS, teachers=True)
    given = onnx_student(TEXTS, teachers=True)
    onnx_student.save_pretrained(tmp_path)
    again = pipeline("attribute-extraction", model=str(tmp_path))
    assert again(TEXTS, teachers=True) == given
    for one, other in zip(expected, given, strict=True):
        assert [it["text"] for it in one["values"]] == [it["text"] for it in other["values"]]
        assert one["teachers"].keys() == other["teachers"].keys()
    assert any(it["values"] for it in given)


def test_int8_is_smaller_and_near(folder: str, exported: Path, quantized: Path) -> None:
    sizes = [(it / "model.onnx").stat().st_size for it in (exported, quantized)]
    assert sizes[1] < sizes[0]  # though so tiny a student is mostly graph
    student, tokenizer = load_student(folder)
    near = OnnxStudent.from_pretrained(quantized)
    ids, mask = assemble([[7] * 12, [9] * 4], tokenizer)
    with torch.no_grad():
        expected = student.probabilities(student(ids, mask).logits).p
    difference = (near.probabilities(near(ids, mask).logits).p - expected).abs().max()
    assert 0 < difference < 0.3  # its weights are rounded, and large
    check = check_values(student, near, tokenizer, TEXTS)
    assert check.both > 0
    assert load_extractor(quantized).student.config.attributes == student.config.attributes


def test_int8_leaves_the_heads_as_they_are(folder: str, quantized: Path) -> None:
    student, _ = load_student(folder)
    graph = load_onnx(quantized / "model.onnx").graph
    assert sum(node.op_type == "MatMulInteger" for node in graph.node) == 3 * 6
    constants = [numpy_helper.to_array(it) for it in graph.initializer]
    for head in student.heads.values():
        weight = head.weight.detach().numpy().T
        assert any(np.array_equal(weight, it) for it in constants)


def test_a_classifier(classifier: tuple[str, Path]) -> None:
    folder, exported = classifier
    pairs = [("とても良い。", "悪い"), ("駅から近い", ""), ("", "ﾎﾃﾙ"), ("城" * 60, "東京都")]
    before, after = (np.stack(list(load_classifier(it)(pairs))) for it in (folder, exported))
    assert np.abs(after - before).max() < 1e-5
    assert np.ptp(before) > 0.01
    student, tokenizer = load_student(folder)
    ids, mask = assemble([[7, tokenizer.sep_token_id, 9, 9], [5]], tokenizer)
    with torch.no_grad():
        expected = student(ids, mask).logits.softmax(-1).numpy()
    (given,) = run(exported, ["p"], ids, mask)
    assert np.abs(given - expected).max() < 1e-5
    task = "student-text-classification"
    one, other = (pipeline(task, model=str(it))(pairs[0]) for it in (folder, exported))
    assert other["label"] == one["label"]
    assert other["score"] == pytest.approx(one["score"], abs=1e-5)


def test_classes_are_compared(classifier: tuple[str, Path]) -> None:
    student = tiny_student()
    same = check_classes(student, student, tiny_tokenizer(), TEXTS)
    assert (same.texts, same.same, same.difference) == (len(TEXTS), len(TEXTS), 0.0)
    other = tiny_student()
    other.classifier.weight.data *= -1
    changed = check_classes(student, other, tiny_tokenizer(), TEXTS)
    assert changed.same < changed.texts
    assert changed.difference > 0


def test_predict_reads_it(
    folder: str, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    for number, text in enumerate(TEXTS):
        (pages / f"{number}.txt").write_bytes(text.encode())
    outputs = [tmp_path / "before.json", tmp_path / "after.json"]
    for student, output in zip((folder, str(exported)), outputs, strict=True):
        command = [student, str(pages), "--probability", "p_mean", "--output", str(output)]
        assert predict.main(command) == 0
    before, after = (output.read_text().splitlines() for output in outputs)
    assert len(after) == len(before) > 0
    wanted = [str(exported), str(pages), "--precision", "bf16", "--output", str(tmp_path / "no")]
    assert predict.main(wanted) == 2
    assert "precision 'bf16': a student that was exported to ONNX" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_it_cannot_be_trained_or_looked_into(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny_task.write(tmp_path)
    arguments = [str(recipe), "--nodes.student.encoder", str(exported)]
    assert train.main([*arguments, "--output", str(tmp_path / "run")]) == 2
    assert "exported to ONNX" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"nodes\.large\.model: .*exported to ONNX"):
        FrozenTeacher("large", Teacher(str(exported)))
    with pytest.raises(InputError, match="exported to ONNX"):
        load_student(exported)
    assert teams.main([str(exported), "--drop", "hasty", "--output", str(tmp_path / "no")]) == 2
    assert "--drop: this student was exported to ONNX" in capsys.readouterr().err
    with pytest.raises(InputError, match="exported to ONNX"):
        export(str(exported), "int8", tmp_path / "no")
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("content", [b"not a graph", None])
def test_a_broken_folder(exported: Path, tmp_path: Path, content: bytes | None) -> None:
    broken = shutil.copytree(exported, tmp_path / "broken")
    (broken / "model.onnx").unlink()
    if content is not None:
        (broken / "model.onnx").write_bytes(content)
    with pytest.raises(InputError, match="cannot be loaded: .*" r"model\.onnx"):
        load_extractor(broken)


def test_a_student_is_no_export(folder: str) -> None:
    with pytest.raises(
        ValueError, match="expected a student that was exported to ONNX, got 'coteac"
    ):
        OnnxStudent.from_pretrained(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"TOLERANCE": -1.0}, "the exported graph gives a probability that differs by"),
        ({"LARGEST": 1000}, "an ONNX file holds at most 2 GiB"),
    ],
)
def test_refusals_leave_nothing(
    folder: str,
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    message: str,
) -> None:
    reuse(exported, monkeypatch)
    for name, value in changes.items():
        monkeypatch.setattr(onnx, name, value)
    with pytest.raises(InputError, match=message):
        export(folder, "onnx", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_missing_packages(
    folder: str, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"needs the package {package}: pip install coteach\[exp"):
        export(folder, "onnx", tmp_path / "new")
    if package == "onnxruntime":
        with pytest.raises(InputError, match=r"onnxruntime: pip install coteach\[export\]"):
            load_extractor(exported)
    else:
        load_extractor(exported)
