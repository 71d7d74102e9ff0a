"""Do we compute what the model says? ./dev quality [--peer-dir DIR] [--json FILE] [MODEL ...]

For each test model and 20 prompts: llama.cpp (greedy, its own server) answers. Our engine, by the arithmetic of its decode steps,
and a NumPy forward pass over the file's decoded weights (scripts/numpy_gguf.py: float32, nothing rounded to 8 bits) score the same
tokens. The table gives, for each pair of the three, the share of positions with the same most likely token, how far from a tie the
others were, and the mean |difference of the log-probabilities|; then the perplexity of WikiText-2 (first 20,000 tokens, context
512) by both programs. stories15m, the only full-precision source, is compared with NumPy in float64 (scripts/numpy_llama.py).
"""
import argparse
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

import models
import numpy_gguf
import peers

SCORE = models.ROOT / "build" / "release" / "tests" / "quality" / "score_tokens"
DATA = models.SHARED / "data"
PROMPTS = json.loads((models.ROOT / "tests" / "quality" / "prompts.json").read_text())
GENERATE = 48


def long_prompt():
    """Over 2,000 tokens for every vocabulary here: numbered sentences, the same on each machine."""
    things = ["river", "lantern", "engine", "orchard", "signal", "harbour", "ledger", "window"]
    return " ".join(f"Entry {i}: the {things[i % 8]} near the {things[(i * 5 + 3) % 8]} was seen {i * 7 % 31} times." for i in range(170)) + " In short,"


class Ours:
    def __init__(self, model, *options):
        self.process = subprocess.Popen([SCORE, model, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, job):
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"quality: score_tokens ended ({self.process.wait()})")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Llama:
    def __init__(self, programs, model):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen([programs / "llama-server", "-m", model, "-t", "2", "-c", "4096", "--port", str(self.port), "-np", "1"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=1)
                return
            except OSError:
                time.sleep(0.1)
        sys.exit("quality: llama-server did not start within 60 s")

    def complete(self, tokens):
        body = {"prompt": tokens, "n_predict": GENERATE, "temperature": 0, "n_probs": 1, "cache_prompt": False, "samplers": ["temperature"]}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/completion", json.dumps(body).encode(), {"Content-Type": "application/json"})
        answer = json.load(urllib.request.urlopen(request, timeout=600))
        return [(entry["id"], entry["logprob"]) for entry in answer["completion_probabilities"]]

    def tokenize(self, text):
        body = {"content": text, "add_special": True, "parse_special": True}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/tokenize", json.dumps(body).encode(), {"Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(request, timeout=60))["tokens"]

    def close(self):
        self.process.terminate()
        self.process.wait()


def llama_perplexity(programs, model, text, chunks):
    out = subprocess.run([programs / "llama-perplexity", "-m", model, "-f", text, "-c", "512", "--chunks", str(chunks), "-t", "2"],
                         capture_output=True, text=True)
    found = re.search(r"Final estimate: PPL = ([0-9.]+)", out.stdout + out.stderr)
    if not found:
        sys.exit("quality: llama-perplexity gave no estimate: " + (out.stdout + out.stderr)[-500:])
    return float(found.group(1))


class Pair:
    """How far two programs agree about the same tokens."""

    def __init__(self):
        self.differences, self.gaps, self.same = [], [], 0

    def add(self, logprob, other_logprob, best, other_best, gap):
        """`gap`: between the two most likely tokens, in nats, by the one of the two that is the more exact."""
        self.differences.append(abs(logprob - other_logprob))
        if best == other_best:
            self.same += 1
        else:
            self.gaps.append(gap)

    def result(self):
        ordered = sorted(self.differences)
        return {"positions": len(ordered), "same": self.same, "largest_gap_where_different": max(self.gaps, default=0.0),
                "mean_logprob_difference": statistics.mean(ordered), "p99_logprob_difference": ordered[int(0.99 * (len(ordered) - 1))],
                "largest_logprob_difference": ordered[-1]}


def agreement(ours, prompts, reference):
    """Teacher forcing: `reference(tokens)` gives [(token, logprob)]; ours scores the same continuation."""
    pair = Pair()
    for prompt in prompts:
        tokens = reference.tokenize(prompt)
        answer = reference.complete(tokens)
        if not answer:
            continue
        ids = [token for token, _ in answer]
        scores = ours.ask({"tokens": tokens + ids, "decode_from": len(tokens) - 1})
        for at, (token, logprob) in enumerate(answer, len(tokens) - 1):
            pair.add(scores["logprobs"][at], logprob, scores["best"][at], token, scores["gap"][at])
    return pair.result()


