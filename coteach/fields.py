"""Writes down every field of a recipe: ``python -m coteach.fields --output FILE``."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro

from coteach.command import program
from coteach.data.files import replacing
from coteach.errors import InputError

__all__ = ["Options", "fields_of_recipes", "main"]

HEADING = """\
# The fields of a recipe

Every class that a recipe can be made of, with its fields, beginning with `Recipe` itself. This
page is written from the types, by `python -m coteach.fields --output docs/recipe_fields.md`.

In a recipe, a Python file, a field is an argument: `Optimisation(epochs=16)`. On the command line
it is an option, with its path: `--optimisation.epochs 16`, `--edges.teams.loss.beta 0.999`. What a
field *is*, one class or another, is changed in the recipe alone.
"""

_BAR = r"\|"  # a bar that does not end a table's cell
_CODE = re.compile(r"(``.+?``|`.+?`)", re.DOTALL)


@dataclass(frozen=True)
class Options:
    """Writes every class that a recipe can be made of, with its fields, as Markdown.

    For every field: its type, its default, and what it is.
    """

    output: Annotated[
        Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="(default: print it)")
    ] = None
    """The file to write; it appears only when it is complete."""


def fields_of_recipes() -> str:
    """Every class that a recipe can be made of, with its fields, as Markdown."""
    # The heavy imports come after --help.
    from coteach.recipe import Recipe

    classes = _reachable(Recipe)
    sections = [_section(it, classes) for it in classes]
    contents = ", ".join(f"[{it.__name__}](#{it.__name__.lower()})" for it in classes)
    return "\n".join([HEADING, contents, "", *sections])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code, 0, or 2 where the file cannot be written."""
    options = tyro.cli(Options, prog=program("fields"), args=arguments)
    text = fields_of_recipes()
    if options.output is None:
        print(text, end="")
        return 0
    try:
        with replacing(options.output) as file:
            file.write(text)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _reachable(root: type) -> list[type]:
    """The dataclasses that the fields of one lead to, in the order in which they are met."""
    found: dict[type, None] = {root: None}
    waiting = [root]
    while waiting:
        current = waiting.pop(0)
        for annotation in get_type_hints(current, include_extras=True).values():
            for it in _classes_in(annotation):
                if it not in found:
                    found[it] = None
                    waiting.append(it)
    return list(found)


def _classes_in(annotation: Any) -> Iterator[type]:
    """The dataclasses named in a type; in the place of an abstract class, those it stands for."""
    if inspect.isabstract(annotation):
        # Their modules, imported, have told Python of them.
        import coteach.data.annotated_files
        import coteach.data.shinra_distribution
        import coteach.data.shinra_task  # noqa: F401

        for it in sorted(annotation.__subclasses__(), key=lambda it: it.__name__):
            if it.__module__.startswith("coteach."):
                yield from _classes_in(it)
    elif inspect.isclass(annotation) and is_dataclass(annotation):
        yield annotation
    else:
        for argument in get_args(annotation):
            yield from _classes_in(argument)


def _section(of: type, classes: Sequence[type]) -> str:
    """One class: what it is, where it is used, and a table of its fields."""
    used = [
        f"[{user.__name__}](#{user.__name__.lower()}).{name}"
        for user in classes
        for name, annotation in _fields(user)
        if of in _classes_in(annotation)
    ]
    lines = [f"## {of.__name__}", "", _prose(inspect.cleandoc(of.__doc__ or "")), ""]
    lines += [f"`from {_module(of)} import {of.__name__}`", ""]
    if used:
        lines += [f"Used in {', '.join(used)}.", ""]
    rows = []
    described = _docstrings(of)
    defaults = {it.name: it for it in fields(of)}
    for name, annotation in _fields(of):
        cells = (
            f"`{name}`",
            _type(annotation),
            _default(defaults[name]),
            " ".join(_prose(described.get(name, "")).split()),
        )
        rows.append(f"| {' | '.join(cell.replace('|', _BAR) for cell in cells)} |")
    if rows:
        lines += ["| field | type | default | what it is |", "| --- | --- | --- | --- |", *rows, ""]
    return "\n".join(lines)


def _prose(docstring: str) -> str:
    """A docstring as Markdown: what would be HTML or emphasis there is escaped, but in code."""
    parts = _CODE.split(docstring)
    parts[::2] = [re.sub(r"[<*_]", r"\\\g<0>", part) for part in parts[::2]]
    return "".join(parts)


@cache
def _fields(of: type) -> list[tuple[str, Any]]:
    """The fields with their types, in order."""
    hints = get_type_hints(of)
    return [(it.name, hints[it.name]) for it in fields(of)]


def _module(of: type) -> str:
    """Where a recipe imports a class from: the package that exports it, or its own module."""
    package = of.__module__.rpartition(".")[0]
    exported = getattr(sys.modules.get(package), "__all__", ())
    return package if of.__name__ in exported else of.__module__


def _docstrings(of: type) -> dict[str, str]:
    """The docstring after each field, also of inherited ones."""
    found: dict[str, str] = {}
    for base in reversed(of.__mro__):
        if not is_dataclass(base):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for node, after in zip(tree.body, tree.body[1:], strict=False):
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                found[node.target.id] = str(after.value.value)
    return found


def _type(annotation: Any) -> str:
    """A type in words, with links."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin in (Union, UnionType):
        return _alternatives(map(_type, arguments))
    if origin is Literal:
        return _alternatives(f"`{_quoted(it)}`" for it in arguments)
    if origin is tuple and arguments[-1:] == (...,):
        return f"tuple of any number of ({_type(arguments[0])})"
    if origin is tuple:
        return f"tuple of {', '.join(map(_type, arguments))}"
    if origin is dict:
        return f"dict: {_type(arguments[0])} → {_type(arguments[1])}"
    if annotation is Any:
        return "anything"
    if annotation is type(None):
        return "`None`"
    if links := [f"[{it.__name__}](#{it.__name__.lower()})" for it in _classes_in(annotation)]:
        return _alternatives(links)
    return f"`{annotation.__name__}`"


def _alternatives(types: Iterator[str] | Sequence[str]) -> str:
    *others, last = types
    return f"{', '.join(others)} or {last}" if others else last


def _default(of: Field[Any]) -> str:
    """A field's default as it would be written in a recipe."""
    if of.default is not MISSING:
        return f"`{_quoted(of.default)}`"
    if of.default_factory is not MISSING:
        return f"`{_quoted(of.default_factory())}`"
    return "required"


def _quoted(value: Any) -> str:
    if is_dataclass(value) and not isinstance(value, type):
        given = {
            it.name: getattr(value, it.name)
            for it in fields(value)
            if _default(it) != f"`{_quoted(getattr(value, it.name))}`"
        }
        listed = ", ".join(f"{name}={_quoted(it)}" for name, it in given.items())
        return f"{type(value).__name__}({listed})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_quoted, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, str | Path):
        return f'"{value}"'
    return repr(value)


if __name__ == "__main__":
    sys.exit(main())
