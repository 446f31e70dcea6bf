"""The paper's baseline "self-teaching": a student that learns from another one's predictions.

Needs what ``recipes.jawiki_ner`` needs. Two steps: the first student learns from the gold alone;
the second from the gold where there is gold, and elsewhere from what the first one finds. Classes
are counted in the gold alone, as in the original code.

    export JAWIKI_NER=path/to/jawiki-ner
    python -m coteach.train recipes.gold_only --output runs/gold_only/first
    python -m coteach.train recipes.jawiki_self_teaching
    ... --nodes.labels.student FOLDER      the folder "student" of another run

Cost: that of ``recipes.gold_only`` and of ``recipes.jawiki_ner``.
"""

from dataclasses import replace
from pathlib import Path

from coteach.graph import Edge, Predicted, WeightedSum
from recipes import jawiki_ner

recipe = replace(
    jawiki_ner.recipe,
    name="self_teaching",
    nodes={
        "labels": Predicted(student=Path("runs/gold_only/first/student")),
        "student": jawiki_ner.recipe.nodes["student"],
    },
    edges={"labels": Edge("labels", "student", loss=jawiki_ner.LOSS)},
    objective=WeightedSum(),
)
