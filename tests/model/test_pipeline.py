from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from tiny_task import build_tokenizer
from torch import nn
from transformers import AutoConfig, AutoModel, pipeline
from transformers.pipelines.pt_utils import KeyDataset

from coteach.model import AttributeExtractionPipeline, Student, StudentConfig
from coteach.model.extraction import Extractor
from coteach.model.iob2 import decode
from coteach.model.spans import Span

ATTRIBUTES = ["場所", "築城年", "築城者"]
HEADS = [{"name": name, "layer": -1} for name in ("あ社", "output", "い社")]
LETTERS = "あいうえおかきくけこ城山川田1234567890"
KEYS = ["attribute", "start", "end", "text", "score"]
KEYS += ["start_line", "start_offset", "end_line", "end_offset"]
FRESH = """
import json, sys

class NoCoteach:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "coteach":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoCoteach())
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel, pipeline

folder, texts, ids, logits = sys.argv[1:]
AutoConfig.from_pretrained(folder, trust_remote_code=True)
student = AutoModel.from_pretrained(folder, trust_remote_code=True)
with torch.no_grad():
    save_file({"logits": student(torch.tensor([json.loads(ids)])).logits}, logits)
found = []
for task in (None, "attribute-extraction"):
    pipe = pipeline(task, model=folder, trust_remote_code=True)
    found.append(pipe(json.loads(texts), teachers=True))
assert not any(name.split(".")[0] == "coteach" for name in sys.modules)
print(json.dumps(found))
"""


def random_text(length: int, seed: int) -> str:
    """Letters, with a line break after every eleventh."""
    letters = np.random.default_rng(seed).choice(list(LETTERS), length)
    return "".join(f"{it}\n" if place % 11 == 10 else it for place, it in enumerate(letters))


