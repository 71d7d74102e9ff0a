"""Our chat templates against transformers: the same text, or both an error, for every template and conversation.

SQUISH_BUILD_DIR  where tests/templates/render_template is (default build/release)
"""
import json
import os
import pathlib
import subprocess
from datetime import datetime

import pytest

import conversations

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEMPLATES = ROOT.parent / "shared/data/templates"
BUILD = ROOT / os.environ.get("SQUISH_BUILD_DIR", "build/release")
PROGRAM = BUILD / "tests/templates/render_template"
NOW = datetime(2026, 7, 4, 8, 5, 9)
NOW_SECONDS = 1783152309

pytestmark = [
    pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built"),
    pytest.mark.skipif(not TEMPLATES.is_dir(), reason=f"{TEMPLATES} is absent"),
]


def inputs():
    """Every conversation with and without tools and generation prompt; the extras go with a few of them."""
    for name, messages in conversations.CONVERSATIONS.items():
        for tools in (None, conversations.TOOLS):
            for prompt in (True, False):
                extras = conversations.EXTRAS if name in WITH_EXTRAS else ["none", "thinking on", "thinking off"]
                for extra in extras:
                    yield {"name": f"{name}, tools={bool(tools)}, prompt={prompt}, {extra}", "messages": messages,
                           "tools": tools, "add_generation_prompt": prompt, "extra": conversations.EXTRAS[extra]}


WITH_EXTRAS = {"user", "system and user", "multi turn", "think in content", "reasoning content", "tool turn, dict",
               "tool turn and answer", "two rounds of calls", "parts"}


@pytest.fixture(scope="module")
def oracle():
    """Renders as transformers' tokenizers do. Its clock stands still."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    from transformers.utils import chat_template_utils

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return NOW

    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer(tokenizers.models.BPE()), bos_token="<s>", eos_token="</s>")
    before = chat_template_utils.datetime
    chat_template_utils.datetime = Clock
    yield lambda source, case: tokenizer.apply_chat_template(
        case["messages"], tools=case["tools"], chat_template=source, tokenize=False,
        add_generation_prompt=case["add_generation_prompt"], **case["extra"])
    chat_template_utils.datetime = before


def ours(path, cases):
    jobs = [{"template_path": str(path), "bos_token": "<s>", "eos_token": "</s>", "now": NOW_SECONDS,
             **{key: case[key] for key in ("messages", "tools", "add_generation_prompt", "extra")}} for case in cases]
    done = subprocess.run([str(PROGRAM)], input="".join(json.dumps(job) + "\n" for job in jobs), text=True,
                          encoding="utf-8", capture_output=True, timeout=300, env={**os.environ, "TZ": "UTC"})
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.split("\n")[:-1]]
    assert len(answers) == len(jobs)
    return answers


def difference(expected, error, answer):
    """What is wrong with our answer, or None."""
    if error is None:
        if not answer["ok"]:
            return f"ours fails: {answer['error']}"
        if answer["text"] != expected:
            return f"texts differ:\n  theirs {expected!r}\n  ours   {answer['text']!r}"
        return None
    if answer["ok"]:
        return f"theirs fails ({type(error).__name__}: {error}), ours gives {answer['text']!r}"
    # raise_exception gives a bare TemplateError: its words must reach the user.
    if type(error).__name__ == "TemplateError" and str(error).replace("\n", " ") not in answer["error"]:
        return f"ours says {answer['error']!r} for {error!r}"
    return None


TOTALS = {"templates": 0, "cases": 0, "rendered": 0, "refused": 0, "different": 0}


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.jinja")) if TEMPLATES.is_dir() else [], ids=lambda p: p.stem)
def test_renders_as_transformers_does(path, oracle):
    source = path.read_text(encoding="utf-8")
    cases = list(inputs())
    TOTALS["templates"] += 1
    differences = []
    for case, answer in zip(cases, ours(path, cases)):
        expected, error = None, None
        try:
            expected = oracle(source, case)
        except Exception as raised:  # any kind: what fails there must fail here
            error = raised
        TOTALS["cases"] += 1
        TOTALS["rendered" if error is None else "refused"] += 1
        wrong = difference(expected, error, answer)
        if wrong:
            TOTALS["different"] += 1
            differences.append(f"{case['name']}: {wrong}")
    assert not differences, f"{len(differences)} of {len(cases)} cases differ\n" + "\n".join(differences[:5])


def test_the_whole_matrix_was_compared():
    """The figure of the run; last, so that it sees all of them."""
    if TOTALS["templates"] < len(list(TEMPLATES.glob("*.jinja"))):
        pytest.skip("only a part of the templates was selected")
    print(f"\nchat templates: {TOTALS}")
    assert TOTALS["cases"] == TOTALS["templates"] * len(list(inputs()))
    assert TOTALS["rendered"] > TOTALS["refused"]
    assert TOTALS["different"] == 0
