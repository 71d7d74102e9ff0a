"""Speed of Squish, and of its peers in the same run: ./dev bench [--peers] [--threads 1,2] [--repeat 5] [--json FILE] [MODEL ...]

For each model and thread count it alternates Squish and llama.cpp (A B A B ...), each as a whole process: prompt processing of
512 tokens (--prompt), generation of 128, process start to first token of a 20-token prompt with a warm page cache, and peak memory.
Prints medians, the spread (lowest to highest) and the ratios; --sequences 1,4,8 adds several answers at a time, --depths 8192 decode
with so many tokens before it; --compare FILE prints the change against an earlier --json. --isa avx2 keeps both programs to what
another machine has.

Before a model is measured its file is dropped from the page cache and read back by a mapping that asks for huge pages, so that both
programs find what a first start after a boot would leave, and not the small pieces in which a file was copied: that alone is 20 to 40 %
of decode (docs/performance.md). --as-cached leaves the cache as it is.
"""
import argparse
import json
import mmap
import os
import pathlib
import statistics
import subprocess
import sys
import time

import models
import peers

SQUISH = models.ROOT / "build" / "release" / "squish"
MADV_POPULATE_READ = 22
TOGETHER_PROMPT, TOGETHER_TOKENS = 16, 96  # of each of several answers at a time
# About 20 tokens for each of the four vocabularies.
ISA = []  # flags of Squish for --isa
SHORT_PROMPT = "Write one short sentence about the sea, the wind and the old harbour at night, please."


def settle_page_cache(path):
    """Huge pages where the kernel and the file system have them; on others the file is merely in the cache."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            try:
                mapped.madvise(mmap.MADV_HUGEPAGE)
                mapped.madvise(MADV_POPULATE_READ)
            except OSError:
                pass
        while file.read(1 << 24):
            pass


def timed(command):
    """(stdout, seconds, peak resident bytes) of one process."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    out, err = process.communicate()
    seconds = time.monotonic() - start
    if process.returncode != 0:
        sys.exit(f"bench: {' '.join(map(str, command))} failed ({process.returncode}): {err.decode()[-500:]}")
    return out.decode(), seconds


def peak_bytes(command):
    """Peak resident memory, from GNU-time-like accounting of a child of a child."""
    code = ("import resource,subprocess,sys;"
            "subprocess.run(sys.argv[1:],stdout=subprocess.DEVNULL,stderr=subprocess.DEVNULL,stdin=subprocess.DEVNULL,check=True);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss*1024)")
    return int(subprocess.run([sys.executable, "-c", code, *map(str, command)], capture_output=True, text=True, check=True).stdout)


def squish_speed(model, threads, prompt, generate):
    out, _ = timed([SQUISH, "bench", model, *ISA, "--threads", str(threads), "--prompt", str(prompt), "--generate", str(generate),
                    "--repeat", "1", "--json"])
    result = json.loads(out)
    return result["prompt"]["tokens_per_second"], result["generate"]["tokens_per_second"], result


def llama_speed(programs, model, threads, prompt, generate):
    out, _ = timed([programs / "llama-bench", "-m", model, "-t", str(threads), "-p", str(prompt), "-n", str(generate), "-r", "1", "-o", "json"])
    rows = json.loads(out)
    prompt_row = next(row for row in rows if row["n_prompt"] > 0)
    decode_row = next(row for row in rows if row["n_gen"] > 0)
    return prompt_row["avg_ts"], decode_row["avg_ts"]


def squish_together(model, threads, sequences):
    out, _ = timed([SQUISH, "bench", model, *ISA, "--threads", str(threads), "--prompt", "0", "--generate", str(TOGETHER_TOKENS), "--depth", str(TOGETHER_PROMPT),
                    "--sequences", str(sequences), "--repeat", "1", "--json"])
    return json.loads(out)["generate"]["tokens_per_second"]