TEXTS = [random_text(length, seed) for seed, length in enumerate((90, 0, 3, 250, 20, 1, 47))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A saved student that was never trained, with heads that are sure of something everywhere."""
    tokenizer = build_tokenizer([LETTERS])
    encoder = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 2}
    encoder |= {"num_attention_heads": 2, "intermediate_size": 32, "vocab_size": len(tokenizer)}
    encoder |= {"max_position_embeddings": 64}
    torch.manual_seed(2)
    config = StudentConfig(
        encoder=encoder, attributes=ATTRIBUTES, heads=HEADS, window=30, overlap=8
    )
    student = Student(config)
    nn.init.normal_(student.heads["2"].weight)
    folder = tmp_path_factory.mktemp("run") / "student"
    student.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def pipe(folder: str) -> AttributeExtractionPipeline:
    return pipeline("attribute-extraction", model=folder)


def spans_of(values: list[dict[str, Any]]) -> list[Span]:
    return [Span(*(value[name] for name in Span._fields)) for value in values]


def scores_of(values: list[dict[str, Any]]) -> list[float]:
    return [value["score"] for value in values]


def assert_same(one: list[Any], other: list[Any]) -> None:
    """The same values, their scores but for rounding."""
    assert len(one) == len(other)
    for these, those in zip(one, other, strict=True):
        assert spans_of(these) == spans_of(those)
        assert scores_of(these) == pytest.approx(scores_of(those))


# What is found


@pytest.mark.parametrize("probability", ["p", "p_out", "p_mean"])
def test_the_values_are_the_extractors(pipe: Any, probability: str) -> None:
    """Also of long texts, which are cut into windows, and of empty ones."""
    expected = list(Extractor(pipe.model, pipe.tokenizer)(TEXTS))
    found = pipe(TEXTS, probability=probability)
    assert len(found) == len(TEXTS)
    for values, extraction in zip(found, expected, strict=True):
        spans, confidences = zip(*extraction[probability], strict=True) if values else ((), ())
        assert spans_of(values) == list(spans)
        assert scores_of(values) == pytest.approx(confidences)
    assert [len(values) > 0 for values in found] == [bool(text) for text in TEXTS]
    if probability == "p":
        assert pipe(TEXTS) == found


def test_the_places_say_the_same_text(pipe: Any) -> None:
    over_lines = 0
    for text, values in zip(TEXTS, pipe(TEXTS), strict=True):
        lines = text.split("\n")
        for value, span in zip(values, spans_of(values), strict=True):
            assert list(value) == KEYS
            assert value["text"] == text[value["start"] : value["end"]] == span.text(lines)
            before = text[: value["start"]]
            assert value["start_line"] == before.count("\n")
            assert value["start_offset"] == len(before) - (before.rfind("\n") + 1)
            assert 0 < value["score"] <= 1
            over_lines += value["start_line"] != value["end_line"]
    assert over_lines > 0


def test_the_teachers_views_are_their_heads(pipe: Any) -> None:
    text = TEXTS[0][:25]
    page = Extractor(pipe.model, pipe.tokenizer).aligner(text)
    content = [pipe.tokenizer.cls_token_id, *page.ids, pipe.tokenizer.sep_token_id]
    with torch.no_grad():
        a, _, b = pipe.model(torch.tensor([content])).logits[0, 1:-1].softmax(-1).unbind(1)
    found = pipe(text, teachers=True)
    assert list(found) == ["values", "teachers"]
    assert found["values"] == pipe(text)
    assert list(found["teachers"]) == ["あ社", "い社"]
    for values, head in zip(found["teachers"].values(), (a, b), strict=True):
        best, tags = head.max(dim=-1)
        expected = decode(tags.numpy(), best.numpy(), page, ATTRIBUTES)
        assert len(expected) > 3
        assert spans_of(values) == [span for span, _ in expected]
        assert scores_of(values) == pytest.approx([confidence for _, confidence in expected])
    assert pipe("", teachers=True) == {"values": [], "teachers": {"あ社": [], "い社": []}}


def test_threshold(pipe: Any) -> None:
    (every,) = pipe([TEXTS[3]])
    middle = float(np.median(scores_of(every)))
    assert pipe(TEXTS[3], threshold=middle) == [it for it in every if it["score"] >= middle]
    expected = [it for it in every if it["attribute"] != "場所" or it["score"] >= middle]
    assert 0 < len(expected) < len(every)
    assert pipe(TEXTS[3], threshold={"場所": middle}) == expected
    pipe.model.config.thresholds = {"場所": middle}
    assert pipe(TEXTS[3]) == expected
    assert pipe(TEXTS[3], threshold=0) == every


# How it is asked


def test_every_kind_of_input(pipe: Any) -> None:
    expected = pipe(TEXTS)
    assert isinstance(expected, list)
    assert pipe(tuple(TEXTS)) == expected
    assert_same([pipe(text) for text in TEXTS], expected)
    dataset = Dataset.from_dict({"text": TEXTS})
    for inputs in (iter(TEXTS), (text for text in TEXTS), KeyDataset(dataset, "text")):
        found = pipe(inputs)
        assert not isinstance(found, list)
        assert list(found) == expected
    assert list(pipe(dataset["text"])) == expected
    assert pipe("") == []
    assert pipe([]) == []
    assert list(pipe(iter([]))) == []


def test_a_generator_is_read_as_it_is_needed(pipe: Any) -> None:
    read = []

    def texts() -> Iterator[str]:
        for number in range(600):
            read.append(number)
            yield "城"

    results = pipe(texts())
    next(results)
    assert len(read) == 256
    assert len(list(results)) == 599


def test_batches_change_nothing(pipe: Any) -> None:
    alone = pipe(TEXTS, batch_size=1)
    for batch_size in (3, 64):
        assert_same(pipe(TEXTS, batch_size=batch_size), alone)


def test_options_of_the_pipeline_hold_for_its_calls(pipe: Any, folder: str) -> None:
    options = {"probability": "p_out", "threshold": 0.5, "batch_size": 3}
    chosen = pipeline("attribute-extraction", model=folder, **options)
    assert chosen(TEXTS) == pipe(TEXTS, **options)
    assert chosen(TEXTS) != pipe(TEXTS, probability="p_out", batch_size=3)
    assert chosen(TEXTS, probability="p") == pipe(TEXTS, threshold=0.5, batch_size=3)


def test_what_cannot_be_asked(pipe: Any) -> None:
    with pytest.raises(ValueError, match="view 'p_best': this student has p, p_out, p_mean, t"):
        pipe("城", probability="p_best")
    with pytest.raises(ValueError, match="threshold of '城主': this student's attributes are 場所"):
        pipe("城", threshold={"城主": 0.5})
    with pytest.raises(ValueError, match="expected a text or several, got 5 among them"):
        pipe(["城", 5])
    with pytest.raises(TypeError, match="minimum"):
        pipe("城", minimum=0.5)


# Where its code comes from


@pytest.mark.parametrize("options", [{}, {"trust_remote_code": True}])
def test_with_coteach_no_other_code_runs(folder: str, options: dict[str, bool]) -> None:
    pipe = pipeline("attribute-extraction", model=folder, **options)
    assert type(pipe) is AttributeExtractionPipeline
    assert type(pipe.model) is Student
    assert type(AutoModel.from_pretrained(folder, **options)) is Student
    assert type(AutoConfig.from_pretrained(folder, **options)) is StudentConfig


def test_a_pipeline_saves_a_student(pipe: Any, folder: str, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    files = sorted(path.name for path in Path(folder).iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    for name in set(files) - {"tokenizer_config.json"}:  # which says where it was loaded from
        assert (tmp_path / name).read_bytes() == (Path(folder) / name).read_bytes()


def test_without_coteach_a_student_brings_its_own(pipe: Any, folder: str, tmp_path: Path) -> None:
    """A fresh process loads the very same model and finds the very same values."""
    ids = pipe.tokenizer.encode(TEXTS[4])
    logits = tmp_path / "logits.safetensors"
    arguments = [folder, json.dumps(TEXTS), json.dumps(ids), str(logits)]
    environment = {name: it for name, it in os.environ.items() if name != "PYTHONPATH"}
    finished = subprocess.run(
        [sys.executable, "-I", "-c", FRESH, *arguments],
        cwd=tmp_path,
        env={**environment, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"},
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    with torch.no_grad():
        expected = pipe.model(torch.tensor([ids])).logits
    assert torch.equal(load_file(logits)["logits"], expected)
    inferred, named = json.loads(finished.stdout.splitlines()[-1])
    assert inferred == named == pipe(TEXTS, teachers=True)
