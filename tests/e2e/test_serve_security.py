"""What the server does with those who should not be served, are slow, leave, or are too many."""

import contextlib
import gzip
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
from server_process import connect, is_at_rest, leave, raw_request, read_until

CHAT = {"messages": [{"role": "user", "content": "Count to one thousand."}], "max_tokens": 400, "temperature": 0}


def exchange(server, data, wanted=b"\0never", timeout=30):
    with connect(server) as client:
        client.sendall(data)
        return read_until(client, wanted, timeout)


# --- who may ask


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_an_address_that_others_reach_needs_a_key(squish, chat_model, host):
    result = squish("serve", chat_model, "--host", host, "--port", "0", timeout=60)
    assert result.returncode != 0
    assert "--api-key" in result.stderr
    assert "listening" not in result.stdout + result.stderr


def test_with_a_key_others_may_reach_it_and_are_warned_about(start_server, chat_model):
    server = start_server(chat_model, "--host", "0.0.0.0", "--lazy", key="k1")
    assert "other machines can reach this server" in server.log
    assert server.get("/v1/models").status == 200
    assert server.get("/v1/models", headers={"Authorization": None}).status == 401


def test_every_route_but_the_probes_wants_the_key(server):
    paths = server.get("/openapi.json").json["paths"]
    open_paths = {"/health", "/healthz", "/readyz", "/", "/api/version"}
    for path, operations in paths.items():
        for method in operations:
            for key in (None, "Bearer wrong", "Bearer ", "Basic dGVzdC1rZXk="):
                status = server.request(method.upper(), re.sub(r"\{.*\}", "x", path), headers={"Authorization": key}).status
                assert status == 401 or (path in open_paths and method == "get"), f"{method} {path} {key}: {status}"
    assert server.get("/nothing", headers={"Authorization": None}).status == 401


def test_keys_come_from_flags_files_and_the_environment(start_server, chat_model, tmp_path):
    keys = tmp_path / "keys.txt"
    keys.write_text("# team\nfile-key-1\nfile-key-2\n")
    server = start_server(chat_model, "--lazy", "--api-key-file", keys, "--api-key", "flag-key-1", key="flag-key-2")
    for key, status in [("file-key-1", 200), ("file-key-2", 200), ("flag-key-1", 200), ("flag-key-2", 200), ("file-key", 401), ("# team", 401)]:
        assert server.get("/v1/models", headers={"Authorization": f"Bearer {key}"}).status == status, key
    by_variable = start_server(chat_model, "--lazy", env={"SQUISH_API_KEY": "variable-key"})
    assert by_variable.get("/v1/models").status == 401
    assert by_variable.get("/v1/models", headers={"x-api-key": "variable-key"}).status == 200


def test_a_name_that_was_rebound_to_this_machine_is_refused(server):
    for host in ("evil.com", "evil.com:11435", "127.0.0.1.evil.com", "localhost.evil.com"):
        reply = server.get("/health", headers={"Host": host})
        assert reply.status == 403, host
        assert reply.json["error"]["code"] == "host_not_allowed"
    for host in ("localhost", "127.0.0.1:1", "[::1]:5"):
        assert server.get("/health", headers={"Host": host}).status == 200, host


def test_pages_of_other_sites_are_refused(server):
    for origin in ("https://evil.com", "null", "http://localhost.evil.com"):
        reply = server.get("/v1/models", headers={"Origin": origin})
        assert reply.status == 403, origin
        assert "Access-Control-Allow-Origin" not in reply.headers
        assert server.request("OPTIONS", "/v1/chat/completions", headers={"Origin": origin}).status == 403
    reply = server.request("OPTIONS", "/v1/chat/completions", headers={"Origin": "http://localhost:3000", "Authorization": None})
    assert reply.status == 204
    assert reply.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert "POST" in reply.headers["Access-Control-Allow-Methods"]


def test_a_form_of_another_page_cannot_post(server):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        reply = server.post("/v1/tokenize", b'{"text":"x"}', headers={"Content-Type": kind, "Sec-Fetch-Site": "cross-site"})
        assert reply.status == 415, kind


