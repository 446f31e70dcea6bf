"""Describes this machine and its packages, for bug reports: ``python -m coteach.env``."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import tyro

from coteach import __version__
from coteach.command import program

__all__ = ["Options", "described", "main"]

INDIRECT = ("huggingface_hub", "pyarrow", "tokenizers")
"""Packages that others bring, and whose versions matter as much."""

VARIABLES = re.compile(
    r"ACCELERATE_\w+|CUDA_VISIBLE_DEVICES|HF_\w+|(MKL|OMP)_NUM_THREADS|PYTORCH_\w+|TOKENIZERS_"
    r"PARALLELISM|TRANSFORMERS_\w+|(LOCAL_|WORLD_)?(RANK|SIZE)"
)
SECRET = re.compile(r"TOKEN(?!IZERS)|KEY|SECRET|PASSWORD|CREDENTIAL|_IP$", re.IGNORECASE)
"""What is never shown, whatever its value."""


@dataclass(frozen=True)
class Options:
    """Prints versions, the machine, Accelerate's configuration and the environment variables that
    matter, as Markdown to paste into a bug report. Nothing secret is among it: of tokens and keys
    not even the names.
    """


def described(environment: Mapping[str, str]) -> str:
    """The description.

    Args:
        environment: the variables, as of ``os.environ``.
    """
    parts = {
        "Versions": dict(_versions()),
        "Machine": dict(_machine()),
        "Accelerate's configuration": dict(_accelerate()),
        "Environment variables": {
            name: value
            for name, value in sorted(environment.items())
            if VARIABLES.fullmatch(name) and not SECRET.search(name)
        },
    }
    lines = []
    for title, facts in parts.items():
        lines += [f"**{title}**", ""]
        lines += [f"- {name}: {_in_one_line(value)}" for name, value in facts.items()] or ["- none"]
        lines.append("")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code, 0."""
    tyro.cli(Options, prog=program("env"), args=arguments)
    print(described(os.environ), end="")
    return 0


def _versions() -> Iterator[tuple[str, str]]:
    yield "coteach", __version__
    yield "Python", f"{platform.python_version()} ({platform.python_implementation()})"
    try:
        requirements = requires("coteach") or []
    except PackageNotFoundError:  # run from its folder
        requirements = ["torch", "transformers", "accelerate", "datasets"]
    extras: dict[str, str] = {}
    for requirement in requirements:
        name = re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"](\w+)", requirement)
        if extra is None or extra[1] not in ("dev", "test"):
            extras[name] = "" if extra is None else f", extra {extra[1]}"
    for name, extra_of in sorted({**extras, **dict.fromkeys(INDIRECT, "")}.items()):
        try:
            yield name, version(name)
        except PackageNotFoundError:
            yield name, f"not installed{extra_of}"


def _machine() -> Iterator[tuple[str, str]]:
    import torch

    yield "system", platform.platform()
    yield "processor", f"{_processor()}, {os.cpu_count()} cores"
    if hasattr(os, "sched_getaffinity"):
        yield "cores to be used", str(len(os.sched_getaffinity(0)))
    if hasattr(os, "sysconf"):
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        yield "memory", f"{size / 2**30:.1f} GiB"
    built = [f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"]
    built += [name for name, of in (("MKL", torch.backends.mkl),) if of.is_available()]
    yield "torch's build", ", ".join(built)
    yield "torch's threads", str(torch.get_num_threads())
    for number in range(torch.cuda.device_count()):
        of = torch.cuda.get_device_properties(number)
        yield f"GPU {number}", f"{of.name}, {of.total_memory / 2**30:.1f} GiB"


def _processor() -> str:
    """Its model; the kind of processor where the system does not say."""
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        for line in listed.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _accelerate() -> Iterator[tuple[str, str]]:
    from accelerate.commands.config import default_config_file, load_config_from_file

    if not Path(default_config_file).is_file():
        return
    try:
        config = load_config_from_file(default_config_file).to_dict()
    except Exception as error:  # whatever is wrong with the file is what should be reported
        yield "cannot be read", f"{type(error).__name__}: {error}"
        return
    for name, value in config.items():
        if not SECRET.search(name):
            yield name, str(value)


def _in_one_line(value: str) -> str:
    return " ".join(value.split())


if __name__ == "__main__":
    sys.exit(main())
