from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_task

import coteach.data.corpus
from coteach.aggregate import main
from coteach.aggregation import check_installed
from coteach.data.shinra import read_annotations
from coteach.errors import InputError


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_task.write(tmp_path_factory.mktemp("tiny")))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--minimum", "2"], "vote>=2"),
        (["--method", "vote_per_attribute"], "vote_per_attribute"),
        (["--method", "dawid_skene"], "dawid_skene"),
        (["--method", "hidden_markov"], "hidden_markov"),
    ],
)
def test_a_submission_and_its_score(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], name: str
) -> None:
    try:
        check_installed(name)
    except InputError as error:
        pytest.skip(str(error))
    output = tmp_path / "new" / "Castle.json"
    assert main([recipe, "--output", str(output), *options]) == 0
    values = read_annotations(output, name=name).values
    count = sum(map(len, values.values()))
    printed = capsys.readouterr().out
    assert f"{count:,} values written to {output}" in printed.replace("\n", "")
    assert f"│ {name} " in printed
    assert "on the 2 report pages" in printed
    assert count > 0
    if name == "vote>=2":  # "partial" saw odd pages alone; "hasty" has the places right
        assert {page_id for page_id, spans in values.items() if len(spans) == 1} == {
            *("2", "4", "6", "8", "10")
        }


def test_places_in_html_are_written_as_such(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = coteach.data.corpus.load_corpus
    monkeypatch.setattr(
        coteach.data.corpus, "load_corpus", lambda *of: replace(load(*of), offsets="html")
    )
    output = tmp_path / "Castle.json"
    assert main([recipe, "--output", str(output)]) == 0
    values = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert values
    assert all("html_offset" in value and "text_offset" not in value for value in values)


def test_without_report_gold_it_scores_on_dev(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny_task.write(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "report=" not in line))
    assert main([str(path), "--output", str(tmp_path / "out.json")]) == 0
    assert "on the 2 dev pages" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--minimum", "4"], "minimum: expected 1 to 3 (the teams), got 4"),
        (["--method", "dawid_skene", "--minimum", "2"], "for the method 'vote' only"),
    ],
)
def test_errors(
    recipe: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    output = tmp_path / "out.json"
    assert main([recipe, "--output", str(output), *options]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert not output.exists()
    assert main(["absent.py", "--output", str(output)]) == 2
    assert main([recipe, "--output", str(tmp_path)]) == 2


def test_help_is_quick() -> None:
    code = (
        "import sys\nfrom coteach.aggregate import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'pandas', 'skweak', 'crowdkit'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--minimum K" in done.stdout
