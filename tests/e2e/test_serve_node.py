"""`squish serve` with the clients of JavaScript programs: the npm packages `openai` and `ollama`, on a real model.

The checks themselves are in tests/node, whose packages `./dev setup test` installs.
"""

import os
import re
import shutil
import subprocess

import pytest
from server_process import ServerProcess
from squish_program import ROOT, Squish, give_model

NODE = ROOT / "tests" / "node"
CHECKS = [(file.name, name) for file in sorted(NODE.glob("*.test.mjs")) for name in re.findall(r"^test\('(.*?)',", file.read_text(), re.MULTILINE)]


@pytest.fixture(scope="module")
def results(program, chat_model, tmp_path_factory):
    """Whether each check of each file held, and what the files printed."""
    if not shutil.which("node"):
        pytest.skip("node is not installed; ./dev setup test installs it")
    if not (NODE / "node_modules").exists():
        pytest.skip("the npm packages of tests/node are not installed; ./dev setup test installs them")
    home = tmp_path_factory.mktemp("node-home")
    give_model(home, chat_model)
    server = ServerProcess(Squish(program, home), model="smollm2:135m", key="test-key")
    environment = os.environ | {"SQUISH_BASE": server.base, "SQUISH_KEY": server.key, "SQUISH_MODEL": server.model}
    held = {}
    for file in sorted({file for file, _ in CHECKS}):
        done = subprocess.run(["node", "--test-reporter=tap", "--test", file], cwd=NODE, env=environment, capture_output=True, text=True, timeout=300)
        for state, name in re.findall(r"^ *(ok|not ok) \d+ - (.*)$", done.stdout, re.MULTILINE):
            held[file, name] = (state == "ok", done.stdout[-6000:])
    assert server.stop() == 0, server.log[-2000:]
    return held


@pytest.mark.parametrize("file, name", CHECKS, ids=[f"{file.split('.')[0]}: {name}" for file, name in CHECKS])
def test_the_client_of_npm(results, file, name):
    holds, output = results.get((file, name), (False, "the check did not run"))
    assert holds, output
