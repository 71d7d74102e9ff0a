#!/usr/bin/env python3
"""Checks that the objects of the instruction-set files export their table getter and nothing else.

Those files are compiled with flags such as -mavx512f. An inline function that one of them exports as a weak symbol may be
the copy that the linker keeps for the whole program, which then faults on an older processor. So each object may define
one global symbol, <name>_table() of squish::cpu, squish::quant or squish::scan, and no weak one. In Release an offender may be inlined away: run it on a
Debug build too.

    scripts/weak_symbols.py [--nm NM] OBJECT...

Exit status: 0 all sterile, 1 not (one line each), 2 nm failed or nothing to check.
"""

import argparse
import re
import subprocess
import sys

GETTER = re.compile(r"squish::(cpu|quant|scan)::\w+_table\(\)")
# nm's letters: W, w, V, v weak; u unique across the program; other capitals are global.
WEAK = "WwVvu"
# Not code, so harmless: a pointer to the language's unwinder, and the address sanitizer's mark (both only in dev builds).
COMPILER_DATA = re.compile(r"DW\.ref\.__\w+_personality_v0|___asan_globals_registered")


def offences(nm: str, path: str) -> list[str]:
    """What is wrong with one object, as sentences."""
    listing = subprocess.run([nm, "--demangle", "--defined-only", path], check=True, capture_output=True, text=True)
    found = []
    getters = 0
    for line in listing.stdout.splitlines():
        match = re.fullmatch(r"[0-9a-f]* *(\S) (.+)", line.strip())
        if match is None:
            continue
        kind, name = match.groups()
        if COMPILER_DATA.fullmatch(name):
            continue
        if kind in WEAK:
            found.append(f"{path}: exports a weak symbol: {name}")
        elif kind == "T" and GETTER.fullmatch(name):
            getters += 1
        elif kind.isupper():
            found.append(f"{path}: exports a global symbol that is no table getter: {name}")
    if getters != 1:
        found.append(f"{path}: defines {getters} table getters, expected 1")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nm", default="nm", help="the nm of the target")
    parser.add_argument("objects", nargs="+", metavar="OBJECT")
    arguments = parser.parse_args()
    found = []
    for path in arguments.objects:
        try:
            found += offences(arguments.nm, path)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{path}: {arguments.nm} failed: {error}", file=sys.stderr)
            return 2
    for line in found:
        print(line)
    if not found:
        print(f"{len(arguments.objects)} objects export nothing but their table getters")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
