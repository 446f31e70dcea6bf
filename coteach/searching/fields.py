"""A recipe's fields by their dotted paths, checked against their types.

A path names fields of dataclasses and keys of mappings: ``optimisation.batch_size``,
``edges.gold.loss.beta``. The key ``*`` stands for every key of a mapping: with
``edges.*.loss.beta`` all edges get the same value.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tyro
from typeguard import TypeCheckError, check_type

from coteach.errors import InputError
from coteach.recipe import Recipe

__all__ = ["Field", "fields_at", "parsed", "replaced"]


@dataclass(frozen=True)
class Field:
    """One place of a recipe.

    Attributes:
        place: its path, without ``*``.
        type: what may stand there.
    """

    place: str
    type: Any


def fields_at(recipe: Recipe, path: str) -> list[Field]:
    """The fields that a path names; more than one only where it has a ``*``.

    Raises:
        InputError: there is no such field.
    """
    return list(_walk(recipe, path.split("."), Field("", Recipe)))


def replaced(recipe: Recipe, path: str, value: Any) -> Recipe:
    """A copy of a recipe with another value wherever a path leads.

    Raises:
        InputError: there is no such field, or it cannot hold the value.
    """
    for it in fields_at(recipe, path):
        try:
            check_type(value, it.type)
            fits = not isinstance(value, bool) or _takes_bool(it.type)
        except TypeCheckError:
            fits = False
        if not fits:
            raise InputError(f"{it.place}: expected {_name(it.type)}, got {value!r}")
    try:
        return _replaced(recipe, path.split("."), value)
    except InputError as error:  # out of range
        message = str(error)
        raise InputError(message if path in message else f"{path}: {message}") from None


def parsed(recipe: Recipe, path: str, text: str) -> Any:
    """The value that a text stands for, read as the field's type.

    Raises:
        InputError: there is no such field, or the text is no such value.
    """
    it = fields_at(recipe, path)[0]
    kind: Any = Annotated[it.type, tyro.conf.Positional]
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # tyro's own words
            return tyro.cli(kind, args=[text])
    except (SystemExit, tyro.constructors.UnsupportedTypeAnnotationError):
        raise InputError(f"{it.place}: expected {_name(it.type)}, got {text!r}") from None


def _walk(part: Any, keys: list[str], here: Field) -> Iterator[Field]:
    """The fields below ``part``, which stands at ``here``."""
    if not keys:
        # What may hold anything is held to the type of what it holds.
        yield Field(here.place, type(part)) if here.type is Any else here
        return
    key, *rest = keys
    if isinstance(part, Mapping):
        held = (*get_args(here.type), Any)[1]
        below = {name: Field(f"{here.place}.{name}".lstrip("."), held) for name in part}
        values = dict(part)
    elif is_dataclass(part):
        hints = get_type_hints(type(part), include_extras=True)
        names = [it.name for it in fields(part)]
        below = {name: Field(f"{here.place}.{name}".lstrip("."), hints[name]) for name in names}
        values = {name: getattr(part, name) for name in names}
    else:
        raise InputError(f"{here.place}.{key}: no such field; {here.place} is {part!r}")
    every = isinstance(part, Mapping) and key == "*" and below
    if not every and key not in below:
        raise InputError(
            f"{here.place}.{key}".lstrip(".") + f": no such field; expected one of {list(below)}"
        )
    for name in below if every else (key,):
        yield from _walk(values[name], rest, below[name])


def _replaced(part: Any, keys: list[str], value: Any) -> Any:
    if not keys:
        return value
    key, *rest = keys
    if isinstance(part, Mapping):
        return {
            name: _replaced(old, rest, value) if key in (name, "*") else old
            for name, old in part.items()
        }
    return replace(part, **{key: _replaced(getattr(part, key), rest, value)})


def _takes_bool(kind: Any) -> bool:
    """Python holds True for a whole number; a recipe does not."""
    return bool in (kind, *get_args(kind)) or kind is Any


def _name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {list(get_args(kind))}"
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
