"""A hub on 127.0.0.1 that models are sent to, with a storage of its own at another port. Standard library only.

It keeps what a real one keeps: repositories with commits, objects by their SHA-256, and multipart transfers that somebody began. It is
strict where a real one is: a token for everything that writes, none at the storage, parts that make up the object, a parent commit that
is still the newest. Faults are scripted with `fail` and `hold`.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

WRITER = "hf_writer0123456789"
READER = "hf_reader0123456789"


@dataclass
class Request:
    method: str
    path: str
    headers: dict
    body: bytes = b""
    at: str = "hub"  # or "storage"

    @property
    def writes(self):
        return self.method != "GET"


@dataclass
class Repository:
    private: bool
    files: dict = field(default_factory=lambda: {".gitattributes": b"*.safetensors filter=lfs\n"})
    large: set = field(default_factory=set)  # paths that are objects
    commits: list = field(default_factory=lambda: ["0" * 39 + "1"])
    summaries: list = field(default_factory=list)


@dataclass
class Fault:
    method: str
    pattern: str
    status: int
    headers: dict
    body: bytes
    times: int
    after: int  # this many matching requests pass first


class WritableHub:
    def __init__(self):
        self.repositories = {}
        self.objects = {}  # SHA-256: bytes
        self.transfers = {}  # of multipart: id: {"oid", "size", "parts": {number: bytes}}
        self.requests = []
        self.faults = []
        self.part_bytes = 256 * 1024
        self.regular_bytes_max = 64 * 1024
        self.verify_header = {}
        self.held = threading.Event()  # set when a request of `hold` has come
        self.release = threading.Event()
        self._hold = None
        self.lock = threading.RLock()
        self.storage_server = self._serve("storage")
        self.storage_url = f"http://127.0.0.1:{self.storage_server.server_address[1]}"
        self.hub_server = self._serve("hub")
        self.url = f"http://127.0.0.1:{self.hub_server.server_address[1]}"

    def _serve(self, where):
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_any(self):
                try:
                    hub._handle(self, where)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            do_GET = do_POST = do_PUT = handle_any

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    def close(self):
        self.release.set()
        for server in (self.hub_server, self.storage_server):
            server.shutdown()
            server.server_close()

    # -- what tests script and ask ---------------------------------------------------------------------------------
    def fail(self, method, pattern, status, headers=None, body=b"", times=1, after=0):
        self.faults.append(Fault(method, pattern, status, headers or {}, body, times, after))

    def hold(self, method, pattern, after=0):
        """The request that matches after `after` others waits until `release` is set."""
        self._hold = [method, pattern, after]

    def writes(self):
        return [request for request in self.requests if request.writes]

    def stored_bytes(self):
        """Bytes of objects that came, again or not."""
        return sum(len(request.body) for request in self.requests if request.method == "PUT")

    # -- requests --------------------------------------------------------------------------------------------------
    def _handle(self, handler, where):
        length = int(handler.headers.get("Content-Length") or 0)
        headers = {key.lower(): value for key, value in handler.headers.items()}
        record = Request(handler.command, handler.path, headers, b"", where)
        body = handler.rfile.read(length)
        if len(body) < length:  # the sender died
            handler.close_connection = True
            return
        record.body = body
        if self._waits(record):
            self.held.set()
            self.release.wait(60)
            handler.close_connection = True
            return
        with self.lock:
            self.requests.append(record)
            status, answer, extra = self._fault_of(record) or self._answer(record)
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        handler.send_response(status)
        extra.setdefault("Content-Type", "application/json")
        for key, value in extra.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _waits(self, record):
        with self.lock:
            if not self._hold or record.method != self._hold[0] or not re.search(self._hold[1], record.path):
                return False
            self._hold[2] -= 1
            if self._hold[2] >= 0:
                return False
            self._hold = None
            return True

    def _fault_of(self, record):
        for fault in self.faults:
            if fault.method != record.method or not re.search(fault.pattern, record.path):
                continue
            if fault.after > 0:
                fault.after -= 1
                continue
            if fault.times <= 0:
                continue
            fault.times -= 1
            return fault.status, fault.body, dict(fault.headers)
        return None

    def _answer(self, record):
        parts = urlsplit(record.path)
        path = unquote(parts.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if record.at == "storage":
            return self._store(record, path, query)
        token = record.headers.get("authorization", "").removeprefix("Bearer ")
        if token and token not in (WRITER, READER):
            return 401, {"error": "Invalid credentials in Authorization header"}, {}
        if record.method == "GET":
            return self._read(path, token)
        if not token:
            return 401, {"error": "Unauthorized"}, {}
        if token != WRITER:
            return 403, {"error": "You have read access but not the required permissions"}, {}
        return self._write(record, path)

    def _read(self, path, token):
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        listing = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path)
        name = (file or listing).group(1) if file or listing else ""
        repository = self.repositories.get(name)
        if not repository or (repository.private and not token):
            return 404 if token else 401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
        if listing:
            if listing.group(2) not in (None, "main", repository.commits[-1]):
                return 404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"}
            return 200, self._listing(name, repository), {}
        if file.group(2) not in repository.files:
            return 404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"}
        data = repository.files[file.group(2)]
        return 200, data, {"X-Repo-Commit": repository.commits[-1], "Content-Type": "application/octet-stream"}

    def _listing(self, name, repository):
        siblings = []
        for path, data in sorted(repository.files.items()):
            item = {"rfilename": path, "size": len(data), "blobId": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()}
            if path in repository.large:
                item["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
                item["blobId"] = "f" * 40  # of the pointer
            siblings.append(item)
        return {"id": name, "sha": repository.commits[-1], "private": repository.private, "siblings": siblings}

    def _write(self, record, path):
        if path == "/api/repos/create":
            return self._create(json.loads(record.body))
        batch = re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path)
        if batch:
            return 200, self._plan(batch.group(1), json.loads(record.body)), {"Content-Type": "application/vnd.git-lfs+json"}
        if re.fullmatch(r"/[^/]+/[^/]+\.git/info/lfs/objects/verify", path):
            asked = json.loads(record.body)
            is_there = len(self.objects.get(asked["oid"], b"")) == asked["size"] and asked["oid"] in self.objects
            return (200, {}, {}) if is_there else (404, {"error": "object missing"}, {})
        call = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", path)
        if not call or call.group(1) not in self.repositories:
            return 404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
        if call.group(2) == "preupload":
            files = json.loads(record.body)["files"]
            assert all(len(base64.b64decode(file["sample"])) == min(512, file["size"]) for file in files)
            modes = [{"path": f["path"], "uploadMode": "lfs" if f["size"] > self.regular_bytes_max else "regular"} for f in files]
            return 200, {"files": modes}, {}
        return self._commit(self.repositories[call.group(1)], record.body)

    def _create(self, asked):
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.repositories:
            return 409, {"error": "You already created this model repo"}, {}
        self.repositories[name] = Repository(asked["private"])
        return 200, {"url": f"{self.url}/{name}"}, {}

    def _plan(self, name, asked):
        assert asked["operation"] == "upload" and asked["hash_algo"] == "sha256"
        objects = []
        for wanted in asked["objects"]:
            oid, size = wanted["oid"], wanted["size"]
            item = {"oid": oid, "size": size}
            objects.append(item)
            if oid in self.objects:
                continue
            verify = {"href": f"{self.url}/{name}.git/info/lfs/objects/verify", "header": self.verify_header}
            upload = {"href": f"{self.storage_url}/whole/{oid}"}
            if size > self.part_bytes:
                transfer = str(len(self.transfers) + 1)
                self.transfers[transfer] = {"oid": oid, "size": size, "parts": {}}
                count = -(-size // self.part_bytes)
                header = {f"{i:05}": f"{self.storage_url}/part/{transfer}/{i}?signature=secret" for i in range(1, count + 1)}
                upload = {"href": f"{self.storage_url}/complete/{transfer}", "header": {"chunk_size": str(self.part_bytes)} | header}
            item["actions"] = {"upload": upload, "verify": verify}
        return {"transfer": "multipart", "objects": objects}

    def _store(self, record, path, query):
        if "authorization" in record.headers:
            return 400, b"<Error>Only one auth mechanism allowed</Error>", {}
        _, kind, name, *rest = path.split("/")
        if kind == "whole":
            if hashlib.sha256(record.body).hexdigest() != name:
                return 400, b"<Error>BadDigest</Error>", {}
            self.objects[name] = record.body
            return 200, b"", {}
        transfer = self.transfers.get(name)
        if transfer is None:
            return 404, b"<Error>NoSuchUpload</Error>", {}
        if kind == "part":
            if query.get("signature") != "secret":
                return 403, b"<Error>SignatureDoesNotMatch</Error>", {}
            transfer["parts"][int(rest[0])] = record.body
            return 200, b"", {"ETag": f'"{hashlib.md5(record.body).hexdigest()}"'}
        asked = json.loads(record.body)
        data = b""
        for part in asked["parts"]:
            piece = transfer["parts"].get(part["partNumber"])
            if piece is None or part["etag"] != f'"{hashlib.md5(piece).hexdigest()}"':
                return 400, b"<Error>InvalidPart</Error>", {}
            data += piece
        if hashlib.sha256(data).hexdigest() != transfer["oid"] or asked["oid"] != transfer["oid"]:
            return 400, b"<Error>BadDigest</Error>", {}
        self.objects[transfer["oid"]] = data
        return 200, {}, {}

    def _commit(self, repository, body):
        lines = [json.loads(line) for line in body.decode().splitlines()]
        header = lines[0]["value"]
        assert lines[0]["key"] == "header"
        if header.get("parentCommit", repository.commits[-1]) != repository.commits[-1]:
            return 412, {"error": "A commit has happened since"}, {}
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "lfsFile":
                if value["oid"] not in self.objects:
                    return 400, {"error": f"lfs object {value['oid']} is missing"}, {}
                repository.files[value["path"]] = self.objects[value["oid"]]
                repository.large.add(value["path"])
            else:
                assert line["key"] == "file" and value["encoding"] == "base64"
                repository.files[value["path"]] = base64.b64decode(value["content"], validate=True)
                repository.large.discard(value["path"])
        repository.commits.append(hashlib.sha1(body).hexdigest())
        repository.summaries.append(header["summary"])
        return 200, {"success": True, "commitOid": repository.commits[-1], "commitUrl": f"{self.url}/commit"}, {}
