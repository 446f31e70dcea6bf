"""Frozen teachers, what they refuse, and their answers on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_masked_model
import torch
from safetensors.torch import load_file, save_file
from tiny_students import HEADS, tiny_student, tiny_tokenizer
from tiny_teachers import (
    ATTRIBUTES,
    LARGE,
    SMALL,
    TAGGING,
    batch_of,
    frozen,
    graph_of,
    loss_of,
    save,
    small_student,
    windowed_of,
    write_teacher,
)
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, T5Config

import coteach.graph.teachers as module
from coteach.data.windowed import Windowed
from coteach.errors import InputError
from coteach.graph import Edge
from coteach.graph.questions import Question
from coteach.graph.teachers import (
    FrozenTeacher,
    TeacherAnswers,
    check_question,
    check_same_task,
    check_same_tokens,
)
from coteach.losses import HiddenStates, SoftCrossEntropy
from coteach.model import StudentConfig

EVERYTHING = Question(logits=True, hidden_states=(0, 3), attention_scores=(1, 4))
LAYERS = Question(hidden_states=(0, 3), attention_scores=(1, 4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a student that classifies, "tags", one that tags, and "encoder" alone."""
    folder = tmp_path_factory.mktemp("teachers")
    write_teacher(folder / "run" / "student")
    write_teacher(folder / "tags", **TAGGING)
    teacher = tiny_student(seed=1, encoder=LARGE)
    save(teacher.encoder, folder / "encoder")
    return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Windowed:
    return windowed_of(tmp_path_factory.mktemp("texts"), of_texts=True)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts a teacher was asked about, call by call."""
    numbers: list[int] = []
    real = FrozenTeacher.__call__

    def counted(self: FrozenTeacher, ids: Tensor, mask: Tensor, question: Question) -> Any:
        numbers.append(len(ids))
        return real(self, ids, mask, question)

    monkeypatch.setattr(FrozenTeacher, "__call__", counted)
    return numbers


# What it is


@pytest.mark.parametrize("place", ["run", "run/student"])
def test_a_teacher_may_be_a_run_or_a_student(folder: Path, texts: Windowed, place: str) -> None:
    teacher, batch = frozen(folder / place), batch_of(texts)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    found = teacher(ids, mask, EVERYTHING)
    expected = tiny_student(seed=1, encoder=LARGE)(
        ids, mask, hidden_states=(0, 3), attention_scores=(1, 4)
    )
    assert (teacher.shape.depth, teacher.shape.width, teacher.shape.heads) == (4, 24, HEADS)
    assert found.logits is not None
    torch.testing.assert_close(found.logits, expected.logits)
    torch.testing.assert_close(found.hidden_states, expected.hidden_states)
    torch.testing.assert_close(found.attention_scores, expected.attention_scores)
    assert teacher(ids, mask, LAYERS).logits is None
    assert not any(it.requires_grad for it in (found.logits, *found.hidden_states))


def test_a_teacher_may_be_an_encoder(folder: Path, texts: Windowed) -> None:
    batch = batch_of(texts)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    found = frozen(folder / "encoder")(ids, mask, LAYERS)
    expected = frozen(folder / "run")(ids, mask, LAYERS)
    torch.testing.assert_close(found.hidden_states, expected.hidden_states)
    torch.testing.assert_close(found.attention_scores, expected.attention_scores)
    nothing = frozen(folder / "encoder")(ids, mask, Question())
    assert nothing.hidden_states is nothing.attention_scores is None


def test_bfloat16_answers_in_float32(folder: Path, texts: Windowed) -> None:
    batch = batch_of(texts)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    exact = frozen(folder / "run")(ids, mask, EVERYTHING)
    found = frozen(folder / "run", precision="bf16")(ids, mask, EVERYTHING)
    assert found.logits is not None
    assert found.hidden_states is not None
    assert found.logits.dtype == found.hidden_states[1].dtype == torch.float32
    difference = (found.logits - exact.logits).abs().max()
    assert 0 < difference < 0.2 * exact.logits.abs().max()  # type: ignore[union-attr]


def without_weights(folder: Path, name: str) -> Path:
    """A copy without the weights whose names contain ``name``."""
    kept = load_file(folder / "model.safetensors")
    copy = folder.with_name(folder.name + "-less")
    shutil.copytree(folder, copy)
    few = {key: value for key, value in kept.items() if name not in key}
    assert len(few) < len(kept)
    save_file(few, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


def cut_off(folder: Path) -> Path:
    """A copy whose file of weights ends in the middle."""
    copy = Path(shutil.copytree(folder, folder.with_name(folder.name + "-cut")))
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    return copy


def sequence_to_sequence(folder: Path) -> Path:
    T5Config().save_pretrained(folder.with_name("t5"))
    return folder.with_name("t5")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: folder / "absent", r"no such folder, got '.*absent'; expected that of a"),
        (cut_off, "cannot be loaded: "),
        (
            lambda folder: without_weights(folder, "layer.1"),
            "lacks 16 of its weights, such as 'enc",
        ),
        (sequence_to_sequence, "cannot be loaded: 't5' is an encoder-decoder"),
    ],
)
def test_what_is_no_teacher(tmp_path: Path, change: Callable[[Path], Path], message: str) -> None:
    place = change(write_teacher(tmp_path / "whole"))
    with pytest.raises(InputError, match=r"^nodes\.large\.model: .*" + message):
        frozen(place, "large")


def test_what_cannot_be_asked(folder: Path, tmp_path: Path) -> None:
    encoder = frozen(folder / "encoder", "large")
    check_question(encoder, LAYERS, "edges.it")
    with pytest.raises(InputError, match=r"^edges\.it: the teacher 'large' is a bare encoder, "):
        check_question(encoder, Question(logits=True), "edges.it")
    modern = frozen(Path(tiny_masked_model.write(tmp_path / "modern", "modernbert")), "modern")
    check_question(modern, Question(hidden_states=(0, 2)), "edges.it")
    message = r"^edges\.it: the teacher 'modern': ModernBertModel: the attention scores of layer 2"
    with pytest.raises(InputError, match=message):
        check_question(modern, Question(attention_scores=(2,)), "edges.it")


def test_fingerprint(folder: Path, tmp_path: Path) -> None:
    """Of what the answers depend on, and nothing else."""
    copy = Path(shutil.copytree(folder / "run" / "student", tmp_path / "copy"))
    same = frozen(folder / "run").fingerprint
    assert frozen(copy, "other").fingerprint == same
    weights = load_file(copy / "model.safetensors")
    weights["classifier.bias"][0] += 1e-6
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    encoder = Path(shutil.copytree(folder / "encoder", tmp_path / "encoder"))
    config = json.loads((encoder / "config.json").read_text())
    (encoder / "config.json").write_text(json.dumps({**config, "hidden_act": "relu"}))
    others = [
        frozen(folder / "run", precision="bf16"),
        frozen(copy),
        frozen(folder / "tags"),
        frozen(folder / "encoder"),
        frozen(encoder),
    ]
    assert len({same, *(it.fingerprint for it in others)}) == 6


def test_an_encoder_s_unread_pooler_is_not_drawn(tmp_path: Path) -> None:
    """A masked language model has none: with a new one every time, no answer would be found."""
    config = BertConfig(vocab_size=len(tiny_tokenizer()), num_attention_heads=HEADS, **SMALL)
    save(BertForMaskedLM(config), tmp_path)
    assert frozen(tmp_path).fingerprint == frozen(tmp_path).fingerprint


def test_it_is_frozen(folder: Path, texts: Windowed, tmp_path: Path) -> None:
    teacher, student = frozen(folder / "run"), small_student()
    edges = {
        "hidden": Edge("teacher", "student", HiddenStates()),
        "classes": Edge("teacher", "student", SoftCrossEntropy()),
    }
    graph = graph_of(student, edges, teacher, texts, tmp_path)
    before = {name: value.clone() for name, value in teacher.model.state_dict().items()}
    student.train()
    optimizer = torch.optim.SGD([*student.parameters(), *graph.parameters()], lr=0.1)
    for _ in range(2):
        loss_of(graph, batch_of(texts)).backward()
        optimizer.step()
    assert not any(module.training for module in teacher.model.modules())
    assert all(it.grad is None and not it.requires_grad for it in teacher.model.parameters())
    for name, value in teacher.model.state_dict().items():
        assert torch.equal(value, before[name]), name


# Its answers on disk


@pytest.mark.parametrize(
    ("place", "question"),
    [
        ("run", Question(logits=True)),
        ("tags", Question(logits=True)),
        ("encoder", Question(hidden_states=(2,))),
        ("encoder", Question(attention_scores=(1, 3))),
        ("tags", EVERYTHING),
    ],
)
def test_answers_on_disk_are_those_computed(
    folder: Path, texts: Windowed, tmp_path: Path, asked: list[int], place: str, question: Question
) -> None:
    """Also where a text is padded to another length, and 0 where there is padding."""
    teacher = frozen(folder / place)
    answers = TeacherAnswers(teacher, question, tmp_path)
    assert answers.plan(texts.lengths + 2) is None
    for numbers in ((1, 2), (0,), (3, 0)):  # the longest ones first, and one of them again
        answers.remember(batch_of(texts, *numbers))
    answers.flush()
    assert asked == [2, 1, 1]
    again = TeacherAnswers(teacher, question, tmp_path)
    again.plan(texts.lengths + 2)
    for numbers in ((0, 1), (2, 3, 0), (0,)):
        batch = batch_of(texts, *numbers)
        ids, known = batch["input_ids"], batch["attention_mask"] > 0
        calls = len(asked)
        found = again(batch).output
        assert len(asked) == calls
        expected = teacher(ids, batch["attention_mask"], question)
        if question.logits and place == "run":
            torch.testing.assert_close(found.logits, expected.logits, rtol=1e-5, atol=1e-4)
        elif question.logits:
            close(found.logits, expected.logits, known)
        for one, other in zip(found.hidden_states or (), expected.hidden_states or (), strict=True):
            close(one, other, known)
        pairs = known[:, :, None] & known[:, None, :]
        scores = (found.attention_scores or (), expected.attention_scores or ())
        for one, other in zip(*scores, strict=True):
            close(one.permute(0, 2, 3, 1), other.permute(0, 2, 3, 1), pairs)


def close(found: Tensor | None, expected: Tensor | None, known: Tensor) -> None:
    assert found is not None
    assert expected is not None
    torch.testing.assert_close(found[known], expected[known], rtol=1e-5, atol=1e-4)
    assert not found[~known].any()


def test_what_is_not_on_disk_is_computed(
    folder: Path, texts: Windowed, tmp_path: Path, asked: list[int]
) -> None:
    answers = TeacherAnswers(frozen(folder / "run"), EVERYTHING, tmp_path)
    answers.plan(texts.lengths + 2)
    answers.remember(batch_of(texts, 0, 1))
    found = answers(batch_of(texts, 1, 2)).output.logits
    expected = answers.teacher(*ids_and_mask(batch_of(texts, 1, 2)), EVERYTHING).logits
    assert asked == [2, 2, 2]
    torch.testing.assert_close(found, expected)


def ids_and_mask(batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    return batch["input_ids"], batch["attention_mask"]


def test_a_killed_fill_goes_on(
    folder: Path, texts: Windowed, tmp_path: Path, asked: list[int]
) -> None:
    teacher = frozen(folder / "run")
    first = TeacherAnswers(teacher, LAYERS, tmp_path)
    first.plan(texts.lengths + 2)
    first.remember(batch_of(texts, 0, 1))
    first.flush()
    first.remember(batch_of(texts, 2))  # lost: never written
    second = TeacherAnswers(frozen(folder / "run"), LAYERS, tmp_path)
    second.plan(texts.lengths + 2)
    second.remember(batch_of(texts))
    assert asked == [2, 1, 2]


def test_too_many_answers_are_not_kept(
    folder: Path,
    texts: Windowed,
    tmp_path: Path,
    asked: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The limit is what they take on disk: bytes of every number."""
    lengths = texts.lengths + 2
    per_token = 2 * len(ATTRIBUTES) * 3 + 2 * 24  # logits of two heads, two layers of width 24
    needed = 4 * int((lengths * per_token + lengths.astype(int) ** 2 * 2 * HEADS).sum())
    monkeypatch.setattr(module, "STORED_AT_MOST", needed)
    kept = TeacherAnswers(frozen(folder / "tags"), EVERYTHING, tmp_path)
    assert kept.plan(lengths) is None
    assert kept.is_kept
    kept.remember(batch_of(texts))
    kept.flush()
    (part,) = tmp_path.rglob("part-*.safetensors")
    values = load_file(part)
    names = ("logits", "hidden_states", "attention_scores")
    assert sum(values[name].nbytes for name in names) == needed

    monkeypatch.setattr(module, "STORED_AT_MOST", needed - 1)
    online = TeacherAnswers(kept.teacher, EVERYTHING, tmp_path / "none")
    assert online.plan(lengths) == (
        "The answers of 'teacher' would take 0 GiB of disk: it is asked at every step."
    )
    assert not online.is_kept
    online.remember(batch_of(texts))
    assert asked == [4]
    online(batch_of(texts))
    online(batch_of(texts))
    assert asked == [4, 4, 4]
    assert not (tmp_path / "none").exists()


