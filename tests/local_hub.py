"""A Hub on this machine, in memory: as much of its protocol as publishing and loading need."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_secretOfAlice"
READ_ONLY = "hf_readOnlyOfAlice"
USERS = {TOKEN: "alice", READ_ONLY: "alice"}
LICENCES = ("mit", "apache-2.0")
LARGE = 1000
"""Bytes from which weights and tokenizers are stored as large files."""


@dataclass
class Blob:
    content: bytes
    large: bool

    @property
    def git_id(self) -> str:
        content = self.content
        if self.large:
            pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"
            content = pointer.format(self.sha256, len(self.content)).encode()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass
class Commit:
    message: str
    files: dict[str, Blob]
    parent: Commit | None = None

    @property
    def sha(self) -> str:
        said = [self.message, self.parent.sha if self.parent else ""]
        said += [f"{name} {blob.git_id}" for name, blob in sorted(self.files.items())]
        return hashlib.sha1("\n".join(said).encode()).hexdigest()


@dataclass
class Repository:
    private: bool
    branches: dict[str, Commit]


@dataclass
class LocalHub:
    """The state of the server.

    Attributes:
        endpoint: its address.
        repositories: name → repository.
        large: sha256 → content that was uploaded, committed or not.
        taken: names that are refused though nobody may see them.
        cut: "upload", "commit" or "answer": at what connections are cut, as long as it stands here;
            "answer" loses that of a commit which is done.
        meanwhile: whether somebody else commits while files are uploaded.
        requests: method and path of everything that was asked.
        uploads: sha256 of everything large that was sent as a whole.
    """

    endpoint: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    cut: str | None = None
    meanwhile: bool = False
    requests: list[str] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)

    def files(self, name: str, branch: str = "main") -> dict[str, bytes]:
        """What is there of a repository, but for what the Hub put there itself."""
        files = self.repositories[name].branches[branch].files
        return {path: of.content for path, of in files.items() if path != ".gitattributes"}


@contextmanager
def running() -> Iterator[LocalHub]:
    """A server on a free port of this machine."""
    hub = LocalHub()

    class Bound(_Handler):
        state = hub

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

    server = Server(("127.0.0.1", 0), Bound)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _RefusedError(Exception):
    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class _CutError(Exception):
    pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: LocalHub

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.state.requests.append(f"{self.command} {path}")
        try:
            if self.command in ("POST", "PUT"):
                self.body = self._body(path)
            headers, content = self._route(path)
            self._send(200, content, headers)
        except _RefusedError as error:
            headers = {"X-Error-Message": error.message}
            headers |= {"X-Error-Code": error.code} if error.code else {}
            said = {"error": error.message, "errors": [{"message": error.message}]}
            self._send(error.status, json.dumps(said).encode(), headers)
        except _CutError:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _body(self, path: str) -> bytes:
        """What was sent; only its first half where the connection is to be cut."""
        kind = "upload" if path.startswith("large/") else path.split("/")[-2]
        cut = kind in ("upload", "commit") and self.state.cut == kind
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            content = b""
            while length := int(self.rfile.readline(), 16):
                content += self.rfile.read(length)
                self.rfile.readline()
                if cut:
                    raise _CutError
            self.rfile.readline()
            return content
        length = int(self.headers.get("Content-Length", 0))
        content = self.rfile.read(length // 2 if cut else length)
        if cut:
            raise _CutError
        return content

    def _user(self) -> str | None:
        """Who asks; an unknown token is refused, none is nobody."""
        given = self.headers.get("Authorization")
        if given is None:
            return None
        user = USERS.get(given.removeprefix("Bearer "))
        if user is None:
            raise _RefusedError(401, "Invalid credentials in Authorization header")
        return user

    def _route(self, path: str) -> tuple[dict[str, str], bytes]:
        if path.startswith("large/"):
            return self._store(path.removeprefix("large/"))
        user, parts = self._user(), path.split("/")
        if path == "api/repos/create":
            return self._create(user)
        if path == "api/validate-yaml":
            return self._validate()
        if path.endswith(".git/info/lfs/objects/batch"):
            self._repository(path.removesuffix(".git/info/lfs/objects/batch"), user, write=True)
            return self._batch()
        if parts[:2] == ["api", "models"]:
            name, rest = "/".join(parts[2:4]), parts[4:]
            if rest[:1] in (["preupload"], ["commit"], ["branch"]):
                repository = self._repository(name, user, write=True)
                return getattr(self, f"_{rest[0]}")(name, repository, "/".join(rest[1:]))
            repository = self._repository(name, user)
            if rest[:1] == ["tree"]:
                return self._tree(repository, rest[1], "/".join(rest[2:]))
            if rest in ([], rest[:1] + rest[1:2]) and rest[:1] in ([], ["revision"]):
                return self._info(name, repository, rest[1] if rest else "main")
        if len(parts) > 4 and parts[2] == "resolve":
            repository = self._repository("/".join(parts[:2]), user)
            return self._file(repository, parts[3], "/".join(parts[4:]))
        raise _RefusedError(404, f"no such address: {path}", "EntryNotFound")

    def _validate(self) -> tuple[dict[str, str], bytes]:
        metadata = yaml.safe_load(json.loads(self.body)["content"].split("---")[1])
        if metadata.get("license", "mit") not in LICENCES:
            raise _RefusedError(400, '"license" must be one of the known ones')
        return _as_json({"errors": [], "warnings": []})

    def _repository(self, name: str, user: str | None, write: bool = False) -> Repository:
        repository = self.state.repositories.get(name)
        owner = name.split("/")[0]
        if repository is None or (repository.private and user != owner):
            raise _RefusedError(404 if user else 401, "Repository not found", "RepoNotFound")
        if write:
            self._may_write(owner, user)
        return repository

    def _may_write(self, owner: str | None, user: str | None) -> None:
        if user is None:
            raise _RefusedError(401, "Invalid username or password.")
        if user != owner or READ_ONLY in self.headers["Authorization"]:
            raise _RefusedError(403, f'You don\'t have the rights to write under "{owner}"')

    def _create(self, user: str | None) -> tuple[dict[str, str], bytes]:
        asked = json.loads(self.body)
        self._may_write(asked["organization"], user)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.state.repositories or name in self.state.taken:
            raise _RefusedError(409, "You already created this model repo")
        first = Commit(
            "initial commit", {".gitattributes": Blob(b"*.safetensors filter=lfs\n", False)}
        )
        private = asked.get("visibility") == "private" or asked.get("private") is True
        self.state.repositories[name] = Repository(private, {"main": first})
        return _as_json({"url": f"{self.state.endpoint}/{name}"})

    def _branch(self, name: str, repository: Repository, branch: str) -> tuple[dict, bytes]:
        repository.branches[branch] = repository.branches["main"]
        return _as_json({})

    def _commit_of(self, repository: Repository, revision: str) -> Commit:
        for branch, commit in repository.branches.items():
            if revision in (branch, commit.sha):
                return commit
        raise _RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def _info(self, name: str, repository: Repository, revision: str) -> tuple[dict, bytes]:
        commit = self._commit_of(repository, revision)
        siblings = [{"rfilename": path, **_described(of)} for path, of in commit.files.items()]
        said = {"id": name, "modelId": name, "sha": commit.sha, "private": repository.private}
        return _as_json({**said, "siblings": siblings, "tags": [], "downloads": 0, "likes": 0})

    def _tree(self, repository: Repository, revision: str, folder: str) -> tuple[dict, bytes]:
        commit = self._commit_of(repository, revision)
        if folder:
            raise _RefusedError(404, f"{folder} does not exist", "EntryNotFound")
        files = [
            {"type": "file", "path": path, "oid": of.git_id, **_described(of)}
            for path, of in commit.files.items()
        ]
        return {"Content-Type": "application/json"}, json.dumps(files).encode()

    def _preupload(self, name: str, repository: Repository, revision: str) -> tuple[dict, bytes]:
        there = self._commit_of(repository, revision).files
        if self.state.meanwhile:
            repository.branches[revision] = Commit(
                "meanwhile", there, repository.branches[revision]
            )
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs"
                if file["size"] >= LARGE and file["path"].endswith((".safetensors", "r.json"))
                else "regular",
                "shouldIgnore": False,
                "oid": _oid(there.get(file["path"])),
            }
            for file in json.loads(self.body)["files"]
        ]
        return _as_json({"files": modes})

    def _batch(self) -> tuple[dict[str, str], bytes]:
        objects = []
        for asked in json.loads(self.body)["objects"]:
            it = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.state.large:
                it["actions"] = {"upload": {"href": f"{self.state.endpoint}/large/{asked['oid']}"}}
            objects.append(it)
        return _as_json({"transfer": "basic", "objects": objects})

    def _store(self, oid: str) -> tuple[dict[str, str], bytes]:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise _RefusedError(400, "another content than promised")
        self.state.uploads.append(oid)
        self.state.large[oid] = self.body
        return _as_json({})

    def _commit(self, name: str, repository: Repository, branch: str) -> tuple[dict, bytes]:
        lines = [json.loads(line) for line in self.body.splitlines()]
        before = repository.branches[branch]
        header = lines[0]["value"]
        if header.get("parentCommit", before.sha) != before.sha:
            raise _RefusedError(412, "A commit has happened since.")
        files = dict(before.files)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = Blob(base64.b64decode(value["content"]), False)
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.state.large:
                    raise _RefusedError(400, f"{value['path']} was never uploaded")
                files[value["path"]] = Blob(self.state.large[value["oid"]], True)
            elif line["key"] == "deletedFile":
                del files[value["path"]]
            else:
                raise _RefusedError(400, f"no such operation: {line['key']}")
        commit = Commit(header["summary"], files, before)
        repository.branches[branch] = commit
        if self.state.cut == "answer":
            raise _CutError
        address = f"{self.state.endpoint}/{name}/commit/{commit.sha}"
        return _as_json({"commitUrl": address, "commitOid": commit.sha})

    def _file(self, repository: Repository, revision: str, path: str) -> tuple[dict, bytes]:
        commit = self._commit_of(repository, revision)
        if path not in commit.files:
            raise _RefusedError(404, f"{path} does not exist", "EntryNotFound")
        of = commit.files[path]
        name = of.sha256 if of.large else of.git_id
        return {"ETag": f'"{name}"', "X-Repo-Commit": commit.sha}, of.content


def _as_json(said: Any) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": "application/json"}, json.dumps(said).encode()


def _oid(blob: Blob | None) -> str | None:
    """What the Hub tells of a file that is there."""
    if blob is None:
        return None
    return blob.sha256 if blob.large else blob.git_id


def _described(blob: Blob) -> dict[str, Any]:
    said: dict[str, Any] = {"size": len(blob.content), "blobId": blob.git_id}
    if blob.large:
        lfs = {"size": len(blob.content), "sha256": blob.sha256, "oid": blob.sha256}
        said["lfs"] = {**lfs, "pointerSize": 134}
    return said
