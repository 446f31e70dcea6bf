from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, BertConfig, BertModel

import coteach.model
from coteach.model import Student, StudentConfig
from coteach.model.iob2 import CLASSES

ROOT = Path(__file__).parents[2]
VOCABULARY = 40
DEPTH = 2
ATTRIBUTES = ["name", "place"]
TINY = {"hidden_size": 16, "num_hidden_layers": DEPTH, "num_attention_heads": 2}
TINY |= {"intermediate_size": 32, "vocab_size": VOCABULARY, "max_position_embeddings": 32}
ENCODERS: dict[str, dict[str, Any]] = {
    "bert": TINY,
    "roberta": TINY | {"pad_token_id": 1},
    "roformer": TINY | {"embedding_size": 16},
    "electra": TINY | {"embedding_size": 8},
    "deberta-v2": TINY,
    "distilbert": {"dim": 16, "n_layers": DEPTH, "n_heads": 2, "hidden_dim": 32}
    | {"vocab_size": VOCABULARY, "max_position_embeddings": 32},
    "modernbert": TINY
    | {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3}
    # The ids that its defaults give are those of a larger vocabulary.
    | {"bos_token_id": 2, "eos_token_id": 3},
}


def heads_of(**layers: int) -> list[dict[str, Any]]:
    return [{"name": name, "layer": layer} for name, layer in layers.items()]


def build(
    heads: list[dict[str, Any]] | None = None,
    *,
    encoder: str = "bert",
    attributes: list[str] = ATTRIBUTES,
    seed: int = 0,
    encoder_options: dict[str, Any] | None = None,
    **options: Any,
) -> Student:
    torch.manual_seed(seed)
    config = StudentConfig(
        encoder={"model_type": encoder, **ENCODERS[encoder], **(encoder_options or {})},
        attributes=attributes,
        heads=heads or heads_of(first=-1, output=-1, second=-1),
        **options,
    )
    return Student(config).eval()


