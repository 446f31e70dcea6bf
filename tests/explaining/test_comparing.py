from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_students import CLASSES, tiny_student, tiny_tagger, tiny_tokenizer, write_run

from coteach.attribution import Attributor, IntegratedGradients, SpecialTokens
from coteach.errors import InputError
from coteach.evaluation.agreement import Comparison
from coteach.explaining.candidates import Candidate, System
from coteach.explaining.comparing import ACCURACY, SAME, TOP_OVER_RANDOM, Comparer, RunFigures, fall
from coteach.explaining.examining import Examiner
from coteach.explaining.faithfulness import content_places
from coteach.explaining.texts import Example, Windows, cut
from coteach.model.classification import Classifier

SETTINGS = IntegratedGradients(nodes=2, aggregation="sum")
"""With a sign: without one, two classes would have the same importance."""
COMPARISON = Comparison(tokens=(2,), percent=(30.0,))
TEXTS = [
    "このホテルはとても良い",
    "駅から近い",
    "",
    "城",
    "部屋が狭く悪い。最高",
    "料理美味しかった",
]
TAGS = {"window": 6, "overlap": 2}
SEEDS = (6, 3, 5)
"""Students that do not all predict the same."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for number, seed in enumerate(SEEDS):
        write_run(folder / f"classes{number}", tiny_student(seed=seed), [])
        write_run(folder / f"tags{number}", tiny_tagger(seed=seed, **TAGS), [])
    return folder


def examples(labelled: bool = True) -> list[Example]:
    return [
        Example(str(number), text, CLASSES[number % 2] if labelled else None)
        for number, text in enumerate(TEXTS)
    ]


def comparer(
    candidates: Sequence[Candidate],
    labelled: bool = True,
    **options: Any,
) -> Comparer:
    texts = examples(labelled)
    windows = cut(texts, candidates)
    examiner = Examiner(windows, SETTINGS, (30.0,), draws=2, seed=3, batch_size=2)
    chosen = {"target": "teacher", "specials": False, "shuffles": 3, **options}
    return Comparer(texts, windows, examiner, COMPARISON, **chosen)


def compared(folder: Path, *runs: str, **options: Any) -> tuple[RunFigures, list[RunFigures]]:
    """The first run is the teacher; the others are the runs of one student."""
    teacher, *others = (Candidate.read(folder / run) for run in runs)
    made = comparer([teacher, *others], **options)
    result = made("teacher", teacher, [System("student", tuple(others))])
    return result.teacher, list(result.systems["student"])


@pytest.mark.parametrize("kind", ["classes", "tags"])
def test_a_teacher_agrees_with_itself(folder: Path, kind: str) -> None:
    teacher, (student,) = compared(folder, f"{kind}0", f"{kind}0")
    for name in COMPARISON.names:
        known = student.figures[name][~np.isnan(student.figures[name])]
        assert len(known) >= 4
        assert known == pytest.approx(1)
    for which in ("top", "random", "bottom"):
        assert student.figures[fall(which)] == pytest.approx(
            teacher.figures[fall(which)], nan_ok=True
        )
    assert not set(COMPARISON.names) & set(teacher.figures)
    assert np.nanmean(student.chance["Spearman"]) < 0.7
    assert (student.predicted is None) == (kind == "tags")
    assert (SAME in student.figures) == (ACCURACY in teacher.figures) == (kind == "classes")


def naive_scores(
    folder: Path, run: str, contents: list[list[int]], classes: list[int]
) -> list[np.ndarray]:
    from coteach.training.loading import load_student

    student, tokenizer = load_student(folder / run)
    found = Attributor(student, tokenizer, SETTINGS, 1)(contents, [[it] for it in classes])
    return [it.scores for it in found]


@pytest.mark.parametrize("specials", [False, True])
@pytest.mark.parametrize("target", ["teacher", "gold", "own"])
def test_figures_are_those_of_the_texts(folder: Path, target: str, specials: bool) -> None:
    teacher, (one, two) = compared(
        folder, "classes0", "classes1", "classes2", target=target, specials=specials
    )
    classifiers = [Classifier(tiny_student(seed=seed), tiny_tokenizer()) for seed in SEEDS]
    contents = [classifiers[0].content(text) for text in TEXTS]
    predicted = [[int(it.argmax()) for it in of.from_contents(contents)] for of in classifiers]
    gold = [number % 2 for number in range(len(TEXTS))]
    assert teacher.predicted == [CLASSES[it] for it in predicted[0]]
    for run, student in ((1, one), (2, two)):
        chosen = {
            "teacher": [predicted[0]] * 2,
            "gold": [gold] * 2,
            "own": [predicted[0], predicted[run]],
        }
        mine, theirs = (
            naive_scores(folder, f"classes{number}", contents, classes)
            for number, classes in zip((0, run), chosen[target], strict=True)
        )
        for number, content in enumerate(contents):
            places = content_places(content, SpecialTokens.of(tiny_tokenizer()))
            if specials:
                places = np.arange(len(content) + 2)
            expected = COMPARISON(mine[number][places], theirs[number][places])
            for name, value in expected.items():
                found = student.figures[name][number]
                assert found == pytest.approx(value, abs=1e-5, nan_ok=True)
        assert student.predicted == [CLASSES[it] for it in predicted[run]]
        assert student.figures[ACCURACY].tolist() == [
            float(it == true) for it, true in zip(predicted[run], gold, strict=True)
        ]
        assert student.figures[SAME].tolist() == [
            float(it == other) for it, other in zip(predicted[run], predicted[0], strict=True)
        ]
    assert any(it != other for it, other in zip(predicted[0], predicted[1], strict=True))


def test_faithfulness_is_to_the_models_own_answer(folder: Path) -> None:
    """Whatever is explained for the comparison, the falls are of what the model itself says."""
    by_target = {
        target: compared(folder, "classes0", "classes1", target=target)[1][0]
        for target in ("teacher", "own")
    }
    assert not by_target["own"].figures[SAME].all()
    for which in ("top", "random", "bottom"):
        one, other = (it.figures[fall(which)] for it in by_target.values())
        assert one == pytest.approx(other, abs=1e-6, nan_ok=True)
    figures = by_target["own"].figures
    difference = figures[fall("top")] - figures[fall("random")]
    assert figures[TOP_OVER_RANDOM] == pytest.approx(difference, nan_ok=True)
    assert math.isnan(figures[TOP_OVER_RANDOM][2])  # the empty text


def test_the_teacher_may_have_more_nodes(folder: Path) -> None:
    teacher, (same,) = compared(folder, "classes0", "classes0", teacher_nodes=64)
    assert teacher.gap < 1e-3 < same.gap
    assert np.nanmean(same.figures["Spearman"]) < 0.999


def test_pages_are_means_over_their_windows(folder: Path) -> None:
    teacher, other = (Candidate.read(folder / f"tags{seed}") for seed in (0, 1))
    made = comparer([teacher, other])
    windows = made.windows
    assert windows.texts.count(0) > 1
    assert 2 not in windows.texts
    apart = Windows(windows.contents, list(range(len(windows.contents))), len(windows.contents))
    every = [Example(str(number), "", None) for number in range(apart.count)]
    single = replace(
        made, examples=every, windows=apart, examiner=replace(made.examiner, windows=apart)
    )
    joined, by_window = (
        it("teacher", teacher, [System("s", (other,))]).systems["s"][0] for it in (made, single)
    )
    texts = np.array(windows.texts)
    for name, values in by_window.figures.items():
        for number in range(len(TEXTS)):
            known = values[texts == number]
            known = known[~np.isnan(known)]
            expected = known.mean() if len(known) else math.nan
            assert joined.figures[name][number] == pytest.approx(expected, nan_ok=True)


def test_windows_without_spans_are_left_out(folder: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "silent", tiny_tagger(silent=True, **TAGS), [])
    teacher, student = Candidate.read(tmp_path / "silent"), Candidate.read(folder / "tags1")
    made = comparer([teacher, student])
    nothing = made("t", teacher, [System("s", (student,))])
    assert np.isnan(nothing.systems["s"][0].figures["Spearman"]).all()
    assert math.isnan(nothing.teacher.gap)
    # The other way round the student does have an importance of the teacher's spans.
    spoken = made("t", student, [System("s", (teacher,))]).systems["s"][0]
    assert np.isfinite(spoken.figures["Jaccard top 2"]).any()
    assert np.isnan(spoken.figures[fall("top")]).all()


def test_the_gold_must_be_known(folder: Path) -> None:
    with pytest.raises(InputError, match="target gold: expected a class of every text, got none"):
        compared(folder, "classes0", "classes1", target="gold", labelled=False)
    with pytest.raises(InputError, match="got none for models that extract"):
        compared(folder, "tags0", "tags1", target="gold")


def test_size_and_speed(folder: Path) -> None:
    teacher, (student,) = compared(folder, "classes0", "classes1", labelled=False)
    expected = sum(it.numel() for it in tiny_student().parameters())
    assert teacher.parameters == student.parameters == expected
    assert 0 < student.seconds < 1000
    assert ACCURACY not in teacher.figures
    assert student.run == str(folder / "classes1")


def test_seconds_are_of_texts_not_windows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coteach.explaining.examining._seconds", lambda *_: 2.0)
    teacher, _ = compared(folder, "tags0", "tags0")
    assert teacher.seconds == pytest.approx(2.0 * 1000 / len(TEXTS))
