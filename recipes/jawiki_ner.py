"""Co-teaching on a real shared task: named entities in Japanese Wikipedia, eight teams.

Needs the task in SHINRA's layout, its folder in the environment variable JAWIKI_NER (plain/JAWIKI,
annotation/JAWIKI_{dist,dev,report}.json, submissions/<team>/JAWIKI.json, splits.json), and an
encoder: by default multilingual-e5-small from the Hub, or any other by name or folder.

    JAWIKI_NER=path/to/jawiki-ner python -m coteach.train recipes.jawiki_ner
    ... --nodes.student.encoder FOLDER     another encoder
    ... --nodes.teams.weights.power 0      equal weights, as in the paper

The paper's search over batch size and β (§4.2), nine such runs:

    JAWIKI_NER=path/to/jawiki-ner python -m coteach.search recipes.jawiki_ner

Cost: 15 to 30 minutes on 2 CPU cores with AVX512-BF16 and 6 GB of memory where every page is one
sentence; long pages cost more.

As in the paper (§4.2): class-balanced focal loss with γ = 2 and class statistics from the gold
alone, batches of 16. Not as in the paper, whose settings are those of ``recipes.jawiki_paper``:

- The teams are weighted. Two of eight teams are far better than the rest, and equal weights let
  the others outvote them.
- β = 0: every class weighs 1. So they do with the paper's 0.999 at its counts, of millions of O
  and 10,000 or more B. At the counts of this task, 110,000 and 1,000, 0.999 weighs a B 1.5 times
  an O and 0.9999 10 times: more values are found, and fewer of them are right (docs/results.md).
- Learning rates for a small encoder and few steps: the new heads learn 50 times as fast as the
  encoder. At 4 to 5 times as fast, 200 steps found much less (docs/results.md).
- Every page teaches, not 2,000 of them: 1,000, 2,000 and 2,635 pages gave ever better students.
- Values of a confidence below a threshold, chosen per attribute on dev, are left out: precision
  rises much more than recall falls.
- Windows of 254 tokens: most pages are one sentence.

Tried, and no help on dev: targets smoothed towards the teams' agreement
(``--edges.teams.smoothing 0.3``), and the gold and the teams weighed alike in every step, however
many pages have gold (``objective=WeightedSum()``).
"""

import os
from pathlib import Path

from coteach.data.shinra_task import ShinraData
from coteach.graph import CoTeaching, DevScore, Edge, Gold, Student, Submissions
from coteach.losses import ClassBalancedFocal
from coteach.recipe import Optimisation, Recipe, Selection
from coteach.searching import Grid

TASK = Path(os.environ.get("JAWIKI_NER", "jawiki-ner"))
LOSS = ClassBalancedFocal(beta=0.0, gamma=2.0)

recipe = Recipe(
    name="jawiki_ner",
    data=ShinraData(
        pages=TASK / "plain/JAWIKI",
        gold=TASK / "annotation/JAWIKI_dist.json",
        dev=TASK / "annotation/JAWIKI_dev.json",
        report=TASK / "annotation/JAWIKI_report.json",
        submissions=TASK / "submissions",
        splits=TASK / "splits.json",
        max_pages=4000,
    ),
    nodes={
        "gold": Gold(),
        "teams": Submissions(weights=DevScore(by="attribute", power=3)),
        "student": Student(
            encoder="intfloat/multilingual-e5-small", words="mecab", window=254, overlap=50
        ),
    },
    edges={
        "teams": Edge("teams", "student", loss=LOSS),
        "gold": Edge("gold", "student", loss=LOSS),
    },
    objective=CoTeaching(),
    optimisation=Optimisation(
        epochs=8,
        batch_size=16,
        learning_rate=1e-4,
        head_learning_rate=5e-3,
        warmup=0.1,
        precision="bf16",
        clip_norm=1.0,
    ),
    selection=Selection(probability="p", thresholds="f1"),
)

search_space = Grid(
    {"optimisation.batch_size": (8, 16, 32), "edges.*.loss.beta": (0.999, 0.9999, 0.99999)}
)
