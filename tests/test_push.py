from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import local_hub
import pytest
import tiny_runs
import torch
from huggingface_hub import HfApi, close_session, constants
from local_hub import LocalHub
from safetensors.torch import load_file
from transformers import pipeline

from coteach.model import AttributeExtractionPipeline, ClassificationPipeline, Student
from coteach.push import main

NAME = "alice/castles"
TEXTS = ["東京都の城", "このホテルは とても良い。"]
FRESH = """
import json, sys

NAMES, TEXTS, OUT = json.loads(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
# The first time without coteach, by the code that was published.
class NoCoteach:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "coteach":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoCoteach())
from safetensors.torch import save_file
from transformers import AutoModel, pipeline

found = []
for task, name in NAMES.items():
    model = AutoModel.from_pretrained(name, trust_remote_code=True)
    save_file(model.state_dict(), f"{OUT}/{task}.safetensors")
    found.append(pipeline(task, model=name, trust_remote_code=True)(TEXTS))
assert not any(name.split(".")[0] == "coteach" for name in sys.modules)
# Then with coteach, whose pipelines are its own.
sys.meta_path.pop(0)
import coteach.model.registration

for task, name in NAMES.items():
    found.append(pipeline(task, model=name)(TEXTS))
print(json.dumps(found))
"""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalHub]:
    """A Hub on this machine, where alice is logged in, and nobody waits between attempts."""
    with local_hub.running() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        template = f"{hub.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no login"))
        monkeypatch.setattr(time, "sleep", lambda seconds: None)
        monkeypatch.setenv("HF_TOKEN", local_hub.TOKEN)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        close_session()
        yield hub
        close_session()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_runs.write_extraction_run(tmp_path_factory.mktemp("runs") / "castles")


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def push(run: Path, *options: str, name: str = NAME) -> int:
    return main([str(run), name, *options])


def error_of(captured: pytest.CaptureFixture[str]) -> str:
    """The one line that says what is wrong; no token is in what was printed."""
    printed = captured.readouterr()
    assert "hf_" not in printed.out + printed.err
    lines = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def test_a_dry_run_writes_what_would_go_up_and_asks_nobody(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], hub: LocalHub
) -> None:
    assert push(run, "--dry-run", "--output", str(tmp_path / "out")) == 0
    printed = capsys.readouterr().out
    files = written(tmp_path / "out")
    assert {"README.md", "config.json", "model.safetensors", "student.py"} <= set(files)
    for name in files:
        assert f"│ {name} " in printed
    assert f"{len(files)} files" in printed
    assert hub.requests == []
    everything = b"".join(of for name, of in files.items() if name.endswith((".json", ".md")))
    assert b"someone" not in everything
    assert str(run.parent).encode() not in everything
    assert push(run, "--dry-run", "--output", str(tmp_path / "out")) == 2
    assert "exists; expected the name of a new folder" in error_of(capsys)


def test_everything_appears_in_one_private_commit(
    run: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    hub: LocalHub,
) -> None:
    push(run, "--dry-run", "--output", str(tmp_path / "out"))
    with caplog.at_level("DEBUG"):
        assert push(run, "--message", "The first") == 0
    assert hub.files(NAME) == written(tmp_path / "out")
    repository = hub.repositories[NAME]
    assert repository.private
    (commit,) = repository.branches.values()
    assert commit.message == "The first"
    assert commit.parent is not None
    assert commit.parent.parent is None
    printed = capfd.readouterr()
    assert f"Published, private: {hub.endpoint}/{NAME}" in printed.out
    assert "hf_" not in printed.out + printed.err + caplog.text


