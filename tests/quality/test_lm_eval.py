"""The real lm-eval package, given our log-likelihoods, must ask what we ask and choose what we choose."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

from squish_program import MODELS, model_or_skip

ORACLE = pathlib.Path(__file__).with_name("lm_eval_oracle.py")
PYTHON = os.environ.get("SQUISH_LM_EVAL_PYTHON", sys.executable)
VERSION = "0.4.13"
TASKS = ["arc_easy", "arc_challenge", "hellaswag", "winogrande", "piqa", "openbookqa"]
SUBJECTS = ["abstract_algebra", "virology"]


@pytest.fixture(scope="session")
def oracle():
    """Runs lm-eval. It brings some 700 MB of packages, so that it is no requirement of the tests."""
    code = "import importlib.metadata as m; import lm_eval; print(m.version('lm_eval'))"
    found = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True)
    if found.returncode != 0:
        pytest.skip(f"lm-eval is not installed (pip install lm-eval=={VERSION}; SQUISH_LM_EVAL_PYTHON names a Python that has it)")

    def run(data, dump, tasks, limit, fewshot):
        out = subprocess.run([PYTHON, ORACLE, data, dump, "--tasks", ",".join(tasks), "--limit", str(limit), "--fewshot", str(fewshot)],
                             capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"})
        assert out.returncode == 0, out.stderr[-3000:]
        return json.loads(out.stdout.splitlines()[-1])

    return run


def differences(dump, samples):
    """(questions, those that lm-eval and squish judge differently)."""
    ours = {}
    for line in dump.read_text(encoding="utf-8").rstrip("\n").split("\n"):
        entry = json.loads(line)
        if entry["choice"] == 0:
            ours[entry["context"], entry["continuation"]] = entry
    count = wrong = 0
    for entries in samples.values():
        for entry in entries:
            mine = ours[entry["context"], entry["continuation"]]
            count += 1
            wrong += mine["acc"] != bool(entry["acc"])
            if entry["acc_norm"] is not None:
                wrong += mine["acc_norm"] != bool(entry["acc_norm"])
    return count, wrong


def check(squish, oracle, model, data, directory, limit, fewshot):
    dump = directory / "dump.jsonl"
    report = squish.json("eval", model, "--tasks", ",".join([*TASKS, "mmlu"]), "--limit", limit, "--fewshot", fewshot, "--data", data,
                         "--max-length", 2000, "--dump-loglikelihood", dump, timeout=1800)
    theirs = oracle(data, dump, [*TASKS, *(f"mmlu_{subject}" for subject in SUBJECTS)], limit, fewshot)
    count, wrong = differences(dump, theirs["samples"])
    assert count == limit * (len(TASKS) + len(SUBJECTS))
    assert wrong == 0
    for task in TASKS:
        mine, other = report["raw_results"][task], theirs["results"][task]
        assert mine["questions"] == limit
        for metric in ("acc", "acc_norm"):
            if f"{metric},none" in other:
                assert mine[metric] == pytest.approx(other[f"{metric},none"], abs=1e-6)


@pytest.mark.parametrize("fewshot", [0, 3])
def test_every_task_is_asked_and_scored_as_lm_eval_does(squish, oracle, tiny_model, data_with_examples, tmp_path, fewshot):
    check(squish, oracle, tiny_model, data_with_examples, tmp_path, 100 if fewshot == 0 else 20, fewshot)


def test_a_model_or_skip_chooses_the_same_answers(squish, oracle, data, tmp_path):
    model = model_or_skip("SmolLM2-135M-Instruct.Q4_1.gguf")
    dump = tmp_path / "dump.jsonl"
    report = squish.json("eval", model, "--tasks", "arc_easy,winogrande", "--limit", 100, "--data", data, "--dump-loglikelihood", dump)
    theirs = oracle(data / "eval", dump, ["arc_easy", "winogrande"], 100, 0)
    assert differences(dump, theirs["samples"]) == (200, 0)
    other = theirs["results"]["arc_easy"]
    assert report["raw_results"]["arc_easy"]["acc"] == pytest.approx(other["acc,none"], abs=1e-6)
    assert report["raw_results"]["arc_easy"]["acc_norm"] == pytest.approx(other["acc_norm,none"], abs=1e-6)


@pytest.mark.parametrize("name, family, bos", [("Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf", "qwen2_5", None),
                                               ("gemma-3-270m.Q4_K_M.gguf", "gemma3", "<bos>")])
def test_requests_are_encoded_as_lm_eval_encodes_them(squish, data, tmp_path, name, family, bos):
    """lm-eval's split of a context and its continuation, with the family's own tokenizer.json."""
    tokenizers = pytest.importorskip("tokenizers")
    file = MODELS / "tokenizers" / family / "tokenizer.json"
    if not file.exists():
        pytest.skip(f"{file} is absent")
    tokenizer = tokenizers.Tokenizer.from_file(str(file))
    first = [] if bos is None else [tokenizer.token_to_id(bos)]

    def encode(text):
        return first + tokenizer.encode(text, add_special_tokens=False).ids

    dump = tmp_path / "dump.jsonl"
    squish.json("eval", model_or_skip(name), "--tasks", ",".join([*TASKS, "mmlu"]), "--limit", 4, "--data", data, "--dump-loglikelihood", dump,
                timeout=1800)
    lines = [json.loads(line) for line in dump.read_text(encoding="utf-8").rstrip("\n").split("\n")]
    assert len(lines) > 4 * 6 * 2
    for line in lines:
        context = line["context"].rstrip()
        continuation = line["context"][len(context):] + line["continuation"]
        alone, whole = encode(context), encode(context + continuation)
        assert line["scored"] == len(whole) - len(alone)
        assert line["tokens"] == alone + whole[len(alone):], line["context"]
