"""`squish serve` with the command line program `llm`, which is told of the server by its extra-openai-models.yaml."""

import json
import os
import subprocess
import sys

import pytest
import yaml

pytest.importorskip("llm", reason="llm is not installed; ./dev setup test installs it")

QUESTION = "Name the capital of France."


@pytest.fixture(scope="module")
def llm(server, tmp_path_factory):
    """Runs `llm` in a directory of its own; returns what it printed."""
    directory = tmp_path_factory.mktemp("llm")
    common = {"model_name": server.model, "api_base": f"{server.base}/v1", "api_key_name": "squish"}
    models = [
        {"model_id": "chat", "supports_tools": True, "supports_schema": True, **common},
        {"model_id": "whole", "can_stream": False, **common},
        {"model_id": "text", "completion": True, **common},
        {"model_id": "responses", "responses": True, **common},
    ]
    (directory / "extra-openai-models.yaml").write_text(yaml.safe_dump(models))
    (directory / "keys.json").write_text(json.dumps({"squish": server.key}))
    environment = os.environ | {"LLM_USER_PATH": str(directory), "NO_COLOR": "1"}

    def run(*words, stdin=""):
        done = subprocess.run([sys.executable, "-m", "llm", *words], input=stdin, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def test_an_answer_streamed_and_at_once(llm):
    options = ["-o", "temperature", "0", "-o", "max_tokens", "10"]
    streamed = llm("-m", "chat", QUESTION, *options)
    assert "Paris" in streamed
    assert llm("-m", "chat", "--no-stream", QUESTION, *options) == streamed
    assert llm("-m", "whole", "-s", "You are a poet.", *options, stdin=QUESTION)
    assert llm("-m", "responses", QUESTION, "-o", "temperature", "0", "-o", "max_tokens", "16")


def test_a_conversation_goes_on_and_is_logged_with_its_usage(llm):
    llm("-m", "chat", "My name is Zoe.", "-o", "max_tokens", "3")
    llm("-m", "chat", "-c", "What is my name?", "-o", "max_tokens", "3")
    first, second = json.loads(llm("logs", "-n", "2", "--json"))
    assert first["conversation_id"] == second["conversation_id"]
    assert second["input_tokens"] > first["input_tokens"] > 0 and second["output_tokens"] == 3


def test_a_schema_is_held_to(llm):
    schema = {"type": "object", "properties": {"color": {"enum": ["red", "green"]}}, "required": ["color"]}
    value = json.loads(llm("-m", "chat", "--schema", json.dumps(schema), "Choose a color.", "-o", "temperature", "0", "-o", "max_tokens", "40"))
    assert value["color"] in ("red", "green")


def test_a_text_goes_on(llm):
    assert llm("-m", "text", "Once upon a time", "-o", "max_tokens", "4", "-o", "temperature", "0")
