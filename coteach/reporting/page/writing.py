"""Writes the page: one file of HTML that needs no other and no network."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from coteach.data.files import replacing
from coteach.reporting.page.content import Content
from coteach.reporting.page.graph import Drawing
from coteach.reporting.page.scores import DIFFERENCE
from coteach.reporting.render import arranged, shown
from coteach.reporting.tables import Table

__all__ = ["page", "render_graph", "script_json", "write_page"]

# Between <script> tags these could end the script, or a line of it.
_ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def write_page(content: Content, path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(path) as file:
        file.write(page(content))


def page(content: Content) -> str:
    """The page's HTML."""
    tabs = [
        ("overview", "Overview", True),
        ("curves", "Curves", bool(content.curves)),
        ("graph", "Who teaches whom", bool(content.graphs)),
        ("teams", "Teams", bool(content.teams)),
        ("tables", "Tables and figures", bool(content.tables or content.figures)),
        ("reader", "Read pages", True),
    ]
    html = (
        _environment()
        .get_template("page.html")
        .render(
            content=content,
            tabs=[(name, title) for name, title, there in tabs if there],
            data=Markup(script_json([it.as_json() for it in content.sets])),
            style=Markup(_file("page.css")),
            scripts=[Markup(_file(name)) for name in ("page.js", "reader.js", "drawing.js")],
        )
    )
    # A lone surrogate, which JSON can hold, is no text.
    return re.sub("[\ud800-\udfff]", "\ufffd", html)


def render_graph(drawing: Drawing) -> str:
    """A graph as an element of SVG."""
    return _environment().get_template("graph.svg").render(drawing=drawing)


def script_json(value: Any) -> str:
    """JSON that can stand in an element ``script`` of a page."""
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    escaped = written.translate(_ESCAPED)
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", escaped)


@cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(_file),
    )
    environment.filters["base64"] = lambda data: b64encode(data).decode("ascii")
    environment.globals.update(arranged=arranged, shown=shown, intervals=_intervals)
    return environment


def _file(name: str) -> str:
    return files("coteach.reporting.page").joinpath(name).read_text(encoding="utf-8")


def _intervals(table: Table) -> dict[str, Any] | None:
    """Where a table has differences with their intervals, and the scale to draw them on."""
    names = [column.name for column in table.columns]
    if DIFFERENCE not in names:
        return None
    first = names.index(DIFFERENCE)
    numbers = [
        cell for row in table.rows for cell in row[first : first + 3] if isinstance(cell, float)
    ]
    if not numbers:
        return None
    low, high = min(*numbers, 0.0), max(*numbers, 0.0)
    return {"column": first, "low": low, "width": (high - low) or 1.0}
