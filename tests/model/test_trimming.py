"""Lines at a page's ends that a student never reads."""

from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from coteach.model import StudentConfig
from coteach.model.alignment import Aligner
from coteach.model.extraction import build_aligner

TEXT = "ab\ncd\n\nef\ngh"


@pytest.mark.parametrize(
    ("head", "tail", "lines"),
    [
        (0, 0, [0, 1, 3, 4]),
        (1, 0, [1, 3, 4]),
        (1, 1, [1, 3]),
        (3, 1, [3]),
        (3, 2, []),
        (4, 4, []),  # a page of fewer lines than are trimmed
        (20, 100, []),
    ],
)
def test_trimmed_lines_have_no_tokens_and_the_others_keep_their_numbers(
    character_tokenizer: PreTrainedTokenizerFast, head: int, tail: int, lines: list[int]
) -> None:
    tokens = Aligner(character_tokenizer, trim_head=head, trim_tail=tail)(TEXT)
    with_text = [
        (line, TEXT.split("\n")[line][start:end])
        for line, start, end in zip(tokens.lines, tokens.starts, tokens.ends, strict=True)
        if start < end
    ]
    assert with_text == [(line, letter) for line in lines for letter in TEXT.split("\n")[line]]


def test_a_student_knows_how_it_reads(character_tokenizer: PreTrainedTokenizerFast) -> None:
    config = StudentConfig.from_dict(StudentConfig(trim_head=1, trim_tail=2).to_dict())
    aligner = build_aligner(character_tokenizer, config)
    assert set(aligner(TEXT).lines) == {1}
    untrimmed = Aligner(character_tokenizer)
    assert set(untrimmed(TEXT).lines) == {0, 1, 3, 4}
    assert aligner.fingerprint != untrimmed.fingerprint
    with pytest.raises(ValueError, match="expected at least 0 lines, got trim_head=-1"):
        Aligner(character_tokenizer, trim_head=-1)
