"""What of a student's folder is published, and without what of the machine it was trained on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from coteach.data.files import opening, read_json
from coteach.errors import InputError
from coteach.model.configuration import StudentConfig
from coteach.reporting.graph_of_run import name_of_place

__all__ = ["PublishedFile", "student_files"]

# Weights as safetensors, and what tokenizers of transformers are saved as.
PUBLISHED = (
    "*.safetensors",
    "*.safetensors.index.json",
    "added_tokens.json",
    "config.json",
    "merges.txt",
    "*.model",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
REWRITTEN = ("config.json", "tokenizer_config.json")
# Here stand the user's own names, which are no places even where they look like some.
NAMES = ("attributes", "classes", "heads", "auxiliary_heads", "thresholds", "id2label", "label2id")
PLACES = ("_name_or_path", "name_or_path")
_ABSOLUTE = re.compile(r"(?<![^\s\"'=])(?:~?/|[A-Za-z]:\\)[^\s\"']*[\w.]")


@dataclass(frozen=True)
class PublishedFile:
    """A file as it goes up.

    Attributes:
        name: in the repository.
        content: where it is, or what it says.
    """

    name: str
    content: Path | bytes

    @property
    def size(self) -> int:
        """In bytes."""
        content = self.content
        return len(content) if isinstance(content, bytes) else content.stat().st_size

    def read(self) -> bytes:
        """All of it."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()

    def sha256(self) -> str:
        """Of its content, in hexadecimal."""
        if isinstance(self.content, bytes):
            return hashlib.sha256(self.content).hexdigest()
        with self.content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def student_files(folder: Path) -> tuple[list[PublishedFile], list[str]]:
    """A student's weights, configuration, tokenizer and code, and what is left out.

    Names of places on this machine are cut to their last part in the configurations: nothing is
    loaded from them, or it could not be loaded elsewhere.

    Args:
        folder: of the student.

    Returns:
        The files, sorted by name; and the names of everything else in the folder.

    Raises:
        InputError: no student is there, or a part of it is missing.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise InputError.at(
            folder, None, "no student here; expected a folder of a finished run or of a student"
        )
    config = read_json(path)
    if not isinstance(config, dict) or config.get("model_type") != StudentConfig.model_type:
        found = config.get("model_type") if isinstance(config, dict) else config
        raise InputError.at(
            path, None, f"model_type: expected {StudentConfig.model_type!r}, got {found!r}"
        )
    code = _code(folder, config)
    with opening(folder):
        present = sorted(folder.iterdir())
    found = [
        it for it in present if it in code or any(fnmatch(it.name, name) for name in PUBLISHED)
    ]
    for name in ("model.safetensors", "tokenizer_config.json"):
        parts = [it for it in found if name in (it.name, it.name.removesuffix(".index.json"))]
        if not parts:
            raise InputError.at(folder / name, None, "missing: expected a whole student")
    files = [PublishedFile(it.name, _content(it)) for it in found]
    return files, [it.name for it in present if it not in found]


def _code(folder: Path, config: dict[str, Any]) -> set[Path]:
    """The modules that are loaded with a student."""
    from transformers.dynamic_module_utils import get_relative_import_files

    modules = config.get("auto_map")
    if not isinstance(modules, dict) or not modules:
        raise InputError.at(
            folder / "config.json", None, "no auto_map: this student was saved without its code"
        )
    code: set[Path] = set()
    for name in modules.values():
        module = folder / f"{str(name).split('.')[0]}.py"
        try:
            code |= {module, *map(Path, get_relative_import_files(module))}
        except FileNotFoundError as error:
            raise InputError.at(
                Path(error.filename), None, "missing: this student was saved without its code"
            ) from None
    return code


def _content(path: Path) -> Path | bytes:
    """A file as it is, or what is published of it."""
    if path.name not in REWRITTEN:
        return path
    said = read_json(path)
    cleaned = _without_places(said)
    if cleaned == said:
        return path
    return (json.dumps(cleaned, indent=2, sort_keys=True) + "\n").encode()


def _without_places(part: Any) -> Any:
    if isinstance(part, dict):
        return dict(_cleaned_items(part))
    if isinstance(part, list):
        return [_without_places(it) for it in part]
    return (
        _ABSOLUTE.sub(lambda found: _last(found.group()), part) if isinstance(part, str) else part
    )


def _cleaned_items(part: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in part.items():
        if key in NAMES:
            yield key, value
        elif key in PLACES and isinstance(value, str):
            yield key, name_of_place(value) if value else value
        else:
            yield key, _without_places(value)


def _last(place: str) -> str:
    return (PureWindowsPath(place) if "\\" in place else PurePosixPath(place)).name
