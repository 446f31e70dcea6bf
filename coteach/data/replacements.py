"""Words that could stand in a word's place, as a masked language model sees it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AutoModelForMaskedLM, AutoTokenizer

from coteach.data.part_of_speech import description, tag_sets
from coteach.errors import InputError, in_one_line, quote
from coteach.model.alignment import Aligner
from coteach.model.extraction import assemble, longest_window
from coteach.model.part_of_speech import PartOfSpeechLabeler
from coteach.model.spans import Span

__all__ = ["Replaceable", "Replacer"]

BATCH_SIZE = 32  # masked texts of a forward pass
VERSION = 1  # of how candidates are found; another one makes those that are stored void

# Kana and kanji, with ゝ, ー, 々 and half-width forms.
_JAPANESE = re.compile(
    "[\u3041-\u3096\u3099\u309a\u309d\u309e\u30a1-\u30fa\u30fc-\u30fe\u3005\u3006\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]+"
)
NOT_INDEPENDENT = "not independent"
_NOT_INDEPENDENT: Mapping[str, list[str]] = {
    "unidic": [
        *("名詞,数詞", "名詞,助動詞語幹", "形状詞,助動詞語幹", "代名詞"),
        *("動詞,非自立可能", "形容詞,非自立可能"),
        *("接尾辞,名詞的", "接尾辞,形状詞的", "接尾辞,動詞的", "接尾辞,形容詞的"),
    ],
    "ipadic": [
        *("名詞,数", "名詞,非自立", "名詞,代名詞", "名詞,接尾", "名詞,特殊"),
        *("名詞,接続詞的", "名詞,動詞非自立的", "名詞,引用文字列"),
        *("動詞,非自立", "動詞,接尾", "形容詞,非自立", "形容詞,接尾"),
    ],
}
"""Tag set → parts of speech of words that mean little by themselves, or whose replacement says
something else: they are what the original code's English stop words are, and its a–z filter."""


class Replaceable(NamedTuple):
    """A word of a text and what could stand in its place.

    ``line``, ``start`` and ``end`` are its place as of a span; ``candidates`` are distinct words,
    the likeliest first, at least one and not the word itself.
    """

    line: int
    start: int
    end: int
    candidates: tuple[str, ...]


class _Masked(NamedTuple):
    """A text with a masked word, and the text itself."""

    text: int
    """The text's number."""
    word: Span
    surface: str
    """The word's characters."""
    content: list[int]
    """Both texts' ids, a separator between them, without special tokens at the ends."""
    mask: int
    """Where the mask is in the content."""
    second: int
    """Where the second text begins in the content."""


