"""Co-teaching on a real shared task: named entities in Japanese Wikipedia, eight teams."""

from pathlib import Path

from coteach.data.corpus import ShinraData
from coteach.graph import CoTeaching, DevScore, Edge, Gold, Student, Submissions
from coteach.losses import ClassBalancedFocal
from coteach.recipe import Optimisation, Recipe, Selection

TASK = Path("../shared/task/jawiki-ner")

recipe = Recipe(
    name="jawiki_ner",
    data=ShinraData(
        pages=TASK / "plain/JAWIKI",
        gold=TASK / "annotation/JAWIKI_dist.json",
        dev=TASK / "annotation/JAWIKI_dev.json",
        report=TASK / "annotation/JAWIKI_report.json",
        submissions=TASK / "submissions",
        splits=TASK / "splits.json",
    ),
    nodes={
        "gold": Gold(),
        "teams": Submissions(weights=DevScore(by="attribute", power=3)),
        "student": Student(
            encoder="../shared/models/e5-small-ja", words="mecab", window=254, overlap=50
        ),
    },
    edges={
        "teams": Edge("teams", "student", loss=ClassBalancedFocal(beta=0.999, gamma=2.0)),
        "gold": Edge("gold", "student", loss=ClassBalancedFocal(beta=0.999, gamma=2.0)),
    },
    objective=CoTeaching(),
    optimisation=Optimisation(
        epochs=5,
        batch_size=16,
        learning_rate=2e-4,
        head_learning_rate=1e-3,
        warmup=0.1,
        precision="bf16",
        clip_norm=1.0,
    ),
    selection=Selection(probability="p"),
)
