from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_students import tiny_student, tiny_tagger, tiny_tokenizer
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast, pipeline

from coteach.errors import InputError
from coteach.export import export
from coteach.exporting.check import PlainModel, check_values
from coteach.exporting.plain import joint_labels, sequence_classifier, token_classifier
from coteach.model import Student
from coteach.model.classification import Classifier
from coteach.model.extraction import Extractor, assemble
from coteach.model.spans import Span
from coteach.training.loading import load_student

HEADS = [{"name": "exact", "layer": -1}, {"name": "output", "layer": -1}]
AUXILIARY = [{"name": "spoken", "layer": 1, "tags": ["O", "B-名詞", "I-名詞"]}]
TEXTS = ["このホテルはとても良い。", "東京都の城", "駅から近い 最高 abc", "悪"]
# As where coteach is not installed.
ALONE = """
import json, sys
sys.modules["coteach"] = None
from transformers import AutoModel, AutoTokenizer, pipeline
import torch

tokens, onnx, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
pipe = pipeline("token-classification", model=tokens, aggregation_strategy="simple")
found = [[[it["entity_group"], it["start"], it["end"]] for it in pipe(text)] for text in texts]
assert type(pipe.model).__module__.startswith("transformers.")
student = AutoModel.from_pretrained(onnx, trust_remote_code=True)
logits = student(torch.tensor([[2, 9, 3]])).logits
assert not any(name.startswith("coteach.") for name in sys.modules)
print(json.dumps([found, logits.tolist()]))
"""


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """That of the tiny students, which puts the special tokens around a text by itself."""
    backend = Tokenizer.from_str(tiny_tokenizer().backend_tokenizer.to_str())
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(it, backend.token_to_id(it)) for it in ("[CLS]", "[SEP]")],
    )
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{f"{name}_token": token for name, token in names.items()},
    )


def save(student: Student, tokenizer: Any, folder: Path) -> str:
    student.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def logits_of(student: Student, model: Any, contents: list[list[int]]) -> tuple[Any, Any, Any]:
    ids, mask = assemble(contents, tiny_tokenizer())
    with torch.no_grad():
        known = mask.bool()
        return student(ids, mask).logits, model(input_ids=ids, attention_mask=mask).logits, known


def test_the_likeliest_joint_label(tokenizer: PreTrainedTokenizerFast) -> None:
    """It is the head's own tag where one attribute has one, the surest of several otherwise."""
    student = tiny_tagger(heads=HEADS, attributes=["name", "place", "year"])
    model = token_classifier(student, tokenizer)
    labels = joint_labels(student.config.attributes)
    assert labels[:3] == ["O", "B-name", "I-name"]
    assert list(model.config.id2label.values()) == labels
    generator = np.random.default_rng(1)
    contents = [generator.integers(4, len(tokenizer), 38).tolist() for _ in range(16)]
    logits, joint, known = logits_of(student, model, contents)
    seen = set()
    output = logits[:, :, student.config.head_names.index("output")]
    for row, given in zip(output[known], joint[known].argmax(-1), strict=True):
        odds = (row[:, 1:] - row[:, :1]).amax(-1)
        tagged = [number for number in range(3) if odds[number] > 0]
        seen.add(len(tagged))
        expected = "O"
        if tagged:
            surest = max(tagged, key=lambda number: odds[number].item())
            expected = f"{'OBI'[row[surest].argmax()]}-{student.config.attributes[surest]}"
        assert labels[given] == expected
    assert seen >= {1, 2}


def test_values_of_one_attribute_are_all_kept(tokenizer: PreTrainedTokenizerFast) -> None:
    student = tiny_tagger(heads=HEADS, attributes=["name"])
    plain = PlainModel(token_classifier(student, tokenizer), student.config)
    found = check_values(student, plain, tokenizer, [*TEXTS, "城\n\n都" * 20], ("p_out", "p"))
    assert found.both > 5
    assert (found.lost, found.new, found.overlapping) == (0, 0, 0)
    assert found.difference < 1e-5  # with one attribute the joint softmax is the head's own


def test_overlapping_values_are_counted(tokenizer: PreTrainedTokenizerFast) -> None:
    student = tiny_tagger(heads=HEADS)
    head = student.heads["3"]
    head.bias.data.view(2, 2, 3)[1] += torch.tensor([[0.0, 50.0, 0.0], [0.0, 40.0, 0.0]])
    plain = PlainModel(token_classifier(student, tokenizer), student.config)
    found = check_values(student, plain, tokenizer, ["城都"], ("p_out", "p"))
    # Both attributes begin at both tokens: the surer one stays.
    assert (found.both, found.lost, found.new, found.overlapping) == (2, 2, 0, 4)
    (extraction,) = Extractor(plain, tokenizer)(["城都"], ["p"])
    assert [it for it, _ in extraction["p"]] == [
        Span("name", 0, 0, 0, 1),
        Span("name", 0, 1, 0, 2),
    ]