def test_a_body_in_an_encoding_is_refused_by_name(server):
    packed = gzip.compress(b'{"text":"x"}')
    reply = server.post("/v1/tokenize", packed, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})
    assert reply.status == 415 and "gzip" in reply.json["error"]["message"]
    plain = server.post("/v1/tokenize", b'{"text":"x"}', headers={"Content-Type": "application/json", "Content-Encoding": "Identity"})
    assert plain.status == 200


def test_secrets_are_in_no_log(start_server, chat_model, squish):
    canaries = {name: f"canary-{name}-5f2b" for name in ("key", "wrong", "prompt", "query", "header")}
    server = start_server(chat_model, key=canaries["key"], log_level="trace")
    server.post(f"/v1/chat/completions?api_key={canaries['query']}", {"messages": [{"role": "user", "content": canaries["prompt"]}], "max_tokens": 1})
    server.get("/v1/models", headers={"Authorization": f"Bearer {canaries['wrong']}", "Cookie": canaries["header"]})
    server.post("/v1/chat/completions", f'{{"messages": "{canaries["prompt"]}"}}')
    assert server.stop() == 0
    assert "/v1/chat/completions" in server.log
    for name, canary in canaries.items():
        assert canary not in server.log, name


# --- hostile HTTP


@pytest.mark.parametrize(
    "head, status",
    [
        ("POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        ("GET /health HTTP/1.1\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.com\r\n\r\n", 400),
        ("GET /health HTTP/3.0\r\nHost: localhost\r\n\r\n", 505),
        ("GET /" + "a" * 9000 + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\n" + "X: y\r\n" * 101 + "\r\n", 431),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + "y" * 40000 + "\r\n\r\n", 431),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + "y" * 1_000_000, 431),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        ("nonsense\r\n\r\n", 400),
    ],
)
def test_what_is_no_proper_request_is_answered_and_ends_the_connection(server, head, status):
    hidden = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = exchange(server, head.encode("latin-1") + hidden)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert answer.count(b"\r\nDate: ") == 1
    assert b"Connection: close" in answer


def test_a_body_that_claims_too_much_is_refused_before_it_comes(server):
    for claim in (32 * 1024 * 1024 + 1, 10_000_000_000):
        head = f"POST /v1/tokenize HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.key}\r\nContent-Type: application/json\r\nContent-Length: {claim}\r\n\r\n"
        assert exchange(server, head.encode()).startswith(b"HTTP/1.1 413 ")


def test_requests_behind_each_other_are_answered_in_order(server):
    one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: n%d\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = exchange(server, b"".join(one % i for i in range(500)) + last)
    assert re.findall(rb"X-Request-Id: n(\d+)", answer) == [b"%d" % i for i in range(500)]
    assert answer.count(b"HTTP/1.1 200 OK") == 501


def test_a_client_may_ask_before_it_sends_its_body(server):
    body = b'{"text":"hello"}'
    with connect(server) as client:
        client.sendall(
            b"POST /v1/tokenize HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nExpect: 100-continue\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (server.key.encode(), len(body))
        )
        assert read_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 100 Continue")
        client.sendall(body)
        assert read_until(client, b"\0never").startswith(b"HTTP/1.1 200 OK")


# --- slow, too many


def test_a_header_that_trickles_is_timed_out(server):
    with connect(server) as client:
        begin = time.monotonic()
        client.sendall(b"GET /health HTT")
        answer = read_until(client, b"\0never", timeout=60)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - begin > 5


def test_over_the_connection_limit_is_503_with_a_time(start_server, chat_model):
    server = start_server(chat_model, "--lazy", "--max-connections", "8")
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connect(server)) for _ in range(8)]
        for client in held:
            client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in read_until(client, b"}")
        refused = exchange(server, b"")
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1" in refused
        head, body = refused.split(b"\r\n\r\n", 1)
        assert int(re.search(rb"Content-Length: (\d+)", head).group(1)) == len(body)
    server.wait_until(lambda: b"200 OK" in exchange(server, b"GET /health HTTP/1.0\r\n\r\n"), what="a free connection")


