"""A Hub of one machine: the calls that huggingface_hub 2.4 makes to create, push to, and read repositories.

It answers on 127.0.0.1 at a free port and keeps everything in memory. Faults are ordered beforehand with
[`LoopbackHub.fail`]. Xet, which the real Hub prefers for large files, is left out: clients set HF_HUB_DISABLE_XET=1.
"""

import hashlib
import json
import re
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlparse

from tests.hub.repositories import LARGE_SUFFIXES, Repository, StoredFile, is_inside, tree_entries


_REPOSITORY = r"(?P<kind>models|datasets)/(?P<name>[^/]+/[^/]+?)"
_FILES = r"(?:(?P<kind>datasets)/)?(?P<name>[^/]+/[^/]+?)"


class Request(NamedTuple):
    method: str
    path: str
    token: str | None
    num_body_bytes: int


@dataclass
class Fault:
    """What goes wrong with the next requests whose method and path match."""

    method: str
    path: str
    """regular expression, searched for in the path"""
    status: int | None = None
    """answer with this status"""
    drop_after_bytes: int | None = None
    """hang up after so many bytes of the body, sent or received"""
    times: int = 1
    """how often; -1 is for good"""
    headers: tuple[tuple[str, str], ...] = ()


class LoopbackHub:
    """
    Use it as a context manager.

    Args:
        token: what a client must show to write, or to read what is private.
        user: whom it belongs to.
    """

    def __init__(self, token: str = "hf_loopbackloopbackloopbackloopback12", user: str = "ada") -> None:
        self.token, self.user = token, user
        self.repositories: dict[tuple[str, str], Repository] = {}
        """by kind (`"models"`, `"datasets"`) and name"""
        self.large_files: dict[str, bytes] = {}
        """by SHA-256"""
        self.requests: list[Request] = []
        self._faults: list[Fault] = []
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> "LoopbackHub":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fail(self, method: str, path: str, **what: object) -> Fault:
        """Order a [`Fault`]; returned to see whether it is still to come."""
        self._faults.append(Fault(method, path, **what))
        return self._faults[-1]

    def forget(self) -> None:
        """Forget requests and faults, keep repositories."""
        self.requests.clear()
        self._faults.clear()

    def count(self, method: str, path: str) -> int:
        """How many requests matched."""
        return sum(request.method == method and bool(re.search(path, request.path)) for request in self.requests)

    def model(self, name: str) -> Repository:
        return self.repositories["models", name]

    def dataset(self, name: str) -> Repository:
        return self.repositories["datasets", name]

    def take_fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.method == method and fault.times != 0 and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return None


