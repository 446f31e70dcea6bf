"""File formats: all become the same pages and values, and say what they cannot hold."""

from __future__ import annotations

from collections.abc import Mapping

from coteach.data.formats.brat import Brat
from coteach.data.formats.columns import Columns
from coteach.data.formats.conllu import ConllU
from coteach.data.formats.documents import Documents, Format, Token
from coteach.data.formats.hub import Hub
from coteach.data.formats.jsonl import JsonLines
from coteach.data.formats.losses import EFFECTS, Loss, Losses
from coteach.data.formats.matching import put_on, read_known
from coteach.data.formats.shinra import Shinra

__all__ = [
    "EFFECTS",
    "FORMATS",
    "Brat",
    "Columns",
    "ConllU",
    "Documents",
    "Format",
    "Hub",
    "JsonLines",
    "Loss",
    "Losses",
    "Shinra",
    "Token",
    "put_on",
    "read_known",
]

FORMATS: Mapping[str, type[Format]] = {
    "columns": Columns,
    "conllu": ConllU,
    "brat": Brat,
    "jsonl": JsonLines,
    "hub": Hub,
    "shinra": Shinra,
}
"""Every format by the name that commands know it by."""