def test_a_full_queue_is_429_before_any_header(start_server, chat_model):
    server = start_server(chat_model, "--sequences", "1", "--queue", "1")
    answers = []

    def ask():
        answers.append(server.post("/v1/chat/completions", CHAT | {"stream": True, "max_tokens": 30}))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status for answer in answers} == {200, 429}
    for answer in answers:
        if answer.status == 429:
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.json["error"]["type"] == "rate_limit_error"
        else:
            assert answer.text.endswith("data: [DONE]\n\n")
    assert 'squish_requests_rejected_total{reason="queue_full"}' in server.get("/metrics").text
    server.wait_until(lambda: is_at_rest(server), what="rest")


# --- leaving


@pytest.mark.parametrize("how", ["close", "reset", "half"])
@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_a_client_that_leaves_frees_its_slot(start_server, server, how, is_stream, path):
    body = {"stream": is_stream, "max_tokens": 4000, "temperature": 0, "ignore_eos": True}
    body |= {"prompt": "One, two,"} if path.endswith("/completions") and "chat" not in path else {"messages": CHAT["messages"]}
    left = server.metric("squish_clients_left_total")
    client = connect(server)
    client.sendall(raw_request(server, path, body))
    if is_stream:
        assert b"data:" in read_until(client, b"data:")
    server.wait_until(lambda: server.metric("squish_sequences_running") == 1, what="its start")
    before = server.metric("squish_engine_steps_total")
    leave(client, how)
    server.wait_until(lambda: is_at_rest(server), what="its end")
    assert server.metric("squish_clients_left_total") == left + 1
    # It would have needed thousands of steps; a few pass while the news travels.
    assert server.metric("squish_engine_steps_total") - before < 500


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        + ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", directory / "key.pem", "-out", directory / "cert.pem"],
        check=True,
        capture_output=True,
    )
    return directory / "cert.pem", directory / "key.pem"