class _HubError(Exception):
    def __init__(self, status: int, code: str, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status, self.headers = status, (("X-Error-Code", code), ("X-Error-Message", message), *headers)


class _Dropped(Exception):
    """The connection is to be closed without an answer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: LoopbackHub

    def log_message(self, *args: object) -> None:
        pass

    def _handle(self) -> None:
        path = unquote(urlparse(self.path).path)
        fault = self.hub.take_fault(self.command, path)
        self._drop_after = fault.drop_after_bytes if fault else None
        try:
            body = self._read_body()
            self.hub.requests.append(Request(self.command, path, self._token, len(body)))
            if fault and fault.status:
                codes = {401: "InvalidToken", 404: "RepoNotFound"}
                raise _HubError(fault.status, codes.get(fault.status, ""), f"ordered {fault.status}", fault.headers)
            self._route(path, body)
        except _HubError as error:
            self._send(error.status, {"error": str(error)}, dict(error.headers))
        except _Dropped:
            self.close_connection = True
            self.connection.close()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815  (names of the base class)

    @property
    def _query(self) -> dict[str, list[str]]:
        return parse_qs(urlparse(self.path).query)

    @property
    def _token(self) -> str | None:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ").strip() or None

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
                if self._drop_after is not None and len(body) >= self._drop_after:
                    raise _Dropped
            self.rfile.readline()
            return body
        size = int(self.headers.get("Content-Length") or 0)
        if self._drop_after is not None and size:
            self.rfile.read(min(size, self._drop_after))
            raise _Dropped
        return self.rfile.read(size)

    def _send(
        self,
        status: int,
        body: bytes | dict | list,
        headers: dict[str, str] | None = None,
        content_type: str = "application/json",
    ) -> None:
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self._drop_after is not None:
            self.wfile.write(body[: self._drop_after])
            self.wfile.flush()
            raise _Dropped
        self.wfile.write(body)

    # --- Routes ---------------------------------------------------------------------------------------------------

    def _route(self, path: str, body: bytes) -> None:
        routes = (
            ("GET", r"/api/whoami-v2", self._who_am_i),
            ("POST", r"/api/validate-yaml", lambda body: self._send(200, {"errors": [], "warnings": []})),
            ("POST", r"/api/repos/create", self._create),
            ("POST", rf"/api/{_REPOSITORY}/branch/(?P<branch>.+)", self._create_branch),
            ("POST", rf"/api/{_REPOSITORY}/preupload/(?P<revision>.+)", self._preupload),
            ("POST", rf"/api/{_REPOSITORY}/commit/(?P<revision>.+)", self._commit),
            ("GET", rf"/api/{_REPOSITORY}/tree/(?P<revision>[^/]+)(?:/(?P<folder>.*))?", self._tree),
            ("POST", rf"/api/{_REPOSITORY}/paths-info/(?P<revision>[^/]+)", self._paths_info),
            ("GET", rf"/api/{_REPOSITORY}(?:/revision/(?P<revision>.+))?", self._info),
            ("POST", rf"/{_FILES}\.git/info/lfs/objects/batch", self._large_file_batch),
            ("PUT", r"/_large/(?P<sha256>[0-9a-f]{64})", self._receive_large_file),
            ("GET", rf"/{_FILES}/resolve/(?P<revision>[^/]+)/(?P<file>.+)", self._file),
        )
        method = "GET" if self.command == "HEAD" else self.command
        for route_method, pattern, answer in routes:
            match = re.fullmatch(pattern, path)
            if match and method == route_method:
                return answer(body=body, **match.groupdict())
        raise _HubError(404, "NotFound", f"the loopback Hub does not know {self.command} {path}")

    def _check_token(self) -> None:
        if self._token != self.hub.token:
            raise _HubError(401, "InvalidToken", "Invalid credentials in Authorization header")

    def _repository(self, kind: str | None, name: str, is_written: bool = False) -> Repository:
        if is_written:
            self._check_token()
        repository = self.hub.repositories.get((kind or "models", name))
        if repository is None or (repository.is_private and self._token != self.hub.token):
            raise _HubError(404 if self._token == self.hub.token else 401, "RepoNotFound", "Repository not found")
        return repository

    @staticmethod
    def _commit_of(repository: Repository, revision: str | None) -> str:
        sha = repository.resolve(revision or "main")
        if sha is None:
            raise _HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return sha

    def _who_am_i(self, body: bytes) -> None:
        self._check_token()
        token = {"accessToken": {"role": "write", "displayName": "test"}}
        self._send(200, {"type": "user", "name": self.hub.user, "orgs": [{"name": "org"}], "auth": token})

    def _create(self, body: bytes) -> None:
        self._check_token()
        asked = json.loads(body)
        name = f"{asked.get('organization') or self.hub.user}/{asked['name']}"
        key = (f"{asked.get('type', 'model')}s", name)
        url = f"{self.hub.url}/{'' if key[0] == 'models' else key[0] + '/'}{name}"
        if key in self.hub.repositories:
            return self._send(409, {"error": "You already created this repo", "url": url})
        self.hub.repositories[key] = Repository(is_private=asked.get("visibility") == "private")
        self._send(200, {"url": url, "name": name, "id": str(len(self.hub.repositories))})

    def _create_branch(self, body: bytes, kind: str, name: str, branch: str) -> None:
        repository = self._repository(kind, name, is_written=True)
        if branch in repository.branches:
            raise _HubError(409, "", "Reference already exists")
        repository.branches[branch] = repository.branches["main"]
        self._send(200, {})

    def _preupload(self, body: bytes, kind: str, name: str, revision: str) -> None:
        repository = self._repository(kind, name, is_written=True)
        present = repository.trees[self._commit_of(repository, revision)]
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LARGE_SUFFIXES) else "regular",
                "shouldIgnore": False,
                "oid": present[file["path"]].etag if file["path"] in present else None,
            }
            for file in json.loads(body)["files"]
        ]
        self._send(200, {"files": files})

    def _large_file_batch(self, body: bytes, kind: str | None, name: str) -> None:
        self._repository(kind, name, is_written=True)
        objects = []
        for wanted in json.loads(body)["objects"]:
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.hub.large_files:
                answer["actions"] = {"upload": {"href": f"{self.hub.url}/_large/{wanted['oid']}", "header": {}}}
            objects.append(answer)
        self._send(200, {"transfer": "basic", "objects": objects}, content_type="application/vnd.git-lfs+json")

    def _receive_large_file(self, body: bytes, sha256: str) -> None:
        if hashlib.sha256(body).hexdigest() != sha256:
            raise _HubError(400, "", "the file is not what its name says")
        self.hub.large_files[sha256] = body
        self._send(200, b"")

    def _commit(self, body: bytes, kind: str, name: str, revision: str) -> None:
        repository = self._repository(kind, name, is_written=True)
        self._commit_of(repository, revision)
        sha = repository.apply(revision, list(map(json.loads, body.splitlines())), self.hub.large_files)
        url = f"{self.hub.url}/{name}/commit/{sha}"
        self._send(200, {"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})

    def _info(self, body: bytes, kind: str, name: str, revision: str | None) -> None:
        repository = self._repository(kind, name)
        sha = self._commit_of(repository, revision)
        siblings = [{"rfilename": path} for path in sorted(repository.trees[sha])]
        info = {"id": name, "sha": sha, "private": repository.is_private, "tags": [], "downloads": 0, "likes": 0}
        self._send(200, {**info, "siblings": siblings})

    def _tree(self, body: bytes, kind: str, name: str, revision: str, folder: str | None) -> None:
        repository = self._repository(kind, name)
        tree = repository.trees[self._commit_of(repository, revision)]
        folder = (folder or "").strip("/")
        entries = {path: entry for path, entry in tree_entries(tree).items() if is_inside(path, folder)}
        if folder and not entries:
            raise _HubError(404, "EntryNotFound", f"{folder} does not exist on {revision}")
        if self._query.get("recursive", ["false"])[0].lower() != "true":
            entries = {path: entry for path, entry in entries.items() if path.rpartition("/")[0] == folder}
        self._send(200, list(entries.values()))

    def _paths_info(self, body: bytes, kind: str, name: str, revision: str) -> None:
        repository = self._repository(kind, name)
        entries = tree_entries(repository.trees[self._commit_of(repository, revision)])
        asked = json.loads(body) if self.headers.get_content_type() == "application/json" else parse_qs(body.decode())
        self._send(200, [entries[path] for path in asked["paths"] if path in entries])

    def _file(self, body: bytes, kind: str | None, name: str, revision: str, file: str) -> None:
        repository = self._repository(kind, name)
        sha = self._commit_of(repository, revision)
        stored: StoredFile | None = repository.trees[sha].get(file)
        if stored is None:
            raise _HubError(404, "EntryNotFound", "Entry not found", (("X-Repo-Commit", sha),))
        headers = {"ETag": f'"{stored.etag}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        if stored.is_large:
            headers |= {"X-Linked-Etag": f'"{stored.etag}"', "X-Linked-Size": str(len(stored.data))}
        data, status = stored.data, 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked and self.command == "GET":
            first, last = int(asked[1]), int(asked[2] or len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            data, status = data[first : last + 1], 206
        self._send(status, data, headers, content_type="application/octet-stream")
