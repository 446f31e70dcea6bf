"""The paper's baseline "BERT": the student of ``jawiki_ner``, taught by the gold alone."""

from dataclasses import replace

from coteach.recipe import gold_only
from recipes import jawiki_ner

recipe = gold_only(jawiki_ner.recipe)
recipe = replace(recipe, optimisation=replace(recipe.optimisation, epochs=20))
