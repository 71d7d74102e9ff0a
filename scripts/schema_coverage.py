"""How much of JSON Schema constrained answers hold to: compiles the schemas of two corpora, draws texts from the masks and validates
them with Python's jsonschema. Writes the table of docs/structured-output.md. Run by ./dev schema-coverage [--limit N] [--model FILE]."""
import argparse
import collections
import gzip
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from exact_validator import exact_validator  # noqa: E402
from shared_folder import HOW, SHARED  # noqa: E402

DATA = SHARED / "data" / "json"
MODELS = pathlib.Path(os.environ.get("SQUISH_TEST_MODELS", pathlib.Path.home() / ".cache" / "squish-test-models"))
BUILD = pathlib.Path(os.environ.get("SQUISH_BUILD_DIR", ROOT / "build" / "release"))
DOCUMENT = ROOT / "docs" / "structured-output.md"
OUTPUTS = 3  # texts drawn from each schema
MARKS = "<!-- coverage: ./dev schema-coverage -->", "<!-- end -->"


def corpus(name, limit):
    path = DATA / f"{name}.jsonl.gz"
    if not path.exists():
        sys.exit(f"schema-coverage: {path} is not there; {HOW}")
    with gzip.open(path, "rt") as file:
        rows = [json.loads(line) for line in file]
    # Spread over the whole file: it is ordered by origin.
    step = max(1, len(rows) // limit) if limit else 1
    return rows[::step]


def reason(message):
    """The keyword of a refusal, or the rest of the message without places and values."""
    found = re.search(r"the keyword (\S+) is not supported", message)
    if found:
        return f"`{found[1]}`" + (" beside " + message.split(" beside ")[1] if " beside " in message else "")
    text = re.sub(r"^schema \S+: ", "", message)
    return re.sub(r"\d+|#\S*|\$ref \S+", "...", text)[:90]


def is_valid(validator, text):
    try:
        return validator.is_valid(json.loads(text))
    except (ValueError, RecursionError):
        return False


def measure(rows, model):
    """One run of the program over a corpus."""
    lines = []
    for number, row in enumerate(rows):
        tests = [json.dumps(test["data"], ensure_ascii=False) for test in row.get("tests", [])][:20]
        lines.append(json.dumps({"id": number, "schema": row["schema"], "outputs": OUTPUTS, "seed": number, "tests": tests}))
    answers, begin = [], time.monotonic()
    with tempfile.TemporaryFile("w+") as questions:
        questions.write("\n".join(lines) + "\n")
        questions.seek(0)
        with subprocess.Popen([BUILD / "tests" / "grammar" / "constrain_lines", model], stdin=questions, stdout=subprocess.PIPE, text=True) as program:
            for line in program.stdout:
                answers.append(json.loads(line))
                if len(answers) % 50 == 0:
                    print(f"{len(answers)} of {len(rows)} schemas after {time.monotonic() - begin:.0f} s", file=sys.stderr)
    if program.returncode:
        # With its number: the schema that ends the program is a bug of ours.
        sys.exit(f"constrain_lines ended with {program.returncode} at schema {len(answers)}: {json.dumps(rows[min(len(answers), len(rows) - 1)]['schema'])[:500]}")
    return answers


def judge(rows, answers):
    count, refused, invalid, compile_ms = collections.Counter(), collections.Counter(), [], []
    for row, answer in zip(rows, answers):
        if "error" in answer:
            count["refused"] += 1
            refused[reason(answer["error"])] += 1
            if "takes longer" in answer["error"]:
                print(f"SLOW {row['file']}: {len(json.dumps(row['schema']))} bytes", file=sys.stderr)
            continue
        count["compiled"] += 1
        compile_ms.append(answer["compile_ms"])
        if answer["compile_ms"] > 5000:
            print(f"{answer['compile_ms']:.0f} ms {row['file']}: {len(json.dumps(row['schema']))} bytes", file=sys.stderr)
        validator = exact_validator(row["schema"])
        for text in answer["outputs"]:
            if text is None:
                count["cut"] += 1
            elif is_valid(validator, text):
                count["valid"] += 1
            else:
                count["invalid"] += 1
                invalid.append((row["file"], text))
        for test, accepted in zip(row.get("tests", []), answer["accepted"]):
            # A valid text in another order, or with names of its own, may be refused; an invalid one must be.
            if accepted and not test["valid"]:
                print(f"ALLOWED {row['file']}: {json.dumps(test['data'])[:300]}", file=sys.stderr)
            count[("true " if test["valid"] else "false ") + ("accepted" if accepted else "rejected")] += 1
    return count, refused, invalid, sorted(compile_ms)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=0, help="about as many schemas of each corpus")
    parser.add_argument("--model", default=MODELS / "Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf")
    parser.add_argument("--dry-run", action="store_true", help="print the table only")
    arguments = parser.parse_args()
    table = ["| corpus | schemas | compiled | refused by name | outputs drawn | valid | cut | **invalid** | valid instances allowed | invalid instances allowed | compile p50, p99 |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]
    reasons, failures, masks = collections.Counter(), [], []
    for name in ("schemabench", "maskbench"):
        rows = corpus(name, arguments.limit)
        *answers, times = measure(rows, arguments.model)
        count, refused, invalid, compile_ms = judge(rows, answers)
        reasons += refused
        failures += invalid
        masks.append((name, times))
        at = lambda share: f"{compile_ms[int(share * (len(compile_ms) - 1))]:.0f}" if compile_ms else "-"
        drawn = count["valid"] + count["cut"] + count["invalid"]
        table.append(f"| {name} | {len(rows)} | {count['compiled']} | {count['refused']} | {drawn} | {count['valid']} | {count['cut']} | {count['invalid']} "
                     f"| {count['true accepted']} of {count['true accepted'] + count['true rejected']} "
                     f"| {count['false accepted']} of {count['false accepted'] + count['false rejected']} | {at(.5)}, {at(.99)} ms |")
    table += ["", "| refused because of | schemas |", "|---|---|"] + [f"| {why} | {n} |" for why, n in reasons.most_common(25)]
    table += [""] + [f"Masks at {t['vocabulary']:,} tokens, {name}: {t['masks']:,} computed, p50 {t['p50_us']:.0f} µs, p99 {t['p99_us']:.0f} µs, longest {t['max_us'] / 1000:.1f} ms of processor time." for name, t in masks]
    text = "\n".join(table)
    print(text)
    for file, output in failures[:40]:
        print(f"INVALID {file}: {output[:300]!r}", file=sys.stderr)
    if not arguments.dry_run:
        document = DOCUMENT.read_text()
        before, rest = document.split(MARKS[0])
        DOCUMENT.write_text(before + MARKS[0] + "\n" + text + "\n" + MARKS[1] + rest.split(MARKS[1])[1])
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