def three_way(ours, prompts, llama, exact):
    """The continuations of llama.cpp, scored by all three: {"exact": ours against NumPy, "llama.cpp": .., "peer": llama.cpp against NumPy}."""
    pairs = {"exact": Pair(), "llama.cpp": Pair(), "peer": Pair()}
    token_differences = 0
    for prompt in prompts:
        tokens = llama.tokenize(prompt)
        token_differences += tokens != ours.ask({"text": prompt})["tokens"]
        answer = llama.complete(tokens)
        if not answer:
            continue
        ids = [token for token, _ in answer]
        scores = ours.ask({"tokens": tokens + ids, "decode_from": len(tokens) - 1})
        rows = exact.logprobs(tokens + ids, len(tokens))
        for i, (token, logprob) in enumerate(answer):
            at = len(tokens) + i - 1
            second, first = sorted(rows[i])[-2:]
            true, best = rows[i][token], int(rows[i].argmax())
            pairs["exact"].add(scores["logprobs"][at], true, scores["best"][at], best, first - second)
            pairs["llama.cpp"].add(scores["logprobs"][at], logprob, scores["best"][at], token, scores["gap"][at])
            pairs["peer"].add(logprob, true, token, best, first - second)
    return {"tokenization_differences": token_differences, **{name: pair.result() for name, pair in pairs.items()}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="./dev quality")
    parser.add_argument("models", nargs="*")
    parser.add_argument("--peer-dir", help="a directory of llama.cpp programs that are already built")
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--tokens", type=int, default=20000, help="of WikiText-2 for the perplexity")
    arguments = parser.parse_args()
    if arguments.peer_dir:
        os.environ["SQUISH_PEER_DIR"] = arguments.peer_dir
    names = [name for name in arguments.models if name != "stories15m"]
    found = models.find(names) if names or not arguments.models else []
    programs = peers.build(found[0][2]) if found else None
    rows = []
    for _, title, path in found:
        ours = Ours(path)
        llama = Llama(programs, path)
        row = {"model": title, **three_way(ours, [*PROMPTS, long_prompt()], llama, numpy_gguf.Reference(path))}
        llama.close()
        text = DATA / "text" / "wiki.test.raw"
        if text.exists():
            chunks = arguments.tokens // 512
            row["perplexity"] = ours.ask({"perplexity": str(text), "context": 512, "tokens_max": chunks * 512})["perplexity"]
            row["peer_perplexity"] = llama_perplexity(programs, path, text, chunks)
        ours.close()
        rows.append(row)
        print(f"measured {title}", file=sys.stderr)
    if not arguments.models or "stories15m" in arguments.models:
        rows += stories15m()
    print_table(rows)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(rows, indent=1) + "\n")


def stories15m():
    directory = models.DIRECTORY / "stories15m"
    if not directory.exists():
        print(f"skipped stories15m: {directory} is not there", file=sys.stderr)
        return []
    import numpy_llama
    reference = numpy_llama.Reference(directory, GENERATE)
    ours = Ours(directory)
    row = {"model": "stories15M F32", "exact": agreement(ours, numpy_llama.PROMPTS, reference)}
    ours.close()
    return [row]


def print_table(rows):
    print("| model | compared | positions | same greedy token | gap where different | mean abs. difference of log p | 99 % below | perplexity (ours / llama.cpp) |")
    print("|---|---|---|---|---|---|---|---|")
    titles = {"exact": "**ours – NumPy**", "peer": "llama.cpp – NumPy", "llama.cpp": "ours – llama.cpp"}
    for row in rows:
        perplexity = "–"
        if "perplexity" in row:
            change = 100 * (row["perplexity"] / row["peer_perplexity"] - 1)
            perplexity = f"{row['perplexity']:.4f} / {row['peer_perplexity']:.4f} ({change:+.2f} %)"
        for name, title in titles.items():
            if name not in row:
                continue
            pair = row[name]
            print(f"| {row['model'] if name == 'exact' else ''} | {title} | {pair['positions']} | {pair['same']} "
                  f"({100 * pair['same'] / pair['positions']:.1f} %) | at most {pair['largest_gap_where_different']:.3f} "
                  f"| {pair['mean_logprob_difference']:.4f} | {pair['p99_logprob_difference']:.3f} | {perplexity if name == 'exact' else ''} |")


if __name__ == "__main__":
    main()
