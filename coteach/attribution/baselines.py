"""What the tokens of a text are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from coteach.attribution.settings import Baseline
from coteach.errors import InputError


@dataclass(frozen=True)
class SpecialTokens:
    """The ids of a tokenizer's special tokens, as far as baselines need them.

    Attributes:
        padding: of [PAD].
        mask: of [MASK]; None without one.
        kept: ids that every baseline keeps, sorted: [CLS], [SEP] and the like, and padding.
            Unknown words and [MASK] are replaced like other tokens.
    """

    padding: int
    mask: int | None
    kept: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Any) -> SpecialTokens:
        """Those of a tokenizer of transformers."""
        content = {tokenizer.unk_token_id, tokenizer.mask_token_id}
        kept = {*tokenizer.all_special_ids, tokenizer.pad_token_id} - content
        return cls(tokenizer.pad_token_id, tokenizer.mask_token_id, tuple(sorted(kept)))

    def are_content(self, input_ids: Tensor) -> Tensor:
        """(batch, tokens), bool: the tokens that are neither special nor padding."""
        return ~torch.isin(input_ids, torch.tensor(self.kept, device=input_ids.device))

    def replacement(self, baseline: Baseline) -> int | None:
        """The id of the token that others are replaced by; None for zeros.

        Raises:
            InputError: the tokenizer has no such token.
        """
        if baseline == "zero":
            return None
        number = self.padding if baseline == "padding" else self.mask
        if number is None:
            raise InputError(
                f'baseline: the tokenizer has no token for "{baseline}"; expected "padding" or '
                '"zero"'
            )
        return number


def embedded(embeddings: nn.Module, input_ids: Tensor) -> Tensor:
    """Word embeddings, (…, width), with the gradient of every row of their table.

    ``nn.Embedding`` withholds the gradient of its padding row, on which the attributions depend
    where padding is the baseline.
    """
    if type(embeddings) is nn.Embedding:
        return functional.embedding(input_ids, embeddings.weight)
    return embeddings(input_ids)


def path_ends(
    embeddings: nn.Module, input_ids: Tensor, tokens: SpecialTokens, baseline: Baseline
) -> tuple[Tensor, Tensor]:
    """The embeddings of a batch, and those of its baseline; both (batch, tokens, width).

    Args:
        embeddings: of the words.
        input_ids: (batch, tokens), with special tokens and padding, which the baseline keeps.
        tokens: the special ones.
        baseline: what the others are replaced by.

    Raises:
        InputError: as of ``SpecialTokens.replacement``.
    """
    number = tokens.replacement(baseline)
    is_content = tokens.are_content(input_ids).unsqueeze(-1)
    if number is None:
        end = embedded(embeddings, input_ids)
        return end, end * ~is_content
    # One look-up: each has a gradient as large as the table.
    more = torch.tensor([number], dtype=input_ids.dtype, device=input_ids.device)
    rows = embedded(embeddings, torch.cat([input_ids.flatten(), more]))
    end, row = rows[:-1].view(*input_ids.shape, -1), rows[-1]
    return end, torch.where(is_content, row, end)
