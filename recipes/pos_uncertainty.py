"""``pos_auxiliary`` with learned weights of its two tasks, in the place of 1 and 0.5.

Needs what ``recipes.pos_auxiliary`` needs. The weights (Kendall et al., 2018), which the paper
(§3.4) names as the alternative to its own, are in the run's log: weight_gold and
weight_part_of_speech.

    TEXTS=train.tsv:dev.tsv python -m coteach.train recipes.pos_uncertainty

Cost: that of one run of ``recipes.pos_auxiliary``.
"""

from dataclasses import replace

from coteach.graph import UncertaintyWeighting
from recipes import pos_auxiliary

recipe = replace(pos_auxiliary.recipe, name="pos_uncertainty", objective=UncertaintyWeighting())
