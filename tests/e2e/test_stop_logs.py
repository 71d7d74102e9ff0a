"""`squish stop` and `squish logs` with running servers."""

import json
import os
import signal
import stat
import subprocess
import threading
import time

import pytest

QUESTION = {"messages": [{"role": "user", "content": "Count to a thousand, one number a line."}], "temperature": 0}


def test_stop_ends_the_only_server(squish, start_server, local_model):
    process = start_server()
    done = squish("stop")
    assert done.returncode == 0 and process.base in done.stdout, done.stderr
    assert process.wait() == 0
    assert list((squish.home / "squish" / "servers").iterdir()) == [], "it takes its record along"


def test_stop_waits_for_open_answers(squish, start_server, local_model):
    process = start_server()
    replies = []
    asking = threading.Thread(target=lambda: replies.append(process.post("/v1/chat/completions", {**QUESTION, "max_tokens": 60, "ignore_eos": True})))
    asking.start()
    process.wait_until(lambda: process.get("/health").json["inflight"] == 1, what="the answer's begin")
    assert squish("stop", "--port", process.port).returncode == 0
    asking.join()
    assert replies[0].status == 200 and replies[0].json["usage"]["completion_tokens"] == 60
    assert process.wait() == 0


def test_stop_now_does_not_wait(squish, start_server, local_model):
    process = start_server(local_model, "--drain-timeout", "300")
    asking = threading.Thread(target=lambda: pytest.raises(Exception, process.post, "/v1/chat/completions", {**QUESTION, "max_tokens": 6000, "ignore_eos": True}))
    asking.start()
    process.wait_until(lambda: process.get("/health").json["inflight"] == 1, what="the answer's begin")
    began = time.monotonic()
    assert squish("stop", "--now").returncode == 0
    assert time.monotonic() - began < 20
    asking.join()
    assert process.wait() == 128 + signal.SIGTERM


def test_stop_that_waits_too_long_says_how_to_go_on(squish, start_server, local_model):
    process = start_server(local_model, "--drain-timeout", "300")
    asking = threading.Thread(target=lambda: pytest.raises(Exception, process.post, "/v1/chat/completions", {**QUESTION, "max_tokens": 6000, "ignore_eos": True}))
    asking.start()
    process.wait_until(lambda: process.get("/health").json["inflight"] == 1, what="the answer's begin")
    refused = squish("stop", "--timeout", "1")
    assert refused.returncode == 1 and "--now" in refused.stderr
    process.signal(signal.SIGTERM)
    asking.join()
    process.wait()


def test_several_servers_want_a_port(squish, start_server, local_model):
    first, second = start_server("--lazy"), start_server("--lazy")
    refused = squish("stop")
    assert refused.returncode == 2 and str(first.port) in refused.stderr and str(second.port) in refused.stderr
    assert squish("stop", "--port", second.port).returncode == 0
    assert second.wait() == 0 and first.process.poll() is None
    assert squish("stop").returncode == 0 and first.wait() == 0


def test_without_a_server_the_code_is_3(squish):
    for words in ((), ("--port", "9"), ("some-model", "--port", "9")):
        done = squish("stop", *words)
        assert done.returncode == 3 and done.stdout == "" and done.stderr, words


def test_a_server_that_was_killed_leaves_nothing_to_signal(squish, start_server, local_model):
    process = start_server("--lazy")
    process.process.kill()
    process.wait()
    records = list((squish.home / "squish" / "servers").iterdir())
    assert len(records) == 1
    # Its number may go to another process: that one must be left alone.
    record = json.loads(records[0].read_text())
    sleeper = subprocess.Popen(["sleep", "60"])
    records[0].write_text(json.dumps(record | {"pid": sleeper.pid}))
    assert squish("stop", "--port", process.port).returncode == 3
    assert sleeper.poll() is None
    sleeper.kill()
    sleeper.wait()
    assert not records[0].exists()