def sample(rows: int = 3, tokens: int = 11, seed: int = 1) -> Tensor:
    """Ids without those of padding and other special tokens."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(5, VOCABULARY, (rows, tokens), generator=generator)


# Heads


@pytest.mark.parametrize(
    "layers",
    [
        {"a": -1, "output": -1, "b": -1},
        {"output": DEPTH},
        {"a": 0, "b": -1, "output": 1, "c": 2},
        {"a": -1, "b": 0, "c": -DEPTH - 1, "output": 1, "d": -2},
    ],
)
def test_heads_equal_linear_layers_of_their_own(layers: dict[str, int]) -> None:
    student = build(heads_of(**layers))
    ids, mask = sample(), torch.ones(3, 11, dtype=torch.int64)
    mask[0, 7:] = 0
    states = student.encoder(ids, mask, output_hidden_states=True).hidden_states
    rows = len(ATTRIBUTES) * CLASSES
    taken = dict.fromkeys(range(DEPTH + 1), 0)
    expected = []
    for layer in layers.values():
        layer = range(DEPTH + 1)[layer]
        part = slice(taken[layer] * rows, (taken[layer] + 1) * rows)
        taken[layer] += 1
        head = nn.Linear(16, rows)
        head.weight.data = student.heads[str(layer)].weight[part]
        head.bias.data = torch.randn(rows)
        student.heads[str(layer)].bias.data[part] = head.bias
        expected.append(head(states[layer]).view(3, 11, len(ATTRIBUTES), CLASSES))
    logits = student(ids, mask).logits
    assert logits.shape == (3, 11, len(layers), len(ATTRIBUTES), CLASSES)
    torch.testing.assert_close(logits, torch.stack(expected, dim=2))


def test_without_a_mask_every_token_counts() -> None:
    student, ids = build(), sample()
    assert torch.equal(student(ids).logits, student(ids, torch.ones_like(ids)).logits)


def test_heads_start_like_the_encoder() -> None:
    names = {f"team{number}": -1 for number in range(100)}
    for options, expected in [({}, 0.02), ({"initializer_range": 0.1}, 0.1)]:
        linear = build(heads_of(**names), encoder_options=options).heads[str(DEPTH)]
        assert linear.weight.std().item() == pytest.approx(expected, rel=0.05)
        assert linear.weight.mean().item() == pytest.approx(0, abs=expected / 20)
        assert not linear.bias.any()


def test_dropout_before_the_heads() -> None:
    assert build(encoder_options={"hidden_dropout_prob": 0.3}).dropout.p == 0.3
    assert build(head_dropout=0.0).dropout.p == 0.0
    student = build(heads_of(output=0), encoder_options={"hidden_dropout_prob": 0.0})
    student.dropout.p = 1.0
    assert student.train()(sample()).logits.count_nonzero() == 0  # biases start at zero


@pytest.mark.parametrize("layers", [{"a": -1, "output": -1}, {"a": 0, "output": -1, "b": 1}])
def test_gradient_reaches_every_parameter(layers: dict[str, int]) -> None:
    student = build(heads_of(**layers)).train()
    logits = student(sample()).logits
    (logits * torch.randn(logits.shape)).sum().backward()
    for name, parameter in student.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        # A bias of the keys moves all scores of a query alike: the softmax does not feel it.
        assert parameter.grad.any() or name.endswith("key.bias"), name


@pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning")  # newer versions rename it
def test_gradient_checkpointing_changes_nothing() -> None:
    gradients = []
    for checkpointing in (False, True):
        student = build(encoder_options={"hidden_dropout_prob": 0.0}).train()
        if checkpointing:
            student.gradient_checkpointing_enable()
            assert student.is_gradient_checkpointing
        student(sample()).logits.square().sum().backward()
        gradients.append([parameter.grad for parameter in student.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed)


@pytest.mark.parametrize(
    ("heads", "attributes", "message"),
    [
        (heads_of(a=-1) * 2, ATTRIBUTES, r"different names, got \['a', 'a'\]"),
        (heads_of(a=DEPTH + 1), ATTRIBUTES, r"head 'a': layer must be in \[-3, 2\].*got 3"),
        (heads_of(a=-DEPTH - 2), ATTRIBUTES, r"head 'a': layer must be in \[-3, 2\].*got -4"),
        (heads_of(a=-1), [], "at least one attribute"),
    ],
)
def test_errors(heads: list[dict[str, Any]], attributes: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(heads, attributes=attributes)


# Probabilities


def softmax(logits: Tensor) -> Tensor:
    return logits.exp() / logits.exp().sum(dim=-1, keepdim=True)


def test_probabilities_are_means_of_softmaxes() -> None:
    student = build(heads_of(a=-1, output=-1, b=-1, c=-1))
    logits = torch.randn(2, 5, 4, len(ATTRIBUTES), CLASSES)
    a, out, b, c = (softmax(logits[:, :, head]) for head in range(4))
    mean = (a + b + c) / 3
    found = student.probabilities(logits)
    torch.testing.assert_close(found.teachers, torch.stack([a, b, c], dim=2))
    torch.testing.assert_close(found.p_out, out)
    torch.testing.assert_close(found.p_mean, mean)
    torch.testing.assert_close(found.p, (mean + out) / 2)
    assert student.config.probability_names == ["p", "p_out", "p_mean"]
    assert student.config.teachers == ["a", "b", "c"]


@pytest.mark.parametrize(
    "weights",
    [[3.0, 1.0], [3, 0], [[3.0, 0.5], [1.0, 2.0]], [[1.0, 0.0], [0.0, 2.0]]],
)
def test_weighted_mean(weights: list[Any]) -> None:
    student = build(heads_of(a=-1, b=-1, output=-1), teacher_weights=weights)
    logits = torch.randn(2, 5, 3, len(ATTRIBUTES), CLASSES)
    each = softmax(logits)
    mean = student.probabilities(logits).p_mean
    for attribute in range(len(ATTRIBUTES)):
        of_a, of_b = (w[attribute] if isinstance(w, list) else w for w in weights)
        expected = of_a * each[:, :, 0, attribute] + of_b * each[:, :, 1, attribute]
        torch.testing.assert_close(mean[:, :, attribute], expected / (of_a + of_b))
    torch.testing.assert_close(mean.sum(dim=-1), torch.ones(2, 5, len(ATTRIBUTES)))


def test_one_kind_of_heads_has_p_alone() -> None:
    logits = torch.randn(2, 5, 2, len(ATTRIBUTES), CLASSES)
    student = build(heads_of(a=-1, b=-1))
    found = student.probabilities(logits)
    assert student.config.probability_names == ["p"]
    assert found.p_out is None
    torch.testing.assert_close(found.p, softmax(logits).mean(dim=2))
    student = build(heads_of(output=-1))
    found = student.probabilities(logits[:, :, :1])
    assert student.config.probability_names == ["p"]
    assert found.p_mean is None
    torch.testing.assert_close(found.p, softmax(logits[:, :, 0]))


def test_probabilities_of_half_precision_are_float32() -> None:
    found = build().probabilities(torch.randn(1, 2, 3, len(ATTRIBUTES), CLASSES).bfloat16())
    assert found.p.dtype == torch.float32


# Encoders


@pytest.mark.parametrize("encoder", ENCODERS)
def test_encoders(encoder: str, tmp_path: Path) -> None:
    student = build(heads_of(a=0, output=-1), encoder=encoder)
    ids = sample()
    logits = student(ids).logits
    assert logits.shape == (3, 11, 2, len(ATTRIBUTES), CLASSES)
    assert logits.std() > 0
    student.save_pretrained(tmp_path)
    assert torch.equal(Student.from_pretrained(tmp_path)(ids).logits, logits)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_padding_changes_nothing(encoder: str) -> None:
    student = build(heads_of(a=1, output=-1), encoder=encoder)
    ids = sample(rows=2)
    padding = student.encoder.config.pad_token_id or 0
    padded = torch.cat([ids, torch.full((2, 6), padding)], dim=1)
    mask = torch.zeros_like(padded)
    mask[:, :11] = 1
    torch.testing.assert_close(
        student(padded, mask).logits[:, :11], student(ids).logits, atol=1e-6, rtol=1e-5
    )


@pytest.fixture
def half_encoder(tmp_path: Path) -> Path:
    """A pretrained encoder, saved in float16 and with a pooler."""
    torch.manual_seed(3)
    encoder = BertModel(BertConfig(**TINY, initializer_range=0.05)).half()
    encoder.save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


def test_from_encoder_keeps_the_weights_in_float32(half_encoder: Path, tmp_path: Path) -> None:
    config = StudentConfig(attributes=ATTRIBUTES, heads=heads_of(a=-1, output=-1))
    student = Student.from_encoder(str(half_encoder), config)
    assert {parameter.dtype for parameter in student.parameters()} == {torch.float32}
    saved = load_file(half_encoder / "model.safetensors")
    found = student.encoder.state_dict()
    assert {name for name in saved if not name.startswith("pooler")} == set(found)
    for name, value in found.items():
        assert torch.equal(value, saved[name].float()), name
    assert student.heads[str(DEPTH)].weight.std().item() == pytest.approx(0.05, rel=0.3)

    student.eval().save_pretrained(tmp_path / "student")
    again = Student.from_pretrained(tmp_path / "student")
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float32}
    assert torch.equal(again(sample()).logits, student(sample()).logits)


def test_from_encoder_draws_heads_by_the_seed(half_encoder: Path) -> None:
    def heads(seed: int) -> Tensor:
        torch.manual_seed(seed)
        config = StudentConfig(attributes=ATTRIBUTES, heads=heads_of(output=-1))
        return Student.from_encoder(str(half_encoder), config).heads[str(DEPTH)].weight

    assert torch.equal(heads(1), heads(1))
    assert not torch.equal(heads(1), heads(2))


# Saving


def test_saving_keeps_everything(tmp_path: Path) -> None:
    heads = heads_of(zebra=-1, output=0, aardvark=1, mule=-1)
    weights = [[1.0, 2.0], [0.5, 0.25], [1.5, 0.75]]
    student = build(heads, teacher_weights=weights, window=30, overlap=7, words="mecab")
    student.save_pretrained(tmp_path)
    code = {path.name for path in Path(coteach.model.__file__).parent.glob("[!_]*.py")}
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"config.json", "model.safetensors"} | code - {
        "registration.py",
        "onnx_student.py",
    }
    again = Student.from_pretrained(tmp_path)
    assert again.config.heads == heads
    assert again.config.head_names == ["zebra", "output", "aardvark", "mule"]
    for name in ("attributes", "teacher_weights", "window", "overlap", "words", "mecab_options"):
        assert getattr(again.config, name) == getattr(student.config, name)
    logits = student(sample()).logits
    assert torch.equal(again(sample()).logits, logits)
    assert torch.equal(again.probabilities(logits).p, student.probabilities(logits).p)
    assert not again.training


def test_the_auto_classes_know_students(tmp_path: Path) -> None:
    student = build()
    student.save_pretrained(tmp_path)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), StudentConfig)
    again = AutoModel.from_pretrained(tmp_path)
    assert isinstance(again, Student)
    assert torch.equal(again(sample()).logits, student(sample()).logits)


def test_a_fresh_interpreter_gives_the_same_logits(tmp_path: Path) -> None:
    student = build(heads_of(b=-1, output=0, a=-1))
    student.save_pretrained(tmp_path / "student")
    save_file({"ids": sample()}, tmp_path / "ids.safetensors")
    program = """