def test_what_is_there_is_replaced_only_when_asked(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], hub: LocalHub
) -> None:
    assert push(run) == 0
    first = hub.repositories[NAME].branches["main"]
    assert push(run) == 0
    assert "Nothing to do, these very files are there" in capsys.readouterr().out
    assert push(run, "--licence", "mit") == 2
    assert "file(s) already; expected another name, or --update" in error_of(capsys)
    assert hub.repositories[NAME].branches["main"] is first

    first.files["model-00001-of-00002.safetensors"] = local_hub.Blob(b"old", True)
    assert push(run, "--licence", "mit", "--update") == 0
    push(run, "--licence", "mit", "--dry-run", "--output", str(tmp_path / "out"))
    assert hub.files(NAME) == written(tmp_path / "out")
    assert ".gitattributes" in hub.repositories[NAME].branches["main"].files
    assert hub.repositories[NAME].branches["main"].parent is first


@pytest.mark.parametrize(
    ("token", "name", "told"),
    [
        ("hf_unknown", NAME, "the token is not valid; expected one with permission to write"),
        (local_hub.READ_ONLY, NAME, "no permission to write to alice/castles"),
        (local_hub.TOKEN, "bob/castles", "no permission to write to bob/castles"),
        (local_hub.TOKEN, "alice/taken", "alice/taken is taken; expected another name"),
        (None, NAME, "no token; expected one in HF_TOKEN"),
    ],
)
def test_who_may_not_write_is_told_why(
    token: str | None,
    name: str,
    told: str,
    run: Path,
    capsys: pytest.CaptureFixture[str],
    hub: LocalHub,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub.taken.add("alice/taken")
    if token is None:
        monkeypatch.delenv("HF_TOKEN")
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    assert push(run, name=name) == 2
    assert told in error_of(capsys)
    assert hub.repositories == {}


def test_others_models_are_not_touched(
    run: Path, capsys: pytest.CaptureFixture[str], hub: LocalHub
) -> None:
    files = {"README.md": local_hub.Blob(b"of bob", False)}
    commit = local_hub.Commit("first", files)
    hub.repositories["bob/castles"] = local_hub.Repository(False, {"main": commit})
    assert push(run, "--public", "--update", name="bob/castles") == 2
    assert "no permission to write to bob/castles" in error_of(capsys)
    assert hub.repositories["bob/castles"].branches == {"main": commit}


@pytest.mark.parametrize("cut", ["upload", "commit", "answer"])
def test_a_cut_connection_leaves_nothing_half_and_a_retry_succeeds(
    cut: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], hub: LocalHub
) -> None:
    hub.cut = cut
    assert push(run) == 2
    assert f"the connection to {hub.endpoint} failed" in (message := error_of(capsys))
    assert "the same command goes on from here" in message
    push(run, "--dry-run", "--output", str(tmp_path / "out"))
    whole = written(tmp_path / "out")
    assert hub.files(NAME) == (whole if cut == "answer" else {})
    sent = list(hub.uploads)
    assert bool(sent) == (cut != "upload")
    hub.cut = None
    assert push(run) == 0
    assert hub.files(NAME) == whole
    assert len(hub.uploads) == len(set(hub.uploads))
    if cut != "upload":
        assert hub.uploads == sent  # what was whole is not sent again


def test_metadata_that_the_hub_refuses_are_told_before_anything_is_sent(
    run: Path, capsys: pytest.CaptureFixture[str], hub: LocalHub
) -> None:
    assert push(run, "--licence", "my-own") == 2
    assert '"license" must be one of the known ones' in error_of(capsys)
    assert hub.uploads == []
    assert push(run, "--licence", "mit") == 0


