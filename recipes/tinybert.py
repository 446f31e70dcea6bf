"""TinyBERT: a small student of a large teacher, by distillation in stages.

Needs labelled texts, as ``recipes/text_classification.py`` does, in the environment variable
TEXTS, and the folder that this recipe leaves, the teacher, in TEACHER:

    TEXTS=train.tsv TEACHER=runs/text_classification/… \\
        python -m coteach.train recipes.tinybert --data.report test.tsv

The student begins with the teacher's embeddings and its layers 3, 6, 9 and 12 (SHAPE=6x384 or
so: as many, evenly). With unlabelled text in UNLABELLED (files a text a line, or a data set of the
Hub) and the teacher's encoder as it was before its task in ENCODER, it begins with nothing, of any
shape, 4 layers of width 312 if none is said, and goes through general distillation first:

    UNLABELLED=wikipedia.txt ENCODER=intfloat/multilingual-e5-small SHAPE=4x312 TEXTS=… TEACHER=…
        python -m coteach.train recipes.tinybert

Stages (Jiao et al. 2020, §3.2; the defaults of its code):

- general: 3 epochs of the unlabelled text. The student's attention scores and hidden states,
  through one projection, follow the encoder's.
- intermediate: 10 epochs at 5e-5, constant. They follow the teacher's.
- prediction: the student's classes follow the teacher's by soft cross-entropy, no gold is read; 6
  epochs at 5e-5, and 1e-3 for the new head, down to 0, the best on dev. (The code's 3 epochs at
  3e-5 are of 20 times as many texts, by augmentation: docs/results.md.)

MASKED=NAME augments the texts of the last two stages by words that this masked language model puts
in the place of others.

Not as in the original: valid tokens alone are compared, the teacher's dropout is off, the gradient
is clipped as a whole.
"""

import os

from coteach.data.augmentation import Augmentation
from coteach.data.classification import ClassificationData
from coteach.data.unlabelled import UnlabelledText
from coteach.graph import Edge, Gold, Student, Teacher
from coteach.losses import AttentionScores, HiddenStates, SoftCrossEntropy
from coteach.recipe import Optimisation, Recipe, Selection, Stage

teacher = os.environ.get("TEACHER") or "runs/text_classification"
unlabelled = [name for name in (os.environ.get("UNLABELLED") or "").split(os.pathsep) if name]
encoder = os.environ.get("ENCODER") or "intfloat/multilingual-e5-small"
masked = os.environ.get("MASKED")
depth, width = map(int, (os.environ.get("SHAPE") or "4x312").split("x"))

augmentation = Augmentation(model=masked) if masked else None
general = Stage(
    edges={
        "attention": Edge("encoder", "student", AttentionScores()),
        "hidden": Edge("encoder", "student", HiddenStates()),
    },
    data=UnlabelledText(files=tuple(unlabelled) or ("unlabelled.txt",)),
    optimisation=Optimisation(
        epochs=3, batch_size=256, learning_rate=5e-5, weight_decay=0.01, warmup=0.1, clip_norm=1.0
    ),
)
intermediate = Stage(
    edges={
        "attention": Edge("teacher", "student", AttentionScores()),
        "hidden": Edge("teacher", "student", HiddenStates()),
    },
    data=augmentation,
    optimisation=Optimisation(
        epochs=10,
        batch_size=32,
        learning_rate=5e-5,
        weight_decay=0.01,
        schedule="constant",
        clip_norm=1.0,
    ),
)
small = {
    "model_type": "bert",
    "num_hidden_layers": depth,
    "hidden_size": width,
    "intermediate_size": 1200 if width == 312 else 4 * width,
    "num_attention_heads": 12,
}

recipe = Recipe(
    name="tinybert",
    data=ClassificationData(
        train=tuple((os.environ.get("TEXTS") or "texts.tsv").split(os.pathsep)),
        duplicates="drop",
    ),
    nodes={
        "gold": Gold(),
        "teacher": Teacher(teacher),
        **({"encoder": Teacher(encoder)} if unlabelled else {}),
        "student": (
            Student(encoder_config=small, tokenizer=teacher, pooling="mean")
            if unlabelled
            else Student(
                encoder=teacher,
                encoder_layers=tuple(12 * layer // depth for layer in range(1, depth + 1)),
                pooling="mean",
            )
        ),
    },
    stages={
        **({"general": general} if unlabelled else {}),
        "intermediate": intermediate,
    },
    augmentation=augmentation,
    edges={"prediction": Edge("teacher", "student", SoftCrossEntropy())},
    optimisation=Optimisation(
        epochs=6,
        batch_size=32,
        learning_rate=5e-5,
        head_learning_rate=1e-3,
        weight_decay=0.01,
        warmup=0.1,
        clip_norm=1.0,
    ),
    selection=Selection(evaluate_every=0.5),
    baselines=(),
)
