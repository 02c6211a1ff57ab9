"""A local server that answers like the hub does, for one dataset."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class HubServer:
    """Serves the files of a folder as the dataset `name`.

    Attributes:
        commit: what its main revision is.
        refusal: (status, error code) of every answer, if set.
        corrupt: serve other bytes than announced.
        requests: (method, path, Range header) seen so far.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.commit = "1" * 40
        self.refusal: tuple[int, str] | None = None
        self.corrupt = False
        self.requests: list[tuple[str, str, str | None]] = []
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        hub = self.hub
        path = self.path.split("?")[0]
        hub.requests.append((self.command, path, self.headers.get("Range")))
        if hub.refusal is not None:
            return self._send(hub.refusal[0], b"{}", {"X-Error-Code": hub.refusal[1]}, body)
        if path.startswith(f"/api/datasets/{hub.name}"):
            revision = path.rpartition("/revision/")[2] if "/revision/" in path else "main"
            if revision not in ("main", hub.commit):
                return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body)
            return self._send(200, json.dumps(self._info()).encode(), {}, body)
        prefix = f"/datasets/{hub.name}/resolve/{hub.commit}/"
        file = hub.folder / path.removeprefix(prefix)
        if not path.startswith(prefix) or not file.is_file():
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"}, body)
        content = file.read_bytes()
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": hub.commit}
        if hub.corrupt:
            content = bytes([content[0] ^ 1]) + content[1:]
        return self._send(200, content, headers, body)

    def _info(self) -> dict:
        siblings = []
        for path in sorted(self.hub.folder.rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                lfs = {
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "size": len(content),
                    "pointerSize": 130,
                }
                name = path.relative_to(self.hub.folder).as_posix()
                siblings.append({"rfilename": name, "size": len(content), "blobId": "0" * 40, "lfs": lfs})
        return {
            "id": self.hub.name,
            "sha": self.hub.commit,
            "siblings": siblings,
            "tags": [],
            "private": False,
        }

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)