import sys
from safetensors.torch import load_file, save_file
from coteach.model import Student
student, ids, logits = sys.argv[1:]
found = Student.from_pretrained(student)(load_file(ids)["ids"]).logits
save_file({"logits": found.detach().contiguous()}, logits)
"""
    places = [str(tmp_path / name) for name in ("student", "ids.safetensors", "logits.safetensors")]
    subprocess.run([sys.executable, "-c", program, *places], cwd=ROOT, check=True)
    with torch.no_grad():
        expected = student(sample()).logits
    assert torch.equal(load_file(places[-1])["logits"], expected)


def test_the_folder_ships_alone() -> None:
    """What a student needs imports nothing of coteach that does not ship with it."""
    files = sorted(Path(coteach.model.__file__).parent.rglob("*.py"))
    assert len(files) > 5
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not any(name.name.split(".")[0] == "coteach" for name in node.names), file
            elif isinstance(node, ast.ImportFrom):
                assert node.level <= 1, file
                assert node.level == 1 or (node.module or "").split(".")[0] != "coteach", file


# Going on from another student


def logits_of(student: Student, head: str, attribute: str) -> Tensor:
    ids = torch.randint(5, VOCABULARY, (2, 7), generator=torch.Generator().manual_seed(1))
    logits = student(ids).logits
    config = student.config
    return logits[:, :, config.head_names.index(head), config.attributes.index(attribute)]


def test_a_student_goes_on_from_another(tmp_path: Path) -> None:
    old = build(heads_of(first=-1, output=-1, deep=1), attributes=["a", "b"], seed=1)
    old.save_pretrained(tmp_path / "old")
    heads = heads_of(new=-1, output=-1, first=2, deep=1)  # layer 2 is the last, as −1 is
    config = StudentConfig(attributes=["b", "c"], heads=heads)
    torch.manual_seed(2)
    new = Student.from_encoder(str(tmp_path / "old"), config).eval()

    assert new.config.encoder["hidden_size"] == TINY["hidden_size"]
    for head in ("first", "output", "deep"):
        torch.testing.assert_close(logits_of(new, head, "b"), logits_of(old, head, "b"))
    unlike = [logits_of(new, "new", "b"), logits_of(new, "output", "c")]
    for other in unlike:
        assert not torch.allclose(other, logits_of(old, "output", "b"))


def test_a_head_at_another_layer_is_another_head() -> None:
    old, new = build(heads_of(first=-1), seed=1), build(heads_of(first=1), seed=2)
    before = logits_of(new, "first", "name")
    new.adopt(old)
    new.encoder.load_state_dict(build(heads_of(first=1), seed=2).encoder.state_dict())
    torch.testing.assert_close(logits_of(new, "first", "name"), before)


def test_a_student_that_reads_other_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="words: expected 'mecab'"):
        build().adopt(build(words="mecab"))


def test_without_a_team_the_others_stay() -> None:
    weights = [[1.5, 0.2], [0.5, 1.8]]
    student = build(teacher_weights=weights, thresholds={"name": 0.5})
    smaller = student.without(["first"])
    assert smaller.config.head_names == ["output", "second"]
    assert smaller.config.teacher_weights == [[0.5, 1.8]]
    assert smaller.config.thresholds is None  # they were chosen with the other team
    assert student.config.head_names == ["first", "output", "second"]
    for head in ("output", "second"):
        torch.testing.assert_close(
            logits_of(smaller, head, "place"), logits_of(student, head, "place")
        )
    gold_only = student.without(["second", "first"])
    assert gold_only.config.probability_names == ["p"]
    assert gold_only.config.teacher_weights is None


def test_only_teachers_can_be_left_out() -> None:
    with pytest.raises(ValueError, match="no teacher 'output'; expected some of first, second"):
        build().without(["output"])
    with pytest.raises(ValueError, match="none would be left"):
        build(heads_of(first=-1)).without(["first"])