def test_stop_with_a_model_unloads_it_and_the_server_goes_on(squish, start_server, local_model):
    process = start_server(key="secret")
    assert process.get("/health").json["models_loaded"] == 1
    done = squish("stop", local_model, "--port", process.port, "--api-key", "secret")
    assert done.returncode == 0 and local_model in done.stdout, done.stderr
    process.wait_until(lambda: process.get("/health").json["models_loaded"] == 0, what="unloading")
    missing = squish("stop", "nowhere", "--port", process.port, "--api-key", "secret")
    assert missing.returncode == 1 and "model 'nowhere' not found" in missing.stderr
    refused = squish("stop", local_model, "--port", process.port, "--api-key", "wrong")
    assert refused.returncode != 0 and "--api-key" in refused.stderr


# --- logs


def test_logs_show_the_end_of_what_servers_said(squish, start_server, local_model):
    process = start_server(key="secret-key", log_level="error")
    for _ in range(5):
        process.get("/v1/models")
    process.post("/v1/completions", {"prompt": "a prompt that nobody else may read", "max_tokens": 1})
    path = squish.home / "squish" / "daemon.log"
    process.wait_until(lambda: "/v1/completions" in path.read_text(), what="the last line")  # it is written after the answer
    text = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert text.count("/v1/models") == 5 and "/v1/completions" in text
    assert "secret-key" not in text and "nobody else" not in text
    assert "/v1/models" not in process.log, "standard error keeps its own level"
    lines = text.splitlines(keepends=True)
    for count in (0, 1, 3, len(lines), 10_000):
        done = squish("logs", "--tail", count)
        assert done.returncode == 0 and done.stdout == "".join(lines[len(lines) - min(count, len(lines)) :])
    assert squish("logs").stdout == "".join(lines[-50:])


def test_a_log_that_is_not_there_is_a_message_and_no_failure(squish, tmp_path):
    for words in ((), ("--log-file", tmp_path / "none.log")):
        done = squish("logs", *words)
        assert done.returncode == 0 and done.stdout == "" and "no log" in done.stderr
    (tmp_path / "empty.log").touch()
    assert "no log" in squish("logs", "--log-file", tmp_path / "empty.log").stderr


def test_a_server_logs_where_it_is_told(squish, start_server, local_model, tmp_path):
    process = start_server("--lazy", "--log-file", tmp_path / "own.log")
    process.get("/v1/models")
    assert "/v1/models" in squish("logs", "--log-file", tmp_path / "own.log").stdout
    assert not (squish.home / "squish" / "daemon.log").exists()


def test_a_long_tail_is_read_in_blocks(squish, tmp_path):
    path = tmp_path / "long.log"
    lines = [f"line {i} " + "x" * (i % 300) + "\n" for i in range(5000)]
    path.write_text("".join(lines))
    assert squish("logs", "--log-file", path, "--tail", 1234).stdout == "".join(lines[-1234:])
    assert squish("logs", "--log-file", path, "--tail", 5000).stdout == "".join(lines)
    path.write_text("one\ntwo\nwithout an end")
    assert squish("logs", "--log-file", path, "--tail", 2).stdout == "two\nwithout an end"


def test_follow_goes_on_when_the_log_is_moved_away(squish, tmp_path):
    path = tmp_path / "moving.log"
    path.write_text("first\n")
    process = squish.start("logs", "--follow", "--log-file", path, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "first\n"
    with open(path, "a") as log:
        log.write("second\n")
    assert process.stdout.readline() == "second\n"
    os.rename(path, tmp_path / "moving.log.1")
    with open(tmp_path / "moving.log.1", "a") as log:
        log.write("third\n")
    path.write_text("fourth\n")
    assert process.stdout.readline() == "third\n" and process.stdout.readline() == "fourth\n"
    path.write_text("a\n")  # cut short
    assert process.stdout.readline() == "a\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
