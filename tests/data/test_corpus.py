from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from coteach.data.corpus import Corpus, load_corpus
from coteach.data.shinra_task import ShinraData
from coteach.data.store import StoredValues
from coteach.errors import InputError

PAGES = [f"{number:02}" for number in range(30)]
TEXT = "東京城は東京都の城"


def values(page_ids: Iterable[str], attribute: str = "名前") -> str:
    """One value a page, as annotation lines."""
    place = {"start": {"line_id": 0, "offset": 0}, "end": {"line_id": 0, "offset": 3}}
    return "".join(
        json.dumps({"page_id": i, "attribute": attribute, "text_offset": place}) + "\n"
        for i in page_ids
    )


class Disk:
    """A category in a folder: 30 pages, of which the first 20 have gold."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "Castle").mkdir()
        for page_id in PAGES:
            (root / "Castle" / f"{page_id}.txt").write_text(TEXT, encoding="utf-8")
        self.data = ShinraData(
            pages=root / "Castle", gold=self.write("gold.json", values(PAGES[:20]))
        )

    def write(self, name: str, content: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return path

    def teams(self, **teams: Iterable[str]) -> ShinraData:
        """With teams, each of which found one value on some pages."""
        for name, page_ids in teams.items():
            self.write(f"submissions/{name}/Castle.json", values(page_ids))
        return replace(self.data, submissions=self.root / "submissions")

    def splits(self, content: object) -> Path:
        return self.write("splits.json", json.dumps(content))


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def assert_splits_apart(corpus: Corpus) -> None:
    train, dev = set(corpus.train.page_ids), set(corpus.dev.page_ids)
    report = set(corpus.report.page_ids) if corpus.report else set()
    assert not train & dev
    assert not (train | dev) & report
    assert not set(corpus.page_ids) & (dev | report)
    assert set(corpus.unlabelled) == set(corpus.pages) - train - dev - report
    for split in (corpus.train, corpus.dev):
        # The gold speaks of its own pages alone: elsewhere it is masked, not empty.
        assert set(split.gold.values) <= set(split.page_ids)
        for page_id in corpus.pages:
            assert (split.gold.on(page_id) is None) == (page_id not in split.page_ids)


# Splits


def test_without_a_dev_file_a_tenth_of_the_labelled_pages_is_set_aside(disk: Disk) -> None:
    data = disk.teams(a=PAGES)
    corpus = load_corpus(data, seed=1)
    assert_splits_apart(corpus)
    assert len(corpus.dev.page_ids) == 2
    assert sorted(corpus.train.page_ids + corpus.dev.page_ids) == PAGES[:20]
    assert set(corpus.dev.gold.values) == set(corpus.dev.page_ids)
    assert corpus.report is None
    assert load_corpus(data, seed=1).dev == corpus.dev
    assert len({load_corpus(data, seed=seed).dev.page_ids for seed in range(9)}) > 1


@pytest.mark.parametrize(("fraction", "count"), [(0.01, 1), (0.5, 10), (0.99, 19)])
def test_the_dev_fraction(disk: Disk, fraction: float, count: int) -> None:
    corpus = load_corpus(replace(disk.data, dev_fraction=fraction), seed=1)
    assert len(corpus.dev.page_ids) == count


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5])
def test_a_dev_fraction_must_leave_pages_on_both_sides(disk: Disk, fraction: float) -> None:
    with pytest.raises(InputError, match=rf"data\.dev_fraction.*{fraction}"):
        load_corpus(replace(disk.data, dev_fraction=fraction), seed=1)


def test_one_labelled_page_is_too_few(disk: Disk) -> None:
    gold = disk.write("one.json", values(PAGES[:1]))
    with pytest.raises(InputError, match=r"data\.dev: 1 labelled page"):
        load_corpus(replace(disk.data, gold=gold), seed=1)


def test_three_files_are_three_splits(disk: Disk) -> None:
    data = replace(
        disk.teams(a=PAGES),
        gold=disk.write("train.json", values(PAGES[:4])),
        dev=disk.write("dev.json", values(PAGES[4:6])),
        report=disk.write("report.json", values(PAGES[6:9])),
    )
    corpus = load_corpus(data, seed=1)
    assert_splits_apart(corpus)
    assert corpus.train.page_ids == tuple(PAGES[:4])
    assert corpus.dev.page_ids == tuple(PAGES[4:6])
    assert corpus.report is not None
    assert corpus.report.page_ids == tuple(PAGES[6:9])
    assert corpus.page_ids == (*PAGES[:4], *PAGES[9:])
    # Teams never teach on dev or report pages, though they processed them.
    assert corpus.teams[0].on(PAGES[4])


@pytest.mark.parametrize("other", ["dev", "report"])
def test_splits_may_not_share_a_page(disk: Disk, other: str) -> None:
    path = disk.write("other.json", values(PAGES[19:22]))
    with pytest.raises(InputError, match=rf"'19' is in both 'train' and '{other}'"):
        load_corpus(replace(disk.data, **{other: path}), seed=1)  # type: ignore[arg-type]


def test_splits_json_gives_a_split_pages_without_a_value(disk: Disk) -> None:
    dev = disk.write("dev.json", values(PAGES[20:21]))
    splits = disk.splits({"train": PAGES[:20], "dev": PAGES[20:23]})
    corpus = load_corpus(replace(disk.data, dev=dev, splits=splits), seed=1)
    assert_splits_apart(corpus)
    assert corpus.dev.page_ids == tuple(PAGES[20:23])
    assert corpus.dev.gold.on("21") == frozenset()
    # One that it does not name is still the pages of its file.
    splits = disk.splits({"dev": PAGES[20:23]})
    corpus = load_corpus(replace(disk.data, dev=dev, splits=splits), seed=1)
    assert corpus.train.page_ids == tuple(PAGES[:20])


def test_numbers_are_page_ids_and_a_page_counts_once(disk: Disk) -> None:
    (disk.root / "Castle" / "100.txt").write_text(TEXT, encoding="utf-8")
    dev = disk.write("dev.json", values(["100"]))
    splits = disk.splits({"dev": [100, "100"]})
    corpus = load_corpus(replace(disk.data, dev=dev, splits=splits), seed=1)
    assert corpus.dev.page_ids == ("100",)


def test_gold_outside_its_split_is_an_error(disk: Disk) -> None:
    splits = disk.splits({"train": PAGES[:19]})
    with pytest.raises(InputError, match=r'gold\.json:20: .*"19", not among .* its split'):
        load_corpus(replace(disk.data, splits=splits), seed=1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected JSON"),
        ("[]", "expected {"),
        ('{"train": "01"}', "expected {"),
        ('{"train": ["01", "99"]}', "split 'train': no page '99'"),
    ],
)
def test_a_broken_splits_file_is_named(disk: Disk, content: str, message: str) -> None:
    splits = disk.write("splits.json", content)
    with pytest.raises(InputError, match=rf"splits\.json: {message}"):
        load_corpus(replace(disk.data, splits=splits), seed=1)
    with pytest.raises(InputError, match=r"none\.json: cannot be read"):
        load_corpus(replace(disk.data, splits=disk.root / "none.json"), seed=1)


def test_a_split_of_other_pages_is_passed_over(disk: Disk) -> None:
    splits = disk.splits({"train": PAGES[:20], "leaderboard": ["998", "999"]})
    assert load_corpus(replace(disk.data, splits=splits), seed=1).pages.keys() == set(PAGES)


def test_an_empty_gold_file_is_an_error(disk: Disk) -> None:
    gold = disk.write("gold.json", "")
    dev = disk.write("dev.json", values(PAGES[:2]))
    with pytest.raises(InputError, match=r"gold\.json: no annotation here"):
        load_corpus(replace(disk.data, gold=gold, dev=dev), seed=1)


# Attributes


def test_attributes_are_those_of_the_training_gold_alone(disk: Disk) -> None:
    gold = disk.write("train.json", values(PAGES[:3], "b") + values(PAGES[:2], "a"))
    dev = disk.write("dev.json", values(PAGES[5:7], "c"))
    assert load_corpus(replace(disk.data, gold=gold, dev=dev), seed=1).attributes == ("a", "b")


# Training pages


def test_every_unlabelled_page_is_for_the_teams(disk: Disk) -> None:
    corpus = load_corpus(disk.teams(b=PAGES[20:], a=PAGES[:3]), seed=1)
    assert [team.name for team in corpus.teams] == ["a", "b"]
    assert corpus.unlabelled == tuple(PAGES[20:])
    assert corpus.page_ids == corpus.train.page_ids + corpus.unlabelled


@pytest.mark.parametrize(("maximum", "others"), [(1, 0), (18, 0), (22, 4), (28, 10), (2000, 10)])
def test_max_pages_takes_all_labelled_pages_first(disk: Disk, maximum: int, others: int) -> None:
    data = replace(disk.teams(a=PAGES), max_pages=maximum)
    corpus = load_corpus(data, seed=1)
    labelled = len(corpus.train.page_ids)
    assert labelled == 18
    assert corpus.page_ids[:labelled] == corpus.train.page_ids
    assert len(corpus.page_ids) == labelled + others
    assert set(corpus.page_ids[labelled:]) <= set(PAGES[20:])
    assert len(corpus.unlabelled) == 10  # not a matter of the sample
    assert load_corpus(data, seed=1).page_ids == corpus.page_ids


def test_the_sample_of_pages_is_seeded(disk: Disk) -> None:
    dev = disk.write("dev.json", values(PAGES[18:20]))
    gold = disk.write("train.json", values(PAGES[:18]))
    data = replace(disk.teams(a=PAGES), gold=gold, dev=dev, max_pages=23)
    assert len({load_corpus(data, seed=seed).page_ids for seed in range(9)}) > 1


def test_without_a_team_there_is_only_the_gold_to_learn_from(disk: Disk) -> None:
    corpus = load_corpus(disk.data, seed=1)
    assert corpus.teams == ()
    assert corpus.page_ids == corpus.train.page_ids
    assert corpus.unlabelled == tuple(PAGES[20:])


def test_a_folder_without_a_submission_is_an_error(disk: Disk) -> None:
    disk.write("submissions/a/Airport.json", "")
    with pytest.raises(InputError, match=r"no submission; expected <team>/Castle\.json"):
        load_corpus(replace(disk.data, submissions=disk.root / "submissions"), seed=1)


def test_teams_teach_on_the_splits_that_are_named(disk: Disk) -> None:
    data = disk.teams(a=PAGES)
    splits = disk.splits({"train": PAGES[:20], "pool": PAGES[19:24], "rest": PAGES[24:]})
    corpus = load_corpus(replace(data, splits=splits, teach_on=("pool",)), seed=1)
    assert corpus.page_ids == corpus.train.page_ids + tuple(PAGES[20:24])
    assert corpus.unlabelled == tuple(PAGES[20:])
    with pytest.raises(InputError, match=r"data\.teach_on: no split 'poll'"):
        load_corpus(replace(data, splits=splits, teach_on=("poll",)), seed=1)
    with pytest.raises(InputError, match=r"data\.teach_on: no split 'pool'"):
        load_corpus(replace(data, teach_on=("pool",)), seed=1)


def test_a_team_s_processed_pages_are_kept(disk: Disk) -> None:
    data = disk.teams(a=PAGES[:2], b=PAGES)
    disk.write("submissions/a/Castle.processed.txt", "00\n01\n21\n")
    first, second = load_corpus(data, seed=1).teams
    assert first.on("21") == frozenset()
    assert first.on("22") is None
    assert second.on("22")


# On disk


def test_values_in_a_cache_are_those_in_memory(disk: Disk, tmp_path: Path) -> None:
    data = disk.teams(a=PAGES[:9], b=[*PAGES[20:], *PAGES[18:22]])
    (disk.root / "submissions/a/Castle.processed.txt").write_text("\n".join(PAGES[:15]))
    held, stored = load_corpus(data, seed=1), load_corpus(data, 1, tmp_path / "cache")
    assert stored == held
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert stored.defects.as_json() == held.defects.as_json()
    for one, other in zip(held.teams, stored.teams, strict=True):
        assert isinstance(other.values, StoredValues)
        assert [one.on(page_id) for page_id in PAGES] == [other.on(page_id) for page_id in PAGES]


def test_values_in_a_cache_are_checked(disk: Disk, tmp_path: Path) -> None:
    data = disk.teams(a=PAGES[:9])
    path = disk.root / "submissions/a/Castle.json"
    path.write_text(values(PAGES[:2]) + values(["99"]))
    with pytest.raises(InputError, match=r"Castle\.json:3: unknown page \"99\""):
        load_corpus(data, 1, tmp_path / "cache")
    path.write_text(values(PAGES[:2]).replace('"offset": 3', '"offset": 33'))
    with pytest.raises(InputError, match=r"Castle\.json:1: end offset: line 0 has 9 characters"):
        load_corpus(data, 1, tmp_path / "cache")
    assert not any((tmp_path / "cache").iterdir())


def test_a_page_for_scoring_is_read_before_training(disk: Disk) -> None:
    data = replace(
        disk.data,
        gold=disk.write("gold.json", values(PAGES[:10])),
        report=disk.write("report.json", values(PAGES[10:11])),
        splits=disk.splits({"train": PAGES[:10], "report": PAGES[10:15]}),
    )
    (disk.root / "Castle" / "14.txt").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"14\.txt: not UTF-8"):
        load_corpus(data, seed=1)
