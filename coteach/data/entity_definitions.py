"""Definitions of categories: Extended Named Entity ids, names, and attributes to extract.

JSON lines, one category a line, as the 2022 shared task hands them out (ENE 9.0)::

    {"ENE_id": "1.6.5.3", "name": {"en": "Airport", "ja": "空港名"},
     "attributes": [{"name": "別名", "extraction_task": true}, …]}
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coteach.data.files import whole
from coteach.errors import InputError

__all__ = ["EntityDefinition", "find_definition", "read_definitions"]


@dataclass(frozen=True)
class EntityDefinition:
    """One category.

    Attributes:
        entity_type: the ENE id, for example "1.6.5.3".
        category: the English name as files have it, for example "Airport" or "Sports_Team".
        attributes: names of the attributes that are to be extracted.
    """

    entity_type: str
    category: str
    attributes: frozenset[str]


def read_definitions(path: str | Path) -> list[EntityDefinition]:
    """The definitions of a file, in its order.

    Raises:
        InputError: the file cannot be read, a line is no definition, or an id comes twice.
    """
    path = Path(path)
    try:
        # Split on "\n" alone: names may hold any other line break of Unicode.
        lines = whole(path).decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError.at(path, None, f"not UTF-8: {error.reason}") from None
    definitions: dict[str, EntityDefinition] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            definition = _definition(json.loads(line))
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            raise InputError.at(
                path,
                number,
                'expected {"ENE_id": …, "name": {"en": …}, "attributes": [{"name": …, '
                f'"extraction_task": true or false}}, …]}}, got {line.strip()[:80]!r}',
            ) from None
        if definition.entity_type in definitions:
            raise InputError.at(path, number, f"ENE_id {definition.entity_type!r} is given twice")
        definitions[definition.entity_type] = definition
    if not definitions:
        raise InputError.at(path, None, "no definition here; expected one a line")
    return list(definitions.values())


def find_definition(
    definitions: Sequence[EntityDefinition], category: str
) -> EntityDefinition | None:
    """The definition of a category, given by its ENE id or by its name in any case."""
    wanted = _file_name(category).casefold()
    for definition in definitions:
        if category == definition.entity_type or wanted == definition.category.casefold():
            return definition
    return None


def _definition(entry: Any) -> EntityDefinition:
    entity_type, name = entry["ENE_id"], entry["name"]["en"]
    attributes = frozenset(
        attribute["name"] for attribute in entry["attributes"] if attribute["extraction_task"]
    )
    if not all(isinstance(text, str) and text for text in (entity_type, name, *attributes)):
        raise ValueError
    return EntityDefinition(entity_type, _file_name(name), attributes)


def _file_name(name: str) -> str:
    return name.strip().replace(" ", "_")
