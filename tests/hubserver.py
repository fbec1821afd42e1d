"""A Hub on loopback, in memory, that the real client of the Hub talks to: what the tests need of it, and no more."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants, file_download

OWNER, STRANGER = "hf_owner", "hf_stranger"
"""Tokens: of whom every repository belongs to, and of a user who was let into none."""
CHUNK = 509
"""Bytes that the client takes at a time: what it has of the next ones is lost when a connection is cut."""
_LFS = (".safetensors", ".gguf", ".bin")


class Refusal(Exception):
    """An answer that is none: its status, and the Hub's word for it."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


@dataclass(slots=True)
class Repository:
    """Commits by id, each with all of its files, and the branches that point to them."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    private: bool = False
    gated: bool = False

    def commit(self, files: Mapping[str, bytes], *, branch: str = "main", message: str = "") -> str:
        """Put these files, and no others, at the head of a branch; the id of the commit."""
        commit = hashlib.sha1(f"{id(self)} {len(self.commits)}".encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.branches[branch] = commit
        self.messages.append(message)
        return commit

    def at(self, revision: str) -> str:
        """The commit of a branch, or itself."""
        commit = self.branches.get(revision, revision)
        if commit not in self.commits:
            raise Refusal(404, "RevisionNotFound")
        return commit

    def files(self, revision: str = "main") -> dict[str, bytes]:
        return self.commits[self.at(revision)]


@dataclass(slots=True)
class Hub:
    """What the server holds, what it was asked, and where it cuts a connection.

    Attributes:
        cuts: by the end of a path, how many bytes of it to send before the connection is cut, once for each number.
        asked: method, path and the `Range` that was asked for.
        refused: patterns of what to refuse, such as `PUT /lfs/`.
    """

    endpoint: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    cuts: dict[str, list[int]] = field(default_factory=dict)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def add(self, repo: str, files: Mapping[str, bytes], *, private: bool = False, gated: bool = False) -> str:
        """A repository with these files; the id of their commit."""
        self.repositories[repo] = Repository(private=private, gated=gated)
        return self.repositories[repo].commit({".gitattributes": b"", **files})

    def downloads(self) -> list[str]:
        """The files that were sent, in the order of their names."""
        sent = [path for method, path, _ in self.asked if method == "GET" and re.search("/resolve/|^/content/", path)]
        return sorted(path.rpartition("/")[2] for path in sent)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _blob(content: bytes) -> str:
    """What git calls a file by its content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None: ...

    def answer(self) -> None:
        """Find who answers a path; what is not served is said loudly."""
        path, body = urlsplit(self.path).path, self._body()
        self.hub.asked.append((self.command, unquote(path), self.headers.get("Range")))
        try:
            if any(re.match(pattern, f"{self.command} {path}") for pattern in self.hub.refused):
                raise Refusal(400, "not today")
            for pattern, act in _ROUTES.items():
                if found := re.fullmatch(pattern, f"{self.command} {path}"):
                    act(self, body, *(part and unquote(part) for part in found.groups()))
                    return
            raise Refusal(501, f"nothing answers {self.command} {path}")
        except Refusal as refusal:
            named = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.code}
            self._send(json.dumps({"error": refusal.code}).encode(), refusal.status, named)

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        cuts = next((cuts for end, cuts in self.hub.cuts.items() if unquote(self.path).endswith(end)), [])
        if self.command == "GET" and cuts:
            self.wfile.write(body[: cuts.pop(0)])
            self.close_connection = True
        elif self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, content: object, status: int = 200) -> None:
        self._send(json.dumps(content).encode(), status, {"Content-Type": "application/json"})

    def _repository(self, repo: str, *, files: bool = False) -> Repository:
        """A repository, for who may see it, or read its files, or write."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        found = self.hub.repositories.get(repo)
        if found is None or (found.private and token != OWNER):
            raise Refusal(404 if token else 401, "RepoNotFound")
        if files and found.gated and token != OWNER:
            raise Refusal(403 if token else 401, "GatedRepo")
        if self.command in ("POST", "PUT") and token != OWNER:
            raise Refusal(403, "you have no rights to write here")
        return found

    # -- what is served ----------------------------------------------------------------------------------------------

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        if self.headers.get("Authorization") != f"Bearer {OWNER}":
            raise Refusal(401, "you are not logged in")
        repo = f"{asked['organization']}/{asked['name']}"
        known = repo in self.hub.repositories
        if not known:
            self.hub.add(repo, {}, private=asked.get("visibility") == "private" or bool(asked.get("private")))
        self._json({"url": f"{self.hub.endpoint}/{repo}", "name": repo, "id": repo}, 409 if known else 200)

    def branch(self, body: bytes, repo: str, name: str) -> None:
        branches = self._repository(repo).branches
        known = name in branches
        branches.setdefault(name, branches["main"])
        self._json({}, 409 if known else 200)

    def validate(self, _body: bytes) -> None:
        self._json({"errors": [], "warnings": []})

    def preupload(self, body: bytes, repo: str, revision: str) -> None:
        known = self._repository(repo).files(revision)
        files = [
            {
                "path": entry["path"],
                "uploadMode": "lfs" if entry["path"].endswith(_LFS) else "regular",
                "shouldIgnore": False,
                "oid": _oid(entry["path"], known[entry["path"]]) if entry["path"] in known else None,
            }
            for entry in json.loads(body)["files"]
        ]
        self._json({"files": files})

    def batch(self, body: bytes, repo: str) -> None:
        self._repository(repo)
        objects = [
            {
                **{name: entry[name] for name in ("oid", "size")},
                "actions": {"upload": {"href": f"{self.hub.endpoint}/lfs/{entry['oid']}"}},
            }
            for entry in json.loads(body)["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def upload(self, body: bytes, oid: str) -> None:
        if sha256(body) != oid:
            raise Refusal(400, "the object is not what its name says")
        self.hub.objects[oid] = body
        self._json({})

    def commit(self, body: bytes, repo: str, revision: str) -> None:
        found = self._repository(repo)
        files, message = dict(found.files(revision)), ""
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            else:
                del files[value["path"]]
        commit = found.commit(files, branch=revision, message=message)
        self._json({"commitOid": commit, "commitUrl": f"{self.hub.endpoint}/{repo}/commit/{commit}"})

    def info(self, _body: bytes, repo: str, revision: str | None) -> None:
        found = self._repository(repo)
        commit = found.at(revision or "main")
        siblings = [{"rfilename": path, "size": len(content)} for path, content in found.files(commit).items()]
        self._json({"id": repo, "sha": commit, "private": found.private, "siblings": siblings, "tags": []})

    def tree(self, _body: bytes, repo: str, revision: str) -> None:
        files = self._repository(repo).files(revision)
        self._json([_entry(path, content) for path, content in files.items()])

    def resolve(self, _body: bytes, repo: str, revision: str, path: str) -> None:
        """Small files at once; a large one is answered with the place where its content lies, as the Hub does."""
        found = self._repository(repo, files=True)
        commit = found.at(revision)
        content = found.files(commit).get(path)
        if content is None:
            raise Refusal(404, "EntryNotFound")
        headers = {"X-Repo-Commit": commit, "ETag": f'"{_oid(path, content)}"'}
        if not path.endswith(_LFS):
            self._part(content, headers)
            return
        self.hub.objects[sha256(content)] = content
        linked = {"X-Linked-Etag": f'"{sha256(content)}"', "X-Linked-Size": str(len(content))}
        elsewhere = self.hub.endpoint.replace("127.0.0.1", "localhost")  # the client follows its own host by itself
        place = {"Location": f"{elsewhere}/content/{sha256(content)}/{path}"}
        self._send(b"", 302, {**headers, **linked, **place})

    def content(self, _body: bytes, oid: str, _path: str) -> None:
        self._part(self.hub.objects[oid], {})

    def _part(self, content: bytes, headers: Mapping[str, str]) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked is None:
            self._send(content, 200, headers)
            return
        begin, end = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
        said = f"bytes {begin}-{end}/{len(content)}"
        self._send(content[begin : end + 1], 206, {**headers, "Content-Range": said})


def _oid(path: str, content: bytes) -> str:
    return sha256(content) if path.endswith(_LFS) else _blob(content)


def _entry(path: str, content: bytes) -> dict[str, Any]:
    lfs = {"lfs": {"oid": sha256(content), "size": len(content), "pointerSize": 127}} if path.endswith(_LFS) else {}
    return {"type": "file", "path": path, "size": len(content), "oid": _blob(content), **lfs}


_REPO = r"([^/]+/[^/]+?)"
_ROUTES: dict[str, Callable[..., None]] = {
    "POST /api/repos/create": _Handler.create,
    "POST /api/validate-yaml": _Handler.validate,
    f"POST /api/models/{_REPO}/branch/(.+)": _Handler.branch,
    f"POST /api/models/{_REPO}/preupload/([^/]+)": _Handler.preupload,
    f"POST /{_REPO}.git/info/lfs/objects/batch": _Handler.batch,
    r"PUT /lfs/(\w+)": _Handler.upload,
    f"POST /api/models/{_REPO}/commit/([^/]+)": _Handler.commit,
    f"GET /api/models/{_REPO}(?:/revision/([^/]+))?": _Handler.info,
    f"GET /api/models/{_REPO}/tree/([^/]+)(?:/.*)?": _Handler.tree,
    f"(?:GET|HEAD) /{_REPO}/resolve/([^/]+)/(.+)": _Handler.resolve,
    r"(?:GET|HEAD) /content/(\w+)/(.+)": _Handler.content,
}


@contextmanager
def serving() -> Iterator[Hub]:
    """A Hub that answers until the block is left."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def connect(patch: pytest.MonkeyPatch, hub: Hub, cache: Path) -> None:
    """Have the client talk to a Hub, with a cache of its own; it reads its environment once, when it is imported."""
    patch.setattr(constants, "ENDPOINT", hub.endpoint)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    patch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
    patch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", CHUNK)
    patch.setattr(file_download, "time", SimpleNamespace(sleep=lambda _: None))  # it waits before it tries again
    patch.delenv("HF_TOKEN", raising=False)
    move(patch, cache)


def move(patch: pytest.MonkeyPatch, cache: Path) -> None:
    """Go on with another cache, as if on another machine."""
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))
    patch.setenv("HF_HUB_CACHE", str(cache))


def unplug(patch: pytest.MonkeyPatch) -> None:
    """Do as `HF_HUB_OFFLINE=1` does."""
    patch.setattr(constants, "HF_HUB_OFFLINE", True)


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
