"""Checks of the sources that no compiler makes: layers, lengths, leftovers, links. Run by CTest (label tidy) and ./dev lint."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# A folder may include itself and these; the order of the root CMakeLists.txt.
BELOW = {
    "base": set(),
    "cuda": {"base"},
    "tensor": {"base"},
    "kernels": {"base", "tensor"},
    "format": {"base", "tensor"},
    "text": {"base"},
    "model": {"base", "tensor", "kernels", "format", "text"},
    "engine": {"base", "tensor", "kernels", "format", "text", "model"},
    "grammar": {"base", "text", "engine"},
    "evaluate": {"base", "tensor", "kernels", "format", "text", "model"},
    "quant": {"base", "tensor"},
    "compress": {"base", "cuda", "tensor", "quant", "kernels", "format", "text", "model", "evaluate"},
    "hub": {"base", "tensor", "format"},
    "chat": {"base", "tensor", "kernels", "format", "text", "model", "engine", "grammar", "evaluate", "hub"},
    # The server says what files hold (/api/show), but runs nothing on them: no kernels.
    "server": {"base", "tensor", "format", "text", "model", "engine", "grammar", "hub", "chat"},
    "cli": {"quant", "compress", "server", "base", "tensor", "kernels", "format", "text", "model", "engine", "grammar", "evaluate", "hub", "chat"},
}
LINES_MAX, TEST_LINES_MAX, COLUMNS_MAX = 460, 720, 160
BANNED = {
    r"\bFIXME\b|\bXXX\b": "finish it or open an issue: TODO(#12)",
    r"\bTODO\b(?!\(#\d+\))": "TODO(#12) names its issue",
    r"\bstd::endl\b": "'\\n' does not flush",
    r"\bassert\(": "SQ_CHECK or SQ_DCHECK",
    r"\bthrow\b(?! *(std::bad_alloc|squish::CompilingStopped))": "return an Error",  # the second goes through xgrammar
    r"\bstrcpy\(|\bsprintf\(|\bgets\(": "std::string or fmt",
}
problems = []


def tracked(*patterns):
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *patterns], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in out.splitlines() if (ROOT / line).exists()]


def report(path, line, text):
    problems.append(f"{path.relative_to(ROOT)}:{line}: {text}")


def code_only(line):
    """Without string literals and the comment at its end."""
    return re.sub(r"//.*", "", re.sub(r'"(\\.|[^"\\])*"', '""', line))


def check_source(path):
    lines = path.read_text().splitlines()
    is_test = path.name.endswith("_test.cpp") or "testing" in path.parts
    if len(lines) > (TEST_LINES_MAX if is_test else LINES_MAX) and path.suffix != ".inc":
        report(path, len(lines), f"{len(lines)} lines; split where an idea splits")
    module = path.relative_to(ROOT / "src").parts[0] if ROOT / "src" in path.parents else None
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS_MAX and "R\"(" not in line:  # a regular expression stays in one piece
            report(path, number, f"{len(line)} columns")
        include = re.match(r'#include "(\w+)/', line)
        if include and module and include[1] in BELOW and include[1] != module and include[1] not in BELOW[module]:
            allowed = is_test and include[1] in {"tensor", "format"}
            if not allowed:
                report(path, number, f"{module} must not include {include[1]}")
        for pattern, advice in BANNED.items():
            if re.search(pattern, code_only(line)):
                report(path, number, f"'{re.search(pattern, code_only(line))[0]}': {advice}")


def check_document(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", line):
            if not re.match(r"\w+:", target) and not (path.parent / target).exists():
                report(path, number, f"link to {target}, which is not there")


for source in tracked("src/**", "fuzz/*.cpp", "bench/*.cpp", "tests/**/*.cpp"):
    if source.suffix in {".cpp", ".h", ".inl", ".def", ".cu", ".cuh"}:
        check_source(source)
for document in tracked("*.md", "docs/**/*.md"):
    check_document(document)
if problems:
    print("\n".join(problems))
    sys.exit(f"tidy: {len(problems)} problem{'s' if len(problems) > 1 else ''}")
print("tidy: nothing to complain about")
