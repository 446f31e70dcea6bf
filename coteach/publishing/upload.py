"""A folder of files on the Hub, in one commit: all of it appears, or nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    get_token,
)
from huggingface_hub.errors import (
    HfHubHTTPError,
    HTTPError,  # of the library that huggingface_hub connects with, whichever it is
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from coteach.errors import InputError, in_one_line
from coteach.publishing.files import PublishedFile

__all__ = ["Destination", "upload"]

KEPT = (".gitattributes",)
"""What the Hub itself puts into a new repository."""

AGAIN = "the same command goes on from here, or finds that all is there"


@dataclass(frozen=True)
class Destination:
    """Where a student goes, and what may happen there.

    Attributes:
        name: ``user/name``.
        revision: the branch, made where there is none; None for main.
        public: whether everybody may read it.
        update: whether other files that are there are replaced.
    """

    name: str
    revision: str | None = None
    public: bool = False
    update: bool = False


def upload(files: Sequence[PublishedFile], to: Destination, message: str) -> tuple[str, bool]:
    """Publish files: a repository is made where there is none, and one commit has them all.

    The token and the address are those of huggingface_hub: HF_TOKEN or a login, HF_ENDPOINT.

    Args:
        files: what the repository then has, and nothing else but ``KEPT``.
        to: where.
        message: of the commit.

    Returns:
        The address, and whether anything was sent; not where the very same files are there.

    Raises:
        InputError: there is something else already, it is not allowed, or the connection was
            cut. What was there before is then unchanged, and a new repository is empty.
    """
    api = HfApi()
    address = f"{api.endpoint}/{to.name}" + (f"/tree/{to.revision}" if to.revision else "")
    with _told(to.name, str(api.endpoint)):
        if get_token() is None:
            raise InputError("no token; expected one in HF_TOKEN, or a login by `hf auth login`")
        main = _main(api, to)
        branch = _branch(api, to) or main
        present = {it.rfilename: it for it in branch.siblings or () if it.rfilename not in KEPT}
        if _same(files, present):
            return address, False
        # A branch that was only just made has the files of main.
        untouched = to.revision is not None and branch.sha == main.sha
        if present and not to.update and not untouched:
            raise InputError(
                f"{to.name} has {len(present)} file(s) already; expected another name, or "
                "--update to replace them"
            )
        new = {file.name for file in files}
        api.create_commit(
            to.name,
            [
                *(CommitOperationAdd(file.name, file.content) for file in files),
                *(CommitOperationDelete(name) for name in present if name not in new),
            ],
            commit_message=message,
            revision=to.revision,
            parent_commit=branch.sha,  # refused where somebody else commits meanwhile
        )
    return address, True


def _main(api: HfApi, to: Destination) -> Any:
    """The repository as it is, made where there is none."""
    try:
        found = api.model_info(to.name, files_metadata=True)
    except RepositoryNotFoundError:
        api.create_repo(to.name, private=not to.public)
        return api.model_info(to.name, files_metadata=True)
    if found.private and to.public:
        raise InputError(
            f"{to.name} is there and private; expected no --public: its settings on the Hub "
            "change that"
        )
    if not found.private and not to.public:
        raise InputError(f"{to.name} is there and public; expected --public, or another name")
    return found


def _branch(api: HfApi, to: Destination) -> Any:
    """The branch as it is, made where there is none; None for main."""
    if to.revision is None:
        return None
    try:
        return api.model_info(to.name, revision=to.revision, files_metadata=True)
    except RevisionNotFoundError:
        api.create_branch(to.name, branch=to.revision)
        return api.model_info(to.name, revision=to.revision, files_metadata=True)


def _same(files: Sequence[PublishedFile], present: Mapping[str, Any]) -> bool:
    """Whether a repository has these very files."""
    if {file.name for file in files} != set(present):
        return False
    by_size = sorted(files, key=lambda file: file.size)  # the weights are read last
    return all(_is(file, present[file.name]) for file in by_size)


def _is(file: PublishedFile, there: Any) -> bool:
    if file.size != there.size:
        return False
    if there.lfs is not None:
        return file.sha256() == there.lfs.sha256
    content = b"blob %d\0" % file.size + file.read()  # as git names a file's content
    return hashlib.sha1(content, usedforsecurity=False).hexdigest() == there.blob_id


@contextmanager
def _told(name: str, endpoint: str) -> Iterator[None]:
    """Turn what goes wrong on the way into one line that says what to do."""
    try:
        yield
    except InputError:
        raise
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        told = _problem(error, name, endpoint)
        token = get_token()
        raise InputError(told.replace(token, "[token]") if token else told) from None


def _problem(error: Exception, name: str, endpoint: str) -> str:
    # Of a large file's upload huggingface_hub says only that it failed; the cause is behind it.
    behind = error.__cause__
    cause = behind if isinstance(error, RuntimeError) and isinstance(behind, HTTPError) else error
    if not isinstance(cause, HfHubHTTPError):
        if isinstance(cause, HTTPError | OSError | RuntimeError):
            kind = in_one_line(cause) or type(cause).__name__
            return f"{name}: the connection to {endpoint} failed ({kind}); {AGAIN}"
        return f"{name}: {in_one_line(cause)}"
    status = cause.response.status_code
    said = f": {in_one_line(ValueError(cause.server_message))}" if cause.server_message else ""
    problem = {
        401: "the token is not valid; expected one with permission to write, in HF_TOKEN or by "
        "`hf auth login`",
        403: f"no permission to write to {name}; expected a name of your own, and a token that "
        "may write",
        404: f"{name} cannot be found or may not be seen with this token",
        409: f"{name} is taken; expected another name",
        412: f"{name} was changed meanwhile; {AGAIN}",
    }.get(
        status,
        f"{name}: {endpoint} refused" if status < 500 else f"{name}: {endpoint} failed; {AGAIN}",
    )
    return f"{problem} ({status}{said})"
