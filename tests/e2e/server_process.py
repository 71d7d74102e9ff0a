"""A running `squish serve` for tests: a free port, a home of its own, and its log."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import select
import signal
import socket
import struct
import subprocess
import time

SLOWNESS = float(os.environ.get("SQUISH_TEST_SLOWNESS", "1"))  # every time-out times this: ./dev sanitize sets 20


class Reply:
    """One answer of the server."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


class ServerProcess:
    """Runs `squish serve MODEL --port 0 FLAGS`; `base` is where it answers. Stop it with stop()."""

    def __init__(self, squish, *words, model=None, key=None, env=None, log_level="info", pass_fds=(), timeout=60):
        self.squish = squish
        self.key = key
        self.model = model
        self.log_path = pathlib.Path(squish.home) / f"serve-{os.urandom(4).hex()}.log"
        flags = ["--port", "0", "--log-level", log_level, "--no-color"]
        if key is not None:
            flags += ["--api-key", key]
        command = [squish.program, "serve", *map(str, words), *flags]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=squish.environment | (env or {}), pass_fds=pass_fds)
        self.base = self._wait_for_address(timeout)
        self.host, port = re.fullmatch(r"https?://(.*):(\d+)", self.base).groups()
        self.port = int(port)

    def _wait_for_address(self, timeout):
        deadline = time.monotonic() + timeout * SLOWNESS
        while time.monotonic() < deadline:
            found = re.search(r"listening +(https?://\S+:\d+)", self.log)
            if found:
                return found.group(1)
            assert self.process.poll() is None, f"serve ended with {self.process.returncode}: {self.log}"
            time.sleep(0.02)
        self.process.kill()
        raise AssertionError(f"serve did not listen in {timeout} s: {self.log}")

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def request(self, method, path, body=None, headers=None, timeout=120):
        """One request on a connection of its own. `body` may be bytes, text, a generator of bytes, or what becomes JSON."""
        connection = http.client.HTTPConnection(self.host.strip("[]"), self.port, timeout=timeout * SLOWNESS)
        all_headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        if isinstance(body, (dict, list, int, float)):
            body = json.dumps(body)
            all_headers["Content-Type"] = "application/json"
        all_headers |= headers or {}
        with contextlib.closing(connection):
            sent = {k: v for k, v in all_headers.items() if v is not None}
            connection.request(method, path, body=body, headers=sent, encode_chunked="Transfer-Encoding" in sent)
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body, **options):
        return self.request("POST", path, body, **options)

    def metric(self, name):
        """The value of one metric without labels."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.get("/v1/metrics").text, re.MULTILINE)
        assert found, f"no metric {name}"
        return float(found.group(1))

    def wait_until(self, condition, timeout=30, what="the condition"):
        """Polls `condition` and returns its first true value."""
        deadline = time.monotonic() + timeout * SLOWNESS
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            time.sleep(0.01)
        raise AssertionError(f"{what} did not come in {timeout} s; log: {self.log[-2000:]}")

    def memory_kb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+)", status, re.MULTILINE).group(1))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=60):
        return self.process.wait(timeout * SLOWNESS)

    def stop(self, timeout=60):
        """Ends it as a service manager does; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout * SLOWNESS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"serve did not end in {timeout} s: {self.log[-2000:]}") from None


def read_until(descriptor, wanted, timeout=30):
    """Bytes of a socket up to and with `wanted`, or up to its end."""
    data = b""
    deadline = time.monotonic() + timeout * SLOWNESS
    while wanted not in data and time.monotonic() < deadline:
        ready, _, _ = select.select([descriptor], [], [], 0.2)
        if ready:
            piece = descriptor.recv(65536)
            if not piece:
                break
            data += piece
    return data


def connect(server, timeout=30):
    return socket.create_connection((server.host, server.port), timeout=timeout)


def raw_request(server, path, body, extra=""):
    """The bytes of a POST, with the server's key where it has one. `extra`: whole header lines."""
    text = json.dumps(body)
    key = f"Authorization: Bearer {server.key}\r\n" if server.key else ""
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{key}{extra}Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


def leave(client, how):
    """Ends a connection: close, reset, or half (no more from this side first)."""
    if how == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif how == "half":
        client.shutdown(socket.SHUT_WR)
        time.sleep(0.01)
    client.close()


def is_at_rest(server):
    """No request and no KV page is in use."""
    names = ("inflight_requests", "sequences_running", "queue_depth", "paged_kv_used_blocks")
    return all(server.metric(f"squish_{name}") == 0 for name in names)
