"""Files from anybody: nothing in them runs, leaves its folder, or takes all memory."""

import ast
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import coteach
import coteach.data.files
from coteach.data.entity_definitions import read_definitions
from coteach.data.files import byte_lines, read_json, whole
from coteach.data.formats.documents import all_lines
from coteach.data.labelled_rows import ColumnNames, read_rows
from coteach.data.page_folder import PageFolder, page_path
from coteach.data.shinra import read_annotation_file, read_gold
from coteach.data.shinra_task import read_splits
from coteach.data.unlabelled import UnlabelledText
from coteach.errors import InputError
from coteach.model import Student
from coteach.reporting.predictions import read_predictions
from coteach.thresholds import main as thresholds

PACKAGE = Path(coteach.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
DEEP = '{"page_id": ' + "[" * 200_000 + "]" * 200_000 + "}"

FORBIDDEN_MODULES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
FORBIDDEN_MODULES |= {"tarfile", "zipfile"}  # archives, whose members may name any path
FORBIDDEN_CALLS = {"eval", "exec", "os.system", "torch.load", "torch.save", "yaml.load"}
FORBIDDEN_CALLS |= {"np.load", "numpy.load", "shutil.unpack_archive", "yaml.unsafe_load"}
FORBIDDEN_OPTIONS = {"allow_pickle", "shell", "trust_remote_code"}


@cache
def parsed(source: str) -> list[ast.AST]:
    return list(ast.walk(ast.parse(source)))


def dangers(source: str) -> Iterator[str]:
    """What of a source could run what a file says, with its line."""
    for node in parsed(source):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Call):
            if ast.unparse(node.func) in FORBIDDEN_CALLS:
                yield f"{node.lineno}: {ast.unparse(node.func)}"
            options = {keyword.arg for keyword in node.keywords}
            yield from (f"{node.lineno}: {it}" for it in sorted(FORBIDDEN_OPTIONS & options))
        yield from (name for name in names if name.partition(".")[0] in FORBIDDEN_MODULES)


def test_the_package_unpickles_and_evaluates_nothing() -> None:
    assert len(SOURCES) > 100
    found = {
        str(path.relative_to(PACKAGE)): list(dangers(path.read_text("utf-8"))) for path in SOURCES
    }
    assert {path: of for path, of in found.items() if of} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from dill import loads",
        "torch.load(path, weights_only=False)",
        "eval(text)",
        "subprocess.run(text, shell=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "numpy.load(path, allow_pickle=True)",
    ],
)
def test_the_test_above_can_fail(source: str) -> None:
    assert list(dangers(source))


TRUSTED = {
    # A drawing that matplotlib or a template of ours has made, which escape what they are given.
    "reporting/page/page.html": ["{{ chart.svg | safe }}"],
    # JSON in which nothing can end its element, and files of the package.
    "reporting/page/writing.py": [
        "Markup(script_json([it.as_json() for it in content.sets]))",
        "Markup(_file('page.css'))",
        "Markup(_file(name))",
    ],
}
"""What a page of HTML takes as it is: all of it is made here, and tested there."""


def test_templates_of_html_escape_everything_else() -> None:
    found: dict[str, list[str]] = {}
    for path in sorted([*PACKAGE.rglob("*.html"), *PACKAGE.rglob("*.svg")]):
        text = path.read_text("utf-8")
        assert "autoescape false" not in text
        found[str(path.relative_to(PACKAGE))] = re.findall(r"{{[^}]*\|\s*safe\b[^}]*}}", text)
    for path in SOURCES:
        found[str(path.relative_to(PACKAGE))] = [
            ast.unparse(node)
            for node in parsed(path.read_text("utf-8"))
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Markup")
        ]
    assert {path: of for path, of in found.items() if of} == TRUSTED


