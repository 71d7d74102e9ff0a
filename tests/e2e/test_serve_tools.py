"""Tools over /v1/chat/completions, with a model that really calls them."""

import json

import openai
import pytest
from squish_program import Squish, model_or_skip
from server_process import ServerProcess

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Name of the city"}},
            "required": ["city"],
        },
    },
}
QUESTION = [
    {"role": "system", "content": "You are a helpful assistant. Use the functions when they help."},
    {"role": "user", "content": "What is the weather in Paris?"},
]


@pytest.fixture(scope="module")
def tool_server(program, tmp_path_factory):
    model = model_or_skip("Qwen2.5-Coder-1.5B-Instruct.Q4_K_M.gguf")
    home = tmp_path_factory.mktemp("tool-home")
    process = ServerProcess(Squish(program, home), model, key="k")
    yield process
    assert process.stop() == 0, process.log[-2000:]


@pytest.fixture(scope="module")
def client(tool_server):
    with openai.OpenAI(base_url=f"{tool_server.base}/v1", api_key="k", max_retries=0, timeout=300) as made:
        yield made


def ask(client, **options):
    return client.chat.completions.create(
        **{"model": "", "messages": QUESTION, "tools": [WEATHER], "max_tokens": 80, "temperature": 0} | options
    )


def test_a_call_has_id_name_and_arguments(client):
    answer = ask(client)
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    [call] = choice.message.tool_calls
    assert call.id.startswith("call_") and len(call.id) == 17
    assert call.type == "function" and call.function.name == "get_weather"
    assert "Paris" in json.loads(call.function.arguments)["city"]
    assert answer.usage.completion_tokens > 0


def test_a_streamed_call_is_the_same_in_pieces(client):
    whole = ask(client).choices[0].message.tool_calls[0].function
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    pieces = [piece for chunk in chunks for choice in chunk.choices for piece in choice.delta.tool_calls or []]
    assert {piece.index for piece in pieces} == {0}
    assert [piece.id for piece in pieces if piece.id] == [pieces[0].id]
    assert pieces[0].function.name == whole.name and pieces[0].function.arguments == ""
    text = "".join(piece.function.arguments for piece in pieces)
    assert json.loads(text) == json.loads(whole.arguments)
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "tool_calls"
    assert chunks[-1].usage.total_tokens > 0
    assert "tool_call>" not in "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def test_the_result_of_a_tool_is_used(client):
    call = ask(client).choices[0].message.tool_calls[0]
    messages = QUESTION + [
        {"role": "assistant", "content": None, "tool_calls": [call.model_dump()]},
        {"role": "tool", "tool_call_id": call.id, "content": "{\"weather\": \"snow\", \"degrees\": -7}"},
    ]
    choice = ask(client, messages=messages, tool_choice="none").choices[0]
    assert choice.finish_reason in ("stop", "length")
    assert "snow" in choice.message.content.lower() or "-7" in choice.message.content


def test_a_tool_that_must_be_called_is_called_with_valid_arguments(client):
    hello = [{"role": "user", "content": "Tell me a joke."}]
    for choice in ("required", {"type": "function", "function": {"name": "get_weather"}}):
        answer = ask(client, messages=hello, tool_choice=choice).choices[0]
        assert answer.finish_reason == "tool_calls"
        for call in answer.message.tool_calls:
            assert call.function.name == "get_weather"
            assert isinstance(json.loads(call.function.arguments)["city"], str)


def test_without_choice_no_tool_is_called(client):
    choice = ask(client, tool_choice="none", max_tokens=20).choices[0]
    assert not choice.message.tool_calls and choice.message.content


def test_a_wrong_choice_is_refused(client):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, tool_choice={"type": "function", "function": {"name": "other"}})
    assert caught.value.param == "tool_choice" and "other" in caught.value.message
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, tool_choice="sometimes")
    assert "sometimes" in caught.value.message


def test_a_template_without_tools_gets_them_in_words(server):
    def tokens(**more):
        body = {"messages": [{"role": "user", "content": "Hi"}]} | more
        return server.post("/v1/tokenize", body).json["token_count"]

    assert tokens(tools=[WEATHER]) > tokens() + 60
