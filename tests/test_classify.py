from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_task
import torch
from tiny_students import tiny_student, tiny_tokenizer

from coteach.classify import main
from coteach.model.classification import Classifier
from coteach.model.extraction import assemble
from coteach.model.student import Student

TEXTS = ["とても良い。", "部屋が狭く\n悪い", "Ａｂｃ", "　"]


def save(folder: Path, **options: Any) -> Student:
    student = tiny_student(**options)
    student.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return student


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


def test_every_text_gets_its_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    student = save(tmp_path / "student", preprocessing=["nfkc", "line_breaks"])
    path = write(tmp_path / "texts.jsonl", [{"body": text} for text in TEXTS])
    output = tmp_path / "found" / "classes.jsonl"
    arguments = [str(tmp_path / "student"), str(path), "--output", str(output)]
    assert main([*arguments, "--text", "body", "--batch-size", "2"]) == 0
    assert "4 texts classified" in capsys.readouterr().out
    found = lines_of(output)
    assert [line["text"] for line in found] == TEXTS
    for line, prepared in zip(found, ["とても良い。", "部屋が狭く悪い", "Abc", " "], strict=True):
        ids = tiny_tokenizer()(prepared, add_special_tokens=False)["input_ids"]
        logits = student(*assemble([ids], tiny_tokenizer())).logits
        expected = torch.softmax(logits[0], -1).tolist()
        assert list(line["probabilities"].values()) == pytest.approx(expected, abs=1e-5)
        best = max(line["probabilities"], key=line["probabilities"].__getitem__)
        assert line["predicted"] == best


def test_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "student", pair_separator=tiny_tokenizer().sep_token_id)
    path = write(tmp_path / "pairs.jsonl", [{"text": "とても", "other": "良い"}])
    output = tmp_path / "classes.jsonl"
    arguments = [str(tmp_path / "student"), str(path), "--output", str(output)]
    assert main(arguments) == 2
    assert "second_text: this student reads pairs" in capsys.readouterr().err
    assert not output.exists()
    assert main([*arguments, "--second-text", "other"]) == 0
    (line,) = lines_of(output)
    assert line["second_text"] == "良い"


def test_what_cannot_be_classified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "student")
    path = write(tmp_path / "texts.jsonl", [{"text": "良い"}, {"body": "悪い"}])
    output = str(tmp_path / "classes.jsonl")
    assert main([str(tmp_path / "student"), str(path), "--output", output]) == 2
    assert f'{path}:2: no column "text"' in capsys.readouterr().err
    extracting = tiny_task.save_student(tmp_path / "extracting", ["ab"], attributes=["name"])
    good = write(tmp_path / "good.jsonl", [{"text": "良い"}])
    assert main([extracting, str(good), "--output", output]) == 2
    assert "expected a student that classifies" in capsys.readouterr().err
    assert (
        main([str(tmp_path / "student"), str(good), "--output", output, "--batch-size", "0"]) == 2
    )
    assert "batch_size: expected at least 1, got 0" in capsys.readouterr().err
    assert main([str(tmp_path / "student"), str(good), "--output", output, "--shard-texts=0"]) == 2
    assert "shard_texts: expected at least 1, got 0" in capsys.readouterr().err


def test_it_goes_on_where_it_was_interrupted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "student")
    path = write(tmp_path / "texts.jsonl", [{"text": text} for text in TEXTS])
    output, whole = tmp_path / "classes.jsonl", tmp_path / "whole.jsonl"
    given = [str(tmp_path / "student"), str(path), "--shard-texts", "2"]
    assert main([*given, "--output", str(whole)]) == 0
    assert [line["text"] for line in lines_of(whole)] == TEXTS
    arguments = [*given, "--output", str(output)]
    asked: list[int] = []
    classified = Classifier.from_contents

    def interrupted(self: Classifier, contents: Iterable[Sequence[int]]) -> Iterator[np.ndarray]:
        asked.append(len(asked))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return classified(self, contents)

    monkeypatch.setattr(Classifier, "from_contents", interrupted)
    capsys.readouterr()
    assert main([*arguments, "--worker"]) == 0
    message = f"{output}: nothing has begun here, or it is complete\n"
    assert capsys.readouterr().out == message
    assert main(arguments) == 130
    assert f"2 of 4 texts are done and kept in {output}.parts\n" in capsys.readouterr().err
    changed = write(tmp_path / "changed.jsonl", [{"text": text} for text in TEXTS[::-1]])
    assert main([given[0], str(changed), *given[2:], "--output", str(output)]) == 2
    assert "classes.jsonl.parts: holds the beginning of another run: texts " in (
        capsys.readouterr().err
    )
    assert not output.exists()
    assert main(arguments) == 0
    assert len(asked) == 3
    assert output.read_bytes() == whole.read_bytes()
    assert not Path(f"{output}.parts").exists()


@pytest.mark.slow
def test_processes_classify_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "student")
    path = write(tmp_path / "texts.jsonl", [{"text": text} for text in TEXTS * 5])
    found = []
    for count in ("1", "2"):
        output = tmp_path / f"{count}.jsonl"
        arguments = [str(tmp_path / "student"), str(path), "--output", str(output)]
        assert main([*arguments, "--shard-texts", "3", "--processes", count]) == 0
        assert capsys.readouterr().out == f"20 texts classified in {output}\n"
        found.append(output.read_bytes())
    assert found[0] == found[1]
    assert found[0].count(b"\n") == 20
