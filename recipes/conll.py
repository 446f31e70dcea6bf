"""Co-teaching on column files: a token and its tag a line, from any CoNLL-style task.

Needs a folder, named by the environment variable CONLL, with the gold and the teams' outputs::

    train.txt  dev.txt  test.txt      a token and its tag (IOB1, IOB2 or IOBES) a line, in columns
                                      parted by a tab or by spaces; a blank line after a sentence;
                                      -DOCSTART- lines, if any, where documents begin
    submissions/<team>/<same name>    what a team says about one of these files: in the same form,
                                      or its tags alone, one a line; a team may leave files out,
                                      but not dev.txt, by which it is weighed

and an encoder: by default multilingual-e5-small from the Hub, or any other by name or folder.

    CONLL=path/to/folder python -m coteach.train recipes.conll
    ... --data.unlabelled FILE       tokens that only the teams tagged, submissions/<team>/FILE
    ... --data.format.spaces         languages that write spaces between words
    ... --nodes.student.encoder FOLDER

Other formats: ``format=ConllU()``, ``Brat()``, ``JsonLines()`` or ``Hub()`` in place of
``Columns()``, all of coteach.data.formats; files or folders are laid out in the same way.

All else is as in ``recipes.jawiki_ner``, which says why.
"""

import os
from dataclasses import replace
from pathlib import Path

from coteach.data.annotated_files import AnnotatedFiles
from coteach.data.formats import Columns
from recipes import jawiki_ner

TASK = Path(os.environ.get("CONLL", "conll"))

recipe = replace(
    jawiki_ner.recipe,
    name="conll",
    data=AnnotatedFiles(
        format=Columns(),
        train=TASK / "train.txt",
        dev=TASK / "dev.txt",
        report=TASK / "test.txt",
        submissions=TASK / "submissions",
    ),
)
