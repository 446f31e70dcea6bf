from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tiny_task import build_tokenizer
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from coteach.model import Student, StudentConfig
from coteach.model.extraction import Extraction, Extractor, assemble
from coteach.model.iob2 import CLASSES, decode
from coteach.model.student import StudentOutput

ATTRIBUTES = ["場所", "築城年", "築城者"]
NAMES = ["a", "output", "b"]
HEADS = [{"name": name, "layer": -1} for name in NAMES]
LETTERS = "あいうえおかきくけこ城山川田1234567890"


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer([LETTERS])


def random_text(length: int, seed: int = 0) -> str:
    """Letters, with a line break after every eleventh."""
    letters = np.random.default_rng(seed).choice(list(LETTERS), length)
    return "".join(f"{it}\n" if place % 11 == 10 else it for place, it in enumerate(letters))


class TableStudent(nn.Module):
    """A student for whom a token always means the same, whatever stands around it."""

    probabilities = Student.probabilities

    def __init__(self, size: int, **options: Any) -> None:
        super().__init__()
        self.config = StudentConfig(attributes=ATTRIBUTES, heads=HEADS, **options)
        self.device = torch.device("cpu")
        generator = torch.Generator().manual_seed(5)
        shape = (size, len(NAMES), len(ATTRIBUTES), CLASSES)
        self.table = 3 * torch.randn(shape, generator=generator)
        self.calls: list[tuple[int, ...]] = []

    def forward(self, ids: Tensor, mask: Tensor) -> StudentOutput:
        self.calls.append(tuple(ids.shape))
        assert mask.shape == ids.shape
        return StudentOutput(logits=self.table[ids])


def real_student(tokenizer: PreTrainedTokenizerFast, **options: Any) -> Student:
    """An encoder that was never trained, with heads that are sure of something everywhere."""
    torch.manual_seed(2)
    encoder = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 2}
    encoder |= {"num_attention_heads": 2, "intermediate_size": 32, "vocab_size": len(tokenizer)}
    encoder |= {"max_position_embeddings": 64}
    config = StudentConfig(encoder=encoder, attributes=ATTRIBUTES, heads=HEADS, **options)
    student = Student(config).eval()
    nn.init.normal_(student.heads["2"].weight)
    return student


def assert_same(one: Extraction, other: Extraction) -> None:
    assert one.keys() == other.keys()
    for name, found in one.items():
        assert [span for span, _ in found] == [span for span, _ in other[name]]
        confidences = [confidence for _, confidence in found]
        assert confidences == pytest.approx([confidence for _, confidence in other[name]])


def test_windows_do_not_show(tokenizer: PreTrainedTokenizerFast) -> None:
    """A page of many windows gives what it gives in one, where context says nothing."""
    text = random_text(300)
    (whole,) = Extractor(TableStudent(len(tokenizer)), tokenizer)([text])
    assert list(whole) == ["p", "p_out", "p_mean"]
    assert all(len(found) > 20 for found in whole.values())
    assert len({tuple(found) for found in whole.values()}) == 3
    assert any(span.start_line != span.end_line for span, _ in whole["p"])
    for window, overlap in ((10, 4), (16, 0), (50, 7)):
        student = TableStudent(len(tokenizer), window=window, overlap=overlap)
        (cut,) = Extractor(student, tokenizer)([text])
        assert sum(rows for rows, _ in student.calls) > 5
        assert_same(cut, whole)


def test_one_window_is_one_forward_pass(tokenizer: PreTrainedTokenizerFast) -> None:
    """The definition: softmax of the heads, means, the best tag, IOB2, without special tokens."""
    student, text = real_student(tokenizer), random_text(30)
    extractor = Extractor(student, tokenizer)
    (found,) = extractor([text])
    page = extractor.aligner(text)
    content = [tokenizer.cls_token_id, *page.ids, tokenizer.sep_token_id]
    with torch.no_grad():
        a, out, b = student(torch.tensor([content])).logits[0, 1:-1].softmax(-1).unbind(1)
    mean = (a + b) / 2
    for name, probabilities in {"p": (mean + out) / 2, "p_out": out, "p_mean": mean}.items():
        best, tags = probabilities.max(dim=-1)
        spans = decode(tags.numpy(), best.numpy(), page, ATTRIBUTES)
        assert len(spans) > 3
        assert_same({name: found[name]}, {name: spans})  # type: ignore[dict-item, index]


def test_batches_and_chunks_change_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = [random_text(length, seed) for seed, length in enumerate((90, 3, 0, 250, 20, 1, 47))]
    student = real_student(tokenizer, window=30, overlap=8)
    alone = [next(Extractor(student, tokenizer, 1)([text])) for text in texts]
    assert [len(result["p"]) > 0 for result in alone] == [bool(text) for text in texts]
    for batch_size in (1, 3, 64):
        for chunk in (1, 2, 256):
            together = list(Extractor(student, tokenizer, batch_size, chunk)(texts))
            assert len(together) == len(texts)
            for one, other in zip(alone, together, strict=True):
                assert_same(one, other)


def test_texts_without_a_token_give_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    nothing: Extraction = {"p": [], "p_out": [], "p_mean": []}
    student = TableStudent(len(tokenizer))
    extractor = Extractor(student, tokenizer)
    assert list(extractor(["", "\n\n", ""])) == [nothing] * 3
    assert list(extractor([])) == []
    assert student.calls == []


