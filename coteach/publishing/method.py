"""What a run did, in words: a sentence for every edge, and the papers that its edges come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coteach.reporting.graph_of_run import Edge, Node, RunGraph

__all__ = ["references", "sentences"]

LOSSES = {
    "AttentionScores": "mean squared error of attention scores",
    "AttentionTransfer": "attention transfer",
    "ClassBalancedFocal": "class-balanced focal loss",
    "CrossEntropy": "cross-entropy",
    "Dist": "correlations of answers (DIST)",
    "HiddenStates": "mean squared error of hidden states",
    "ImportanceJaccard": "soft Jaccard of the tokens' importance, by Integrated Gradients",
    "KullbackLeibler": "Kullback–Leibler divergence of answers",
    "LogitMeanSquaredError": "mean squared error of logits",
    "RelationalDistances": "distances between examples",
    "SoftCrossEntropy": "soft cross-entropy of answers",
}
CO_TEACHING = (
    "Co-teaching: 中山功太, 栗田修平, 小林暁雄, 馬場雪乃, 関根聡, "
    "「共有タスクへの結果提出を通した生徒モデルの共同教育手法」, 2021."
)
PART_OF_SPEECH = (
    "Parts of speech as an auxiliary task: a Japanese study of 重要品詞抽出 as the auxiliary task "
    "of multi-task learning with BERT, on tweets, reviews and livedoor news."
)
UNCERTAINTY = (
    "Learned weights: Kendall et al., Multi-Task Learning Using Uncertainty to Weigh Losses for "
    "Scene Geometry and Semantics, CVPR 2018."
)
TINYBERT = (
    "TinyBERT: Jiao et al., TinyBERT: Distilling BERT for Natural Language Understanding, Findings "
    "of EMNLP 2020."
)
BY_LOSS = {
    "AttentionScores": (TINYBERT,),
    "HiddenStates": (TINYBERT,),
    "SoftCrossEntropy": (TINYBERT,),
    "ImportanceJaccard": (
        "Importance transfer: 武田遥暉, 「推論における重要度単語を転移させる知識蒸留法」, "
        "北陸先端科学技術大学院大学 修士論文, 2026.",
        "Integrated Gradients: Sundararajan et al., Axiomatic Attribution for Deep Networks, ICML "
        "2017.",
    ),
    "ClassBalancedFocal": (
        "Class-balanced focal loss: Cui et al., Class-Balanced Loss Based on Effective Number of "
        "Samples, CVPR 2019; Lin et al., Focal Loss for Dense Object Detection, ICCV 2017.",
    ),
    "KullbackLeibler": (
        "Distillation: Hinton et al., Distilling the Knowledge in a Neural Network, 2015.",
    ),
    "LogitMeanSquaredError": (
        "Logits: Ba and Caruana, Do Deep Nets Really Need to be Deep?, NIPS 2014.",
    ),
    "Dist": ("DIST: Huang et al., Knowledge Distillation from A Stronger Teacher, NeurIPS 2022.",),
    "AttentionTransfer": (
        "Attention transfer: Zagoruyko and Komodakis, Paying More Attention to Attention, ICLR "
        "2017.",
    ),
    "RelationalDistances": (
        "Distances of examples: Park et al., Relational Knowledge Distillation, CVPR 2019.",
    ),
}


def sentences(graph: RunGraph, recipe: Mapping[str, Any], classifies: bool) -> list[str]:
    """A sentence for every student and edge, and one on how the main stage's edges combine.

    Args:
        graph: of the run.
        recipe: as ``recipe.json`` has it.
        classifies: whether the student classifies texts; else it extracts values.
    """
    nodes = {node.name: node for node in graph.nodes}
    told = [_learns(node, recipe) for node in graph.nodes if node.kind == "Student"]
    told += [_sentence(edge, nodes[edge.source], classifies) for edge in graph.edges]
    combined = _combined(recipe, sum(not edge.stage for edge in graph.edges))
    return [*told, combined] if combined else told


def references(graph: RunGraph, recipe: Mapping[str, Any]) -> list[str]:
    """The papers behind the edges that took part, each once."""
    kinds = {node.name: node.kind for node in graph.nodes}
    found: list[str] = []
    for edge in sorted(graph.edges, key=lambda it: kinds[it.source] != "Submissions"):
        if not edge.weight:
            continue
        if kinds[edge.source] == "Submissions":
            found.append(CO_TEACHING)
        if kinds[edge.source] == "PartOfSpeech":
            found.append(PART_OF_SPEECH)
        found += BY_LOSS.get(edge.loss, ())
    objectives = [recipe, *(recipe.get("stages") or {}).values()]
    if any(it["objective"]["type"] == "UncertaintyWeighting" for it in objectives):
        found.append(UNCERTAINTY)
    return list(dict.fromkeys(found))


def _learns(node: Node, recipe: Mapping[str, Any]) -> str:
    if recipe["nodes"][node.name].get("encoder"):
        return f"{node.name} is trained; its encoder began as {node.detail}."
    return f"{node.name} is trained; its encoder, {node.detail}, began with random weights."


def _sentence(edge: Edge, source: Node, classifies: bool) -> str:
    parts = [f"{_teaches(source, classifies)} by {LOSSES.get(edge.loss, edge.loss)}"]
    if edge.layer is not None:
        parts.append("on the last layer" if edge.layer == -1 else f"on layer {edge.layer}")
    parts += [edge.gate] if edge.gate else []
    parts.append(f"with weight {edge.weight:g}" if edge.weight else "with weight 0: not at all")
    before = f"In stage {edge.stage}, before the main one: " if edge.stage else ""
    return before + ", ".join(parts) + "."


def _teaches(source: Node, classifies: bool) -> str:
    head = "its class head" if classifies else "the head “output”"
    name = f"{source.name} ({source.detail})" if source.detail else source.name
    told = {
        "Gold": f"{name}, the gold annotation, teaches {head}",
        "Submissions": f"{name}: each team's submission teaches a head of its own",
        "Aggregated": f"{name}: the gold where a page has it, elsewhere what the teams say "
        f"together, teaches {head}",
        "Predicted": f"{name}: the gold where a page has it, elsewhere what another student finds, "
        f"teaches {head}",
        "PartOfSpeech": f"{name}: parts of speech teach an auxiliary head, which makes no "
        "prediction,",
        "Teacher": f"{name}, a frozen model, is followed",
    }
    return told.get(source.kind, f"{name}, a node {source.kind}, teaches")


def _combined(recipe: Mapping[str, Any], edges: int) -> str:
    objective = recipe["objective"]
    if objective["type"] == "CoTeaching":
        pair = [recipe["edges"][objective[role]]["weight"] for role in ("gold", "teams")]
        mean = "mean" if pair[0] == pair[1] else "mean, by these weights,"
        of = "an example" if objective["combination"] == "example" else "a batch"
        others = "; other edges are added." if edges > len(pair) else "."
        return (
            f"The loss of {of} is the {mean} of the gold's and the teams' where it has gold, and "
            f"the teams' alone elsewhere{others}"
        )
    if objective["type"] == "UncertaintyWeighting":
        return "The weights of the edges were learned as well."
    return "The losses, times their weights, are added." if edges > 1 else ""
