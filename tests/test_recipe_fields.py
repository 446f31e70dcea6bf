import re
from dataclasses import fields
from pathlib import Path

import pytest

from coteach.fields import fields_of_recipes, main
from coteach.graph import CoTeaching, Edge, Student
from coteach.recipe import Optimisation, Recipe

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def text() -> str:
    return fields_of_recipes()


def rows_of(text: str, name: str) -> dict[str, list[str]]:
    """Field → type, default and what it is, of one class."""
    section = re.split(r"^## ", text.split(f"\n## {name}\n")[1], flags=re.MULTILINE)[0]
    rows = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)]
        if len(cells) == 6 and cells[1].startswith("`"):
            rows[cells[1].strip("`")] = cells[2:5]
    return rows


def test_the_page_in_the_documentation_is_current(text: str) -> None:
    page = ROOT / "docs/recipe_fields.md"
    assert page.read_text("utf-8") == text, (
        "run python -m coteach.fields --output docs/recipe_fields.md"
    )


def test_every_field_of_every_class_is_there_and_described(text: str) -> None:
    for of in (Recipe, Optimisation, Student, Edge, CoTeaching):
        rows = rows_of(text, of.__name__)
        assert list(rows) == [it.name for it in fields(of)]
    names = re.findall(r"^## (\w+)$", text, flags=re.MULTILINE)
    assert len(names) == len(set(names)) > 40
    for name in names:
        for field, (kind, default, what) in rows_of(text, name).items():
            assert kind, (name, field)
            assert default, (name, field)
            assert len(what) > 5, (name, field)


def test_types_defaults_and_links(text: str) -> None:
    rows = rows_of(text, "Optimisation")
    assert rows["schedule"][:2] == ['`"linear"` or `"constant"`', '`"linear"`']
    assert rows["clip_norm"][:2] == ["`float` or `None`", "`None`"]
    assert rows_of(text, "Recipe")["name"][:2] == ["`str`", "required"]
    assert rows_of(text, "Stage")["selection"][1] == '`Selection(by="last")`'
    assert rows_of(text, "Recipe")["edges"][0] == "dict: `str` → [Edge](#edge)"
    # Fields of a base class are described where they are declared.
    assert "Folder with" in rows_of(text, "ShinraData")["submissions"][2]
    links = set(re.findall(r"\]\(#(\w+)\)", text))
    headings = {it.lower() for it in re.findall(r"^## (\w+)$", text, flags=re.MULTILINE)}
    assert links == headings
    # What stands between angle brackets is no HTML.
    assert r"\<page\_id>.txt" in text


def test_the_command_writes_the_page(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--output", str(tmp_path / "fields.md")]) == 0
    assert (tmp_path / "fields.md").read_text("utf-8") == text
    assert main([]) == 0
    assert capsys.readouterr().out == text
    assert main(["--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}: cannot be written: Is a directory\n"
