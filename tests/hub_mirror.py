"""A mirror of a model hub on loopback: what huggingface_hub and datasets ask of one, and ways to break it."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit


class Mirror(ThreadingHTTPServer):
    """Serves repositories.

    Attributes
    ----------
    files : dict
        By kind ("models", "datasets"), id and commit, the contents of each file by its name.
    branches : dict
        By kind, id and branch, the commit.
    broken : dict
        By file, how many bytes of it are sent before the connection is closed.
    announced : dict
        By file, the SHA-256 that is announced though the contents have another.
    seen : list
        Method, path and headers of every request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.branches, self.broken, self.announced, self.seen = {}, {}, {}, {}, []
        self.address = f"http://127.0.0.1:{self.server_port}"

    def add(self, kind: str, name: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Commit `files` to a branch of a repository; return the commit."""
        content = b"".join(key.encode() + files[key] for key in sorted(files))
        commit = hashlib.sha1(content).hexdigest()
        self.files[kind, name, commit] = files
        self.branches[kind, name, branch] = commit
        return commit

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that have gone."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.seen.append((self.command, self.path, {key.lower(): value for key, value in self.headers.items()}))
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if parts[0] == "api":
            self._api(parts[1], "/".join(parts[2:4]), parts[4:])
            return
        kind = parts.pop(0) if parts[0] == "datasets" else "models"
        found = self._find(kind, "/".join(parts[:2]), parts[3])
        if found is not None:
            self._file(*found, "/".join(parts[4:]))

    do_HEAD = do_GET

    def do_POST(self) -> None:
        asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())["paths"]
        _, kind, owner, name, _, revision = unquote(self.path).strip("/").split("/")  # .../paths-info/REVISION
        found = self._find(kind, f"{owner}/{name}", revision)
        if found is not None:
            self._json([self._entry(path, body) for path, body in found[1].items() if path in asked])

    def _find(self, kind: str, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commit = self.server.branches.get((kind, name, revision), revision)
        if (kind, name, commit) in self.server.files:
            return commit, self.server.files[kind, name, commit]
        known = any(key[:2] == (kind, name) for key in self.server.files)
        self._refuse("RevisionNotFound" if known else "RepoNotFound")
        return None

    def _api(self, kind: str, name: str, rest: list[str]) -> None:
        tree = rest[:1] == ["tree"]
        found = self._find(kind, name, "main" if not rest else rest[1] if tree else "/".join(rest[1:]))
        if found is None:
            return
        commit, files = found
        if tree:
            below = "/".join(rest[2:])
            folders = {str(parent) for key in files for parent in PurePosixPath(key).parents} - {".", below}
            entries = {key: self._entry(key, body) for key, body in files.items()}
            entries |= {key: {"type": "directory", "path": key, "size": 0, "oid": "0" * 40} for key in folders}
            deep = parse_qs(urlsplit(self.path).query).get("recursive", ["false"]) == ["true"]
            inside = (key for key in sorted(entries) if PurePosixPath(key).is_relative_to(below or "."))
            self._json([entries[key] for key in inside if deep or str(PurePosixPath(key).parent) == (below or ".")])
        else:
            siblings = [{"rfilename": key, **self._entry(key, body)} for key, body in files.items()]
            self._json({"_id": "0", "id": name, "modelId": name, "sha": commit, "siblings": siblings, "tags": []})

    def _entry(self, name: str, body: bytes) -> dict[str, object]:
        entry = {"type": "file", "path": name, "size": len(body), "oid": "0" * 40, "blobId": "0" * 40}
        if name.endswith((".safetensors", ".parquet")):
            sha256 = self.server.announced.get(name, hashlib.sha256(body).hexdigest())
            entry["lfs"] = {"sha256": sha256, "oid": sha256, "size": len(body), "pointerSize": 100}
        return entry

    def _file(self, commit: str, files: dict[str, bytes], name: str) -> None:
        if name not in files:
            self._refuse("EntryNotFound")
            return
        body = files[name]
        first, end = 0, len(body)
        if "Range" in self.headers:  # bytes=FIRST-LAST, or bytes=FIRST-
            start, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
            first, end = int(start), min(end, int(last) + 1) if last else end
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("Content-Length", str(end - first))
        if "Range" in self.headers:
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(body)}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[first : min(end, self.server.broken.get(name, end))])
            self.close_connection = name in self.server.broken

    def _json(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def running_mirror() -> Iterator[Mirror]:
    """Yield a mirror that answers; it holds nothing."""
    mirror = Mirror()
    threading.Thread(target=mirror.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield mirror
    finally:
        mirror.shutdown()
        mirror.server_close()
