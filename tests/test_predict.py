from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_task
from accelerate.state import AcceleratorState
from rich.console import Console

from coteach.data.shinra import read_submissions
from coteach.predict import main
from coteach.recipe import Recipe
from coteach.score import compare
from coteach.training.loading import load_extractor
from coteach.training.run import run

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    recipe = tiny_task.load(tmp_path_factory.mktemp("tiny"))
    return replace(recipe, optimisation=replace(recipe.optimisation, epochs=5))


@pytest.fixture(scope="module")
def folder(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    AcceleratorState._reset_state(reset_partial_state=True)
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    run(recipe, folder, Console(file=io.StringIO()))
    AcceleratorState._reset_state(reset_partial_state=True)
    return folder


@pytest.fixture
def student(folder: Path) -> str:
    return str(folder / "student")


def values(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command with an unusable input prints."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[-1].startswith("error: ")
    assert "Traceback" not in captured.err
    return lines[-1]


@pytest.mark.parametrize("probability", ["p", "p_out", "p_mean"])
def test_the_submission_scores_as_the_summary_says(
    recipe: Recipe, folder: Path, student: str, tmp_path: Path, probability: str
) -> None:
    output, report = tmp_path / "new" / "Castle.json", tmp_path / "report.txt"
    pages, gold = str(recipe.data.pages), recipe.data.report
    assert gold is not None
    assert main([student, pages, "--output", str(output), "--probability", probability]) == 0
    report.write_text("\n".join(tiny_task.SPLITS["report"]))
    score = compare(gold, [output], pages=report).scores[str(output)].micro
    expected = json.loads((folder / "summary.json").read_text())["scores"][f"student:{probability}"]
    assert (score.precision, score.recall, score.f1) == pytest.approx(
        (expected["precision"], expected["recall"], expected["f1"])
    )
    assert score.recall > 0


def test_the_submission(
    recipe: Recipe,
    folder: Path,
    student: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "Castle.json"
    assert main([student, str(recipe.data.pages), "--output", str(output)]) == 0
    found = values(output)
    assert f"{len(found)} values written to {output}" in capsys.readouterr().out
    pages = {path.stem: path.read_bytes().decode() for path in recipe.data.pages.glob("*.txt")}
    assert {value["page_id"] for value in found} <= set(pages) - {tiny_task.EMPTY}
    for value in found:
        assert set(value) == {"page_id", "title", "attribute", "text_offset", "score"}
        assert value["attribute"] in tiny_task.ATTRIBUTES
        assert 0 < value["score"] <= 1
        place = value["text_offset"]
        if place["start"]["line_id"] == place["end"]["line_id"]:
            line = pages[value["page_id"]].split("\n")[place["start"]["line_id"]]
            assert place["text"] == line[place["start"]["offset"] : place["end"]["offset"]]
    assert [path.name for path in tmp_path.iterdir()] == ["Castle.json"]
    # The run wrote the same about its report pages.
    report = [value for value in found if value["page_id"] in tiny_task.SPLITS["report"]]

    def key(value: dict[str, Any]) -> str:
        return json.dumps({**value, "score": round(value["score"], 4)})

    assert sorted(map(key, report)) == sorted(map(key, values(folder / "report.json")))


def test_batches_do_not_show(recipe: Recipe, student: str, tmp_path: Path) -> None:
    for size in ("1", "5"):
        arguments = [student, str(recipe.data.pages), "--output", str(tmp_path / size)]
        assert main([*arguments, "--batch-size", size]) == 0
    one, five = (
        [{**v, "score": round(v["score"], 4)} for v in values(tmp_path / size)]
        for size in ("1", "5")
    )
    assert one == five


def test_bfloat16(recipe: Recipe, student: str, tmp_path: Path) -> None:
    output = tmp_path / "Castle.json"
    arguments = [student, str(recipe.data.pages), "--output", str(output)]
    assert main([*arguments, "--precision", "bf16"]) == 0
    assert all(0 < value["score"] <= 1 for value in values(output))


def test_gold_only_students_have_p_alone(
    recipe: Recipe, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "Castle.json"
    arguments = [str(folder / "gold_only" / "student"), str(recipe.data.pages)]
    arguments += ["--output", str(output)]
    assert main(arguments) == 0
    output.unlink()
    capsys.readouterr()
    for probability in ("p_out", "p_mean"):
        message = error_of(capsys, *arguments, "--probability", probability)
        assert message == f"error: probability '{probability}': this student has only p"
    assert not output.exists()


def test_what_cannot_be_used(
    recipe: Recipe, student: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages, output = str(recipe.data.pages), str(tmp_path / "out" / "Castle.json")
    absent = str(tmp_path / "absent" / "folder")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "1.txt").write_bytes("この城".encode())
    (tmp_path / "broken" / "2.txt").write_bytes(b"\xff")
    for arguments, message in [
        ([absent, pages], f"student '{absent}': no such folder; expected that of a run or of a"),
        (
            [str(Path(student).parent.parent), pages],
            f"holds none; expected that of a run or of a student, such as {Path(student).parent}",
        ),
        ([student, absent], f"{absent}: no such folder"),
        ([student, str(tmp_path / "empty")], "empty: no page here"),
        ([student, str(tmp_path / "broken")], "2.txt: not UTF-8"),
        ([student, pages, "--output", str(tmp_path / "empty")], "empty: cannot be written: Is a"),
        ([student, pages, "--batch-size", "0"], "batch_size: expected at least 1, got 0"),
        ([student, pages, "--shard-pages", "0"], "shard_pages: expected at least 1, got 0"),
        ([student, pages, "--processes", "0"], "processes: expected at least 1, got 0"),
        ([student, pages, "--partial", "--output", "none.json"], "none.json: nothing has begun"),
    ]:
        assert message in error_of(capsys, "--output", output, *arguments)
        assert not Path(output).exists()


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def cut_short(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def with_fewer_attributes(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attributes": ["場所"]}))


def not_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize(
    "damage",
    [
        without("config.json"),
        without("model.safetensors"),
        without("tokenizer.json"),
        cut_short,
        with_fewer_attributes,
        not_json,
    ],
)
def test_a_damaged_student(
    recipe: Recipe,
    student: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
) -> None:
    damage(Path(shutil.copytree(student, tmp_path / "student")))
    arguments = [str(tmp_path / "student"), str(recipe.data.pages), "--output", "never"]
    assert f"student '{tmp_path / 'student'}' cannot be loaded: " in error_of(capsys, *arguments)


def test_an_old_submission_stays_when_pages_cannot_be_read(
    student: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages, output = tmp_path / "pages", tmp_path / "Castle.json"
    pages.mkdir()
    (pages / "1.txt").write_bytes(b"\xff")
    output.write_text("old")
    assert "1.txt: not UTF-8" in error_of(capsys, student, str(pages), "--output", str(output))
    assert output.read_text() == "old"
    names = {"pages", "Castle.json", "Castle.json.parts"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_in_python(recipe: Recipe, student: str) -> None:
    """A student used without files."""
    extractor = load_extractor(student, batch_size=3)
    assert not extractor.student.training
    texts = [tiny_task.page(page_id)[0] for page_id in ("9", "12", "10")]
    results = list(extractor(texts))
    assert [bool(result["p"]) for result in results] == [True, False, True]
    span, confidence = results[0]["p"][0]
    assert span.attribute in tiny_task.ATTRIBUTES
    assert 0 < confidence <= 1


def test_the_module_is_a_command(recipe: Recipe, student: str, tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "coteach.predict", student, str(recipe.data.pages)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*arguments, "--output", "out.json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(" values written to out.json\n")
    assert len(values(tmp_path / "out.json")) > 0


def test_html_pages(student: str, recipe: Recipe, tmp_path: Path) -> None:
    """The student reads the text; values stand at their places in the HTML."""
    pages: Path = recipe.data.pages  # type: ignore[attr-defined]
    (tmp_path / "html").mkdir()
    for page in pages.iterdir():
        text = page.read_text(encoding="utf-8").replace("城", "<b>城</b>").replace("門", "&#38272;")
        (tmp_path / "html" / f"{page.stem}.html").write_text(text, encoding="utf-8")
    plain, html = tmp_path / "plain.json", tmp_path / "html.json"
    assert main([student, str(pages), "--output", str(plain)]) == 0
    arguments = [student, str(tmp_path / "html"), "--output", str(html), "--offsets", "html"]
    assert main(arguments) == 0

    found = [(it["page_id"], it["attribute"], it["score"]) for it in values(plain)]
    assert found
    assert [(it["page_id"], it["attribute"], it["score"]) for it in values(html)] == found
    for in_text, in_html in zip(values(plain), values(html), strict=True):
        assert "text_offset" not in in_html
        marked = in_html["html_offset"]["text"]
        bare = marked.replace("<b>", "").replace("</b>", "").replace("&#38272;", "門")
        assert bare == in_text["text_offset"]["text"]


class TestShards:
    """What is done is kept, and goes on."""

    SHARD = ("--shard-pages", "5")  # three shards: 1 10 11 12 2, 3 4 5 6 7, 8 9

    @pytest.fixture
    def pages(self, recipe: Recipe, tmp_path: Path) -> Path:
        return Path(shutil.copytree(recipe.data.pages, tmp_path / "pages"))

    @pytest.fixture
    def whole(self, student: str, pages: Path, tmp_path: Path) -> Path:
        """The output of a run that was not interrupted."""
        output = tmp_path / "whole.json"
        assert main([student, str(pages), "--output", str(output), *self.SHARD]) == 0
        return output

    def broken(self, pages: Path, page_id: str) -> Callable[[], object]:
        """Damage a page; returns what repairs it."""
        path = pages / f"{page_id}.txt"
        content = path.read_bytes()
        path.write_bytes(content + b"\xff")
        return lambda: path.write_bytes(content)

    def test_the_size_of_shards_hardly_matters(
        self, student: str, pages: Path, whole: Path, tmp_path: Path
    ) -> None:
        one = tmp_path / "one.json"
        assert main([student, str(pages), "--output", str(one)]) == 0
        found = [
            [{**value, "score": round(value["score"], 4)} for value in values(path)]
            for path in (one, whole)
        ]
        assert found[0] == found[1]
        assert len(found[0]) > 5

    @pytest.mark.parametrize("page_id", ["1", "7", "9"])
    def test_it_goes_on_after_a_broken_page(
        self,
        student: str,
        pages: Path,
        whole: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        page_id: str,
    ) -> None:
        output = tmp_path / "Castle.json"
        arguments = [student, str(pages), "--output", str(output), *self.SHARD]
        repair = self.broken(pages, page_id)
        capsys.readouterr()
        assert main(arguments) == 2
        *_, before, error = capsys.readouterr().err.splitlines()
        assert f"{page_id}.txt: not UTF-8: byte 0xff" in error
        done = {"1": 0, "7": 5, "9": 10}[page_id]
        told = f"{done} of 12 pages are done and kept in {output}.parts"
        assert (before == told) == (done > 0)
        assert not output.exists()
        repair()
        if page_id == "9":  # what is done is not read again
            (pages / "1.txt").write_bytes(b"\xff")
        assert main(arguments) == 0
        assert output.read_bytes() == whole.read_bytes()
        count = len(values(output))
        assert capsys.readouterr().out == f"{count} values written to {output}\n"
        assert {it.name for it in tmp_path.iterdir()} == {"pages", "whole.json", "Castle.json"}

    def test_what_is_done_can_be_handed_in(
        self,
        student: str,
        pages: Path,
        whole: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """As the submission of a team that processed only some pages."""
        output = tmp_path / "team" / "Castle.json"
        arguments = [student, str(pages), "--output", str(output), *self.SHARD]
        repair = self.broken(pages, "7")
        assert main(arguments) == 2
        capsys.readouterr()
        assert main([*arguments, "--partial"]) == 0
        processed = ["1", "10", "11", "12", "2"]
        (team,) = read_submissions(tmp_path, "Castle")
        assert team.processed == set(processed)
        expected = [value for value in values(whole) if value["page_id"] in processed]
        assert values(output) == expected
        assert capsys.readouterr().out == (
            f"{len(expected)} values of 5 of 12 pages written to {output}, the ids of these pages "
            f"to {output.with_name('Castle.processed.txt')}\n"
        )
        (pages / "13.txt").write_text("")
        message = error_of(capsys, *arguments, "--partial")
        assert message.endswith(f"pages: other pages than those begun in {output}.parts")
        (pages / "13.txt").unlink()

        repair()
        assert main(arguments) == 0
        (team,) = read_submissions(tmp_path, "Castle")
        assert team.processed is None
        assert output.read_bytes() == whole.read_bytes()

    def test_what_others_began_is_refused(
        self,
        folder: Path,
        student: str,
        pages: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        output = tmp_path / "Castle.json"
        given = ["--output", str(output), *self.SHARD]
        self.broken(pages, "7")
        assert main([student, str(pages), *given]) == 2
        kept = {it: it.read_bytes() for it in (tmp_path / "Castle.json.parts").iterdir()}
        other = str(folder / "gold_only" / "student")
        for arguments, message in [
            ([other, str(pages)], "student_fingerprint "),
            ([student, str(pages), "--probability", "p_out"], 'probability "p", now "p_out"'),
            ([student, str(pages), "--precision", "bf16"], 'precision "no", now "bf16"'),
            ([student, str(pages), "--shard-pages", "6"], "shard_size 5, now 6"),
            ([student, str(pages), "--worker", "--probability", "p_out"], "probability "),
        ]:
            found = error_of(capsys, "--output", str(output), *self.SHARD, *arguments)
            assert f"{output}.parts: holds the beginning of another run: {message}" in found
        (pages / "7.txt").rename(pages / "77.txt")
        assert 'page_ids "' in error_of(capsys, student, str(pages), *given)
        assert {it: it.read_bytes() for it in (tmp_path / "Castle.json.parts").iterdir()} == kept

    def test_other_batches_may_go_on(
        self, student: str, pages: Path, whole: Path, tmp_path: Path
    ) -> None:
        """After memory ran out, for example."""
        output = tmp_path / "Castle.json"
        arguments = [student, str(pages), "--output", str(output), *self.SHARD]
        repair = self.broken(pages, "7")
        assert main(arguments) == 2
        repair()
        assert main([*arguments, "--batch-size", "1"]) == 0
        assert len(values(output)) == len(values(whole))

    def test_workers_only_help(
        self,
        student: str,
        pages: Path,
        whole: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        output = tmp_path / "Castle.json"
        arguments = [student, str(pages), "--output", str(output), *self.SHARD]
        capsys.readouterr()
        assert main([*arguments, "--worker"]) == 0
        message = f"{output}: nothing has begun here, or it is complete\n"
        assert capsys.readouterr().out == message
        repair = self.broken(pages, "7")
        assert main(arguments) == 2
        repair()
        assert main([*arguments, "--worker"]) == 0
        assert not output.exists()
        (pages / "1.txt").write_bytes(b"\xff")  # nothing is left to be read
        assert main(arguments) == 0
        assert output.read_bytes() == whole.read_bytes()

    def test_html(self, student: str, pages: Path, tmp_path: Path) -> None:
        for page in list(pages.iterdir()):
            page.rename(page.with_suffix(".html"))
        arguments = [student, str(pages), "--offsets", "html"]
        found = []
        for size in ("1000", "5"):
            output = tmp_path / f"{size}.json"
            assert main([*arguments, "--output", str(output), "--shard-pages", size]) == 0
            found.append([(it["page_id"], it["html_offset"]) for it in values(output)])
        assert found[0] == found[1]
        assert found[0]


@pytest.fixture(scope="module")
def many_pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    for number in range(400):
        text, _ = tiny_task.page(str(number % 12 + 1))
        (folder / f"{number}.txt").write_text(text)
    return folder


class TestCommands:
    """The command as it is given, killed, stopped, and in several processes."""

    def start(
        self, student: str, pages: Path, output: Path, *options: str, launcher: Sequence[str] = ()
    ) -> subprocess.Popen[str]:
        arguments = [student, str(pages), "--output", str(output), "--shard-pages", "7"]
        return subprocess.Popen(
            [sys.executable, *launcher, "-m", "coteach.predict", *arguments, *options],
            cwd=output.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def whole(self, student: str, pages: Path, output: Path) -> bytes:
        """The output of a run that was not interrupted."""
        arguments = [student, str(pages), "--output", str(output), "--shard-pages", "7"]
        assert main(arguments) == 0
        return output.read_bytes()

    def wait_for_parts(self, process: subprocess.Popen[str], output: Path, count: int) -> None:
        """Wait until so many shards are done."""
        folder = output.with_name(f"{output.name}.parts")
        while len(list(folder.glob("*.part"))) < count:
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)

    def parts(self, output: Path) -> int:
        return len(list(output.with_name(f"{output.name}.parts").glob("*.part")))

    @pytest.mark.slow
    @pytest.mark.parametrize("options", [[], ["--processes", "2"]], ids=["one", "two"])
    def test_killed(
        self, student: str, many_pages: Path, tmp_path: Path, options: list[str]
    ) -> None:
        output = tmp_path / "Castle.json"
        for count in (1, 20, 45):
            process = self.start(student, many_pages, output, *options)
            self.wait_for_parts(process, output, count)
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that it has started
            process.communicate()
            assert not output.exists()
        process = self.start(student, many_pages, output, *options)
        out, err = process.communicate()
        assert process.returncode == 0, err
        assert out.endswith(f" values written to {output}\n")
        assert output.read_bytes() == self.whole(student, many_pages, tmp_path / "whole.json")
        assert {it.name for it in tmp_path.iterdir()} == {"Castle.json", "whole.json"}

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"]
    )
    @pytest.mark.parametrize("options", [[], ["--processes", "2"]], ids=["one", "two"])
    def test_stopped(
        self,
        student: str,
        many_pages: Path,
        tmp_path: Path,
        options: list[str],
        number: int,
        code: int,
    ) -> None:
        output = tmp_path / "Castle.json"
        process = self.start(student, many_pages, output, *options)
        self.wait_for_parts(process, output, 3)
        process.send_signal(number)
        _, err = process.communicate()
        assert process.returncode == code
        *_, done, last = err.splitlines()
        assert done == f"{7 * self.parts(output)} of 400 pages are done and kept in {output}.parts"
        assert last == "interrupted; to go on, give the same command"
        assert "Traceback" not in err
        process = self.start(student, many_pages, output, *options)
        process.communicate()
        assert output.read_bytes() == self.whole(student, many_pages, tmp_path / "whole.json")

    @pytest.mark.slow
    def test_a_launcher(self, student: str, many_pages: Path, tmp_path: Path) -> None:
        output = tmp_path / "Castle.json"
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
        process = self.start(student, many_pages, output, launcher=launcher)
        out, err = process.communicate()
        assert process.returncode == 0, err
        assert out.count(" values written to ") == 1
        assert output.read_bytes() == self.whole(student, many_pages, tmp_path / "whole.json")
        assert {it.name for it in tmp_path.iterdir()} == {"Castle.json", "whole.json"}

        (tmp_path / "Castle.json").unlink()
        process = self.start(student, many_pages, output, "--processes", "2", launcher=launcher)
        _, err = process.communicate()
        assert process.returncode != 0
        assert "error: processes: expected 1, as a launcher has started 2" in err

    @pytest.mark.slow
    def test_two_commands_share_the_pages(
        self, student: str, many_pages: Path, tmp_path: Path
    ) -> None:
        output = tmp_path / "Castle.json"
        first = self.start(student, many_pages, output)
        second = self.start(student, many_pages, output, "--worker")
        third = self.start(student, many_pages, output)
        for process in (first, second, third):
            _, err = process.communicate()
            assert process.returncode == 0, err
        assert output.read_bytes() == self.whole(student, many_pages, tmp_path / "whole.json")
