"""What whoever runs a server sees of it: traces, reports, quality, metrics, and the verbs that ask for them."""

import http.server
import json
import re
import threading

import pytest

CHAT = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4, "temperature": 0}
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
METRICS = """requests_total tokens_generated_total inflight_requests avg_tokens_per_second avg_ttft_seconds uptime_seconds
model_load_seconds prefix_cache_hits_total prefix_cache_size radix_prefix_hits_total paged_kv_free_blocks paged_kv_used_blocks
kv_cache_tokens kv_cache_memory_mb active_requests queue_depth memory_pressure""".split()


@pytest.fixture(scope="module")
def traced(program, chat_model, tmp_path_factory):
    from squish_program import Squish
    from server_process import ServerProcess

    squish = Squish(program, tmp_path_factory.mktemp("traced-home"))
    environment = {"SQUISH_TRACE_STARTUP": "1"}
    words = ["--trace-output", squish.home / "spans.json", "--request-timeout", "100"]
    process = ServerProcess(squish, chat_model, *words, model="smollm2:135m", key="secret-key-77", env=environment)
    for _ in range(3):
        reply = process.post("/v1/chat/completions", CHAT, headers={"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"})
        assert reply.status == 200
    process.wait_until(lambda: process.get("/v1/trace").json["total_spans"] >= 12, what="the spans")
    yield process
    assert process.stop() == 0
    assert json.loads((squish.home / "spans.json").read_text())["traceEvents"]


def call(server, *words, key=True):
    flags = ["--port", server.port] + (["--api-key", server.key] if key else [])
    return server.squish(*words, *flags)


def test_spans_of_a_request_nest_and_carry_the_clients_trace(traced):
    trace = traced.get("/v1/trace").json
    assert trace["tracing_enabled"] is True
    names = {span["name"] for span in trace["slowest_spans"]}
    assert {"http.chat_completions", "gen.queue", "gen.prefill", "gen.decode_loop"} <= names
    assert len(trace["slowest_spans"]) <= 20
    requests = {span["id"]: span for span in trace["slowest_spans"] if span["name"] == "http.chat_completions"}
    assert all(span["tags"]["trace_id"] == TRACE_ID for span in requests.values())
    for span in trace["slowest_spans"]:
        assert span["duration_ms"] == pytest.approx(span["end_ms"] - span["start_ms"], abs=0.01)
        if span["name"].startswith("gen."):
            assert span["parent_id"] in requests


def test_spans_come_as_a_chrome_trace(traced):
    trace = traced.get("/v1/trace?format=chrome").json
    assert trace["displayTimeUnit"] == "ms"
    assert all(event["ph"] == "X" and event["ts"] >= 0 and event["dur"] >= 0 for event in trace["traceEvents"])
    assert traced.get("/v1/trace?format=x").status == 400


def test_a_chrome_trace_names_nothing_twice(traced):
    def unique(pairs):
        assert len({name for name, _ in pairs}) == len(pairs), pairs
        return dict(pairs)

    json.loads(traced.get("/v1/trace?format=chrome").text, object_pairs_hook=unique)


def test_a_report_has_times_and_advice(traced):
    report = traced.get("/v1/obs-report").json
    assert report["profile"]["ttft_ms"]["n_samples"] >= 3
    assert report["profile"]["decode_step_ms"]["p50_ms"] > 0
    degraded = traced.get("/v1/obs-report?threshold_ms=0.001").json
    assert degraded["status"] == "degraded"
    values = [slow["p99_ms"] for slow in degraded["bottlenecks"]]
    assert values == sorted(values, reverse=True)
    flags = traced.squish("serve", "--help").stdout
    for slow in degraded["bottlenecks"]:
        assert slow["hint"]
        assert all(flag in flags for flag in re.findall(r"--[a-z-]+", slow["hint"])), slow["hint"]
    assert traced.get("/v1/obs-report?threshold_ms=x").status == 400


def test_quality_counts_the_answers(traced):
    quality = traced.get("/v1/quality?window=1").json
    assert quality["window_seconds"] == 60
    model = quality["models"][0]
    assert model["model_id"] == traced.model
    assert model["n_requests"] >= 3
    assert model["n_errors"] == 0
    assert model["latency_p50"] > 0
    assert traced.get("/v1/quality?model=other").json["models"] == []


def test_the_start_is_profiled_when_asked_for(traced, server):
    profile = traced.get("/v1/startup-profile").json
    assert profile["enabled"] is True
    assert {"config", "http_bind", "model_open"} == profile["phases"].keys()
    assert profile["total_ms"] == pytest.approx(sum(profile["phases"].values()))
    off = server.get("/v1/startup-profile").json
    assert (off["enabled"], off["phase_count"]) == (False, 0)


def test_tracing_is_off_unless_asked_for(server):
    trace = server.get("/v1/trace").json
    assert (trace["tracing_enabled"], trace["total_spans"]) == (False, 0)
    assert "--trace" in trace["hint"]


