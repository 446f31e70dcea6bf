"""``jawiki_ner`` with the co-teaching paper's settings instead of the recommended ones.

Needs what ``recipes.jawiki_ner`` needs.

    JAWIKI_NER=path/to/jawiki-ner python -m coteach.train recipes.jawiki_paper
    ... --objective.combination batch --objective.gold-scale inverse_rate    as the published code

Cost: 100 epochs are 12,500 steps, hours on 2 CPU cores; meant for a GPU.
"""

from dataclasses import replace

from coteach.presets import paper
from recipes import jawiki_ner

recipe = replace(paper(jawiki_ner.recipe), name="jawiki_paper")
