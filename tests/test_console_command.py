import ast
import importlib
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import coteach
from coteach.__main__ import main, verbs
from coteach.command import called_as, program

ROOT = Path(__file__).parents[1]
PACKAGE = Path(coteach.__file__).parent
VERBS = sorted(verbs())


def test_the_verbs_are_the_modules_with_a_main_function() -> None:
    expected = {}
    for path in PACKAGE.glob("[a-z]*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            expected[path.stem] = (ast.get_docstring(tree) or "").splitlines()[0]
    found = verbs()
    assert list(found) == sorted(expected)
    assert {"train", "predict", "score"} <= set(found)
    for verb, what in found.items():
        assert expected[verb].startswith(what)
        # The docstring's first line says how the verb is called; the list leaves that out.
        assert f"python -m coteach.{verb}" in expected[verb]
        assert 10 < len(what) < 75
        assert "``" not in what


def test_the_list_of_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code in (([], 2), (["--help"], 0), (["-h"], 0)):
        assert main(arguments) == code
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "usage: coteach VERB [ARGUMENTS]"
        listed = dict(line.split(maxsplit=1) for line in lines if line.startswith("  "))
        assert {verb: listed[verb] for verb in VERBS} == verbs()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"coteach {coteach.__version__}\n"


@pytest.mark.parametrize(
    ("verb", "near"), [("trian", "did you mean 'train'?"), ("scores", "'score'?"), ("xyzzy", None)]
)
def test_an_unknown_verb(verb: str, near: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith(f"error: verb {verb!r}: expected one of ")
    assert line.endswith(near) if near is not None else "did you mean" not in line


@pytest.mark.parametrize("name", ["errors", "__main__", "data", "__init__", "recipe"])
def test_other_modules_are_no_verbs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 2
    assert f"verb {name!r}" in capsys.readouterr().err


def first_line_of_help(run: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]) -> str:
    with suppress(SystemExit):  # tyro's help ends the process
        assert run(["--help"]) == 0
    return " ".join(capsys.readouterr().out.split("\n\n")[0].split())


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_says_how_a_verb_was_called(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(f"coteach.{verb}")
    called = f"usage: python -m coteach.{verb} "
    assert first_line_of_help(module.main, capsys).startswith(called)
    usage = first_line_of_help(lambda rest: main([verb, *rest]), capsys)
    assert usage.startswith(f"usage: coteach {verb} ")
    assert "python -m" not in usage


def test_the_arguments_and_the_exit_code_are_the_verbs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gold = tmp_path / "gold.json"
    assert main(["score", str(gold), str(gold)]) == 2
    assert str(gold) in capsys.readouterr().err


def test_the_name_is_the_old_one_after_an_error() -> None:
    def fail() -> None:
        with called_as("coteach "):
            raise ValueError(program("train"))

    with pytest.raises(ValueError, match=r"^coteach train$"):
        fail()
    assert program("train") == "python -m coteach.train"


def test_recipes_are_found_where_the_command_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # An installed command has the folder of scripts, not the current one, on Python's path.
    (tmp_path / "recipe_of_mine.py").write_text("nothing = 1\n")
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    monkeypatch.chdir(tmp_path)
    assert main(["train", "recipe_of_mine"]) == 2
    expected = "error: recipe 'recipe_of_mine': expected a variable `recipe`"
    assert capsys.readouterr().err.startswith(expected)


def test_the_command_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["scripts"] == {"coteach": "coteach.__main__:main"}


def test_the_list_as_a_process_imports_nothing_heavy() -> None:
    listed = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "coteach", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stdout.startswith("usage: python -m coteach VERB [ARGUMENTS]\n")
    imported = {line.rpartition("|")[2].strip() for line in listed.stderr.splitlines()}
    assert "coteach.command" in imported
    assert not imported & {"numpy", "rich", "torch", "transformers", "tyro"}
