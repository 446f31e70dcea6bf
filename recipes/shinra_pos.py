"""Co-teaching and the part-of-speech auxiliary task in one student: one more edge.

The recipe jawiki_ner, whose student also learns, on layer 2, which words MeCab calls nouns, adverbs
and adjectives, on every page that anybody teaches on. Its output and cost are those of jawiki_ner,
whose docstring says what it needs; for a task of your own, add the same node and edge.

    JAWIKI_NER=path/to/jawiki-ner python -m coteach.train recipes.shinra_pos
    ... --edges.part_of_speech.layer 6      another layer
    ... --edges.part_of_speech.weight 0     the same student without the auxiliary task

The auxiliary edge has the loss of its neighbours, so that its weight, the paper's 0.5, compares
like with like: cross-entropy over seven tags is many times a focal loss over mostly O.
"""

from dataclasses import replace

from coteach.graph import Edge, PartOfSpeech
from recipes.jawiki_ner import LOSS
from recipes.jawiki_ner import recipe as co_teaching

recipe = replace(
    co_teaching,
    name="shinra_pos",
    nodes={**co_teaching.nodes, "part_of_speech": PartOfSpeech()},
    edges={
        **co_teaching.edges,
        "part_of_speech": Edge("part_of_speech", "student", loss=LOSS, layer=2, weight=0.5),
    },
)
