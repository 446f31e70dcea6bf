from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import tiny_students
import tiny_task
from fake_runs import write_classification_run
from page_runs import lose_data, write_large_run, write_log, write_tiny_run

from coteach.data.annotated_files import AnnotatedFiles
from coteach.data.formats import Columns
from coteach.data.shinra_distribution import ShinraDistribution
from coteach.errors import InputError
from coteach.model.spans import Span
from coteach.reporting.classification_runs import read_classification_runs
from coteach.reporting.graph_of_run import Edge, Node, RunGraph
from coteach.reporting.page.collect import collect
from coteach.reporting.page.content import Content, Item, ReadSet, System
from coteach.reporting.page.curves import read_log
from coteach.reporting.page.data_of_run import task_data
from coteach.reporting.page.explanations import explained
from coteach.reporting.page.graph import drawings
from coteach.reporting.page.names import run_names
from coteach.reporting.page.places import Places
from coteach.reporting.page.reading import Room
from coteach.reporting.runs import read_runs
from coteach.training.record import as_json

pytest.importorskip("matplotlib")
pytest.importorskip("matplotlib_fontja")


def content(folder: Path, pages: int = 1000, explain: int = 0) -> Content:
    runs, classified = read_runs([folder]), read_classification_runs([folder])
    return collect(runs, classified, (), pages, explain)


def test_everybodys_values_on_every_page(tmp_path: Path) -> None:
    run = write_tiny_run(tmp_path / "runs" / "run", tmp_path / "task")
    (read,) = content(run).sets
    assert read.labels == tuple(tiny_task.ATTRIBUTES)
    assert read.systems == (
        System("gold", "gold"),
        *(System(team, "team") for team in ("exact", "hasty", "partial")),
        System("student", "student"),
    )
    assert [item.id for item in read.items] == ["9", "10"]
    assert (read.total, read.notes) == (2, ())
    ninth, tenth = read.items
    text, values = tiny_task.page("9")
    assert ninth.text == text
    lines = text.split("\n")
    numbers = {name: number for number, name in enumerate(tiny_task.ATTRIBUTES)}
    expected = []
    for attribute, line, offset, characters in values:
        start = sum(len(it) + 1 for it in lines[:line]) + offset
        expected += [numbers[attribute], start, start + len(characters)]
        assert text[start : start + len(characters)] == characters
    gold, exact, hasty, partial, student = ninth.answers
    assert gold == exact == partial == expected
    assert hasty is not None
    assert len(hasty) == 2 * 3
    assert student == [0, 4, 7, *expected[6:]]  # a place too long, and no year
    assert tenth.answers[3] is None  # the team "partial" did not process it


def test_places_are_utf16_units() -> None:
    text = "𠮷野家\n𩸽と鮭"
    places = Places(text)
    assert places.of(Span("魚", 1, 0, 1, 1)) == (5, 7)
    assert places.of(Span("店", 0, 0, 1, 3)) == (0, 9)
    assert Places("鮭\n鯖").of(Span("魚", 1, 0, 1, 1)) == (2, 3)
    units = text.encode("utf-16-le")
    assert units[2 * 5 : 2 * 7].decode("utf-16-le") == "𩸽"


def test_pages_with_differences_come_first_where_not_all_have_room(tmp_path: Path) -> None:
    texts = {str(number): f"山川{number}" for number in range(9)}
    run = write_large_run(tmp_path / "run", tmp_path / "task", texts, ["team"])
    (read,) = content(run, pages=4).sets
    assert [item.id for item in read.items] == ["0", "1", "3", "6"]
    (note,) = read.notes
    assert note.startswith("4 of 9 pages stand here")
    everything = content(run, pages=9).sets[0]
    assert len(everything.items) == 9
    assert not everything.notes


def test_there_is_room_for_so_many_bytes() -> None:
    def item(number: int) -> tuple[int, Item]:
        return number, Item(str(number), "あ" * 10, ([],))

    size = len(json.dumps(["0", "あ" * 10, [[]]], ensure_ascii=False).encode())
    assert len(Room(9, size=3 * size + 1).fill(map(item, range(5)))) == 3
    assert [it.id for it in Room(2).fill(map(item, (4, 1, 3)))] == ["1", "4"]


