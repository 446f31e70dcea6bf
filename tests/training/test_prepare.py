from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_task
import torch
from transformers import BertConfig, BertModel

from coteach.data.corpus import Corpus
from coteach.errors import InputError
from coteach.graph import Edge, WeightedSum
from coteach.recipe import Recipe, gold_only
from coteach.training.prepare import prepare


def changed(recipe: Recipe, **options: Any) -> Recipe:
    """The recipe with other options of its student."""
    name, student = recipe.student()
    return replace(recipe, nodes={**recipe.nodes, name: replace(student, **options)})


def test_heads_and_weights(tiny_recipe: Recipe, tiny_corpus: Corpus) -> None:
    config = prepare(tiny_recipe, tiny_corpus).student.config
    assert config.heads == [
        {"name": name, "layer": -1} for name in ("exact", "hasty", "partial", "output")
    ]
    assert config.attributes == ["場所", "築城年", "築城者"]
    # On the dev pages that they processed: F1 1, ⅖ and 1, then the mean is made 1.
    expected = np.array([[1.25], [0.5], [1.25]]) * np.ones(3)
    np.testing.assert_allclose(config.teacher_weights, expected, atol=1e-6)
    equal = prepare(changed(tiny_recipe, mean="equal"), tiny_corpus).student.config
    assert equal.teacher_weights is None


def test_heads_of_several_layers(tiny_recipe: Recipe, tiny_corpus: Corpus) -> None:
    edges = {"gold": Edge("gold", "student", layer=1), "teams": Edge("teams", "student", layer=0)}
    student = prepare(replace(tiny_recipe, edges=edges), tiny_corpus).student
    assert student.config.heads[0] == {"name": "output", "layer": 1}
    assert [head["layer"] for head in student.config.heads[1:]] == [0, 0, 0]


def test_a_student_from_nothing(tiny_recipe: Recipe, tiny_corpus: Corpus) -> None:
    prepared = prepare(tiny_recipe, tiny_corpus)
    student, tokenizer = prepared.student, prepared.tokenizer
    assert student.get_input_embeddings().num_embeddings == len(tokenizer)
    assert student.encoder.config.pad_token_id == tokenizer.pad_token_id
    assert (student.config.window, student.config.overlap) == (30, 8)
    assert max(map(len, prepared.windowed.rows["input_ids"])) == 30
    again = prepare(tiny_recipe, tiny_corpus).student.state_dict()
    other = prepare(replace(tiny_recipe, seed=1), tiny_corpus).student.state_dict()
    for name, value in student.state_dict().items():
        assert torch.equal(again[name], value), name
    assert not torch.equal(other["heads.2.weight"], again["heads.2.weight"])


