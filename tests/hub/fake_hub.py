"""A model hub on 127.0.0.1 whose faults are scripted. Standard library only."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def gguf(size: int, seed: int = 0) -> bytes:
    """Bytes that begin as a GGUF file does; the rest is noise that depends on `seed`."""
    out = bytearray(b"GGUF" + struct.pack("<IQQ", 3, 0, 0))
    counter = 0
    while len(out) < size:
        out += hashlib.sha256(struct.pack("<qq", seed, counter)).digest()
        counter += 1
    return bytes(out[:size])


@dataclass
class Fault:
    """What happens to the next requests of a file; each is used once unless `times` says otherwise."""

    kind: str  # cut (by a reset), close, status, html, truncate, stall, wrong_range, extra
    at: int = 0  # bytes sent before cut, stall or truncate
    status: int = 500
    headers: dict = field(default_factory=dict)
    times: int = 1


@dataclass
class Request:
    path: str
    headers: dict
    sent: int = 0
    status: int = 0


class FakeHub:
    """Serves repositories: {"org/repo": {"file name": bytes}}."""

    def __init__(self, certificate: str | None = None) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.siblings: dict[str, list] = {}  # replaces the listing made from the files
        self.commit = COMMIT
        self.lfs = True  # list SHA-256 as the hub does for large files
        self.send_etag = True
        self.ranges = True
        self.redirect_to: str | None = None  # base address to which file requests are sent
        self.listing_faults: list[Fault] = []
        self.faults: list[Fault] = []
        self.bytes_per_second = 0
        self.wrong_sha: str | None = None
        self.extra_listing: dict = {}
        self.requests: list[Request] = []
        self.lock = threading.Lock()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                try:
                    hub.answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        if certificate:  # a PEM file with key and certificate
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def file_requests(self) -> list[Request]:
        return [r for r in self.requests if "/resolve/" in r.path]

    def sent_bytes(self) -> int:
        return sum(r.sent for r in self.file_requests())

    # -- answers ---------------------------------------------------------------------------------------------------
    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(handler.path).path)
        record = Request(handler.path, {k.lower(): v for k, v in handler.headers.items()})
        with self.lock:
            self.requests.append(record)
        listing = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path)
        if listing:
            return self.answer_listing(handler, record, listing.group(1))
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if file and file.group(3) in self.repositories.get(file.group(1), {}):
            return self.answer_file(handler, record, file.group(1), file.group(3))
        return self.send(handler, record, 404, b"not here", {"X-Error-Code": "EntryNotFound"})

    def next_fault(self, faults: list[Fault]) -> Fault | None:
        with self.lock:
            if not faults:
                return None
            faults[0].times -= 1
            return faults.pop(0) if faults[0].times <= 0 else faults[0]

    def answer_listing(self, handler, record, repository) -> None:
        fault = self.next_fault(self.listing_faults)
        if fault and fault.kind == "html":
            return self.send(handler, record, 200, b"<html>please log in</html>", {"Content-Type": "text/html"})
        if fault and fault.kind == "status":
            return self.send(handler, record, fault.status, b"no", fault.headers)
        if repository not in self.repositories:
            return self.send(handler, record, 401, b"", {"X-Error-Code": "RepoNotFound"})
        siblings = self.siblings.get(repository)
        if siblings is None:
            siblings = []
            for name, data in self.repositories[repository].items():
                item = {"rfilename": name, "size": len(data)}
                if self.lfs and name.endswith((".gguf", ".safetensors")):
                    sha = self.wrong_sha or hashlib.sha256(data).hexdigest()
                    item["lfs"] = {"sha256": sha, "size": len(data), "pointerSize": 134}
                elif self.lfs:
                    item["blobId"] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
                siblings.append(item)
        body = json.dumps({"id": repository, "sha": self.commit, "siblings": siblings, **self.extra_listing}).encode()
        self.send(handler, record, 200, body, {"Content-Type": "application/json"})

    def answer_file(self, handler, record, repository, name) -> None:
        data = self.repositories[repository][name]
        headers = {"Content-Type": "application/octet-stream", "X-Repo-Commit": self.commit}
        if self.send_etag:
            headers["ETag"] = f'"{hashlib.md5(data).hexdigest()}"'
        if self.redirect_to:
            headers["Location"] = self.redirect_to + handler.path
            return self.send(handler, record, 302, b"", headers)
        fault = self.next_fault(self.faults)
        if fault and fault.kind == "status":
            return self.send(handler, record, fault.status, b"busy", fault.headers)
        if fault and fault.kind == "html":
            return self.send(handler, record, 200, b"<html>log in</html>", {"Content-Type": "text/html; charset=utf-8"})
        begin = 0
        status = 200
        asked = re.fullmatch(r"bytes=(\d+)-", record.headers.get("range", ""))
        if asked and self.ranges:
            begin = int(asked.group(1))
            if fault and fault.kind == "wrong_range":
                begin = max(0, begin - 7)
            if begin >= len(data):
                return self.send(handler, record, 416, b"", {"Content-Range": f"bytes */{len(data)}"})
            status = 206
            headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        body = data[begin:]
        if fault and fault.kind == "truncate":  # an honest end of a body that is too short
            body = body[: fault.at]
            headers.pop("Content-Range", None)
        if fault and fault.kind == "extra":
            body += b"x" * 1000
        handler.send_response(status)
        record.status = status
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        limit = fault.at if fault and fault.kind in ("cut", "close", "stall") else len(body)
        self.send_body(handler, record, body[:limit])
        if fault and fault.kind == "cut":
            handler.wfile.flush()
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
            handler.close_connection = True
        if fault and fault.kind == "close":
            handler.close_connection = True
        if fault and fault.kind == "stall":
            handler.wfile.flush()
            time.sleep(6)
            handler.close_connection = True

    def send_body(self, handler, record, body: bytes) -> None:
        piece = 64 * 1024
        for i in range(0, len(body), piece):
            handler.wfile.write(body[i : i + piece])
            record.sent += len(body[i : i + piece])
            if self.bytes_per_second:
                time.sleep(piece / self.bytes_per_second)

    def send(self, handler, record, status, body, headers) -> None:
        record.status = status
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
