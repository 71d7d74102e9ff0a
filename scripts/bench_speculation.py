#!/usr/bin/env python3
"""How much guessed tokens gain or cost: one server, the same greedy requests with and without, A B A B.

usage: scripts/bench_speculation.py [--program build/release/squish] [--tokens 128] [--rounds 5] [--threads N] [MODEL...]
Prints the ratio of the median times for each prompt, with the lowest and highest ratio of a round, and as JSON.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import tempfile
import time
import urllib.request

import models

CODE = "".join(f"def area_of_shape_{i}(width, height):\n    return width * height * {i + 1}\n\n" for i in range(6))
PROMPTS = {
    "copy code": f"Repeat the file without changes.\n\n```python\n{CODE}```\n\nThe same file again:\n\n```python\n{CODE[:90]}",
    "edit code": f"Rename `width` to `w` in this file.\n\n```python\n{CODE}```\n\nThe file with `w`:\n\n```python\ndef area_of_shape_0(w, height",
    "list": "Names: Anna, Ben, Clara, David, Emma.\nAnna likes apples. Ben likes apples. Clara likes",
    "story": "Once upon a time, in a village by the sea, there lived an old fisherman who",
    "essay": "The main causes of the First World War were",
    "code": "import sqlite3\n\nclass Inventory:\n    \"\"\"Items and how many of each there are.\"\"\"\n",
}


class Server:
    def __init__(self, program, model, threads):
        self.log = tempfile.NamedTemporaryFile("w+")
        command = [program, "serve", str(model), "--port", "0", "--no-color"] + (["--threads", str(threads)] if threads else [])
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        while not (found := re.search(r"listening +(\S+)", open(self.log.name).read())):
            assert self.process.poll() is None, open(self.log.name).read()
            time.sleep(0.05)
        self.base = found.group(1)

    def time(self, prompt, tokens, speculate):
        body = dict(prompt=prompt, max_tokens=tokens, temperature=0, ignore_eos=True, speculate=speculate)
        request = urllib.request.Request(f"{self.base}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
        begin = time.perf_counter()
        with urllib.request.urlopen(request, timeout=600) as reply:
            answer = json.load(reply)
        return time.perf_counter() - begin, answer["choices"][0]["text"]

    def counts(self):
        with urllib.request.urlopen(f"{self.base}/v1/metrics") as reply:
            text = reply.read().decode()
        return [float(re.search(rf"^squish_spec_{kind}_tokens_total (\S+)", text, re.M).group(1)) for kind in ("drafted", "accepted")]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=os.fspath(models.ROOT / "build/release/squish"))
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("models", nargs="*")
    arguments = parser.parse_args()
    rows = []
    for name, title, path in models.find(arguments.models):
        server = Server(arguments.program, path, arguments.threads)
        try:
            for prompt, text in PROMPTS.items():
                server.time(text, arguments.tokens, True)  # the prompt is in the cache, times of steps are known
                before = server.counts()
                pairs = []
                for _ in range(arguments.rounds):
                    plain, plain_text = server.time(text, arguments.tokens, False)
                    guessed, guessed_text = server.time(text, arguments.tokens, True)
                    assert guessed_text == plain_text, (name, prompt)
                    pairs.append((plain, guessed))
                drafted, accepted = (after - early for after, early in zip(server.counts(), before))
                ratios = sorted(plain / guessed for plain, guessed in pairs)
                rows.append(dict(
                    model=name, prompt=prompt, ratio=round(statistics.median(ratios), 3), low=round(ratios[0], 3), high=round(ratios[-1], 3),
                    drafted=drafted / arguments.rounds, accepted=accepted / arguments.rounds,
                    plain_tokens_per_s=round(arguments.tokens / statistics.median(plain for plain, _ in pairs), 1),
                ))
                row = rows[-1]
                print(f"{title:32} {prompt:10} {row['ratio']:6.2f}x [{row['low']:.2f} {row['high']:.2f}]  drafted {row['drafted']:.0f}, "
                      f"right {row['accepted']:.0f} of {arguments.tokens}", flush=True)
        finally:
            server.process.terminate()
            server.process.wait()
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
