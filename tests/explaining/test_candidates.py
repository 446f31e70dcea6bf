from __future__ import annotations

from pathlib import Path

import pytest
from tiny_students import CLASSES, tiny_student, tiny_tokenizer, write_run
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from coteach.errors import InputError
from coteach.explaining.candidates import Candidate, check_comparable, read_systems


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of students that differ, one of them with commas and an equals sign in its name."""
    folder = tmp_path_factory.mktemp("runs")
    students = {
        "teacher": {},
        "layer=2,seed=1": {"seed": 1},
        "layer=2,seed=2": {"seed": 2},
        "other_classes": {"classes": [*CLASSES, "neutral"]},
        "tags": {"attributes": ["name"]},
        "pairs": {"pair_separator": tiny_tokenizer().sep_token_id},
        "prepared": {"preprocessing": ["nfkc"]},
    }
    for name, options in students.items():
        write_run(folder / name, tiny_student(**options), [])
    (folder / "layer=2").mkdir()
    return folder


def test_names_and_runs(folder: Path) -> None:
    one, two = (str(folder / f"layer=2,seed={seed}") for seed in (1, 2))
    systems = read_systems([f"small={one},{two}", str(folder / "teacher"), one])
    assert [(it.name, [run.folder for run in it.runs]) for it in systems] == [
        ("small", [one, two]),
        ("teacher", [str(folder / "teacher")]),
        ("layer=2,seed=1", [one]),
    ]
    (single,) = read_systems([f"小={folder / 'teacher' / 'student'}"])
    assert single.name == "小"
    assert single.runs[0].config.classes == CLASSES


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["=teacher"], r"student '=teacher': expected RUN, NAME=RUN or NAME=RUN,RUN"),
        (["a="], "student 'a=': expected RUN"),
        (["a=teacher", "a=tags"], "student 'a' is given twice"),
        (["a=teacher,./nowhere"], "student './nowhere' cannot be loaded"),
        (["teacher", "teacher"], "a student is given twice"),
    ],
)
def test_what_is_no_student(
    folder: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], message: str
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match=message):
        read_systems(given)


def test_an_encoder_is_no_student(tmp_path: Path) -> None:
    tiny_student().encoder.config.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="cannot be loaded: expected a student, which has"):
        Candidate.read(tmp_path)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("other_classes", r"its classes are \['positive', 'negative', 'neutral'\]; expected those"),
        ("tags", r"its classes are \[\]; expected those of the teacher"),
        ("pairs", "reads pairs of texts; expected single texts, as the teacher"),
        ("prepared", r"its preprocessing are \['nfkc'\]; expected those of the teacher"),
    ],
)
def test_what_cannot_be_compared(folder: Path, other: str, message: str) -> None:
    teacher = Candidate.read(folder / "teacher")
    with pytest.raises(InputError, match=message):
        check_comparable(teacher, Candidate.read(folder / other))
    with pytest.raises(InputError):
        check_comparable(Candidate.read(folder / other), teacher)


def test_students_that_differ_in_what_does_not_matter(folder: Path) -> None:
    check_comparable(Candidate.read(folder / "teacher"), Candidate.read(folder / "layer=2,seed=1"))


def test_another_vocabulary_or_special_token(folder: Path) -> None:
    teacher = Candidate.read(folder / "teacher")
    tokenizer = Tokenizer(models.WordPiece({"[PAD]": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    other = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]")
    with pytest.raises(InputError, match=r"its tokenizer is not that of the teacher .*\(2 and \d+"):
        check_comparable(teacher, Candidate("other", teacher.config, other))
    swapped = PreTrainedTokenizerFast(
        tokenizer_object=tiny_tokenizer().backend_tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[SEP]",
        sep_token="[CLS]",
    )
    with pytest.raises(InputError, match="its cls_token_id is 3; expected that of the teacher, 2"):
        check_comparable(teacher, Candidate("swapped", teacher.config, swapped))
