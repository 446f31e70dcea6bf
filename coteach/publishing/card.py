"""The model card of a student: metadata for the Hub, and what people should know before use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import ModelCardData

from coteach.model.configuration import CLASSIFICATION_TASK, OUTPUT_HEAD, TASK, StudentConfig
from coteach.publishing.facts import RunFacts, data_names, encoder_on_hub
from coteach.publishing.markdown import Markdown, render, table
from coteach.publishing.mermaid import flowchart
from coteach.publishing.method import references, sentences
from coteach.publishing.scores import attribute_table, evaluations, score_table, team_table
from coteach.reporting.graph_of_run import RunGraph

__all__ = ["Statement", "model_card"]

UNKNOWN = "not stated by who published it"
DICTIONARIES = {"unidic_lite": "unidic-lite", "ipadic": "ipadic", "unidic": "unidic"}


@dataclass(frozen=True)
class Statement:
    """What nobody but who publishes it can say of a student.

    Attributes:
        name: on the Hub, ``user/name``.
        revision: the branch; None for main.
        licence: of the model, as the Hub names it; None where it is not stated.
        data_licence: of the data, in words; None where it is not stated.
        languages: that it reads, as ISO 639 codes.
        base_model: the encoder's name on the Hub; None for the
            recipe's, where that looks like one.
        data_name: what the data is called; None for the names of its files.
    """

    name: str
    revision: str | None = None
    licence: str | None = None
    data_licence: str | None = None
    languages: tuple[str, ...] = ("ja",)
    base_model: str | None = None
    data_name: str | None = None


def model_card(
    statement: Statement, config: StudentConfig, tokenizer: dict[str, Any], facts: RunFacts | None
) -> str:
    """The card, ``README.md``: YAML metadata and Markdown.

    Args:
        statement: what who publishes it says.
        config: of the student.
        tokenizer: what ``tokenizer_config.json`` says.
        facts: of its run; None where a student alone is published, whose card then has neither
            method, data nor scores.
    """
    task = "text-classification" if config.classes else "token-classification"
    kinds = {} if facts is None else facts.summary["scores"]
    encoder = statement.base_model
    if encoder is None and facts is not None:
        encoder = encoder_on_hub(facts.recipe)
    metadata = ModelCardData(
        language=list(statement.languages),
        license=statement.licence,
        library_name="transformers",
        pipeline_tag=task,
        base_model=encoder,
        tags=["coteach", CLASSIFICATION_TASK if config.classes else TASK],
        model_name=statement.name.partition("/")[2],
        eval_results=None if facts is None else evaluations(facts, task, statement.data_name),
    )
    body = render(
        "card.md",
        title=statement.name,
        what=_what(config),
        facts=facts,
        install=Markdown(_install(config, tokenizer)),
        usage=Markdown(_usage(statement, config)),
        answers=_answers(config),
        drawing=None if facts is None else Markdown(flowchart(facts.graph)),
        edges=None if facts is None else _edges(facts.graph),
        method=[] if facts is None else sentences(facts.graph, facts.recipe, facts.classifies),
        teams=team_table(config, kinds) if config.teachers else None,
        data=None if facts is None else _data(statement, facts),
        amounts=[] if facts is None else _amounts(facts),
        scored=None if facts is None else _scored(facts),
        scores=None if facts is None else score_table(facts),
        attributes=None if facts is None else attribute_table(facts),
        limits=_limits(statement, config, facts),
        licence=statement.licence or UNKNOWN,
        data_licence=statement.data_licence or UNKNOWN,
        references=[] if facts is None else references(facts.graph, facts.recipe),
    )
    return f"---\n{metadata.to_yaml()}\n---\n\n{body}"


def _what(config: StudentConfig) -> str:
    if config.classes:
        of = "pairs of texts" if config.pair_separator is not None else "texts"
        return f"Sorts {of} into {len(config.classes)} classes: {', '.join(config.classes)}."
    return (
        f"Finds the values of {len(config.attributes)} attributes in text, with their exact "
        f"places: {', '.join(config.attributes)}."
    )


def _install(config: StudentConfig, tokenizer: dict[str, Any]) -> str:
    packages = ["torch", '"transformers>=5.14"']
    options = tokenizer.get("mecab_kwargs") or {}
    words = config.part_of_speech or {}
    japanese = tokenizer.get("tokenizer_class") == "BertJapaneseTokenizer"
    if words.get("analyzer") == "sudachi":
        packages += ["sudachipy", "sudachidict-core"]
    if config.words == "mecab" or (words and words.get("analyzer") != "sudachi") or japanese:
        named = options.get("mecab_dic") if japanese else words.get("dictionary")
        packages += ["fugashi", DICTIONARIES.get(str(named), "unidic-lite")]
    return "pip install " + " ".join(packages)


def _usage(statement: Statement, config: StudentConfig) -> str:
    task = CLASSIFICATION_TASK if config.classes else TASK
    revision = f', revision="{statement.revision}"' if statement.revision else ""
    lines = ["from transformers import pipeline", ""]
    loaded = f'pipeline("{task}", model="{statement.name}"{revision}, trust_remote_code=True)'
    japanese = statement.languages[:1] == ("ja",)
    text = "ここに文章を書く。" if japanese else "Write a text here."
    if config.classes:
        other = "もう一つの文章。" if japanese else "And another one."
        given = f'("{text}", "{other}")' if config.pair_separator is not None else f'"{text}"'
        lines += [f"classify = {loaded}", f"print(classify({given}))"]
    else:
        lines += [f"extract = {loaded}", f'for value in extract("{text}"):']
        names = ("attribute", "start", "end", "text", "score")
        lines.append("    print(" + ", ".join(f'value["{name}"]' for name in names) + ")")
    return "\n".join(lines)


def _answers(config: StudentConfig) -> list[str]:
    if config.classes:
        return ["Each answer has a label, a class, and a score, its probability."]
    lines = [
        "start and end count Unicode characters from the beginning of the text, from 0.",
        "score is the value's confidence, the geometric mean of its tokens' tag probabilities.",
    ]
    if config.teachers and OUTPUT_HEAD in config.head_names:
        lines.append(
            "p_out is what the head that learnt from the gold believes, p_mean the mean of the "
            "teams' heads by their weights; the values are those of p, the mean of both."
        )
    elif config.teachers:
        lines.append("The values are those of p, the mean of the teams' heads by their weights.")
    return lines


def _edges(graph: RunGraph) -> Markdown:
    headings = ("stage", "edge", "from", "to", "loss", "layer", "weight", "when")
    return table(
        headings,
        (
            (
                edge.stage or "main",
                edge.name,
                edge.source,
                edge.target,
                edge.loss,
                {None: "–", -1: "last"}.get(edge.layer, edge.layer),
                f"{edge.weight:g}",
                edge.gate or "always",
            )
            for edge in graph.edges
        ),
    )


def _data(statement: Statement, facts: RunFacts) -> Markdown:
    named = [("data", statement.data_name)] if statement.data_name else []
    return table(("what", "name"), [*named, *data_names(facts.recipe["data"])])


def _amounts(facts: RunFacts) -> list[str]:
    if facts.classifies:
        texts = facts.summary["texts"]
        return [f"{texts['train']:,} training texts, {texts['dev']:,} for selection."]
    pages = facts.summary["pages"]
    return [f"{pages['training']:,} training pages, {pages['labelled']:,} of them with gold."]


def _scored(facts: RunFacts) -> str:
    what = "texts" if facts.classifies else "pages"
    told = f"On the {facts.scored:,} {what} of the split {facts.split}, in percent"
    if facts.classifies:
        told += " but for the loss"
    else:
        told += ": micro-averaged over values, which count where their places are exactly right"
    if facts.split == "dev":
        told += f". The student was selected on these {what}: expect less on others"
    if any(name.startswith("vote>=") for name in facts.summary["scores"]):
        told += '. "vote>=n" keeps the values that n teams or more have'
    return told + "."


def _limits(statement: Statement, config: StudentConfig, facts: RunFacts | None) -> list[str]:
    names: Sequence[str] = config.classes or config.attributes
    what = "classes" if config.classes else "attributes"
    lines = [
        f"It knows these {len(names)} {what} and no others.",
        f"Language: {', '.join(statement.languages)}.",
    ]
    if facts is None:
        lines.append("This card was made from the model alone: no scores are known here.")
    else:
        if facts.found_nothing:
            lines.append("On the pages that were scored it found nothing right.")
        lines.append(
            "The scores are of data like that which it was trained on; of other texts nothing was "
            "measured here."
        )
    if config.classes:
        lines.append(f"What does not fit into {config.window} tokens is not read.")
    else:
        lines.append(
            f"It reads a text in windows of {config.window} tokens, of which two share "
            f"{config.overlap}: it sees no further than a window at once."
        )
    for count, place in ((config.trim_head, "first"), (config.trim_tail, "last")):
        if count:
            lines.append(f"The {place} {count} lines of a text are not read.")
    if config.thresholds:
        lines.append(
            "Values of p below a confidence, chosen by attribute on the dev pages, are left out: "
            + ", ".join(f"{name} {least:.2f}" for name, least in config.thresholds.items())
            + "."
        )
    if "-d" in config.mecab_options.split() or "-u" in config.mecab_options.split():
        lines.append(
            f"Its words are those of MeCab with {config.mecab_options}: this dictionary is not in "
            "the repository; give its place as mecab_options."
        )
    return lines