def test_a_pretrained_encoder(tiny_recipe: Recipe, tiny_corpus: Corpus, tmp_path: Path) -> None:
    _, node = tiny_recipe.student()
    size = {"vocab_size": 90, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    encoder = BertModel(BertConfig(**size, intermediate_size=8, max_position_embeddings=24))
    encoder.save_pretrained(tmp_path)
    recipe = changed(
        tiny_recipe, encoder=str(tmp_path), encoder_config={}, tokenizer=node.tokenizer
    )
    student = prepare(recipe, tiny_corpus).student
    assert student.config.window == 22
    embeddings = student.get_input_embeddings().weight
    assert torch.equal(embeddings, encoder.get_input_embeddings().weight)


@pytest.mark.parametrize(
    ("options", "window"),
    [
        ({}, 30),
        ({"max_position_embeddings": 35}, 30),  # batches are padded to a multiple of 8
        ({"max_position_embeddings": 1024}, 510),  # the original code's
        ({"model_type": "roberta", "max_position_embeddings": 33}, 30),  # [PAD] is 0 here
        ({"model_type": "roberta"}, 22),
        ({"model_type": "roformer", "max_position_embeddings": 24}, 22),
    ],
)
def test_windows_fit_the_positions(
    tiny_recipe: Recipe, tiny_corpus: Corpus, options: dict[str, Any], window: int
) -> None:
    _, node = tiny_recipe.student()
    recipe = changed(tiny_recipe, encoder_config={**node.encoder_config, **options})
    student = prepare(recipe, tiny_corpus).student
    assert student.config.window == window
    tokens = -(-(window + 2) // 8) * 8
    student(torch.ones(1, tokens, dtype=torch.int64))
    with pytest.raises(InputError, match=r"at most the \d+ content tokens.*got 2000"):
        prepare(changed(recipe, window=2000), tiny_corpus)


def test_pages_without_gold_teach_only_with_teams(tiny_recipe: Recipe, tiny_corpus: Corpus) -> None:
    def taught_on(recipe: Recipe) -> set[str]:
        return set(prepare(recipe, tiny_corpus).windowed.rows["page_id"])

    assert taught_on(tiny_recipe) == {*"123456", "11"}  # page 12 is empty
    assert taught_on(gold_only(tiny_recipe)) == {*"123456"}


def test_errors(tiny_recipe: Recipe, tiny_corpus: Corpus, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent" / "encoder")
    bert = tiny_recipe.student()[1].encoder_config
    teams_only = replace(
        tiny_recipe, edges={"teams": tiny_recipe.edges["teams"]}, objective=WeightedSum()
    )
    wrong = [
        (changed(tiny_recipe, window=31), r"nodes\.student\.window: .* at most the 30 .*got 31"),
        (changed(tiny_recipe, window=8), r"nodes\.student\.window: .*overlap \(8\).*got 8"),
        (changed(tiny_recipe, tokenizer=None), r"nodes\.student\.tokenizer: .*got None"),
        (changed(tiny_recipe, tokenizer=absent), "nodes.student.tokenizer: no such"),
        (
            changed(tiny_recipe, encoder=absent, encoder_config={}),
            "nodes.student: the student cannot be built: .*absent/encoder",
        ),
        (
            changed(tiny_recipe, encoder_config={"model_type": "nonsense"}),
            "nodes.student: the student cannot be built: .*nonsense",
        ),
        (
            changed(tiny_recipe, encoder_config={"model_type": "t5"}),
            "nodes.student: the student cannot be built: expected a BERT-like encoder, got 't5'",
        ),
        (changed(tiny_recipe, overlap=-1), r"nodes\.student\.overlap: .*got -1"),
        (changed(tiny_recipe, mecab_options="-x"), r"nodes\.student: mecab_options='-x'"),
        (
            changed(tiny_recipe, encoder_config=bert | {"num_attention_heads": 3}),
            "nodes.student: the student cannot be built: .*hidden size",
        ),
        (
            replace(
                tiny_recipe, edges={**tiny_recipe.edges, "gold": Edge("gold", "student", layer=7)}
            ),
            r"edges.gold.layer: layer must be in .*got 7",
        ),
        (
            replace(teams_only, selection=replace(tiny_recipe.selection, probability="p_out")),
            r"selection\.probability: this student has no 'p_out'; expected one of \['p'\]",
        ),
    ]
    for recipe, message in wrong:
        with pytest.raises(InputError, match=message) as error:
            prepare(recipe, tiny_corpus)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("missing", ["cls_token", "sep_token", "pad_token"])
def test_a_tokenizer_without_a_special_token(
    tiny_recipe: Recipe, tiny_corpus: Corpus, tmp_path: Path, missing: str
) -> None:
    tokenizer = tiny_task.build_tokenizer(["城"])
    setattr(tokenizer, missing, None)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=f"nodes.student: tokenizer '.*' has no {missing}"):
        prepare(changed(tiny_recipe, tokenizer=str(tmp_path)), tiny_corpus)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_float16_needs_a_gpu(tiny_recipe: Recipe, tiny_corpus: Corpus) -> None:
    recipe = replace(tiny_recipe, optimisation=replace(tiny_recipe.optimisation, precision="fp16"))
    with pytest.raises(InputError, match=r"optimisation\.precision: 'fp16' needs a GPU"):
        prepare(recipe, tiny_corpus)