def test_a_server_that_is_not_there(
    run: Path, capsys: pytest.CaptureFixture[str], hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert push(run) == 2
    assert "the connection to http://127.0.0.1:9 failed" in error_of(capsys)


def test_nobody_elses_commit_is_overwritten(
    run: Path, capsys: pytest.CaptureFixture[str], hub: LocalHub
) -> None:
    hub.meanwhile = True
    assert push(run) == 2
    assert "alice/castles was changed meanwhile" in error_of(capsys)
    assert hub.files(NAME) == {}


def test_who_may_read_it_does_not_change_by_the_way(
    run: Path, capsys: pytest.CaptureFixture[str], hub: LocalHub
) -> None:
    assert push(run, "--public") == 0
    assert not hub.repositories[NAME].private
    assert push(run, "--update") == 2
    assert "is there and public; expected --public" in error_of(capsys)
    hub.repositories[NAME].private = True
    assert push(run, "--public", "--update") == 2
    assert "is there and private; expected no --public" in error_of(capsys)


def test_a_branch_is_made_and_main_stays(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], hub: LocalHub
) -> None:
    assert push(run) == 0
    main_files = hub.files(NAME)
    options = ("--revision", "second", "--licence", "mit")
    hub.cut = "commit"
    assert push(run, *options) == 2
    hub.cut = None
    assert push(run, *options) == 0
    assert f"{hub.endpoint}/{NAME}/tree/second" in capsys.readouterr().out
    assert hub.files(NAME) == main_files
    push(run, *options, "--dry-run", "--output", str(tmp_path / "out"))
    assert hub.files(NAME, "second") == written(tmp_path / "out")
    assert b'revision="second"' in hub.files(NAME, "second")["README.md"]
    assert push(run, *options[:2]) == 2
    assert "--update" in error_of(capsys)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--output", "folder"), "--output: for --dry-run alone"),
        (("--language", "Japanese"), "--language: expected codes such as ja, got 'Japanese'"),
        (("--licence", "Apache 2"), "--licence: expected a name such as apache-2.0"),
        (("--revision", 'a"b'), "--revision: expected the name of a branch"),
        (("--base-model", "encoder"), "--base-model: expected user/name"),
        (("--language",), "--language: expected at least one"),
        (("--message", " "), "--message: expected some words"),
    ],
)
def test_values_that_the_hub_does_not_take(
    options: tuple[str, ...], told: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(run, *options) == 2
    assert told in error_of(capsys)


@pytest.mark.parametrize("name", ["castles", "alice/", "a/b/c", "alice/城", "../x"])
def test_a_name_is_of_a_user(name: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert push(run, name=name) == 2
    assert f"NAME: expected user/name, in letters, digits, '-', '_' and '.', got {name!r}" in (
        error_of(capsys)
    )


def test_what_was_published_is_what_was_trained(run: Path, tmp_path: Path, hub: LocalHub) -> None:
    assert push(run) == 0
    folder = HfApi().snapshot_download(NAME, local_dir=tmp_path, max_workers=1)
    student = Student.from_pretrained(folder)
    saved = load_file(run / "student" / "model.safetensors")
    loaded = student.state_dict()
    assert saved.keys() == loaded.keys()
    assert all(torch.equal(saved[name], loaded[name]) for name in saved)
    assert student.config.teachers == list(tiny_runs.TEAMS)


@pytest.mark.slow
def test_what_was_published_answers_in_a_fresh_process(
    run: Path, tmp_path: Path, hub: LocalHub
) -> None:
    texts = tiny_runs.write_classification_run(tmp_path / "texts")
    names = {"attribute-extraction": NAME, "student-text-classification": "alice/texts"}
    folders = dict(zip(names, (run, texts), strict=True))
    for task, folder in folders.items():
        assert push(folder, name=names[task]) == 0
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": str(Path(__file__).parent.parent),
    }
    arguments = [json.dumps(names), json.dumps(TEXTS), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", FRESH, *arguments],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert local_hub.TOKEN not in done.stdout + done.stderr
    expected = []
    for task, folder in folders.items():
        saved = load_file(folder / "student" / "model.safetensors")
        published = load_file(tmp_path / f"{task}.safetensors")
        assert saved.keys() == published.keys()
        assert all(torch.equal(saved[name], published[name]) for name in saved)
        loaded = pipeline(task, model=str(folder / "student"))
        assert isinstance(loaded, AttributeExtractionPipeline | ClassificationPipeline)
        expected.append(loaded(TEXTS))
    assert all(expected[0])  # there is something to find
    assert json.loads(done.stdout) == json.loads(json.dumps([*expected, *expected]))
