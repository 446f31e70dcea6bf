"""A recipe that trains in seconds; ``tiny_task.write`` puts a copy next to the task's files."""

from pathlib import Path

from coteach.data.shinra_task import ShinraData
from coteach.graph import CoTeaching, DevScore, Edge, Gold, Student, Submissions
from coteach.recipe import Optimisation, Recipe, Selection

HERE = Path(__file__).parent

recipe = Recipe(
    name="tiny",
    data=ShinraData(
        pages=HERE / "plain/Castle",
        gold=HERE / "annotation/train.json",
        dev=HERE / "annotation/dev.json",
        report=HERE / "annotation/report.json",
        submissions=HERE / "submissions",
        splits=HERE / "splits.json",
    ),
    nodes={
        "gold": Gold(),
        "teams": Submissions(weights=DevScore()),
        "student": Student(
            encoder_config={
                "model_type": "bert",
                "hidden_size": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "intermediate_size": 32,
                "max_position_embeddings": 32,
            },
            tokenizer=str(HERE / "tokenizer"),
            overlap=8,
        ),
    },
    edges={"teams": Edge("teams", "student"), "gold": Edge("gold", "student")},
    objective=CoTeaching(),
    optimisation=Optimisation(epochs=2, batch_size=4, learning_rate=5e-3),
    selection=Selection(),
    baselines=("vote", "gold_only"),
    processes=1,
    cache=HERE / "cache",
)
