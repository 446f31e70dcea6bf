"""Several systems' outputs as one: votes and label models, without training a student."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from importlib.util import find_spec
from typing import Literal, get_args

from coteach.aggregation import dawid_skene, hidden_markov, vote
from coteach.data.corpus import Corpus
from coteach.data.pages import Annotations
from coteach.data.sources import Split
from coteach.errors import InputError

__all__ = ["Method", "aggregate", "check_installed", "label_baselines"]

Method = Literal["vote", "vote_per_attribute", "dawid_skene", "hidden_markov"]

_PACKAGES = {"dawid_skene": "crowdkit", "hidden_markov": "skweak"}


def aggregate(
    method: Method,
    sources: Sequence[Annotations],
    corpus: Corpus,
    page_ids: Sequence[str],
    minimum: int | None = None,
) -> Annotations:
    """What several systems say together.

    Numbers of votes are chosen by the dev gold. The label models see no gold: they are fitted to
    the pages of no split and to ``page_ids``, but not to the training pages, where teams agree with
    the gold, and so with each other, by memory.

    Args:
        method: ``vote``: spans that enough systems have exactly. ``vote_per_attribute``: the same
            with a number for each attribute. ``dawid_skene``: spans that are probably right.
            ``hidden_markov``: spans of the probable tags.
        sources: the systems.
        corpus: gives the dev gold, the attributes and the pages to fit on.
        page_ids: the pages to speak of.
        minimum: for ``vote``, the votes needed; None: the number that is best on dev.

    Returns:
        Annotations that have processed those of ``page_ids`` that some system processed.

    Raises:
        InputError: there is no system, ``minimum`` is out of range or not for this method, or a
            package is missing.
    """
    check_installed(method)
    if not sources:
        raise InputError("data.submissions: no team to aggregate; expected at least one")
    if minimum is not None and method != "vote":
        raise InputError(f"minimum: for the method 'vote' only, got {minimum} with {method!r}")
    if minimum is not None and not 1 <= minimum <= len(sources):
        raise InputError(f"minimum: expected 1 to {len(sources)} (the teams), got {minimum}")
    if method == "vote":
        minimum = minimum or vote.choose_minimum(sources, corpus.dev)
        return vote.vote(sources, minimum, page_ids)
    if method == "vote_per_attribute":
        minimums = vote.choose_minimums(sources, corpus.dev, corpus.attributes)
        return vote.vote_per_attribute(sources, minimums, page_ids)
    remembered = frozenset(corpus.train.page_ids)
    every = dict.fromkeys([*corpus.unlabelled, *page_ids])
    fit_on = [page_id for page_id in every if page_id not in remembered] or page_ids
    if method == "dawid_skene":
        return dawid_skene.dawid_skene(sources, page_ids, fit_on, corpus.attributes)
    return hidden_markov.hidden_markov(sources, page_ids, fit_on, corpus.attributes)


def label_baselines(names: Collection[str], corpus: Corpus, split: Split) -> Iterator[Annotations]:
    """The baselines that need no training, on the pages of a split; none with fewer than two teams.

    Args:
        names: of baselines; ``vote`` stands for every number of votes from 2. Others are passed
            over.
        corpus: with the teams.
        split: whose pages to speak of.
    """
    if len(corpus.teams) < 2:
        return
    for method in get_args(Method):
        if method not in names:
            continue
        if method == "vote":
            for minimum in range(2, len(corpus.teams) + 1):
                yield vote.vote(corpus.teams, minimum, split.page_ids)
        else:
            yield aggregate(method, corpus.teams, corpus, split.page_ids)


def check_installed(method: str) -> None:
    """Raise InputError where the package of a method is missing."""
    package = _PACKAGES.get(method)
    if package is not None and find_spec(package) is None:
        raise InputError(f"{method!r} needs the package {package}: pip install coteach[labels]")
