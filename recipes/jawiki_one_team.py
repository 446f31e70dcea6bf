"""A baseline of ``jawiki_ner``: the same student, taught by the gold and by one team alone.

Needs what ``recipes.jawiki_ner`` needs. What all teams together are worth shows beside the best of
these students: each of them has the encoder, the gold and the pages that the others have.

    JAWIKI_NER=path/to/jawiki-ner python -m coteach.train recipes.jawiki_one_team
    ... --nodes.teams.teams team01         another team

Cost: that of ``recipes.jawiki_ner`` for each team.
"""

from dataclasses import replace

from coteach.graph import Submissions
from recipes import jawiki_ner

recipe = replace(
    jawiki_ner.recipe,
    name="jawiki_one_team",
    nodes={**jawiki_ner.recipe.nodes, "teams": Submissions(teams=("team07",))},
)