def test_data_that_is_gone_is_said_and_left_out(tmp_path: Path) -> None:
    run = write_tiny_run(tmp_path / "run", tmp_path / "task")
    lose_data(tmp_path / "task")
    found = content(run)
    assert not found.sets
    (note,) = found.unread
    assert note.startswith("Castle: the data of tiny cannot be read again. ")
    assert str(tmp_path / "task" / "plain" / "Castle") in note
    (section,) = found.teams
    assert (section.tables, section.notes) == ((), (note,))
    assert [table.name for table in found.overview] == ["scores_Castle", "runs"]
    assert found.graphs[0].charts


def test_other_pages_than_were_scored_are_left_out(tmp_path: Path) -> None:
    run = write_tiny_run(tmp_path / "run", tmp_path / "task")
    splits = {**tiny_task.SPLITS, "report": ["9"], "unlabelled": ["10", "11", "12"]}
    (tmp_path / "task" / "splits.json").write_text(json.dumps(splits))
    report = tmp_path / "task" / "annotation" / "report.json"
    lines = [it for it in report.read_text().splitlines() if json.loads(it)["page_id"] == "9"]
    report.write_text("\n".join(lines))
    (note,) = content(run).unread
    assert "the report split has 1 page(s), others than the 2 that" in note


def test_no_page_is_read_where_none_is_asked_for(tmp_path: Path) -> None:
    run = write_tiny_run(tmp_path / "run", tmp_path / "task")
    found = content(run, pages=0)
    assert not found.sets
    assert not found.teams
    assert found.unread == ["Pages and texts are left out, as --pages 0 asks."]


def test_values_that_cannot_be_read_leave_the_teams(tmp_path: Path) -> None:
    run = write_tiny_run(tmp_path / "run", tmp_path / "task")
    (run / "report.json").write_text("{")
    found = content(run)
    assert not found.sets
    assert "report.json:1:" in found.unread[0]
    assert found.teams[0].tables


def test_the_diagnosis_of_the_teams(tmp_path: Path) -> None:
    (section,) = content(write_tiny_run(tmp_path / "run", tmp_path / "task")).teams
    tables = {table.name: table for table in section.tables}
    names = ["teams", "reliability", "agreement", "combined", "diagnosis_attributes"]
    assert [*tables] == names
    for table in tables.values():
        assert all(len(row) == len(table.columns) for row in table.rows)
    exact = tables["teams"].rows[0]
    assert (exact[0], exact[4:]) == ("exact", (1.0, 1.0, 1.0))
    assert [row[0] for row in tables["combined"].rows][-1] == "oracle"
    assert tables["agreement"].rows[0][1] is None  # a team with itself


