"""The template language against Jinja: the golden cases are what Jinja gives, and str methods agree on all of Unicode.

SQUISH_BUILD_DIR  where tests/templates/render_template is (default build/release)
"""
import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("SQUISH_BUILD_DIR", "build/release")
PROGRAM = BUILD / "tests/templates/render_template"


def test_golden_cases_are_what_jinja_gives():
    pytest.importorskip("transformers")
    pytest.importorskip("jinja2")
    import make_language_cases

    golden = json.loads(make_language_cases.PATH.read_text(encoding="utf-8"))
    fresh = make_language_cases.document()
    assert len(golden["cases"]) == len(fresh["cases"]), "run make_language_cases.py"
    changed = [(old, new) for old, new in zip(golden["cases"], fresh["cases"])
               if old.get("text") != new.get("text") or old["template"] != new["template"]]
    assert not changed, f"run make_language_cases.py: {changed[:3]}"


EXPRESSIONS = {
    "upper": str.upper, "lower": str.lower, "title": str.title, "capitalize": str.capitalize, "swapcase": str.swapcase,
    "isalpha": str.isalpha, "isdigit": str.isdigit, "isdecimal": str.isdecimal, "isnumeric": str.isnumeric,
    "isalnum": str.isalnum, "isspace": str.isspace, "isupper": str.isupper, "islower": str.islower,
    "isprintable": str.isprintable, "strip": str.strip, "split": str.split, "splitlines": str.splitlines,
}


@pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built")
@pytest.mark.parametrize("method", EXPRESSIONS)
def test_str_methods_agree_on_every_code_point(method):
    import unicodedata

    # Unassigned code points are left out: they change with the version of Unicode that Python has.
    points = [chr(p) for p in range(0x110000) if unicodedata.category(chr(p)) not in ("Cn", "Cs", "Co")]
    texts = [f"a{c}b{c}" if method in ("strip", "split", "splitlines") else c for c in points]
    job = {"template": "{% for c in texts %}{{ c." + method + "()|tojson }}\n{% endfor %}",
           "messages": [{"role": "user", "content": ""}], "extra": {}}
    jobs = [{**job, "extra": {"texts": texts[i:i + 20000]}} for i in range(0, len(texts), 20000)]
    done = subprocess.run([str(PROGRAM)], input="".join(json.dumps(j) + "\n" for j in jobs), text=True,
                          encoding="utf-8", capture_output=True, timeout=300)
    ours = []
    for line in done.stdout.split("\n")[:-1]:
        answer = json.loads(line)
        assert answer["ok"], answer
        ours += answer["text"].split("\n")[:-1]
    assert len(ours) == len(texts)
    theirs = [json.dumps(EXPRESSIONS[method](text), ensure_ascii=False) for text in texts]
    different = [(hex(ord(c)), a, b) for c, a, b in zip(points, theirs, ours) if a != b]
    assert not different, f"{len(different)} code points differ: {different[:10]}"