def test_facts_of_the_machine_and_no_secret(traced):
    stats = traced.get("/sys-stats").json
    assert len(stats["load_avg"]) == 3
    assert stats["pid"] == traced.process.pid
    assert stats["process_rss_mb"] == pytest.approx(traced.memory_kb() / 1000 * 1.024, rel=0.2)
    assert 0 < stats["disk_used_pct"] <= 100
    debug = traced.get("/debug-info")
    assert debug.json["cli_flags"]["--request-timeout"] == "100"
    assert "--api-key" not in debug.json["cli_flags"]
    assert traced.key not in debug.text
    status = traced.get("/model/status").json
    assert (status["model_loaded"], status["model"], status["load_mode"]) == (True, traced.model, "eager")


def test_metrics_have_the_names_that_dashboards_know(traced):
    text = traced.get("/metrics").text
    for name in METRICS:
        assert re.search(rf"^squish_{name} [0-9.e+-]+$", text, re.MULTILINE), name
    for name in ("ttft_seconds", "inter_token_seconds", "request_duration_seconds"):
        assert re.search(rf'^squish_{name}_bucket{{le="\+Inf"}} \d+$', text, re.MULTILINE), name
    assert traced.get("/health").json["mem_pressure"] in ("normal", "warning", "urgent", "critical")


def test_verbs_show_what_the_server_says(traced, tmp_path):
    assert traced.model in call(traced, "ps").stdout
    assert "model_open" in call(traced, "ps", "--startup").stdout
    view = call(traced, "trace").stdout
    assert view.startswith("tracing=ON total=")
    assert "http.chat_completions" in view
    assert "decode_step_ms" in call(traced, "trace", "obs").stdout
    chrome = tmp_path / "trace.json"
    assert call(traced, "trace", "view", "--chrome", chrome).returncode == 0
    assert json.loads(chrome.read_text())["traceEvents"]
    assert traced.model in call(traced, "quality").stdout
    assert json.loads(call(traced, "quality", "--json").stdout)["total_requests"] >= 3
    assert call(traced, "trace", "never").returncode == 2
    assert call(traced, "trace", "reset").returncode == 0
    # The requests of these verbs are spans as well; those of the answers are gone.
    assert "gen.prefill" not in call(traced, "trace").stdout


@pytest.mark.parametrize("words", [["ps"], ["trace"], ["trace", "reset"], ["quality"]])
def test_verbs_say_when_nobody_answers_or_the_key_is_wrong(squish, server, words):
    silent = squish(*words, "--port", "9")
    assert silent.returncode == 3
    assert "no server answers" in silent.stderr
    for more, given, env in (
        (["--api-key", "wrong"], "does not take the key of --api-key;", {}),
        ([], "does not take the key of SQUISH_API_KEY;", {"SQUISH_API_KEY": "wrong"}),
        ([], "asks for a key, and none was given;", {}),
    ):
        refused = squish(*words, "--port", server.port, *more, env=env)
        assert refused.returncode == 1 and given in refused.stderr, refused.stderr
        assert "--api-key KEY, SQUISH_API_KEY or `squish config set api_key KEY`" in refused.stderr


@pytest.fixture
def collector():
    """Receives spans as an OpenTelemetry collector does."""
    received = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, dict(self.headers), json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", received
        running.shutdown()


def test_spans_are_exported_to_a_collector(start_server, chat_model, collector):
    endpoint, received = collector
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint + "/",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-team=a%20b,x-other=c",
        "OTEL_SERVICE_NAME": "kitchen",
        "SQUISH_OFFLINE": "",
    }
    server = start_server(chat_model, env=environment)
    parent = "b7ad6b7169203331"
    server.post("/v1/chat/completions", CHAT, headers={"traceparent": f"00-{TRACE_ID}-{parent}-01"})
    assert server.stop() == 0  # what is left is sent before the end
    spans = []
    for path, headers, body in received:
        assert path == "/v1/traces"
        assert headers["Content-Type"] == "application/json"
        assert (headers["x-team"], headers["x-other"]) == ("a b", "c")
        resource = body["resourceSpans"][0]
        assert resource["resource"]["attributes"] == [{"key": "service.name", "value": {"stringValue": "kitchen"}}]
        spans += resource["scopeSpans"][0]["spans"]
    request = next(span for span in spans if span["name"] == "http.chat_completions")
    assert (request["traceId"], request["parentSpanId"], request["kind"]) == (TRACE_ID, parent, 2)
    inner = [span for span in spans if span["name"].startswith("gen.")]
    assert {span["name"] for span in inner} == {"gen.queue", "gen.prefill", "gen.decode_loop"}
    for span in inner:
        assert (span["traceId"], span["parentSpanId"]) == (TRACE_ID, request["spanId"])
        assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
    assert all(re.fullmatch(r"[0-9a-f]{16}", span["spanId"]) for span in spans)


def test_a_collector_that_is_away_disturbs_nobody(start_server, chat_model):
    server = start_server(chat_model, env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "SQUISH_OFFLINE": ""}, log_level="warning")
    assert server.post("/v1/chat/completions", CHAT).status == 200
    server.wait_until(lambda: "spans cannot be sent" in server.log, what="the warning")
    assert server.stop() == 0