def test_transformers_alone_finds_the_same(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    student = tiny_tagger(heads=HEADS, attributes=["name"])
    folder = save(student, tokenizer, tmp_path / "student")
    plain, onnx = tmp_path / "plain", tmp_path / "onnx"
    assert export(folder, "token_classification", plain) == ["left out: the heads exact"]
    export(folder, "onnx", onnx)
    finished = subprocess.run(
        [sys.executable, "-c", ALONE, str(plain), str(onnx), json.dumps(TEXTS)],
        cwd=tmp_path,
        env={**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules")},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    found, logits = json.loads(finished.stdout.splitlines()[-1])
    with torch.no_grad():
        expected = student(torch.tensor([[2, 9, 3]])).logits
    assert np.abs(np.array(logits) - expected.numpy()).max() < 1e-4

    every = pipeline("token-classification", model=str(plain))
    longest = 0
    for text, entities in zip(TEXTS, found, strict=True):
        (extraction,) = Extractor(student, tokenizer)([text], ["p_out"])
        wanted = [["name", it.start_offset, it.end_offset] for it, _ in extraction["p_out"]]
        # An I that no B opens is none to the student; "simple" makes an entity of it.
        begun = {it["start"] for it in every(text) if it["entity"].startswith("B-")}
        assert [it for it in entities if it[1] in begun] == wanted
        longest = max([longest, *(end - start for _, start, end in wanted)])
    assert longest > 1


def test_long_texts_are_cut_where_the_window_ends(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    folder = save(tiny_tagger(attributes=["name"]), tokenizer, tmp_path / "student")
    export(folder, "token_classification", tmp_path / "plain")
    pipe = pipeline("token-classification", model=str(tmp_path / "plain"))
    assert pipe.tokenizer.model_max_length == 42
    assert max(it["end"] for it in pipe("城" * 100)) <= 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ["a", "b"]}, "this student classifies texts, and tags no tokens"),
        (
            {"heads": [{"name": "one", "layer": -1}, {"name": "two", "layer": -1}]},
            "no output head; the mean of its 2 teacher heads is not what one linear layer gives",
        ),
        ({"heads": [{"name": "output", "layer": 2}]}, "the head reads layer 2, .* last one, 3"),
        ({"words": "mecab"}, r"split at words first \(words='mecab'\)"),
        ({"trim_head": 2}, "leaves out the first 2 and the last 0 lines"),
        (
            {"encoder": {"model_type": "modernbert", "pad_token_id": 0}},
            "ModernBertForTokenClassification has more than one linear layer",
        ),
    ],
)
def test_no_token_classifier(
    tokenizer: PreTrainedTokenizerFast, options: dict[str, Any], message: str
) -> None:
    task = {} if "classes" in options else {"attributes": ["name"]}
    with pytest.raises(InputError, match=f"^token_classification: .*{message}"):
        token_classifier(tiny_student(**task, **options), tokenizer)


def test_another_kind_of_encoder(tokenizer: PreTrainedTokenizerFast) -> None:
    encoder = {"model_type": "electra", "embedding_size": 16}
    model = token_classifier(tiny_student(attributes=["name"], encoder=encoder), tokenizer)
    assert type(model).__name__ == "ElectraForTokenClassification"


def test_a_tokenizer_without_special_tokens_of_its_own() -> None:
    student = tiny_student(attributes=["name"])
    with pytest.raises(InputError, match="with the special tokens, as the student reads it"):
        token_classifier(student, tiny_tokenizer())


def test_a_pair_whose_segments_the_tokenizer_does_not_tell(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer, "model_input_names", ["input_ids", "attention_mask"])
    student = tiny_student(pair_separator=tokenizer.sep_token_id)
    with pytest.raises(InputError, match=r"the token_type_ids None; expected \[0, .*, 1\]"):
        sequence_classifier(student, tokenizer)


def test_a_single_teacher_is_the_head(tokenizer: PreTrainedTokenizerFast) -> None:
    student = tiny_tagger(heads=[{"name": "alone", "layer": -1}])
    model = token_classifier(student, tokenizer)
    logits, joint, _ = logits_of(student, model, [[7, 8, 9]])
    odds = logits[:, :, 0, :, 1:] - logits[:, :, 0, :, :1]
    assert torch.allclose(joint[..., 1:], odds.flatten(-2), atol=1e-4)


