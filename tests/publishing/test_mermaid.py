from __future__ import annotations

import re

import pytest

from coteach.publishing.mermaid import flowchart
from coteach.reporting.graph_of_run import Edge, Node, RunGraph

# What the grammar of flowcharts allows in a quoted label, and nothing that is read inside one:
# codes of characters, <br>, letters, digits, and marks without a meaning.
LABEL = r"(?:#\d+;|<br>|[^\W]|[ _,.()=×/-])*"
NODE = re.compile(rf'    n\d+(?:\["{LABEL}"\]|\(\["{LABEL}"\]\)|\[\["{LABEL}"\]\])')
EDGE = re.compile(rf'    n\d+ (?:-->|-\.->)\|"{LABEL}"\| n\d+')
HOSTILE = [
    'x|y"',
    "<script>alert(1)</script>",
    'a"] --> n9["b',
    "`**bold**`",
    "%%{init: {}}%%",
    "end\nclick n0 callback",
    "style:x#1;",
    "&quot;",
    "1. item",
    "- item",
    "\u202eabc",
]


def text_of(label: str) -> str:
    """What a reader sees of a label."""
    return re.sub(r"#(\d+);", lambda code: chr(int(code.group(1))), label)


def test_a_flowchart_of_stages() -> None:
    graph = RunGraph(
        (
            Node("gold", "Gold", ""),
            Node("large", "Teacher", "大きい"),
            Node("s", "Student", "bert"),
        ),
        (
            Edge("hidden", "large", "s", "HiddenStates", 1.0, None, "", "first"),
            Edge("gold", "gold", "s", "CrossEntropy", 0.5, 2, "every 4 steps", ""),
        ),
    )
    assert flowchart(graph).splitlines() == [
        "flowchart LR",
        '    n0["gold<br>Gold"]',
        '    n1[["large<br>Teacher<br>大きい"]]',
        '    n2(["s<br>Student<br>bert"])',
        '    n1 -.->|"first<br>HiddenStates"| n2',
        '    n0 -->|"CrossEntropy × 0.5<br>layer 2<br>every 4 steps"| n2',
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_is_read_as_part_of_the_drawing(name: str) -> None:
    graph = RunGraph(
        (Node(name, "Gold", name), Node("s", name, "")),
        (Edge("e", name, "s", name, 1.0, -1, name, name),),
    )
    lines = flowchart(graph).splitlines()
    assert len(lines) == 4
    assert all(NODE.fullmatch(line) for line in lines[1:3])
    assert EDGE.fullmatch(lines[3])
    (shown,) = re.findall(r'n0\["(.*?)<br>', lines[1])
    assert text_of(shown) == " ".join(name.replace("\u202e", "").split())
    assert not re.match(r"\d+[.)]|[-*+]", shown)  # a list, which drawings refuse