def test_runs_on_the_same_data_are_read_together(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_tiny_run(tmp_path / "runs" / f"seed{seed}", tmp_path / "task", seed)
    found = content(tmp_path / "runs")
    (read,) = found.sets
    assert [it.name for it in read.systems if it.kind == "student"] == [
        "tiny: seed1",
        "tiny: seed2",
    ]
    (scores,) = (table for table in found.overview if table.name == "scores_Castle")
    assert [row[:3] for row in scores.rows] == [
        *((team, None, "team") for team in ("exact", "hasty", "partial")),
        *(
            (f"student:{probability}", f"tiny: seed{seed}", "student")
            for seed in (1, 2)
            for probability in ("p", "p_out", "p_mean")
        ),
    ]
    (graph,) = found.graphs  # the same for both
    assert graph.title == "tiny: seed1, tiny: seed2"
    assert [section.title for section in found.curves] == ["tiny: seed1", "tiny: seed2"]


def test_texts_and_their_classes(tmp_path: Path) -> None:
    write_classification_run(tmp_path / "runs" / "one", [True, False, True])
    write_classification_run(tmp_path / "runs" / "two", [True, True, True], seed=2)
    write_classification_run(tmp_path / "runs" / "other", [True], fold=1)
    first, second = content(tmp_path / "runs").sets
    names = {first.name: first, second.name: second}
    assert set(names) == {"pos: one", "pos: other"}
    read = names["pos: one"]
    assert (read.kind, read.labels) == ("classification", ("a", "b"))
    assert [it.name for it in read.systems] == ["gold", "pos: one", "pos: two"]
    assert read.items[0] == Item("train:0-0", "文", ([1], [1, 0.75], [1, 0.75]))
    assert read.items[1] == Item("train:0-1", "文", ([0], [1, 0.25], [0, 0.75]))
    few = content(tmp_path / "runs", pages=1)
    kept = {it.name: [item.id for item in it.items] for it in few.sets}
    assert kept["pos: one"] == ["train:0-1"]  # the one that a student gets wrong
    assert all(it.notes for it in few.sets if it.total > 1)


def test_a_log_is_read_once_for_every_step(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write_log(path)
    again = {"event": "train", "step": 10, "loss": 0.75, "loss_gold": float("nan")}
    stopped = {"event": "stopped", "step": 30}
    with path.open("a") as file:
        file.write(json.dumps(again) + "\n" + json.dumps(stopped) + "\n")
    train, dev = read_log(path)
    assert train == {"loss": [(10, 0.75), (20, 0.25)], "loss_gold": [(10, 0.6), (20, 0.3)]}
    assert dev == {"p": [(10, 0.25), (20, 0.5)], "p_out": [(10, 0.2), (20, 0.4)]}
    path.write_text('{"event": "train"}\n')
    with pytest.raises(InputError, match=r"log.jsonl:1: expected a line of a log"):
        read_log(path)


def test_curves_of_stages_and_of_a_run_without_a_log(tmp_path: Path) -> None:
    run = write_tiny_run(tmp_path / "run", tmp_path / "task")
    described = json.loads((run / "recipe.json").read_text())
    described["recipe"]["stages"] = {"first": {"edges": described["recipe"]["edges"]}}
    (run / "recipe.json").write_text(json.dumps(described))
    write_log(run / "stages" / "first" / "log.jsonl")
    found = content(run)
    (section,) = found.curves
    assert [chart.title for chart in section.charts] == [
        "stage first: loss, training",
        "stage first: figures on dev (%)",
    ]
    (note,) = section.notes
    assert note.startswith("main stage: no curves. ")
    assert [chart.title for chart in found.graphs[0].charts] == ["stage first", "main stage"]


def test_curves_have_the_pages_colour_and_no_date(tmp_path: Path) -> None:
    run = write_tiny_run(tmp_path / "run", tmp_path / "task")
    write_log(run / "log.jsonl")
    charts = content(run).curves[0].charts
    assert [chart.svg for chart in charts] == [it.svg for it in content(run).curves[0].charts]
    assert [chart.title for chart in charts] == [
        *("student: loss, training", "student: figures on dev (%)")
    ]
    for chart in charts:
        assert chart.svg.startswith("<svg")
        assert "currentColor" in chart.svg
        assert "#010203" not in chart.svg
        assert "<dc:date>" not in chart.svg


def test_every_edge_has_its_place_in_the_graph() -> None:
    nodes = (
        Node("gold", "Gold", ""),
        Node("teams", "Submissions", "weights: DevScore(by='attribute', power=3)"),
        Node("student", "Student", "encoder"),
        Node("tags", "PartOfSpeech", "mecab, 名詞, 副詞, 形容詞 " + "細かい品詞 " * 20),
    )
    edges = (
        Edge("teams", "teams", "student", "ClassBalancedFocal", 1.0, -1, "", ""),
        Edge("gold", "gold", "student", "ClassBalancedFocal", 1.0, -1, "", ""),
        Edge("tags", "tags", "student", "CrossEntropy", 0.5, 2, "every 4 steps", ""),
    )
    (drawing,) = drawings(RunGraph(nodes, edges), teams=8)
    assert [arrow.head for arrow in drawing.arrows] == [
        *("gold: last layer", "teams: last layer", "tags: layer 2")
    ]
    assert [arrow.above for arrow in drawing.arrows][-1] == "CrossEntropy × 0.5"
    assert [arrow.below for arrow in drawing.arrows] == ["", "", "every 4 steps"]
    student = next(box for box in drawing.boxes if box.kind == "Student")
    assert all(student.top < arrow.y < student.top + student.height for arrow in drawing.arrows)
    left = sorted((box for box in drawing.boxes if box.left == 0), key=lambda box: box.top)
    assert all(one.top + one.height < two.top for one, two in pairwise(left))
    assert left[-1].top + left[-1].height <= drawing.height
    assert "8 teams" in left[1].full
    assert len(left[2].lines) <= 6
    assert left[2].lines[-1].endswith("…")
    assert (
        "tags teaches student by CrossEntropy × 0.5, tags: layer 2, every 4 steps" in drawing.text
    )


def test_a_node_that_learns_and_teaches_stands_on_both_sides() -> None:
    nodes = tuple(Node(name, "Student", "") for name in ("one", "other"))
    edges = (
        Edge("a", "one", "other", "KullbackLeibler", 1.0, None, "", ""),
        Edge("b", "other", "one", "KullbackLeibler", 1.0, None, "", ""),
    )
    (drawing,) = drawings(RunGraph(nodes, edges))
    assert sorted(box.lines[0] for box in drawing.boxes) == ["one", "one", "other", "other"]
    assert [arrow.head for arrow in drawing.arrows] == ["b", "a"]


@pytest.mark.parametrize(
    "data",
    [
        ShinraDistribution(root=Path("shinra"), category="城", report_fraction=0.2, max_pages=7),
        AnnotatedFiles(format=Columns(scheme="IOBES"), train=Path("a"), teach_on=("x", "y")),
    ],
)
def test_data_comes_back_from_its_json(data: ShinraDistribution | AnnotatedFiles) -> None:
    assert task_data(json.loads(json.dumps(as_json(data)))) == data


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({"type": "MyData"}, "data: expected one of ['ShinraData', .*got 'MyData'"),
        ({}, "got 'None'"),
        ({"type": "ShinraData", "pages": "a"}, "data: not the fields of ShinraData"),
        ({"type": "ShinraData", "pages": "a", "gold": "b", "new": 1}, "data: not the fields"),
    ],
)
def test_data_of_another_type_or_version(described: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("[", r"\[")):
        task_data(described)


