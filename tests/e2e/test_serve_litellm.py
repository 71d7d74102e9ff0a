"""`squish serve` with litellm in each of the dialects that it speaks and we do. Some 290 MB of packages: ./dev clients installs and runs it."""

import json
import os

import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or the import fetches a table of prices
litellm = pytest.importorskip("litellm", reason="litellm is not installed; ./dev clients installs it")

QUESTION = [{"role": "user", "content": "Name the capital of France."}]
COLOR = {"type": "object", "properties": {"color": {"enum": ["red", "green"]}}, "required": ["color"], "additionalProperties": False}
PAINT = {"type": "function", "function": {"name": "paint", "description": "Paints things.", "parameters": COLOR}}
# Where each dialect's routes begin.
DIALECTS = {"openai": "/v1", "hosted_vllm": "/v1", "lm_studio": "/v1", "anthropic": "", "ollama": "", "ollama_chat": "", "llamafile": "/v1"}


@pytest.fixture(scope="module")
def settings(server):
    def made(dialect):
        return {"model": f"{dialect}/{server.model}", "api_base": server.base + DIALECTS[dialect], "api_key": server.key, "num_retries": 0}

    return made


@pytest.fixture(scope="module")
def ask(settings):
    def asked(dialect, **options):
        return litellm.completion(**settings(dialect) | {"messages": QUESTION, "temperature": 0, "max_tokens": 10} | options)

    return asked


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_dialect_answers_and_streams_the_same(ask, dialect):
    whole = ask(dialect)
    assert "Paris" in whole.choices[0].message.content
    assert whole.usage.completion_tokens > 0 and whole.usage.prompt_tokens > 0
    chunks = list(ask(dialect, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] in ("stop", "length")


@pytest.mark.parametrize("dialect", ["openai", "hosted_vllm", "ollama_chat", "ollama"])
def test_a_schema_is_held_to(ask, dialect):
    form = {"type": "json_schema", "json_schema": {"name": "color", "strict": True, "schema": COLOR}}
    answer = ask(dialect, response_format=form, max_tokens=40)
    assert json.loads(answer.choices[0].message.content)["color"] in ("red", "green")


@pytest.mark.parametrize("dialect", ["openai", "hosted_vllm", "anthropic"])
def test_a_tool_that_must_be_called_is_called(ask, dialect):
    options = {"tools": [PAINT], "tool_choice": {"type": "function", "function": {"name": "paint"}}, "max_tokens": 60, "parallel_tool_calls": False}
    [call] = ask(dialect, **options).choices[0].message.tool_calls
    assert call.function.name == "paint" and json.loads(call.function.arguments)["color"] in ("red", "green")
    pieces = [piece for chunk in ask(dialect, stream=True, **options) for piece in chunk.choices[0].delta.tool_calls or []]
    assert json.loads("".join(piece.function.arguments or "" for piece in pieces)) == json.loads(call.function.arguments)


def test_texts_go_on(settings):
    options = settings("openai") | {"prompt": "Once upon a time", "max_tokens": 4, "temperature": 0}
    options["model"] = options["model"].replace("openai/", "text-completion-openai/")
    whole = litellm.text_completion(**options).choices[0].text
    assert whole and "".join(chunk.choices[0].text or "" for chunk in litellm.text_completion(**options, stream=True)) == whole


@pytest.mark.parametrize("dialect", ["openai", "ollama", "lm_studio"])
def test_vectors_of_texts(settings, server, dialect):
    made = litellm.embedding(**settings(dialect), input=["a quick fox", "a fast fox"])
    expected = server.post("/v1/embeddings", {"model": server.model, "input": ["a quick fox"]}).json["data"][0]["embedding"]
    assert len(made.data) == 2
    assert made.data[0]["embedding"] == pytest.approx(expected, abs=1e-6)


def test_documents_are_ordered(settings):
    made = litellm.rerank(**settings("hosted_vllm"), query="a quick fox", documents=["the stock market", "a fast fox"], top_n=1)
    assert len(made.results) == 1


def test_responses(settings):
    whole = litellm.responses(**settings("openai"), input="Say hello.", max_output_tokens=8, temperature=0)
    assert whole.output[0].content[0].text
    events = list(litellm.responses(**settings("openai"), input="Say hello.", max_output_tokens=8, temperature=0, stream=True))
    assert events[-1].type in ("response.completed", "response.incomplete")


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "ollama_chat"])
def test_errors_are_of_their_classes(ask, dialect):
    with pytest.raises((litellm.exceptions.AuthenticationError, litellm.exceptions.APIConnectionError), match="API key"):
        ask(dialect, api_key="wrong")
    with pytest.raises(Exception, match="nowhere"):
        ask(dialect, model=f"{dialect}/nowhere")
