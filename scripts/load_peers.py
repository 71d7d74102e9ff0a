"""The same load on `squish serve` and on llama-server, in turn: total speed, time to the first token and between tokens.

Run by ./dev load --peers [--seconds 60] [--clients 1,4,16,64] [MODEL ...]. For each number of clients each server is started afresh with the
same model, threads, slots and context, answers for the stated time, and is ended; every client asks the next question as soon as it has an
answer. Prompts differ from each other (nothing but the beginning comes from a prefix cache), sampling is at temperature 0.8 with a seed
(squish guesses no tokens then), answers have half to one and a half times --tokens. Prints a table in Markdown.
"""
import argparse
import http.client
import json
import pathlib
import socket
import subprocess
import sys
import threading
import time

import models
import peers

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORDS = ("river stone letter garden window morning music winter paper engine silver market forest island captain bridge "
         "village candle mirror thunder pocket ladder blanket harbor ticket feather kitchen shadow orange rocket valley button").split()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def commands(name, model, port, arguments):
    """The command that starts a server with the slots and the context of the other one."""
    slots, context, threads = str(arguments.slots), arguments.context, str(arguments.threads)
    if name == "squish":
        return [ROOT / "build" / "release" / "squish", "serve", model, "--port", port, "--threads", threads, "--sequences", slots,
                "--context", context, "--queue", arguments.clients_max, *arguments.serve_flags.split()]
    return [peers.build(model) / "llama-server", "-m", model, "--port", port, "-t", threads, "-np", slots, "-c", context * arguments.slots]


class Server:
    def __init__(self, name, model, arguments):
        self.port = free_port()
        self.log = open(f"/tmp/load-{name}-{self.port}.log", "wb+")  # noqa: SIM115: until stop()
        command = [str(word) for word in commands(name, model, self.port, arguments)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 300
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                sys.exit(f"load: {name} did not start; its log is {self.log.name}")
            time.sleep(0.1)

    def is_ready(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def memory_mb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) // 1024

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Client(threading.Thread):
    """Asks one question after another until `end`. Times are of the monotonic clock, in seconds."""

    def __init__(self, number, port, end, arguments):
        super().__init__(daemon=True)
        self.number, self.port, self.end, self.arguments = number, port, end, arguments
        self.first, self.between, self.arrivals, self.tokens, self.pieces = [], [], [], 0, 0
        self.answers, self.errors = 0, []

    def question(self, turn):
        words = [WORDS[(self.number * 7919 + turn * 104729 + i * i * 31 + i * (self.number + turn)) % len(WORDS)] for i in range(self.arguments.words)]
        return f"Story {self.number}-{turn}. Write a story about: {' '.join(words)}."

    def length(self, turn):
        """Half to one and a half times --tokens: with equal lengths all clients would ask at the same time, for ever."""
        return max(2, self.arguments.tokens * (50 + (self.number * 37 + turn * 61) % 101) // 100)

    def run(self):
        turn = 0
        while time.monotonic() < self.end:
            try:
                self.ask(turn)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.errors.append(str(error))
                time.sleep(0.1)
            turn += 1

    def ask(self, turn):
        body = {"messages": [{"role": "user", "content": self.question(turn)}], "max_tokens": self.length(turn), "temperature": 0.8,
                "seed": 1000 * self.number + turn, "ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=max(1.0, self.end - time.monotonic() + 1))
        try:
            begin = last = time.monotonic()
            connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status != 200:
                raise ValueError(f"{response.status}: {response.read(300)!r}")
            pieces = 0
            for line in response:
                now = time.monotonic()
                if now >= self.end:
                    return  # what came in time counts; the answer does not
                if not line.startswith(b"data: {"):
                    continue
                event = json.loads(line[6:])
                if event.get("usage"):
                    self.tokens += event["usage"]["completion_tokens"]
                    self.pieces += pieces
                    self.answers += 1
                choice = next(iter(event["choices"]), None)
                if not choice or not choice["delta"].get("content"):
                    continue
                (self.between if pieces else self.first).append(now - last if pieces else now - begin)
                pieces += 1
                last = now
                self.arrivals.append(now)
        except TimeoutError:
            if time.monotonic() < self.end:
                raise
        finally:
            connection.close()


def share(values, part):
    return sorted(values)[min(len(values) - 1, int(part * len(values)))] * 1000 if values else float("nan")


def measure(name, model, count, arguments):
    """One row: what `count` clients saw of a server in the stated time."""
    server = Server(name, model, arguments)
    try:
        Client(10**6, server.port, time.monotonic() + 120, arguments).ask(0)  # reads the weights once
        begin = time.monotonic()
        clients = [Client(number, server.port, begin + arguments.seconds, arguments) for number in range(count)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        memory = server.memory_mb()
    finally:
        server.stop()
    first, between = ([x for c in clients for x in getattr(c, kind)] for kind in ("first", "between"))
    pieces = sum(len(client.arrivals) for client in clients)
    # A piece is one token but where a character has several or tokens came together: what whole answers had for each piece.
    told = sum(client.pieces for client in clients)
    per_piece = sum(client.tokens for client in clients) / told if told else 1.0
    errors = [error for client in clients for error in client.errors]
    if errors:
        print(f"load: {name}, {count} clients: {len(errors)} errors, the first: {errors[0]}", file=sys.stderr)
    return {"speed": pieces * per_piece / arguments.seconds, "first50": share(first, 0.5), "first95": share(first, 0.95),
            "between50": share(between, 0.5), "between95": share(between, 0.95), "answers": sum(client.answers for client in clients),
            "errors": len(errors), "memory": memory}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="dev load --peers")
    parser.add_argument("model", nargs="*", default=["smollm2"], help=f"{', '.join(models.MODELS)}, or a GGUF file")
    parser.add_argument("--seconds", type=float, default=60, help="time of each measurement")
    parser.add_argument("--clients", default="1,4,16,64", help="at a time")
    parser.add_argument("--slots", type=int, default=16, help="answers that a server computes at a time")
    parser.add_argument("--context", type=int, default=1024, help="tokens of each slot")
    parser.add_argument("--tokens", type=int, default=64, help="of each answer")
    parser.add_argument("--words", type=int, default=60, help="of each prompt")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--serve-flags", default="", help="more flags of squish serve, such as '--steps-between-prompts 25'")
    parser.add_argument("--servers", default="squish,llama-server", help="one of them, or both in turn")
    parser.add_argument("--rounds", type=int, default=1, help="times that each measurement is made, squish and llama-server in turn")
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.clients.split(",")]
    arguments.clients_max = max(counts)
    for model in arguments.model:
        path = pathlib.Path(model)
        found = [("", path.stem, path)] if path.exists() else models.find([model])
        for _, title, file in found:
            print(f"\n{title}: {arguments.threads} threads, {arguments.slots} slots of {arguments.context} tokens, prompts of about {arguments.words} words, "
                  f"answers of {arguments.tokens} tokens, {arguments.seconds:g} s each\n")
            print("| clients | server | tokens/s | first token p50, p95 (ms) | between tokens p50, p95 (ms) | answers | errors | peak memory (MB) |")
            print("|---|---|---|---|---|---|---|---|", flush=True)
            for count in counts:
                for _ in range(arguments.rounds):
                    for name in arguments.servers.split(","):
                        row = measure(name, file, count, arguments)
                        print(f"| {count} | {name} | {row['speed']:.1f} | {row['first50']:.0f}, {row['first95']:.0f} | {row['between50']:.1f}, {row['between95']:.1f} "
                              f"| {row['answers']} | {row['errors']} | {row['memory']} |", flush=True)


if __name__ == "__main__":
    main()
