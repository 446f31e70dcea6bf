"""A baseline of ``jawiki_ner``: the same student, taught by labels that the teams become first.

Needs what ``recipes.jawiki_ner`` needs; for dawid_skene and hidden_markov also the packages of
``pip install coteach[labels]``. The gold teaches where there is gold, the labels elsewhere, both
the one output head; classes are counted in the gold alone.

    JAWIKI_NER=path/to/jawiki-ner python -m coteach.train recipes.jawiki_labels
    ... --nodes.labels.method vote_per_attribute    votes needed by attribute, chosen on dev
    ... --nodes.labels.method dawid_skene           who is right, from agreement alone
    ... --nodes.labels.method hidden_markov         the same for tags in their order
    ... --nodes.labels.minimum 2                    a vote of two; by default as is best on dev
    ... --nodes.labels.teams team01 team07          some of the teams

Cost: that of ``recipes.jawiki_ner``.
"""

from dataclasses import replace

from coteach.graph import Aggregated, Edge, WeightedSum
from recipes import jawiki_ner

recipe = replace(
    jawiki_ner.recipe,
    name="jawiki_labels",
    nodes={"labels": Aggregated(), "student": jawiki_ner.recipe.nodes["student"]},
    edges={"labels": Edge("labels", "student", loss=jawiki_ner.LOSS)},
    objective=WeightedSum(),
)