def test_parity_is_not_kept(folder: Path, texts: Windowed, tmp_path: Path) -> None:
    """It compares padding, of which a batch has another number every time; classes have none."""
    teacher, student = frozen(folder / "run"), small_student()
    told = {}
    for loss in (HiddenStates(parity=True), SoftCrossEntropy(parity=True)):
        edges = {"it": Edge("teacher", "student", loss)}
        graph = graph_of(student, edges, teacher, texts, tmp_path / type(loss).__name__)
        told[type(loss)] = graph.remember(texts, [batch_of(texts)], torch.device("cpu"))
    assert told[SoftCrossEntropy] == []
    assert told[HiddenStates] == [
        "The answers of 'teacher' compare padding as well, which is another in every batch: it is "
        "asked at every step."
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["SoftCrossEntropy"]


def test_each_teacher_and_question_has_a_folder(
    folder: Path, texts: Windowed, tmp_path: Path
) -> None:
    for place, options in (("run", {}), ("run", {"precision": "bf16"}), ("tags", {})):
        for question in (EVERYTHING, LAYERS, Question(logits=True)):
            answers = TeacherAnswers(frozen(folder / place, **options), question, tmp_path)
            answers.plan(texts.lengths + 2)
            answers.remember(batch_of(texts, 0))
            answers.flush()
    found = sorted(path.parent for path in tmp_path.rglob("part-*"))
    assert len(found) == len(set(found)) == 9
    assert len({path.parent for path in found}) == 3


def test_two_graphs_share_what_is_known(
    folder: Path, texts: Windowed, tmp_path: Path, asked: list[int]
) -> None:
    """Also one that names the same layers in another order."""
    teacher, student = frozen(folder / "run"), small_student()
    for layers in (((0, 1), (2, 4)), ((2, 4), (1, 4), (0, 1))):
        edges = {"it": Edge("teacher", "student", HiddenStates(layers=layers))}
        graph = graph_of(student, edges, teacher, texts, tmp_path)
        assert graph.remember(texts, [batch_of(texts)], torch.device("cpu")) == []
        loss_of(graph, batch_of(texts, 2, 1))
    assert asked == [4]


# What must fit


def other_tokenizer(**changes: Any) -> Any:
    tokenizer = tiny_tokenizer()
    copy = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, pad_token="[PAD]")
    copy.cls_token, copy.sep_token, copy.unk_token = "[CLS]", "[SEP]", "[UNK]"
    for name, value in changes.items():
        if name == "more":
            copy.add_tokens(value)
        else:
            setattr(copy, name, value)
    return copy