def llama_together(programs, model, threads, sequences):
    out, _ = timed([programs / "llama-batched-bench", "-m", model, "-t", str(threads), "-npp", str(TOGETHER_PROMPT), "-ntg", str(TOGETHER_TOKENS),
                    "-npl", str(sequences), "-c", str(sequences * (TOGETHER_PROMPT + TOGETHER_TOKENS)), "--output-format", "jsonl"])
    return json.loads([line for line in out.splitlines() if line.startswith("{")][-1])["speed_tg"]


def squish_at_depth(model, threads, depth):
    out, _ = timed([SQUISH, "bench", model, *ISA, "--threads", str(threads), "--prompt", "0", "--generate", "32", "--depth", str(depth),
                    "--context", str(depth + 64), "--repeat", "1", "--json"])
    return json.loads(out)["generate"]["tokens_per_second"]


def llama_at_depth(programs, model, threads, depth):
    out, _ = timed([programs / "llama-bench", "-m", model, "-t", str(threads), "-p", "0", "-n", "32", "-d", str(depth), "-r", "1",
                    "--no-warmup", "-o", "json"])
    return json.loads(out)[0]["avg_ts"]


def squish_first_token(model, threads):
    _, seconds = timed([SQUISH, "run", model, SHORT_PROMPT, *ISA, "--no-template", "--max-tokens", "1", "--temperature", "0", "--threads", str(threads)])
    return seconds * 1000


def llama_first_token(programs, model, threads):
    _, seconds = timed([programs / "llama-bench", "-m", model, "-t", str(threads), "-p", "20",
                        "-n", "0", "-r", "1", "--no-warmup"])
    return seconds * 1000


def measure_pair(repeat, programs, ours, theirs):
    """Tokens a second of both programs in turns, where there is a peer."""
    rows = {"squish": [], "llama.cpp": []}
    for _ in range(repeat):
        rows["squish"].append(ours())
        if programs:
            rows["llama.cpp"].append(theirs())
    return {program: spread(values) for program, values in rows.items() if values}


def print_more(results):
    """Rows of answers at a time and of long contexts, where any were measured."""
    for result in results:
        for what, figures in result.get("more", {}).items():
            text = "; ".join(f"{program} {figures[program]['median']:.1f} ({figures[program]['low']:.1f} to {figures[program]['high']:.1f})" for program in figures)
            ratio = f", {figures['squish']['median'] / figures['llama.cpp']['median']:.2f}x" if "llama.cpp" in figures else ""
            print(f"- {result['model']}, {result['threads']} threads, {what}, tok/s of all: {text}{ratio}")


def spread(values):
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "runs": len(values)}


def measure(name, path, threads, repeat, programs, prompt_tokens):
    rows = {"squish": {"prompt": [], "decode": [], "first": []}, "llama.cpp": {"prompt": [], "decode": [], "first": []}}
    detail = {}
    for _ in range(repeat):
        prompt, decode, detail = squish_speed(path, threads, prompt_tokens, 128)
        rows["squish"]["prompt"].append(prompt)
        rows["squish"]["decode"].append(decode)
        if programs:
            prompt, decode = llama_speed(programs, path, threads, prompt_tokens, 128)
            rows["llama.cpp"]["prompt"].append(prompt)
            rows["llama.cpp"]["decode"].append(decode)
        rows["squish"]["first"].append(squish_first_token(path, threads))
        if programs:
            rows["llama.cpp"]["first"].append(llama_first_token(programs, path, threads))
    result = {"model": name, "threads": threads, "memory_share": detail["memory_share"], "open_ms": detail["open_ms"],
              "memory_gb_s": detail["memory_bytes_per_second"] / 1e9, "backend": detail["backend"]}
    for program, figures in rows.items():
        if figures["prompt"]:
            result[program] = {key: spread(values) for key, values in figures.items()}
    result["squish"]["peak_mb"] = detail["peak_memory_bytes"] / 1e6
    if programs:
        result["llama.cpp"]["peak_mb"] = peak_bytes([programs / "llama-bench", "-m", path, "-t", str(threads), "-p", str(prompt_tokens), "-n", "32", "-r", "1"]) / 1e6
    return result


def cell(figures, key, digits=1):
    value = figures[key]
    return f"{value['median']:.{digits}f} ({value['low']:.{digits}f} to {value['high']:.{digits}f})"


