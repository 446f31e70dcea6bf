"""The console command: ``coteach VERB …`` is ``python -m coteach.VERB …``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.resources import files
from pathlib import Path

from coteach import __version__
from coteach.command import called_as

__all__ = ["main", "verbs"]


def verbs() -> dict[str, str]:
    """Every verb and what it does: the modules of the package that have a function ``main``.

    Sources are read, not imported: a list of the verbs must not wait for torch.
    """
    found = {}
    for file in files("coteach").iterdir():
        name, _, extension = file.name.rpartition(".")
        if extension != "py" or name.startswith("_"):
            continue
        source = file.read_text("utf-8")
        if "\ndef main(" in source:
            first_line = source.removeprefix('"""').partition("\n")[0]
            found[name] = first_line.partition(" ``")[0].rstrip(":")
    return dict(sorted(found.items()))


def usage(program: str) -> str:
    """What ``--help`` prints."""
    found = verbs()
    width = max(map(len, found))
    return "\n".join(
        [
            f"usage: {program} VERB [ARGUMENTS]",
            f"       {program} VERB --help",
            f"       {program} --version",
            "",
            "Many systems' outputs become one model.",
            "",
            *(f"  {verb:<{width}}  {what}" for verb, what in found.items()),
        ]
    )


def main(arguments: Sequence[str] | None = None, *, program: str = "coteach") -> int:
    """Run a verb; returns its exit code, or 2 where there is no such verb.

    Args:
        arguments: the verb and its own arguments; by default those of the process.
        program: what the help calls this command.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    verb = arguments[0] if arguments else "--help"
    if verb in ("-h", "--help"):
        print(usage(program))
        return 0 if arguments else 2
    if verb == "--version":
        print(f"coteach {__version__}")
        return 0
    known = verbs()
    if verb not in known:
        near = get_close_matches(verb, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        print(
            f"error: verb {verb!r}: expected one of {', '.join(known)}{hint}",
            file=sys.stderr,
        )
        return 2
    here = str(Path.cwd())
    if here not in sys.path:  # as with python -m, a recipe's module is looked for here first
        sys.path.insert(0, here)
    with called_as(f"{program} "):
        code: int = import_module(f"coteach.{verb}").main(arguments[1:])
    return code


if __name__ == "__main__":
    sys.exit(main(program="python -m coteach"))
