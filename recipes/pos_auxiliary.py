"""Parts of speech as an auxiliary task of text classification: does it help, and on which layer?

Needs labelled texts: a .tsv file with the columns "text" and "label", its path in the environment
variable TEXTS (several files, whose rows are joined, with the system's path separator, ":" on
Linux), and an encoder: by default multilingual-e5-small from the Hub, or any other by name or
folder. MeCab labels the texts; nobody has to.

    TEXTS=train.tsv:dev.tsv python -m coteach.train recipes.pos_auxiliary
    ... --edges.part_of_speech.layer 6        another layer for the auxiliary head
    ... --edges.part_of_speech.weight 0       its single-task twin: the same layers learn
    ... --data.label class --data.group work  other columns, folds that keep groups together

The paper's experiment, every layer and fold with its twin, 240 runs (12 × 10 × 2), each taken up
again where it was interrupted; then its tables with the paired t-test, and its figure:

    TEXTS=… python -m coteach.search recipes.pos_auxiliary --workers 2
    python -m coteach.report runs/pos_auxiliary/search --output tables

What the twins look at, in texts that only one of them gets right:

    python -m coteach.attention RUN_OF_THE_TWIN RUN --output pictures

Cost: 15 s an epoch with the head on layer 2, 9 s on layer 12, for 1,770 texts of 18 characters on
one CPU core with AVX512-BF16 (--optimisation.precision bf16).

As in the paper (§3): NFKC, numbers as 0, no URLs, symbols, spaces and line breaks, no duplicates,
as many texts of each class; a tokenizer whose pieces never cross a boundary of the labelled words;
noun, adverb and adjective in IOB2, 7 tags; dropout of 0.1 and a linear layer on layer 2, a linear
layer on the [CLS] of the last one; only these two layers and the heads learn; weights 1 and 0.5;
batches of 32, 5e-5 for the encoder and 1e-4 for the heads, constant; early stopping after 10 epochs
without a lower dev loss (of the main task: the paper does not say which); 8:1:1 by 10 folds. Not as
in the paper: AdamW without decay (the same steps as Adam), unidic-lite in the place of
ipadic-NEologd (--nodes.part_of_speech.dictionary FOLDER --nodes.part_of_speech.tag-set ipadic), and
folds with the same share of every class.

``objective=UncertaintyWeighting()`` learns the two weights instead (Kendall et al., 2018).
"""

import os

from coteach.data.classification import ClassificationData
from coteach.graph import Edge, Gold, PartOfSpeech, Student, WeightedSum
from coteach.losses import CrossEntropy
from coteach.model.preprocessing import PAPER_STEPS
from coteach.recipe import Optimisation, Recipe, Selection
from coteach.searching import Grid

recipe = Recipe(
    name="pos_auxiliary",
    data=ClassificationData(
        train=tuple((os.environ.get("TEXTS") or "texts.tsv").split(os.pathsep)),
        preprocessing=PAPER_STEPS,
        duplicates="drop",
        balance="downsample",
        folds=10,
    ),
    nodes={
        "gold": Gold(),
        "part_of_speech": PartOfSpeech(classes=("名詞", "副詞", "形容詞")),
        "student": Student(
            encoder="intfloat/multilingual-e5-small",
            words="part_of_speech",
            trained_layers="read",
            head_dropout=0.0,
        ),
    },
    edges={
        "gold": Edge("gold", "student", loss=CrossEntropy()),
        "part_of_speech": Edge(
            "part_of_speech", "student", loss=CrossEntropy(), layer=2, weight=0.5
        ),
    },
    objective=WeightedSum(),
    optimisation=Optimisation(
        epochs=100,
        batch_size=32,
        learning_rate=5e-5,
        head_learning_rate=1e-4,
        schedule="constant",
    ),
    selection=Selection(by="loss", patience=10),
    baselines=(),
)

search_space = Grid(
    {
        "edges.part_of_speech.layer": tuple(range(1, 13)),
        "edges.part_of_speech.weight": (0.5, 0.0),
    },
    repeat={"data.fold": tuple(range(10))},
)