def share(result):
    return f"{result['squish']['decode']['median']:.1f} tok/s is {100 * result['memory_share']:.0f} % of {result['memory_gb_s']:.1f} GB/s read"


def print_table(results, with_peers, prompt_tokens):
    print(f"| model | threads | program | prompt {prompt_tokens}, tok/s | decode 128, tok/s | start to first token, ms | peak MB |")
    print("|---|---|---|---|---|---|---|")
    for result in results:
        for program in ["squish", "llama.cpp"] if with_peers else ["squish"]:
            f = result[program]
            print(f"| {result['model']} | {result['threads']} | {program} | {cell(f, 'prompt')} | {cell(f, 'decode')} | {cell(f, 'first', 0)} | {f['peak_mb']:.0f} |")
        if with_peers:
            a, b = result["squish"], result["llama.cpp"]
            ratio = lambda key: a[key]["median"] / b[key]["median"]
            print(f"| | | **ratio** | **{ratio('prompt'):.2f}x** | **{ratio('decode'):.2f}x** | **{ratio('first'):.2f}x** | **{a['peak_mb'] / b['peak_mb']:.2f}x** |")


def compare(results, file):
    before = {(row["model"], row["threads"]): row for row in json.loads(pathlib.Path(file).read_text())["results"]}
    for row in results:
        old = before.get((row["model"], row["threads"]))
        if old:
            change = {key: row["squish"][key]["median"] / old["squish"][key]["median"] for key in ["prompt", "decode", "first"]}
            print(f"{row['model']}, {row['threads']} threads against {file}: " + ", ".join(f"{key} {value:.2f}x" for key, value in change.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="./dev bench")
    parser.add_argument("models", nargs="*", help="of " + ", ".join(models.MODELS))
    parser.add_argument("--peers", action="store_true", help="measure llama.cpp in the same run")
    parser.add_argument("--peer-dir", help="a directory of llama.cpp programs that are already built")
    parser.add_argument("--isa", default="", help="what both programs may use: " + ", ".join(peers.ISAS))
    parser.add_argument("--prompt", type=int, default=512, help="tokens of the prompt")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--sequences", default="", help="also so many answers at a time, e.g. 1,4,8")
    parser.add_argument("--depths", default="", help="also decode with so many tokens before it, e.g. 8192; once each")
    parser.add_argument("--as-cached", action="store_true", help="leave the page cache as it is")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--compare", help="a file written by --json before")
    arguments = parser.parse_args()
    if arguments.peer_dir:
        os.environ["SQUISH_PEER_DIR"] = arguments.peer_dir
    found = models.find(arguments.models)
    if not found:
        sys.exit("bench: no model to measure")
    ISA.extend(["--isa", arguments.isa] if arguments.isa else [])
    programs = peers.build(found[0][2], arguments.isa) if arguments.peers or arguments.peer_dir else None
    results = []
    for _, title, path in found:
        if not arguments.as_cached:
            settle_page_cache(path)
        for threads in map(int, arguments.threads.split(",")):
            results.append(measure(title, path, threads, arguments.repeat, programs, arguments.prompt))
            for sequences in filter(None, arguments.sequences.split(",")):
                figures = measure_pair(arguments.repeat, programs, lambda: squish_together(path, threads, sequences),
                                       lambda: llama_together(programs, path, threads, int(sequences)))
                results[-1].setdefault("more", {})[f"{sequences} answers at a time"] = figures
            for depth in filter(None, arguments.depths.split(",")):
                figures = measure_pair(1, programs, lambda: squish_at_depth(path, threads, int(depth)),
                                       lambda: llama_at_depth(programs, path, threads, int(depth)))
                results[-1].setdefault("more", {})[f"after {depth} tokens"] = figures
            print(f"measured {title}, {threads} threads", file=sys.stderr)
    print_table(results, programs is not None, arguments.prompt)
    print()
    for result in results:
        print(f"- {result['model']}, {result['threads']} threads: {share(result)}; open to ready {result['open_ms']:.1f} ms")
    print_more(results)
    if arguments.compare:
        compare(results, arguments.compare)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps({"results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
