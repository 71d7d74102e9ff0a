#!/usr/bin/env python3
"""Instructions of a fixed decode (bench/decode_steps.cpp), counted by callgrind, beside the kept figure. No clock is involved.

usage: scripts/instructions.py [--keep] [--functions N] PROGRAM
Prints the count, its ratio to bench/instructions.json, and where the instructions go. The instruction set is avx2, which callgrind
knows. Exit 1 when the tokens are not the kept ones or the count grew by more than 15 %; 77 (skipped) without valgrind or avx2.
--keep writes the figure. The kept one is of g++ 12; other compilers differ by some percent.
"""
import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

KEPT = pathlib.Path(__file__).resolve().parent.parent / "bench" / "instructions.json"
GROWTH_MAX = 1.15


def count(program, functions):
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory) / "callgrind.out"
        run = subprocess.run(["valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=steps", f"--callgrind-out-file={out}",
                              program, "avx2"], capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(f"instructions: {program} failed ({run.returncode}):\n{run.stdout[-500:]}{run.stderr[-1500:]}")
        total = int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M).group(1))
        table = subprocess.run(["callgrind_annotate", out], capture_output=True, text=True).stdout if functions else ""
    hash_text = re.search(r"tokens, ([0-9a-f]{16})", run.stdout).group(1)
    rows = re.findall(r"^ *([\d,]+) \( *([\d.]+)%\)\s+(?:\S*:)?(.+?)(?: \[.*)?$", table, re.M)
    return total, hash_text, [(share, name) for _, share, name in rows if name != "PROGRAM TOTALS"][:functions]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--functions", type=int, default=12)
    arguments = parser.parse_args()
    flags = pathlib.Path("/proc/cpuinfo").read_text() if pathlib.Path("/proc/cpuinfo").exists() else ""
    if not shutil.which("valgrind") or " avx2 " not in flags:
        print("instructions: skipped, valgrind or avx2 is missing")
        sys.exit(77)
    total, hash_text, rows = count(arguments.program, arguments.functions)
    for share, name in rows:
        print(f"{float(share):6.2f} %  {name[:110]}")
    if arguments.keep:
        KEPT.write_text(json.dumps({"instructions": total, "tokens": hash_text}, indent=1) + "\n")
        print(f"instructions: {total:,}, kept")
        return
    kept = json.loads(KEPT.read_text())
    ratio = total / kept["instructions"]
    print(f"instructions: {total:,}, {ratio:.3f} of the kept {kept['instructions']:,}")
    if hash_text != kept["tokens"]:
        sys.exit(f"instructions: the tokens are {hash_text}, kept are {kept['tokens']}: it did other work")
    if ratio > GROWTH_MAX:
        sys.exit(f"instructions: more than {GROWTH_MAX:.2f} of the kept figure; find out why, or keep the new one with --keep")


if __name__ == "__main__":
    main()
