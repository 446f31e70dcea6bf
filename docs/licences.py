"""Writes licences.md, the licences of what pyproject.toml asks for: ``python docs/licences.py``."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path

DOCS = Path(__file__).parent

HEADING = """\
# Licences

coteach is under the Apache License 2.0 ([LICENSE](../LICENSE)). What it asks for, directly or by
one of its extras, is under these licences, as the packages themselves declare them. None of them
is under GPL or LGPL alone: MeCab and UniDic are offered under GPL, LGPL or BSD, and the packages
here redistribute them under BSD. This page is written by `python docs/licences.py`, where all of
them are installed.
"""

NOTES = {
    "fugashi": "MIT; MeCab, in its wheels: BSD",
    "ipadic": "MIT or WTFPL; the dictionary: ICOT and NAIST's own free licence",
    "unidic-lite": "MIT or WTFPL; the dictionary: BSD",
}
"""What a package holds beside its own code, by its README. MeCab and UniDic may also be had under
GPL or LGPL; these packages redistribute them under BSD."""


def declared() -> dict[str, set[str]]:
    """Package → where pyproject.toml asks for it: "always", or names of extras."""
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text("utf-8"))["project"]
    asked = {"always": project["dependencies"], **project["optional-dependencies"]}
    found: dict[str, set[str]] = {}
    for extra, requirements in asked.items():
        for requirement in requirements:
            name = re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0].lower()
            if name != "coteach":
                found.setdefault(name, set()).add(extra)
    return found


def licence(of: PackageMetadata) -> str:
    """What a package says of its licence: an expression, else a classifier, else a short name."""
    if expression := of.get("License-Expression"):
        return str(expression)
    classifiers = [
        it.rpartition(" :: ")[2]
        for it in of.get_all("Classifier", [])
        if it.startswith("License :: ") and it != "License :: OSI Approved"
    ]
    text = str(of.get("License") or "")
    return ", ".join(classifiers) or text.splitlines()[0].strip() if classifiers or text else ""


def homepage(of: PackageMetadata) -> str:
    """A package's home page, else that of its source."""
    urls = dict(it.split(", ", 1) for it in of.get_all("Project-URL", []))
    known = {name.lower(): url for name, url in urls.items()}
    for name in ("homepage", "home", "source", "repository", "github", "source code"):
        if name in known:
            return known[name]
    return str(of.get("Home-page") or "")


def page() -> str:
    """The page, a row a package."""
    rows = []
    for name, extras in sorted(declared().items()):
        try:
            of = metadata(name)
        except PackageNotFoundError:
            raise SystemExit(f"error: {name} is not installed; expected all of them") from None
        shown = f"[{name}]({homepage(of)})" if homepage(of) else name
        rows.append(f"| {shown} | {NOTES.get(name) or licence(of)} | {', '.join(sorted(extras))} |")
    return "\n".join(
        [HEADING, "| package | licence | asked for |", "| --- | --- | --- |", *rows, ""]
    )


if __name__ == "__main__":
    (DOCS / "licences.md").write_text(page(), encoding="utf-8")
