"""The real lm-eval over a running server: its local-completions must find the log-likelihoods that `squish eval` computes."""
import json
import os
import pathlib
import subprocess
import sys

import pytest
from squish_program import ROOT, model_or_skip

sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from server_process import ServerProcess  # noqa: E402

CLIENT = pathlib.Path(__file__).with_name("lm_eval_client.py")
PYTHON = os.environ.get("SQUISH_LM_EVAL_PYTHON", sys.executable)


def test_local_completions_finds_the_same_log_likelihoods(squish, data, tmp_path):
    found = subprocess.run([PYTHON, "-c", "import lm_eval.models.openai_completions"], capture_output=True, text=True)
    if found.returncode != 0:
        pytest.skip("lm-eval is not installed (pip install lm-eval[api]; SQUISH_LM_EVAL_PYTHON names a Python that has it)")
    model = model_or_skip("SmolLM2-135M-Instruct.Q4_1.gguf")
    dump = tmp_path / "dump.jsonl"
    squish.json("eval", model, "--tasks", "arc_easy,winogrande", "--limit", 6, "--data", data, "--dump-loglikelihood", dump)
    server = ServerProcess(squish, model)
    try:
        run = subprocess.run([PYTHON, CLIENT, server.base, dump], capture_output=True, text=True, timeout=900,
                             env=os.environ | {"HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": "none"})
        assert run.returncode == 0, run.stderr[-3000:]
    finally:
        assert server.stop() == 0
    theirs = json.loads(run.stdout.splitlines()[-1])
    ours = [json.loads(line) for line in dump.read_text(encoding="utf-8").splitlines()]
    assert len(theirs) == len(ours) == 6 * 4 + 6 * 2
    for (likelihood, is_greedy), entry in zip(theirs, ours):
        assert likelihood == pytest.approx(entry["log_likelihood"], abs=5e-3), entry
        assert is_greedy == entry["is_greedy"]