@pytest.mark.parametrize("pairs", [False, True])
def test_a_plain_classifier(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, pairs: bool
) -> None:
    separator = tokenizer.sep_token_id if pairs else None
    student = tiny_student(pair_separator=separator, auxiliary_heads=AUXILIARY)
    folder = save(student, tokenizer, tmp_path / "student")
    notes = export(folder, "sequence_classification", tmp_path / "plain")
    assert notes == ["left out: the heads spoken"]
    pipe = pipeline("text-classification", model=str(tmp_path / "plain"), top_k=None)
    texts: list[Any] = [(text, "とても狭く") for text in TEXTS] if pairs else TEXTS
    every = np.stack(list(Classifier(student, tokenizer)(texts)))
    assert np.ptp(every) > 0.01
    for text, expected in zip(texts, every, strict=True):
        given = pipe({"text": text[0], "text_pair": text[1]} if pairs else {"text": text})
        scores = {it["label"]: it["score"] for it in given}
        assert [scores[name] for name in student.config.classes] == pytest.approx(
            expected.tolist(), abs=1e-5
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attributes": ["name"]}, "this student extracts attributes, and classifies no texts"),
        ({"pooling": "mean"}, "reads the mean of all tokens, and the plain class the first one"),
        ({"preprocessing": ["nfkc", "digits"]}, r"preprocessed \(nfkc, digits\)"),
        ({"class_layer": 1}, "the head reads layer 1"),
        (
            {"encoder": {"model_type": "electra", "embedding_size": 16}},
            "ElectraForSequenceClassification does not read the first token by a pooler with tanh",
        ),
    ],
)
def test_no_plain_classifier(
    tokenizer: PreTrainedTokenizerFast, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=f"^sequence_classification: .*{message}"):
        sequence_classifier(tiny_student(**options), tokenizer)


def test_the_answer_alone(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    student = tiny_tagger(heads=HEADS, auxiliary_heads=AUXILIARY, thresholds={"name": 0.9})
    folder = save(student, tokenizer, tmp_path / "student")
    notes = export(folder, "answer", tmp_path / "answer")
    assert notes == [
        "left out: the heads exact, spoken",
        "left out: the thresholds, which are for p with all heads",
    ]
    smaller, _ = load_student(tmp_path / "answer")
    assert smaller.config.head_names == ["output"]
    assert (smaller.config.auxiliary_heads, smaller.config.thresholds) == ([], None)
    ids, mask = assemble([[7] * 12, [9] * 4], tokenizer)
    with torch.no_grad():
        before, after = (it.probabilities(it(ids, mask).logits) for it in (student, smaller))
    # A product of fewer rows may round its last bit otherwise; what is learnt is the very same.
    assert torch.allclose(after.p, before.p_out, rtol=0, atol=1e-6)
    assert torch.equal(smaller.heads["3"].weight, student.heads["3"].weight[6:])
    assert torch.equal(smaller.heads["3"].bias, student.heads["3"].bias[6:])
    for one, other in zip(smaller.encoder.parameters(), student.encoder.parameters(), strict=True):
        assert torch.equal(one, other)
    sizes = [(tmp_path / it / "model.safetensors").stat().st_size for it in ("student", "answer")]
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attributes": ["name"]}, "answer: this student has one head; expected more to leave out"),
        (
            {"attributes": ["name"], "heads": [{"name": "one", "layer": -1}]},
            "answer: this student has no output head; its answer is the mean",
        ),
        ({}, "answer: this student has one head"),
    ],
)
def test_no_answer(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    options = {"auxiliary_heads": AUXILIARY if "heads" in options else [], **options}
    folder = save(tiny_student(**options), tokenizer, tmp_path / "student")
    with pytest.raises(InputError, match=message):
        export(folder, "answer", tmp_path / "answer")
    assert not (tmp_path / "answer").exists()


def test_the_answer_of_a_classifier(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    student = tiny_student(auxiliary_heads=AUXILIARY)
    folder = save(student, tokenizer, tmp_path / "student")
    export(folder, "answer", tmp_path / "answer")
    smaller, _ = load_student(tmp_path / "answer")
    ids, mask = assemble([[7] * 12, [9] * 4], tokenizer)
    with torch.no_grad():
        assert torch.equal(smaller(ids, mask).logits, student(ids, mask).logits)
    assert not smaller.config.auxiliary_heads
