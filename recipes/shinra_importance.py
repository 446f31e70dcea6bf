"""A small co-taught student that looks at the words a large co-taught teacher looks at.

The recipe jawiki_ner with a student of four of the encoder's twelve layers and, as one more edge,
importance transfer from a finished run of jawiki_ner: the Integrated Gradients of the spans that
the teacher finds in a window, as a distribution over its tokens (importance-transfer thesis, §3).

    JAWIKI_NER=path/to/jawiki-ner python -m coteach.train recipes.jawiki_ner --output large
    JAWIKI_NER=path/to/jawiki-ner TEACHER=large python -m coteach.train recipes.shinra_importance
    ... --edges.importance.weight 0         the same small student, taught by the teams alone
    ... --edges.importance.gate.steps 1     at every step, not every fourth one
    python -m coteach.agreement large runs/shinra_importance/… --texts pages.txt

For a task of your own, add the same node and edge to its recipe. The student begins as a part of
the teacher, so its tokens are the teacher's, as they must be.
"""

import os
from dataclasses import replace

from coteach.attribution import IntegratedGradients
from coteach.graph import Edge, Every, Teacher
from coteach.losses import ImportanceJaccard
from recipes.jawiki_ner import recipe as co_teaching

teacher = os.environ.get("TEACHER") or "runs/jawiki_ner"
name, student = co_teaching.student()

recipe = replace(
    co_teaching,
    name="shinra_importance",
    nodes={
        **co_teaching.nodes,
        "teacher": Teacher(teacher),
        name: replace(student, encoder=teacher, encoder_layers=(3, 6, 9, 12)),
    },
    edges={
        **co_teaching.edges,
        "importance": Edge(
            "teacher",
            name,
            # The answers of many spans together are many: their sizes say nothing, so that each
            # window's scores are divided by the largest.
            ImportanceJaccard(
                IntegratedGradients(nodes=2), normalisation="maximum", temperature=0.2
            ),
            gate=Every(steps=4),
            # The focal loss of tags is small: ten times this weight cost 16 points of F1
            # (docs/results.md).
            weight=0.01,
        ),
    },
)
