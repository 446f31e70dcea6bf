import re
import runpy
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_every_package_that_is_asked_for_has_a_licence() -> None:
    script = runpy.run_path(str(DOCS / "licences.py"))
    declared = script["declared"]()
    assert {"torch", "fugashi", "mypy", "optuna"} <= set(declared)
    assert declared["captum"] == {"explain"}
    rows = {}
    for line in (DOCS / "licences.md").read_text("utf-8").splitlines():
        if match := re.fullmatch(r"\| \[?(\w[\w-]*)[^|]* \| ([^|]+) \| ([^|]+) \|", line):
            rows[match[1]] = (match[2], set(match[3].split(", ")))
    rows.pop("package")
    assert {name: extras for name, (_, extras) in rows.items()} == declared, (
        "run python docs/licences.py"
    )
    for name, (licence, _) in rows.items():
        assert len(licence) > 2, name
        # A copyleft licence would have to be said so, and be weighed.
        assert "GPL" not in licence, name