def test_tls_by_two_flags(start_server, chat_model, certificate):
    server = start_server(chat_model, "--tls-cert", certificate[0], "--tls-key", certificate[1])
    assert server.base.startswith("https://")
    context = ssl.create_default_context(cafile=certificate[0])
    with socket.create_connection((server.host, server.port)) as plain, context.wrap_socket(plain, server_hostname="localhost") as client:
        assert client.version() in ("TLSv1.2", "TLSv1.3")
        client.sendall(raw_request(server, "/v1/chat/completions", CHAT | {"stream": True, "max_tokens": 3}, "Connection: close\r\n"))
        data = b""
        while piece := client.recv(65536):
            data += piece
        assert data.startswith(b"HTTP/1.1 200 OK")
        assert b"data: [DONE]" in data
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection((server.host, server.port)) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        old.wrap_socket(plain)
    # One that speaks no TLS and one that says nothing are no trouble for others.
    assert b"HTTP/1.1 200" not in exchange(server, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")


@pytest.mark.parametrize("flags, says", [(["--tls-cert", "none.pem"], "--tls-key"), (["--tls-cert", "none.pem", "--tls-key", "none.pem"], "none.pem")])
def test_tls_files_that_are_not_there_are_named(squish, chat_model, flags, says):
    result = squish("serve", chat_model, "--port", "0", *flags)
    assert result.returncode == 2
    assert says in result.stderr


# --- beginning and ending


def test_a_port_that_is_taken_is_said(squish, server, chat_model):
    result = squish("serve", chat_model, "--port", server.port)
    assert result.returncode == 1
    assert f"port {server.port}" in result.stderr
    assert "--port" in result.stderr


def test_an_open_answer_is_finished_before_the_end(start_server, chat_model):
    server = start_server(chat_model)
    with connect(server) as client:
        client.sendall(raw_request(server, "/v1/chat/completions", CHAT | {"stream": True, "max_tokens": 40}))
        data = read_until(client, b"data:")
        server.signal(signal.SIGTERM)
        data += read_until(client, b"\0never", timeout=60)
    assert data.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert b'"error"' not in data
    assert server.wait() == 0
    with pytest.raises(ConnectionError):
        connect(server)


def test_an_answer_that_does_not_end_in_time_is_ended(start_server, chat_model):
    server = start_server(chat_model, "--drain-timeout", "1")
    with connect(server) as client:
        client.sendall(raw_request(server, "/v1/chat/completions", CHAT | {"stream": True, "max_tokens": 4000, "ignore_eos": True}))
        data = read_until(client, b"data:")
        server.signal(signal.SIGTERM)
        data += read_until(client, b"\0never", timeout=60)
    assert b'"error"' in data
    assert b"data: [DONE]" in data
    assert server.wait() == 0


def test_a_second_signal_ends_at_once(start_server, chat_model):
    server = start_server(chat_model, "--drain-timeout", "600")
    with connect(server) as client:
        client.sendall(raw_request(server, "/v1/chat/completions", CHAT | {"stream": True, "max_tokens": 4000, "ignore_eos": True}))
        read_until(client, b"data:")
        server.signal(signal.SIGTERM)
        server.wait_until(lambda: "signal 15" in server.log, what="the first signal")
        server.signal(signal.SIGTERM)
        assert server.wait() == 128 + signal.SIGTERM


def test_readiness_and_end_are_told_to_systemd(start_server, chat_model, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(path))
        notify.settimeout(60)
        server = start_server(chat_model, env={"NOTIFY_SOCKET": str(path)})
        assert b"READY=1" in notify.recv(4096)
        assert server.get("/healthz").status == 200
        server.signal(signal.SIGTERM)
        assert b"STOPPING=1" in notify.recv(4096)


def test_a_socket_that_systemd_opened_is_taken_over(squish, chat_model):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        port = listener.getsockname()[1]
        # The shell becomes the server and so knows its process id.
        script = f'exec 3<&{listener.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" serve "$1" --lazy --no-color'
        process = subprocess.Popen(
            ["bash", "-c", script, squish.program, chat_model], env=squish.environment, pass_fds=[listener.fileno()], stderr=subprocess.PIPE, text=True
        )
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            assert b"200 OK" in read_until(client, b"\0never")
    finally:
        process.terminate()
        assert process.wait(60) == 0
    assert f":{port}" in process.stderr.read()


def test_requests_that_take_too_long_are_ended(start_server, chat_model):
    server = start_server(chat_model, "--request-timeout", "1")
    reply = server.post("/v1/chat/completions", CHAT | {"max_tokens": 4000, "ignore_eos": True})
    assert reply.status == 504
    assert reply.json["error"]["code"] == "request_timeout"
    server.wait_until(lambda: is_at_rest(server), what="rest")


# --- models by name only


def test_no_request_opens_a_file_by_its_path(server, tmp_path):
    (tmp_path / "secret.gguf").write_text("secret text")
    outside = str(tmp_path / "secret.gguf")
    names = ["a/../../../etc/passwd", " /etc/passwd", "\t/etc/passwd", "hf:../../../../etc/passwd", "ollama:/etc/passwd", "../../root", "~/x", "/etc/passwd",
             "pyproject.toml", f"x/../../../../../../..{outside}", outside, f" {outside}"]
    for name in names:
        asked = [
            server.post("/v1/chat/completions", CHAT | {"model": name}),
            server.post("/api/show", {"model": name}),
            server.post("/api/copy", {"source": name, "destination": "copied"}),
            server.post("/api/create", {"model": "made", "from": name, "stream": False}),
        ]
        for answer in asked:
            assert 400 <= answer.status < 500, (name, answer.status, answer.text)
            for leak in ("root:x", "magic", "secret text", "holds no model", "such file", "expected"):
                assert leak not in answer.text, (name, answer.text)
