"""TinyBERT whose student also looks at the words its teacher looks at: importance transfer.

``recipes/tinybert.py``, whose needs and options it shares, with one more edge in its main stage:
the Integrated Gradients of the student's answer, as a distribution over the tokens, follow the
teacher's by a soft Jaccard loss (importance-transfer thesis, §3).

    TEXTS=train.tsv TEACHER=runs/text_classification/… \\
        python -m coteach.train recipes.tinybert_importance --data.report test.tsv
    ... --edges.importance.gate.steps 1             at every step, not every second one
    python -m coteach.agreement TEACHER RUN_OF_TINYBERT RUN      whether it looks there

The thesis leaves the stage open; STAGE=intermediate puts the edge there instead, STAGE=both into
both, which was best in a small comparison and takes longer: docs/results.md.
"""

import os
from dataclasses import replace

from coteach.attribution import IntegratedGradients
from coteach.graph import Edge, Every
from coteach.losses import ImportanceJaccard
from recipes import tinybert

stage = os.environ.get("STAGE") or "prediction"
importance = {
    "importance": Edge(
        "teacher",
        "student",
        # Of the logit: a trained teacher's probability is 1 along most of the path.
        ImportanceJaccard(
            IntegratedGradients(nodes=4, quadrature="right_riemann", output="logit"),
            normalisation="maximum",
            temperature=0.2,
        ),
        gate=Every(steps=2),
        weight=0.3,
    )
}
intermediate = tinybert.recipe.stages["intermediate"]

recipe = replace(
    tinybert.recipe,
    name="tinybert_importance",
    stages={
        **tinybert.recipe.stages,
        "intermediate": (
            intermediate
            if stage == "prediction"
            else replace(intermediate, edges={**intermediate.edges, **importance})
        ),
    },
    edges=(
        tinybert.recipe.edges
        if stage == "intermediate"
        else {**tinybert.recipe.edges, **importance}
    ),
)
