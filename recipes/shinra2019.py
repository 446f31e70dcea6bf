r"""Co-teaching on SHINRA 2019, as in the paper: a student for each of 33 categories.

Needs the task's distribution, unpacked (its zips JP-5 and JP-30 side by side: annotation/, PLAIN/),
its folder in the environment variable SHINRA2019, and in its folder submissions/ what the systems
found: the organisers' merged form, <Category>.json, or <team>/<Category>.json. The encoder comes
from the Hub; its tokenizer needs MeCab's dictionary (pip install unidic-lite).

    SHINRA2019=path/to/folder python -m coteach.train recipes.shinra2019 --dry-run
    SHINRA2019=path/to/folder accelerate launch -m coteach.train recipes.shinra2019 \
        --output runs/shinra2019
    ... --data.category Airport City       some of the categories
    ... --nodes.student.encoder FOLDER     another encoder, by name or folder

Cost: a student a category, each of 100 passes over at most 2,000 pages, most of several windows of
510 tokens: a job for a GPU, which --dry-run --data.category Airport estimates. A run that was
interrupted goes on with the same command.

As in the paper (§4.2): at most 2,000 pages, all labelled ones among them; a tenth of the labelled
pages for selection; batches of 16, 100 epochs, AdamW with 5e-5; class-balanced focal loss with
γ = 2, β = 0.999 (the paper searches {0.999, 0.9999, 0.99999}); equal weights of the teams; the
example's loss where it has gold is half the gold's and half the teams' mean. As in the original
code: selection by the output head; the first 20 and the last 100 lines of a page are not read.

Not as in the paper:

- The encoder is Tohoku's BERT base v3, with its own MeCab words and WordPiece. The paper's was
  trained for it, on words of another analyser.
- A tenth of the labelled pages is kept for the table (--data.report-fraction 0 trains on it): the
  gold of the shared task's test pages was not handed out.
- Pages on which no team found anything are trained on. The original code loses them.

The published code differs from the paper in how it combines the two losses, batch by batch and
with the gold's divided by the share of labelled positions:

    ... --objective.combination batch --objective.gold-scale inverse_rate
"""

import os
from pathlib import Path

from coteach.data.shinra_distribution import ShinraDistribution
from coteach.graph import CoTeaching, Edge, Gold, Student, Submissions
from coteach.losses import ClassBalancedFocal
from coteach.recipe import Optimisation, Recipe, Selection

TASK = Path(os.environ.get("SHINRA2019", "shinra2019"))
LOSS = ClassBalancedFocal(beta=0.999, gamma=2.0)

JP_5 = ("Airport", "City", "Company", "Compound", "Person")
LOCATION = (
    "Bay",
    "Continental_Region",
    "Country",
    "Domestic_Region",
    "GPE_Other",
    "Geological_Region_Other",
    "Island",
    "Lake",
    "Location_Other",
    "Mountain",
    "Province",
    "River",
    "Sea",
    "Spa",
)
# Cabinet and Nationality are in the task as well, but not in the paper's table.
ORGANIZATION = (
    "Company_Group",
    "Ethnic_Group_Other",
    "Family",
    "Government",
    "International_Organization",
    "Military",
    "Nonprofit_Organization",
    "Organization_Other",
    "Political_Organization_Other",
    "Political_Party",
    "Show_Organization",
    "Sports_Federation",
    "Sports_League",
    "Sports_Team",
)

recipe = Recipe(
    name="shinra2019",
    data=ShinraDistribution(
        root=TASK,
        category=JP_5 + LOCATION + ORGANIZATION,
        submissions=TASK / "submissions",
        report_fraction=0.1,
        on_bad_line="skip",
    ),
    nodes={
        "gold": Gold(),
        "teams": Submissions(),
        "student": Student(encoder="tohoku-nlp/bert-base-japanese-v3", trim_head=20, trim_tail=100),
    },
    edges={
        "teams": Edge("teams", "student", loss=LOSS),
        "gold": Edge("gold", "student", loss=LOSS),
    },
    objective=CoTeaching(),
    optimisation=Optimisation(epochs=100, batch_size=16, learning_rate=5e-5),
    selection=Selection(probability="p_out"),
    baselines=("vote", "gold_only"),
)
