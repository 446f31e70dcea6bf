from __future__ import annotations

from pathlib import Path

import pytest
import tiny_task
from tiny_students import tiny_student, tiny_tagger, tiny_tokenizer

from coteach.export import main
from coteach.model import Student

TEXT = "この東京都の城はとても良い。\n駅から近い"


def save(student: Student, folder: Path) -> str:
    student.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> str:
    heads = [{"name": name, "layer": -1} for name in ("exact", "output")]
    return save(tiny_tagger(heads=heads), tmp_path_factory.mktemp("student"))


def test_a_form_is_written_and_compared(
    student: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "1.txt").write_text(TEXT, encoding="utf-8")
    (pages / "2.txt").write_text("", encoding="utf-8")
    output = tmp_path / "new" / "answer"
    arguments = [student, "--to", "answer", "--output", str(output), "--check", str(pages)]
    assert main(arguments) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "left out: the heads exact"
    assert shown[1].startswith("p_out: 2 texts, ")
    assert "(100.00%) are found, 0 are not, 0 are new; the confidence differs" in shown[1]
    assert shown[2] == f"answer written to {output}"


def test_a_run_and_a_file_of_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    auxiliary = [{"name": "spoken", "layer": 1, "tags": ["O", "B", "I"]}]
    save(tiny_student(auxiliary_heads=auxiliary), tmp_path / "run" / "student")
    texts = tmp_path / "texts.txt"
    texts.write_text("とても良い\n\n悪い\n", encoding="utf-8")
    command = [str(tmp_path / "run"), "--to", "answer", "--output", str(tmp_path / "new")]
    assert main([*command, "--check", str(texts)]) == 0
    assert "2 texts: 2 (100.00%) get the same class" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--output": "."}, "error: .: exists; expected the name of a new folder"),
        ({"--check": "nowhere"}, "error: nowhere"),
        ({"--check": "empty.txt"}, "error: empty.txt: expected texts, one a line; got none"),
        (
            {"--to": "token_classification"},
            "error: token_classification: this student's tokenizer by itself",
        ),
    ],
)
def test_errors(
    student: str,
    changes: dict[str, str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").write_text("\n \n")
    options = {"--to": "answer", "--output": "new", **changes}
    assert main([student, *(part for option in options.items() for part in option)]) == 2
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1].startswith(message)
    assert captured.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["empty.txt"]


def test_an_unknown_form(student: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([student, "--to", "tflite", "--output", str(tmp_path / "new")])
    assert stopped.value.code == 2
    assert "token_classification" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_pairs_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = tiny_student(pair_separator=tiny_tokenizer().sep_token_id)
    folder = save(pairs, tmp_path / "student")
    texts = tmp_path / "texts.txt"
    texts.write_text("とても良い\n")
    command = [folder, "--to", "answer", "--output", str(tmp_path / "new"), "--check", str(texts)]
    assert main(command) == 2
    assert "--check: this student reads pairs of texts" in capsys.readouterr().err


def test_a_folder_that_is_no_student(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_task.build_tokenizer(["城"]).save_pretrained(tmp_path / "tokenizer")
    command = [str(tmp_path / "tokenizer"), "--to", "onnx", "--output", str(tmp_path / "new")]
    assert main(command) == 2
    assert "this folder holds none; expected that of a run" in capsys.readouterr().err
