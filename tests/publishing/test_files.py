from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_runs
from tiny_students import tiny_tagger

from coteach.errors import InputError
from coteach.publishing.files import PublishedFile, student_files


@pytest.fixture
def student(tmp_path: Path) -> Path:
    return tiny_runs.save_student(tmp_path / "student", tiny_tagger())


def said(files: list[PublishedFile], name: str) -> dict:
    (found,) = [file for file in files if file.name == name]
    return json.loads(found.read())


def test_weights_configuration_tokenizer_and_code_go_up_and_nothing_else(student: Path) -> None:
    (student / "notes.txt").write_text("private")
    (student / "pytorch_model.bin").write_bytes(b"pickle")
    (student / "elsewhere.py").write_text("")
    (student / "folder").mkdir()
    files, others = student_files(student)
    names = {file.name for file in files}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= names
    assert {"student.py", "configuration.py", "pipeline.py", "alignment.py"} <= names
    assert others == ["elsewhere.py", "folder", "notes.txt", "pytorch_model.bin"]
    assert names | set(others) == {path.name for path in student.iterdir()}
    weights = student / "model.safetensors"
    assert PublishedFile("model.safetensors", weights) in files


def test_places_on_the_machine_are_cut_to_their_last_part(student: Path) -> None:
    config = json.loads((student / "config.json").read_text(encoding="utf-8"))
    config["encoder"]["_name_or_path"] = "/home/someone/encoder"
    config["mecab_options"] = '-d "/usr/lib/mecab/neologd" -u ~/user.dic --node-format=%m/%f'
    config["part_of_speech"] = {
        "dictionary": "/usr/lib/neologd",
        "mapping": {"名詞": ["名詞,一般"]},
    }
    config["attributes"] = ["/home/name", "place"]
    tiny_runs.change(student / "config.json", **config)
    tiny_runs.change(student / "tokenizer_config.json", name_or_path="organisation/encoder")
    files, _ = student_files(student)
    config["encoder"]["_name_or_path"] = "encoder"
    config["mecab_options"] = '-d "neologd" -u user.dic --node-format=%m/%f'
    config["part_of_speech"]["dictionary"] = "neologd"
    assert said(files, "config.json") == config
    assert said(files, "tokenizer_config.json")["name_or_path"] == "organisation/encoder"


def test_what_tells_no_place_goes_up_as_it_is(student: Path) -> None:
    files, _ = student_files(student)
    assert PublishedFile("tokenizer_config.json", student / "tokenizer_config.json") in files


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer_config.json", "student.py"])
def test_a_part_that_is_missing_is_named(student: Path, name: str) -> None:
    (student / name).unlink()
    with pytest.raises(InputError, match=f"{name}: missing"):
        student_files(student)


def test_weights_in_several_parts_have_an_index(student: Path) -> None:
    weights = student / "model.safetensors"
    weights.rename(student / "model-00001-of-00001.safetensors")
    (student / "model.safetensors.index.json").write_text("{}")
    names = {file.name for file in student_files(student)[0]}
    assert {"model-00001-of-00001.safetensors", "model.safetensors.index.json"} <= names


def test_another_model_is_refused(student: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no student here"):
        student_files(tmp_path)
    tiny_runs.change(student / "config.json", auto_map={})
    with pytest.raises(InputError, match="saved without its code"):
        student_files(student)
    tiny_runs.change(student / "config.json", model_type="bert")
    with pytest.raises(InputError, match="expected 'coteach_student', got 'bert'"):
        student_files(student)