@pytest.mark.parametrize(
    ("tokenizer", "window", "message"),
    [
        (lambda: other_tokenizer(), 62, None),
        (
            lambda: other_tokenizer(more=["京都府"]),
            40,
            r"the teacher's vocabulary \(\d+ tokens\) is not the student's \(\d+\); they differ in "
            "'京都府'",
        ),
        (
            lambda: other_tokenizer(sep_token="[CLS]"),
            40,
            "the teacher's sep_token_id is 3; expected 2, as the student's",
        ),
        (lambda: other_tokenizer(), 63, "holds 62 content tokens, the student's window 63;"),
    ],
)
def test_both_must_read_the_same_tokens(
    folder: Path, tokenizer: Callable[[], Any], window: int, message: str | None
) -> None:
    teacher = frozen(folder / "encoder", "large")
    config = StudentConfig(window=window)
    if message is None:
        check_same_tokens(teacher, tokenizer(), config)
        return
    with pytest.raises(InputError, match=r"^nodes\.large\.model: .*" + message):
        check_same_tokens(teacher, tokenizer(), config)


def test_both_must_split_texts_alike(tmp_path: Path) -> None:
    teacher = frozen(write_teacher(tmp_path / "run", words="mecab"), "large")
    check_same_tokens(teacher, tiny_tokenizer(), StudentConfig(window=40, words="mecab"))
    message = "^nodes.large.model: .* split with words='mecab'; expected the student's, None"
    with pytest.raises(InputError, match=message):
        check_same_tokens(teacher, tiny_tokenizer(), StudentConfig(window=40))


