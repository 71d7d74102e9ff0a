"""lm-eval asks a running server over `local-completions` and chooses what `squish eval` chooses.

lm-eval brings some 450 MB of packages: ./dev clients installs it and runs this; else SQUISH_LM_EVAL_PYTHON names a Python that has it.
"""

import json
import os
import subprocess
import sys

import pytest
import yaml
from server_process import ServerProcess
from squish_program import MODELS, ROOT, Squish, model_or_skip

PYTHON = os.environ.get("SQUISH_LM_EVAL_PYTHON", sys.executable)
QUESTIONS = int(os.environ.get("SQUISH_TEST_LM_EVAL_QUESTIONS", "12"))
DATA = ROOT.parent / "shared" / "data" / "eval" / "arc_easy_test.jsonl"
TASK = {
    "task": "arc_easy_of_a_file",
    "dataset_path": "json",
    "output_type": "multiple_choice",
    "test_split": "test",
    "doc_to_text": "Question: {{question}}\nAnswer:",
    "doc_to_target": "gold",
    "doc_to_choice": "choices",
    "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")],
}


@pytest.fixture(scope="module")
def lm_eval(tmp_path_factory):
    """Runs lm-eval on the first questions; returns its results and its samples."""
    found = subprocess.run([PYTHON, "-c", "import lm_eval, transformers"], capture_output=True)
    if found.returncode:
        pytest.skip("lm-eval is not installed; ./dev clients installs it, SQUISH_LM_EVAL_PYTHON names a Python that has it")
    tokenizer = MODELS / "tokenizers" / "qwen2_5"
    for needed in (DATA, tokenizer):
        if not needed.exists():
            pytest.skip(f"{needed} is absent")
    folder = tmp_path_factory.mktemp("lm-eval")
    (folder / "task.yaml").write_text(yaml.safe_dump(TASK | {"dataset_kwargs": {"data_files": {"test": str(DATA)}}}))

    def run(server, **more):
        settings = {"model": "default", "base_url": f"{server.base}/v1/completions", "tokenizer": tokenizer, "tokenizer_backend": "huggingface"} | more
        words = ["-m", "lm_eval", "run", "--model", "local-completions", "--model_args", ",".join(f"{k}={v}" for k, v in settings.items())]
        words += ["--tasks", TASK["task"], "--include_path", folder, "--limit", str(QUESTIONS), "--output_path", folder / "out", "--log_samples", "--batch_size", "2"]
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "hf"), "OPENAI_API_KEY": server.key}
        done = subprocess.run([PYTHON, *words], env=environment, capture_output=True, text=True, timeout=1200)
        assert done.returncode == 0, done.stderr[-3000:]
        results = json.loads(max((folder / "out").rglob("results_*.json")).read_text())
        samples = [json.loads(line) for line in max((folder / "out").rglob("samples_*.jsonl")).read_text().splitlines()]
        return results["results"][TASK["task"]], samples

    return run


def chosen(values):
    return max(range(len(values)), key=lambda i: values[i])


def test_the_answers_chosen_are_those_of_squish_eval(program, lm_eval, tmp_path):
    model = model_or_skip("Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf")
    squish = Squish(program, tmp_path, timeout=1200)
    dump = tmp_path / "dump.jsonl"
    words = ["eval", model, "--tasks", "arc_easy", "--limit", QUESTIONS, "--data", DATA.parent.parent, "--dump-loglikelihood", dump]
    report = squish.json(*words)["raw_results"]["arc_easy"]
    ours = {}
    for line in dump.read_text().splitlines():
        entry = json.loads(line)
        ours[entry["context"], entry["continuation"]] = entry["log_likelihood"]
    server = ServerProcess(squish, model, "--context", "2048", key="k")
    results, samples = lm_eval(server, num_concurrent=4)
    assert server.stop() == 0, server.log[-2000:]
    assert len(samples) == QUESTIONS
    for sample in samples:
        asked = [(arguments["arg_0"], arguments["arg_1"]) for arguments in sample["arguments"].values()]
        theirs = [float(value[0]) for value in sample["filtered_resps"]]
        assert theirs == pytest.approx([ours[each] for each in asked], abs=1e-3), "a JSON number has fewer digits"
        assert chosen(theirs) == chosen([ours[each] for each in asked])
    assert results["acc,none"] == pytest.approx(report["acc"], abs=1e-6)
    assert results["acc_norm,none"] == pytest.approx(report["acc_norm"], abs=1e-6)