class Replacer:
    """Finds the replaceable words of texts, and candidates for each.

    A word is replaceable if it is of one of the classes, stands by itself, and is written in kana
    and kanji: of a piece in Latin letters nobody could tell whether it is a word. It is masked by
    one [MASK], whatever pieces it consists of, and the masked language model reads ``[CLS] masked
    text [SEP] text [SEP]``, as in the original code of Jiao et al. 2020. The candidates are, of all
    pieces of the vocabulary that are replaceable words of the same class, the most probable ones.
    (The original takes the most probable pieces and drops those that continue a word, so that few
    may be left; a word of several pieces it replaces by its neighbours in GloVe.) Of a text that is
    too long for the model, what its positions hold is read, and only that is replaceable.

    Args:
        model: a masked language model, by Hub name or folder.
        candidates: of a word, at most.
        classes: of words, as named by ``coteach.data.part_of_speech.tag_sets``.
        dictionary: MeCab's: "unidic_lite", "unidic" or "ipadic".

    Attributes:
        fingerprint: differs wherever the candidates do.

    Raises:
        InputError: the model cannot be loaded, is none, or its tokenizer cannot be used.
    """

    def __init__(
        self, model: str, candidates: int, classes: Sequence[str], dictionary: str
    ) -> None:
        self._candidates = candidates
        self._model, self._tokenizer = _load(model)
        self._model.to("cuda" if torch.cuda.is_available() else "cpu")
        words = _description(classes, dictionary)
        try:
            self._labeler = PartOfSpeechLabeler(words)
        except ValueError as error:
            raise InputError(f"augmentation.dictionary: {in_one_line(error)}") from None
        try:
            self._aligner = Aligner(self._tokenizer, words="part_of_speech", part_of_speech=words)
        except ValueError as error:
            message = f"the tokenizer of {model!r} cannot be used: {in_one_line(error)}"
            raise InputError(f"augmentation.model: {message}") from None
        self._vocabulary, self._of_class = self._read_vocabulary()
        self._longest = (longest_window(self._model.base_model) - 1) // 2
        digest = hashlib.sha256(f"{VERSION} {candidates} {self._aligner.fingerprint}".encode())
        for name, tensor in sorted(self._model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy())
        self.fingerprint = digest.hexdigest()[:32]

    def __call__(self, texts: Sequence[str]) -> list[list[Replaceable]]:
        """The replaceable words of each text, in reading order."""
        masked = [row for number, text in enumerate(texts) for row in self._masked(number, text)]
        words: dict[int, list[str]] = {}
        order = sorted(range(len(masked)), key=lambda number: -len(masked[number].content))
        for start in range(0, len(order), BATCH_SIZE):
            numbers = order[start : start + BATCH_SIZE]
            answers = self._likeliest([masked[number] for number in numbers])
            words.update(zip(numbers, answers, strict=True))
        found: list[list[Replaceable]] = [[] for _ in texts]
        for number, row in enumerate(masked):
            # Pieces with and without a word-initial mark are one word.
            others = [word for word in dict.fromkeys(words[number]) if word != row.surface]
            if others:
                place = (row.word.start_line, row.word.start_offset, row.word.end_offset)
                candidates = tuple(others[: self._candidates])
                found[row.text].append(Replaceable(*place, candidates))
        return found

    def _masked(self, number: int, text: str) -> list[_Masked]:
        """A row for each replaceable word of a text."""
        tokens = self._aligner(text)
        tokens = tokens.at(range(min(len(tokens), self._longest)))
        mask, separator = self._tokenizer.mask_token_id, self._tokenizer.sep_token_id
        lines = text.split("\n")
        rows = []
        for word in self._labeler(text):
            line, start, end = word.start_line, word.start_offset, word.end_offset
            surface = lines[line][start:end]
            if word.attribute == NOT_INDEPENDENT or not _JAPANESE.fullmatch(surface):
                continue
            inside = [
                at
                for at in range(len(tokens))
                if tokens.lines[at] == line and start <= tokens.starts[at] < tokens.ends[at] <= end
            ]
            if not inside or tokens.ends[inside[-1]] < end:  # the model reads no or half a word
                continue
            before, after = tokens.ids[: inside[0]], tokens.ids[inside[-1] + 1 :]
            content = [*before, mask, *after, separator, *tokens.ids]
            second = len(before) + len(after) + 2
            rows.append(_Masked(number, word, surface, content, len(before), second))
        return rows

    @torch.inference_mode()
    def _likeliest(self, rows: Sequence[_Masked]) -> list[list[str]]:
        """For each row the likeliest words of its class, enough to leave some out."""
        ids, attention_mask = assemble([row.content for row in rows], self._tokenizer)
        inputs = {"input_ids": ids, "attention_mask": attention_mask}
        if getattr(self._model.config, "type_vocab_size", 0) > 1:
            inputs["token_type_ids"] = types = torch.zeros_like(ids)
            for number, row in enumerate(rows):
                types[number, row.second + 1 : len(row.content) + 2] = 1
        logits = self._logits(inputs, [row.mask + 1 for row in rows]).float().cpu()
        answers = []
        for row, of_row in zip(rows, logits, strict=True):
            numbers = self._of_class[row.word.attribute]
            count = min(2 * self._candidates + 2, len(numbers))
            best = numbers[of_row[numbers].topk(count).indices]
            answers.append([self._vocabulary[number] for number in best.tolist()])
        return answers

    def _logits(self, inputs: Mapping[str, Tensor], places: Sequence[int]) -> Tensor:
        """What the model says of one place of each row, (rows, vocabulary).

        The layer that knows the vocabulary is given these places only: of all places its answer
        would be hundreds of times as large.
        """
        rows = torch.arange(len(places))

        def at_places(_: Any, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (values[0][rows, places][:, None], *values[1:])

        device = self._model.device
        hook = self._model.get_output_embeddings().register_forward_pre_hook(at_places)
        try:
            output = self._model(**{name: of.to(device) for name, of in inputs.items()})
        finally:
            hook.remove()
        return output.logits[:, 0]

    def _read_vocabulary(self) -> tuple[list[str], dict[str, Tensor]]:
        """The word of each vocabulary id, and the ids of the words of each class."""
        tokenizer = self._tokenizer
        size = min(len(tokenizer), self._model.get_output_embeddings().weight.shape[0])
        pieces = tokenizer.convert_ids_to_tokens(list(range(size)))
        special = set(tokenizer.all_special_tokens)
        words = []
        of_class: dict[str, list[int]] = {name: [] for name in self._labeler.classes}
        for number, piece in enumerate(pieces):
            whole = piece is not None and piece not in special
            word = tokenizer.convert_tokens_to_string([piece]).strip() if whole else ""
            words.append(word)
            if _JAPANESE.fullmatch(word):  # what continues a word keeps its "##"
                spans = self._labeler(word)
                if len(spans) == 1 and spans[0][1:] == (0, 0, 0, len(word)):
                    of_class[spans[0].attribute].append(number)
        return words, {
            name: torch.tensor(numbers, dtype=torch.int64) for name, numbers in of_class.items()
        }


def _load(model: str) -> tuple[Any, Any]:
    """A masked language model, in evaluation mode and float32, and its tokenizer."""
    place = "augmentation.model"
    if model.startswith(("/", "./", "../", "~")) and not Path(model).is_dir():
        raise InputError(f"{place}: no such folder, got {model!r}; expected one, or a Hub name")
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
        loaded, report = AutoModelForMaskedLM.from_pretrained(
            model, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{place}: {model!r} cannot be loaded: {in_one_line(error)}") from None
    missing = sorted(report["missing_keys"])
    if missing:
        raise InputError(
            f"{place}: expected a masked language model, but {model!r} lacks {len(missing)} of its "
            f"weights, which would be random: {quote(missing, 200)}"
        )
    for special in ("cls_token", "sep_token", "pad_token", "mask_token"):
        if getattr(tokenizer, special) is None:
            raise InputError(f"{place}: the tokenizer of {model!r} has no {special}; expected one")
    return loaded.requires_grad_(False).eval(), tokenizer


def _description(classes: Sequence[str], dictionary: str) -> dict[str, Any]:
    """What finds words of some classes, and sets apart those that do not stand by themselves."""
    tag_set = "ipadic" if dictionary == "ipadic" else "unidic"
    apart = _NOT_INDEPENDENT[tag_set]
    mapping = {
        name: [beginning for beginning in tag_sets()[tag_set][name] if beginning not in apart]
        for name in classes
    }
    mapping[NOT_INDEPENDENT] = apart
    return description("mecab", dictionary, None, None, list(mapping), mapping)
