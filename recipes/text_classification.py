"""One encoder that classifies texts, taught by the gold: a teacher for students to come.

Needs labelled texts: a .tsv file with the columns "text" and "label", its path in the environment
variable TEXTS (several files, whose rows are joined, with the system's path separator, ":" on
Linux); and an encoder: by default multilingual-e5-small from the Hub, or any other by name or
folder. A tenth of the texts is set aside to select by.

    TEXTS=train.tsv python -m coteach.train recipes.text_classification --data.report test.tsv

All layers learn, a linear layer reads the mean of the last one's tokens. ``recipes/tinybert.py``
makes a small student of the folder that this leaves.
"""

import os

from coteach.data.classification import ClassificationData
from coteach.graph import Edge, Gold, Student
from coteach.losses import CrossEntropy
from coteach.recipe import Optimisation, Recipe, Selection

recipe = Recipe(
    name="text_classification",
    data=ClassificationData(
        train=tuple((os.environ.get("TEXTS") or "texts.tsv").split(os.pathsep)),
        duplicates="drop",
    ),
    nodes={
        "gold": Gold(),
        "student": Student(encoder="intfloat/multilingual-e5-small", pooling="mean"),
    },
    edges={"gold": Edge("gold", "student", loss=CrossEntropy())},
    optimisation=Optimisation(
        epochs=6,
        batch_size=32,
        learning_rate=5e-5,
        head_learning_rate=1e-3,
        warmup=0.1,
        clip_norm=1.0,
    ),
    selection=Selection(evaluate_every=0.5),
    baselines=(),
)
