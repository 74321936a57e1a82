"""A small hub on this machine: what huggingface_hub asks of one to make, fill and read a model.

Weights go by way of LFS: batch, upload, pointer. All else is committed inside the request.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_aSecretOfTheTests0123456789abcdef"  # noqa: S105 (of this server alone)
LARGE = ".safetensors"
"""End of names of files that go by way of LFS."""


@dataclass
class Repo:
    private: bool
    commits: list[dict[str, bytes]] = field(default_factory=lambda: [{}])
    lfs: set[str] = field(default_factory=set)
    """Names of files that came by way of LFS."""

    def commit(self, number: int) -> str:
        return hashlib.sha1(f"commit {number}".encode(), usedforsecurity=False).hexdigest()

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        if revision == "main":
            return self.commit(len(self.commits) - 1), self.commits[-1]
        for number, files in enumerate(self.commits):
            if self.commit(number) == revision:
                return revision, files
        return None


@dataclass
class Hub:
    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    """Tokens that came in."""
    refuse: int = 0
    """HTTP status of every answer, unless 0."""
    lie: dict[str, bytes] = field(default_factory=dict)
    """Content that is sent for a file in place of its own."""


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

        def answer(
            self, content: Any = None, status: int = 200, headers: dict[str, str] | None = None
        ) -> None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def sent(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def handle_any(self) -> None:
            path = unquote(urlsplit(self.path).path)
            body = self.sent()
            hub.requests.append(f"{self.command} {path}")
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            if token:
                hub.tokens.add(token)
            if hub.refuse:
                self.answer({"error": f"refused, and your token is {token}"}, hub.refuse)
                return
            for verb, pattern, function in ROUTES:
                found = re.fullmatch(pattern, path)
                if self.command == verb and found:
                    if verb in ("POST", "PUT") and token != TOKEN and "upload" not in path:
                        self.answer({"error": "no rights"}, 401)
                    else:
                        function(self, body, *found.groups())
                    return
            self.answer({"error": f"no route {self.command} {path}"}, 404)

        do_GET = do_POST = do_PUT = do_HEAD = handle_any  # noqa: N815 (http.server's names)

        def found(self, name: str, revision: str = "main") -> tuple[str, dict[str, bytes]] | None:
            repo = hub.repos.get(name)
            at = None if repo is None else repo.at(revision)
            if repo is None or (
                repo.private and TOKEN not in (self.headers["Authorization"] or "")
            ):
                self.answer({"error": "x"}, 401, {"X-Error-Code": "RepoNotFound"})
                return None
            if at is None:
                self.answer({"error": "x"}, 404, {"X-Error-Code": "RevisionNotFound"})
            return at

        def create(self, body: bytes) -> None:
            asked = json.loads(body)
            name = "/".join(each for each in (asked.get("organization"), asked["name"]) if each)
            url = {"url": f"{hub.url}/{name}", "id": name, "name": name}
            if name in hub.repos:
                self.answer(url, 409)
                return
            private = asked.get("private") or asked.get("visibility") == "private"
            hub.repos[name] = Repo(private=bool(private))
            self.answer(url)

        def validate(self, body: bytes) -> None:
            import yaml

            text = json.loads(body)["content"].split("---\n")
            assert isinstance(yaml.safe_load(text[1]), dict), "a card begins with front matter"
            self.answer({"errors": [], "warnings": []})

        def info(self, body: bytes, name: str, revision: str = "main") -> None:
            at = self.found(name, revision)
            if at is None:
                return
            siblings = []
            for file, content in at[1].items():
                entry: dict[str, Any] = {"rfilename": file, "size": len(content)}
                if file in hub.repos[name].lfs:
                    sha = hashlib.sha256(content).hexdigest()
                    entry["lfs"] = {"sha256": sha, "size": len(content), "pointerSize": 130}
                entry["blobId"] = _blob(content)
                siblings.append(entry)
            self.answer({"id": name, "sha": at[0], "siblings": siblings, "private": False})

        def tree(self, body: bytes, name: str, revision: str) -> None:
            at = self.found(name, revision)
            if at is not None:
                self.answer(
                    [
                        {"type": "file", "path": file, "size": len(c), "oid": _blob(c)}
                        for file, c in at[1].items()
                    ]
                )

        def preupload(self, body: bytes, name: str, revision: str) -> None:
            files = [
                {
                    "path": each["path"],
                    "uploadMode": "lfs" if each["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                }
                for each in json.loads(body)["files"]
            ]
            self.answer({"files": files})

        def batch(self, body: bytes, name: str) -> None:
            objects = [
                {
                    "oid": each["oid"],
                    "size": each["size"],
                    "actions": {"upload": {"href": f"{hub.url}/upload/{each['oid']}"}},
                }
                for each in json.loads(body)["objects"]
            ]
            self.answer({"transfer": "basic", "objects": objects})

        def upload(self, body: bytes, oid: str) -> None:
            assert hashlib.sha256(body).hexdigest() == oid
            hub.objects[oid] = body
            self.answer({})

        def commit(self, body: bytes, name: str, revision: str) -> None:
            repo = hub.repos[name]
            files = dict(repo.commits[-1])
            for line in body.splitlines():
                each = json.loads(line)
                value = each["value"]
                if each["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                    repo.lfs.discard(value["path"])
                elif each["key"] == "lfsFile":
                    files[value["path"]] = hub.objects[value["oid"]]
                    repo.lfs.add(value["path"])
                elif each["key"] == "deletedFile":
                    del files[value["path"]]
            repo.commits.append(files)
            sha = repo.commit(len(repo.commits) - 1)
            self.answer(
                {"success": True, "commitOid": sha, "commitUrl": f"{hub.url}/{name}/commit/{sha}"}
            )

        def resolve(self, body: bytes, name: str, revision: str, file: str) -> None:
            at = self.found(name, revision)
            if at is None:
                return
            content = hub.lie.get(file, at[1].get(file))
            if content is None:
                self.answer({"error": "x"}, 404, {"X-Error-Code": "EntryNotFound"})
                return
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            self.answer(content, headers={"X-Repo-Commit": at[0], "ETag": etag})

    name, rest = r"([^/]+/[^/]+)", r"([^/]+)"
    models = f"/api/models/{name}"
    ROUTES = (
        ("POST", "/api/repos/create", Handler.create),
        ("POST", "/api/validate-yaml", Handler.validate),
        ("GET", models, Handler.info),
        ("GET", f"{models}/revision/{rest}", Handler.info),
        ("GET", f"{models}/tree/{rest}", Handler.tree),
        ("POST", f"{models}/preupload/{rest}", Handler.preupload),
        ("POST", f"/{name}.git/info/lfs/objects/batch", Handler.batch),
        ("PUT", f"/upload/{rest}", Handler.upload),
        ("POST", f"{models}/commit/{rest}", Handler.commit),
        ("HEAD", f"/{name}/resolve/{rest}/(.+)", Handler.resolve),
        ("GET", f"/{name}/resolve/{rest}/(.+)", Handler.resolve),
    )
    return Handler


def _blob(content: bytes) -> str:
    head = f"blob {len(content)}\0".encode()
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that answers until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
