"""What the server does under load: slow connections, clients that leave at any moment, thousands of requests.

./dev load runs these in full; the figures that it prints are in docs/serve.md.
"""

import contextlib
import itertools
import os
import random
import subprocess
import sys
import threading
import time

import pytest
from server_process import SLOWNESS, ServerProcess, connect, is_at_rest, leave, raw_request
from squish_program import ROOT, Squish

IS_FULL = "SQUISH_TEST_LOAD" in os.environ  # ./dev load sets it; a machine that does other things cannot be timed
DISCONNECTS = 10_000 if IS_FULL else 504
REQUESTS = 10_000 if IS_FULL else 192
WARM_UP = 2000 if IS_FULL else 192  # fills the cache of 2,048 tokens and what the allocator keeps
CHAT = {"messages": [{"role": "user", "content": "Count to one thousand."}], "max_tokens": 400, "temperature": 0}


@pytest.fixture(scope="module")
def server(program, chat_model, tmp_path_factory):
    """A server of its own, with a cache that fills in the first requests: 8 answers of 256 tokens."""
    squish = Squish(program, tmp_path_factory.mktemp("load-home"))
    process = ServerProcess(squish, chat_model, "--context", "256", "--sequences", "8", "--kv-pages", "32", model="smollm2:135m", key="test-key")
    yield process
    assert process.stop() == 0, process.log[-2000:]


def is_empty(server):
    return is_at_rest(server) and server.metric("squish_connections") <= 1


@contextlib.contextmanager
def crowd(server, count):
    """So many connections that send one byte a second each."""
    command = [sys.executable, ROOT / "tests" / "e2e" / "crowd.py", server.host, str(server.port), str(count), server.key]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "there\n"
            server.wait_until(lambda: server.metric("squish_connections") >= count, what="the crowd")
            yield
        finally:
            process.stdin.close()


def test_a_thousand_connections_of_a_byte_a_second_do_not_slow_a_client(server):
    """Alone and among them in turn, so that what else the machine does is on both sides."""

    def latencies(count):
        out = []
        for _ in range(count):
            begin = time.monotonic()
            assert server.post("/v1/chat/completions", CHAT | {"max_tokens": 8}).status == 200
            out.append(time.monotonic() - begin)
        return out

    alone, among = [], []
    latencies(5)
    for _ in range(6 if IS_FULL else 2):
        alone += latencies(30 if IS_FULL else 8)
        with crowd(server, 1000):
            among += latencies(30 if IS_FULL else 8)
        server.wait_until(lambda: server.metric("squish_connections") <= 1, what="the end of the crowd")
    median = [sorted(values)[len(values) // 2] for values in (alone, among)]
    print(f"an answer of 8 tokens: {median[0] * 1000:.1f} ms alone, {median[1] * 1000:.1f} ms among 1,000 slow connections ({median[1] / median[0] - 1:+.1%})")
    if IS_FULL:  # on a machine with nothing else to do
        assert median[1] < median[0] * 1.1


def test_clients_that_leave_at_any_moment_leave_nothing_behind(server):
    chance = random.Random(5)
    server.post("/v1/chat/completions", CHAT | {"max_tokens": 2})
    server.wait_until(lambda: is_empty(server), what="rest")
    before = server.descriptors()
    whole, stream = (raw_request(server, "/v1/chat/completions", CHAT | {"stream": is_stream}) for is_stream in (False, True))

    def go(count, seed):
        own = random.Random(seed)
        for _ in range(count):
            with contextlib.suppress(OSError):
                client = connect(server)
                data = own.choice([whole, stream])
                client.sendall(data[: own.randrange(len(data) + 1)] if own.random() < 0.3 else data)
                time.sleep(own.choice([0, 0.001, 0.01, 0.03]))
                leave(client, own.choice(["close", "reset", "half"]))

    threads = [threading.Thread(target=go, args=(DISCONNECTS // 8, chance.random())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.wait_until(lambda: is_empty(server), timeout=60, what="rest")
    server.wait_until(lambda: server.descriptors() <= before, what="the descriptors of before")
    print(f"{DISCONNECTS} clients left: 0 answers, 0 KV pages in use, {server.descriptors()} descriptors ({before} before)")
    assert server.post("/v1/chat/completions", CHAT | {"max_tokens": 2}).status == 200


def test_memory_is_flat_over_many_requests(server):
    """Prompts that never repeat, streamed or not, over four dialects, a third of them refused, by 8 clients."""
    if SLOWNESS > 1:
        pytest.skip("under a sanitizer the memory is its own")
    numbers = itertools.count()
    lock = threading.Lock()

    def go(count):
        for _ in range(count):
            with lock:
                number = next(numbers)
            text = f"Number {number}: " + "and so on " * (number % 12)
            messages = [{"role": "user", "content": text}]
            path, body, expected = [
                ("/v1/chat/completions", {"messages": messages, "max_tokens": 2, "stream": number % 2 == 0}, 200),
                ("/v1/completions", {"prompt": text, "max_tokens": 2, "logprobs": 2}, 200),
                ("/v1/completions", {"prompt": text, "temperature": 99}, 400),
                ("/api/chat", {"model": "default", "messages": messages, "options": {"num_predict": 2}}, 200),
                ("/v1/responses", {"input": text, "max_output_tokens": 2, "store": number % 12 == 4}, 200),
                ("/v1/chat/completions", {"messages": messages, "model": f"none-{number}"}, 404),
            ][number % 6]
            reply = server.post(path, body)
            assert reply.status == expected, reply.text

    def run(count):
        failures = []

        def guarded():
            try:
                go(count // 8)
            except AssertionError as error:
                failures.append(error)

        threads = [threading.Thread(target=guarded) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures[0]
        server.wait_until(lambda: is_empty(server), what="rest")
        return server.memory_kb()

    # What a step works in stays at the size of the widest step yet: 60 MB for 512 tokens. By chance
    # alone the requests below reach it sooner or later; eight long prompts at once reach it now.
    widest = [f"{number} " + "and so on " * 70 for number in range(8)]
    assert server.post("/v1/completions", {"prompt": widest, "max_tokens": 2}).status == 200
    warm = run(WARM_UP)
    after = run(REQUESTS)
    print(f"resident memory: {warm / 1024:.1f} MB after {WARM_UP} requests, {after / 1024:.1f} MB after {REQUESTS} more")
    assert after - warm < 3 * 1024 + REQUESTS // 4, "at most 3 MB and 256 bytes a request"
