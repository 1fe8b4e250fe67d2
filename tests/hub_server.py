"""A stand-in for the Hugging Face hub on 127.0.0.1, for tests that download checkpoints or data sets.

It answers what the hub's client asks: metadata of a file (HEAD), the file (GET), and the list of a
repository's files. Point ``HF_ENDPOINT`` at :attr:`HubServer.url` in a process of its own, since the
client reads it at import.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

__all__ = ["COMMIT", "HubServer"]

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".bin", ".safetensors", ".h5ad")


class HubServer:
    """Serve folders as repositories: ``with HubServer({"owner/name": folder}) as hub: hub.url``.

    A data set is a repository whose name begins with ``datasets/``, as in the hub's addresses.

    Attributes
    ----------
    requests
        ``"METHOD path"`` of everything that was asked.
    altered
        File name to bytes that are sent instead of the file, under the file's own announced hash.
    cut
        File name to the number of bytes after which the connection ends, though all are announced.
    refused
        File name to the status with which it is refused, such as 401 or 503.
    """

    def __init__(self, repositories: dict[str, Path]) -> None:
        self.repositories = {name: Path(folder) for name, folder in repositories.items()}
        self.requests: list[str] = []
        self.altered: dict[str, bytes] = {}
        self.cut: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for a path."""
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/[^/]+)?", path):
            return self._listing(match[1])
        match = re.fullmatch(r"/((?:datasets/)?[^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if match is None or match[1] not in self.repositories:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        if match[2] not in ("main", COMMIT):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        return self._file(self.repositories[match[1]] / match[3])

    def _listing(self, repository: str) -> tuple[int, dict[str, str], bytes]:
        if repository not in self.repositories:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        files = sorted(path.name for path in self.repositories[repository].iterdir())
        listing = {"id": repository, "sha": COMMIT, "siblings": [{"rfilename": f} for f in files]}
        return 200, {"Content-Type": "application/json"}, json.dumps(listing).encode()

    def _file(self, path: Path) -> tuple[int, dict[str, str], bytes]:
        if not path.is_file():
            return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, b""
        if path.name in self.refused:
            return self.refused[path.name], {"X-Repo-Commit": COMMIT}, b""
        own = path.read_bytes()
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{_etag(path.name, own)}"'}
        return 200, headers, self.altered.get(path.name, own)


def _etag(name: str, content: bytes) -> str:
    """As the hub has it: sha256 of large files, git's object id of small ones."""
    if name.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            status, headers, body = hub.answer(self.path.split("?")[0])
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                name = self.path.split("?")[0].rsplit("/", 1)[-1]
                self.wfile.write(body[: hub.cut.get(name)])
                self.close_connection = name in hub.cut

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

    return Handler
