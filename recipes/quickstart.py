"""The built-in example: four teams' submissions about invented castles become one student.

Needs nothing but this repository: pages, gold, submissions and a tokenizer are in data/example.
The encoder starts from nothing, so it is small and has rotary positions, which learn what stands
near what from few pages. A student of your own starts from a pretrained encoder: see jawiki_ner.

    python -m coteach.train recipes.quickstart

Cost: about 3 minutes on 2 CPU cores.
"""

from pathlib import Path

from coteach.data.shinra_task import ShinraData
from coteach.graph import CoTeaching, DevScore, Edge, Gold, Student, Submissions
from coteach.losses import ClassBalancedFocal
from coteach.recipe import Optimisation, Recipe, Selection

EXAMPLE = Path(__file__).parent.parent / "data" / "example"
LOSS = ClassBalancedFocal(beta=0.999, gamma=2.0)

recipe = Recipe(
    name="quickstart",
    data=ShinraData(
        pages=EXAMPLE / "plain/Castle",
        gold=EXAMPLE / "annotation/Castle_dist.json",
        dev=EXAMPLE / "annotation/Castle_dev.json",
        report=EXAMPLE / "annotation/Castle_report.json",
        splits=EXAMPLE / "splits.json",
        submissions=EXAMPLE / "submissions",
        teach_on=("unlabelled",),
    ),
    nodes={
        "gold": Gold(),
        "teams": Submissions(weights=DevScore(by="attribute", power=2)),
        "student": Student(
            encoder_config={
                "model_type": "roformer",
                "hidden_size": 128,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "intermediate_size": 256,
                "max_position_embeddings": 128,
                "initializer_range": 0.06,  # 0.02 suits a width of 768; this one is 128
            },
            tokenizer=str(EXAMPLE / "tokenizer"),
            window=126,
            overlap=32,
        ),
    },
    edges={
        "teams": Edge("teams", "student", loss=LOSS),
        "gold": Edge("gold", "student", loss=LOSS),
    },
    objective=CoTeaching(),
    optimisation=Optimisation(
        epochs=16, batch_size=16, learning_rate=4e-3, warmup=0.1, clip_norm=1.0
    ),
    selection=Selection(probability="p", evaluate_every=4),
    baselines=("vote", "gold_only"),
)