def test_an_encoder_that_brings_its_own_code_does_not_run_it(tmp_path: Path) -> None:
    names = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": names}))
    marker = tmp_path / "it_ran"
    (tmp_path / "own.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    with pytest.raises(ValueError, match="trust_remote_code"):
        Student.from_encoder(str(tmp_path), None)  # type: ignore[arg-type]
    assert not marker.exists()


# Paths


@pytest.mark.parametrize(
    "page_id", ["../secret", "/etc/passwd", "a/../../secret", "..", "deeper/page", "nul\0", ""]
)
def test_a_page_id_cannot_leave_the_folder(page_id: str, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    inside = page_id in ("..", "")  # "...txt" and ".txt" are names of files
    if inside:
        assert page_path(folder, page_id).parent == folder
        return
    with pytest.raises(InputError, match=r"page id .* is not the name of a file in"):
        PageFolder(folder, page_ids=[page_id])[page_id]


def test_page_ids_of_every_alphabet_are_names(tmp_path: Path) -> None:
    for page_id in ("12", "城", "a b", "名　前", "a\\b", "it's", "._12", "a..b"):
        assert page_path(tmp_path, page_id).parent == tmp_path


def test_gold_and_splits_that_name_pages_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "1.txt").write_text("甲城")
    (tmp_path / "secret.txt").write_text("甲城")
    place = {"line_id": 0, "offset": 0}
    end = {"line_id": 0, "offset": 2}
    entry = {"page_id": "../secret", "title": "甲", "attribute": "別名"}
    gold = tmp_path / "gold.json"
    line = json.dumps({**entry, "text_offset": {"start": place, "end": end}})
    gold.write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r'gold\.json:1: unknown page "\.\./secret"'):
        read_gold(gold, pages=PageFolder(folder))
    assert thresholds(["student", str(folder), str(gold), "--output", str(tmp_path / "new")]) == 2
    assert 'page id "../secret" is not the name of a file' in capsys.readouterr().err
    splits = tmp_path / "splits.json"
    splits.write_text('{"train": ["1", "../secret"]}')
    with pytest.raises(InputError, match="secret"):
        read_splits(splits, PageFolder(folder))


# Depth and size

READERS: dict[str, Callable[[Path], Any]] = {
    "annotations": read_annotation_file,
    "definitions": read_definitions,
    "predictions": read_predictions,
    "rows": lambda path: list(read_rows(str(path), ColumnNames("text", None, "label"))),
    "unlabelled": lambda path: UnlabelledText(files=str(path)).read(1),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_line_nested_too_deeply_is_named(reader: str, tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text(f"\n{DEEP}\n")
    with pytest.raises(InputError, match=r"lines\.jsonl:2: .") as caught:
        READERS[reader](path)
    assert len(str(caught.value)) < 500


def test_a_file_nested_too_deeply_is_named(tmp_path: Path) -> None:
    path = tmp_path / "whole.json"
    path.write_text(DEEP)
    with pytest.raises(InputError, match=r"whole\.json: expected JSON: maximum recursion depth"):
        read_json(path)


@pytest.mark.parametrize("reader", ["annotations", "predictions", "unlabelled", "plain"])
def test_a_line_that_is_too_long_is_named(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coteach.data.files, "LONGEST_LINE", 100)
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b"\n" + b"1" * 101)
    read = READERS.get(reader, lambda path: list(byte_lines(path)))
    with pytest.raises(InputError, match=r"lines\.jsonl:2: a line of more than 9\.5\S+ MiB"):
        read(path)


def test_the_longest_line_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coteach.data.files, "LONGEST_LINE", 10)
    path = tmp_path / "lines.txt"
    path.write_bytes(b"123456789\n1234567890")
    assert [len(line) for _, line in byte_lines(path)] == [10, 10]


@pytest.mark.parametrize("read", [whole, read_json, lambda path: list(all_lines(path))])
def test_a_file_that_is_too_large_is_named(
    read: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "whole.json"
    path.write_bytes(b"[" + b" " * 98 + b"]")
    monkeypatch.setattr(coteach.data.files, "LARGEST_FILE", 100)
    read(path)
    monkeypatch.setattr(coteach.data.files, "LARGEST_FILE", 99)
    with pytest.raises(InputError, match=r"whole\.json: 0\.0 GiB; expected at most 9\.2\S+ GiB"):
        read(path)