@pytest.mark.parametrize(
    ("place", "options", "message"),
    [
        ("run", {"classes": ["positive", "negative"]}, None),
        ("tags", TAGGING, None),
        (
            "run",
            {"classes": ["negative", "positive"]},
            r"knows the classes \['positive', 'negative'\]; expected those of the student, "
            r"\['negative', 'positive'\]",
        ),
        (
            "tags",
            {**TAGGING, "attributes": ["name"]},
            r"knows the attributes \['name', 'place'\]; expected those of the student, \['name'\]",
        ),
        (
            "tags",
            {"classes": ["positive", "negative"]},
            r"knows the classes \[\]; expected those of the student, \['positive', 'negative'\]",
        ),
        (
            "run",
            {"classes": ["positive", "negative"], "pair_separator": 3},
            "reads single texts; expected pairs of texts, as the student",
        ),
    ],
)
def test_both_must_have_the_same_task(
    folder: Path, place: str, options: dict[str, Any], message: str | None
) -> None:
    teacher = frozen(folder / place, "large")
    if message is None:
        check_same_task(teacher, StudentConfig(**options), "edges.it")
        return
    with pytest.raises(InputError, match=r"^edges\.it: the teacher 'large' " + message):
        check_same_task(teacher, StudentConfig(**options), "edges.it")


def test_a_teacher_of_pairs_for_a_student_of_texts(tmp_path: Path) -> None:
    teacher = frozen(write_teacher(tmp_path, pair_separator=3), "large")
    with pytest.raises(InputError, match="reads pairs of texts; expected single texts, as the st"):
        check_same_task(teacher, small_student().config, "edges.it")