def test_pages_are_read_as_they_are_needed(tokenizer: PreTrainedTokenizerFast) -> None:
    read = []

    def texts() -> Iterator[str]:
        for number in range(9):
            read.append(number)
            yield LETTERS

    results = Extractor(TableStudent(len(tokenizer)), tokenizer, chunk=4)(texts())
    next(results)
    assert read == [0, 1, 2, 3]
    assert len(list(results)) == 8


def test_windows_of_like_length_share_a_batch(tokenizer: PreTrainedTokenizerFast) -> None:
    student = TableStudent(len(tokenizer))
    texts = [LETTERS[:6] if number % 2 else LETTERS[:14] for number in range(8)]
    list(Extractor(student, tokenizer, batch_size=4)(texts))
    assert student.calls == [(4, 16), (4, 8)]


def test_a_student_with_one_head_has_p_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    student = TableStudent(len(tokenizer))
    student.config.heads = [{"name": "output", "layer": -1}]
    student.table = student.table[:, :1]
    (found,) = Extractor(student, tokenizer)([LETTERS])
    assert list(found) == ["p"]


def test_views(tokenizer: PreTrainedTokenizerFast) -> None:
    """A teacher's view is what a student of that head alone believes."""
    text = random_text(60)
    student = TableStudent(len(tokenizer))
    (found,) = Extractor(student, tokenizer)([text], ["teacher:b", "p_out"])
    assert list(found) == ["teacher:b", "p_out"]
    for view, head in (("p_out", 1), ("teacher:b", 2)):
        single = TableStudent(len(tokenizer))
        single.config.heads = [HEADS[head]]
        single.table = student.table[:, [head]]
        (expected,) = Extractor(single, tokenizer)([text])
        assert len(expected["p"]) > 5
        assert found[view] == expected["p"]
    for view in ("teacher:output", "teacher:c", "b", "logits"):
        with pytest.raises(ValueError, match=f"view '{view}': .*p_mean, teacher:a, teacher:b$"):
            Extractor(student, tokenizer)([text], [view])


def test_threshold(tokenizer: PreTrainedTokenizerFast) -> None:
    text = random_text(200)
    student = TableStudent(len(tokenizer))
    extractor = Extractor(student, tokenizer)
    views = ["p", "p_mean", "teacher:a"]
    (every,) = extractor([text], views)
    exact = every["p"][3][1]  # a confidence that just reaches the threshold

    def above(view: str, minima: dict[str, float]) -> list[Any]:
        kept = [it for it in every[view] if it[1] >= minima.get(it[0].attribute, 0)]
        assert 0 < len(kept) < len(every[view])
        return kept

    for threshold in (exact, {"場所": exact, "築城者": 0.9}):
        minima = threshold if isinstance(threshold, dict) else dict.fromkeys(ATTRIBUTES, threshold)
        assert next(extractor([text], views, threshold)) == {it: above(it, minima) for it in views}
    student.config.thresholds = {"築城年": 0.8}
    kept = {**every, "p": above("p", {"築城年": 0.8})}
    assert next(extractor([text], views)) == kept
    assert next(extractor([text], views, 0.0)) == every
    assert next(extractor([text], views, {})) == every
    student.config.thresholds = {"城主": 0.8}
    with pytest.raises(ValueError, match="threshold of '城主': this student's attributes are 場所"):
        extractor([text])


def test_assemble(tokenizer: PreTrainedTokenizerFast) -> None:
    contents = [[5, 6, 7], [8], list(range(5, 12))]
    ids, mask = assemble(contents, tokenizer)
    assert ids.dtype == mask.dtype == torch.int64
    assert ids.shape == mask.shape == (3, 16)
    for row, content in enumerate(contents):
        framed = [tokenizer.cls_token_id, *content, tokenizer.sep_token_id]
        padding = [tokenizer.pad_token_id] * (16 - len(framed))
        assert ids[row].tolist() == framed + padding
        assert mask[row].tolist() == [1] * len(framed) + [0] * len(padding)
    assert assemble(contents, tokenizer, multiple=1)[0].shape == (3, 9)
    assert assemble([[5] * 6], tokenizer)[0].shape == (1, 8)


def test_a_head_that_weighs_nothing_has_no_view(tokenizer: PreTrainedTokenizerFast) -> None:
    """Where a teacher has no weight its head was never taught: what it says is noise."""
    text = random_text(60)
    student = TableStudent(len(tokenizer))
    (before,) = Extractor(student, tokenizer)([text], ["teacher:a", "teacher:b"])
    silent = student.config.attributes[0]
    weights = [[1.0] * len(student.config.attributes) for _ in student.config.teachers]
    weights[0][0] = 0.0
    student.config.teacher_weights = weights
    (after,) = Extractor(student, tokenizer)([text], ["teacher:a", "teacher:b"], threshold=0.0)
    assert any(span.attribute == silent for span, _ in before["teacher:a"])
    assert after["teacher:a"] == [it for it in before["teacher:a"] if it[0].attribute != silent]
    assert after["teacher:b"] == before["teacher:b"]
    student.config.teacher_weights = [0.0, 1.0]  # one weight for all attributes
    (after,) = Extractor(student, tokenizer)([text], ["teacher:a"])
    assert after["teacher:a"] == []
