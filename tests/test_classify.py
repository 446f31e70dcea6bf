from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_task
import torch
from tiny_students import tiny_student, tiny_tokenizer

from coteach.classify import main
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