def test_runs_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    class Run:
        def __init__(self, name: str, folder: str) -> None:
            self.recipe, self.folder = {"name": name}, tmp_path / folder

    runs = [Run("a", "x/1"), Run("a", "x/2"), Run("b", "y")]
    assert run_names(runs) == ["a: x/1", "a: x/2", "b"]
    assert run_names(runs[:1]) == ["a"]
    assert run_names([]) == []


def tagged(folder: Path, texts: list[str]) -> ReadSet:
    """A set whose only student is a tiny tagger."""
    tiny_students.tiny_tagger().save_pretrained(folder / "student")
    tiny_students.tiny_tokenizer().save_pretrained(folder / "student")
    items = tuple(Item(str(number), text, ([], [])) for number, text in enumerate(texts))
    systems = (System("gold", "gold"), System("student", "student"))
    return ReadSet("set", "extraction", "report", ("a",), systems, items, len(items), (folder,))


def test_importance_and_attention_of_the_first_pages(tmp_path: Path) -> None:
    texts = ["このホテルは𠮷良い。", "部屋が狭く駅から近い。", "最高"]
    read = explained(tagged(tmp_path, texts), 2)
    assert [shade.name for shade in read.shades] == ["importance: student", "attention: student"]
    assert read.notes == ("Importance and attention are there for the first 2 of these.",)
    assert read.items[2].shades == (None, None)
    for text, item in zip(texts, read.items[:2], strict=False):
        units = len(text.encode("utf-16-le")) // 2
        for marks in item.shades:
            assert marks is not None
            starts, ends, levels = marks[::3], marks[1::3], marks[2::3]
            assert ends[-1] == units
            assert starts == sorted(starts)
            assert max(levels) == 255
    assert json.loads(json.dumps(read.as_json()))["items"][0][3][0] == read.items[0].shades[0]


def test_texts_that_the_students_preprocessing_changes_have_no_shade(tmp_path: Path) -> None:
    lines = [tiny_students.prediction("1", "positive", "negative", 0.25, "とても良い。")]
    student = tiny_students.tiny_student()
    run = tiny_students.write_run(tmp_path / "run", student, lines)
    systems = (System("gold", "gold"), System("student", "student"))
    items = (Item("1", "とても良い。", ([0], [1, 0.25])), Item("2", "\ud800良い", ([0], [1, 0.25])))
    labels = tuple(tiny_students.CLASSES)
    read = ReadSet("set", "classification", "report", labels, systems, items, 2, (run,))
    first, second = explained(read, 9).items
    assert all(first.shades)
    assert second.shades == (None, None)


def test_a_student_that_is_gone_cannot_be_explained(tmp_path: Path) -> None:
    read = tagged(tmp_path / "run", ["最高"])
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(InputError, match="run"):
        explained(read, 1)
