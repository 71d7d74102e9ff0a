"""/v1/messages with Anthropic's own client."""

import json

import anthropic
import pytest
from server_process import ServerProcess
from squish_program import Squish, give_model


@pytest.fixture(scope="module")
def client(server):
    with anthropic.Anthropic(base_url=server.base, api_key=server.key, max_retries=0, timeout=120) as made:
        yield made


def ask(client, server, **options):
    return client.messages.create(
        **{
            "model": server.model,
            "max_tokens": 12,
            "extra_body": {"temperature": 0},
            "messages": [{"role": "user", "content": "Say hello."}],
        }
        | options
    )


def test_a_message_has_text_and_usage(client, server):
    message = ask(client, server)
    assert message.type == "message" and message.role == "assistant" and message.id.startswith("msg_")
    assert message.content[0].type == "text" and message.content[0].text
    assert message.stop_reason == "max_tokens" and message.stop_sequence is None
    usage = message.usage
    assert usage.output_tokens == 12 and usage.input_tokens + usage.cache_read_input_tokens > 5
    assert ask(client, server).usage.cache_read_input_tokens > 0


def test_a_stream_says_the_same(client, server):
    text = ask(client, server).content[0].text
    options = {"model": server.model, "max_tokens": 12, "extra_body": {"temperature": 0}, "messages": [{"role": "user", "content": "Say hello."}]}
    with client.messages.stream(**options) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    assert message.content[0].text == text and message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 12
    order = ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"]
    assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order)


def test_a_stop_sequence_is_named(client, server):
    text = ask(client, server).content[0].text
    word = text.split()[1]
    message = ask(client, server, stop_sequences=["never there", word])
    assert message.stop_reason == "stop_sequence" and message.stop_sequence == word
    assert word not in message.content[0].text


def test_blocks_are_read_and_results_of_tools(client, server):
    tool = {"name": "now", "description": "tells the time", "input_schema": {"type": "object", "properties": {}}}
    message = ask(
        client,
        server,
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        tools=[tool],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "What time is it?"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "now", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "12:34"}]},
        ],
    )
    assert message.content


def test_tokens_are_counted(client, server):
    body = {"model": server.model, "messages": [{"role": "user", "content": "Say hello."}]}
    count = client.messages.count_tokens(**body).input_tokens
    usage = ask(client, server).usage
    assert count == usage.input_tokens + usage.cache_read_input_tokens


def test_the_billing_line_does_not_count(client, server):
    def count(system):
        return client.messages.count_tokens(model=server.model, system=system, messages=[{"role": "user", "content": "Hi"}]).input_tokens

    assert count("x-anthropic-billing-header: cch=1a2b;\nBe brief.") == count("Be brief.")


def test_errors_have_its_shape(client, server):
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask(client, server, messages=[{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "x"}}]}])
    assert caught.value.body["type"] == "error" and caught.value.body["error"]["type"] == "invalid_request_error"
    assert "image" in caught.value.body["error"]["message"] and caught.value.body["request_id"]
    reply = server.post("/v1/messages", {"messages": [{"role": "user", "content": "Hi"}]})
    assert reply.status == 400 and "max_tokens" in reply.json["error"]["message"]
    with pytest.raises(anthropic.NotFoundError):
        ask(client, server, model="no-such-model")
    with anthropic.Anthropic(base_url=server.base, api_key="wrong", max_retries=0) as other:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            ask(other, server)
    assert caught.value.body["error"]["type"] == "authentication_error"
    for method, path, status in (("GET", "/v1/messages", 405), ("POST", "/v1/messages/nothing", 404)):
        reply = server.request(method, path, {} if method == "POST" else None)
        assert reply.status == status and reply.json["type"] == "error" and reply.json["error"]["message"]
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.models.retrieve("no-such-model")
    assert caught.value.body["error"]["type"] == "not_found_error"


def test_models_are_listed_in_its_shape(client, server):
    models = list(client.models.list())
    assert models and models[0].type == "model" and models[0].created_at
    assert client.models.retrieve(models[0].id).id == models[0].id


def test_models_are_listed_in_pages(start_server, squish, chat_model):
    for name in "abcde":
        give_model(squish.home, chat_model, name)
    server = start_server("--lazy")
    with anthropic.Anthropic(base_url=server.base, api_key="x", max_retries=0, timeout=120) as client:
        everything = [model.id for model in client.models.list(limit=1000)]
        assert len(everything) == 5
        page = client.models.list(limit=2)
        assert [model.id for model in page.data] == everything[:2] and page.has_more
        assert page.first_id == everything[0] and page.last_id == everything[1]
        assert [model.id for model in client.models.list(limit=2)] == everything, "the client asks for all pages"
        last = client.models.list(limit=3, after_id=everything[2])
        assert [model.id for model in last.data] == everything[3:] and not last.has_more
        back = client.models.list(limit=2, before_id=everything[3])
        assert [model.id for model in back.data] == everything[1:3] and back.has_more
        for wrong in ({"limit": 0}, {"limit": 1001}, {"after_id": "nobody"}):
            with pytest.raises(anthropic.BadRequestError) as caught:
                client.models.list(**wrong)
            assert next(iter(wrong)) in caught.value.body["error"]["message"]


# --- what an answer has to look like


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 10}, "age": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def test_an_output_format_is_held_to(client, server):
    options = {"max_tokens": 60, "messages": [{"role": "user", "content": "Tell me about Ada, 36."}]}
    for config in (
        {"output_config": {"format": {"type": "json_schema", "schema": PERSON}}},
        {"extra_body": {"temperature": 0, "output_format": {"type": "json_schema", "schema": PERSON}}},
    ):
        message = ask(client, server, **options, **config)
        assert message.stop_reason == "end_turn"
        answer = json.loads(message.content[0].text)
        assert set(answer) == {"name", "age"} and 0 <= answer["age"] <= 99
    with client.messages.stream(
        model=server.model, **options, extra_body={"temperature": 0}, output_config={"format": {"type": "json_schema", "schema": PERSON}}
    ) as stream:
        assert json.loads(stream.get_final_message().content[0].text) == answer


@pytest.mark.parametrize(
    "body, words",
    [
        ({"output_config": {"format": {"type": "grammar"}}}, "output_config.format.type must be json_schema"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema is missing"),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "animal"}}}}, "output_config.format"),
        ({"output_format": {"type": "json_schema", "schema": 5}}, "output_format"),
        ({"output_config": 5}, "output_config must be an object"),
        ({"tool_choice": "any"}, "tool_choice must be an object"),
        ({"tool_choice": {"type": "any"}}, "needs tools"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name is missing"),
        ({"tool_choice": {"type": "some"}}, "auto, any, tool or none"),
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "budget_tokens"),
    ],
)
def test_what_cannot_be_had_is_named(server, body, words):
    reply = server.post("/v1/messages", {"max_tokens": 4, "messages": [{"role": "user", "content": "Hi"}], **body})
    assert reply.status == 400 and reply.json["type"] == "error", reply.text
    assert words in reply.json["error"]["message"]


# --- tools that must be called


TOOLS = [
    {"name": "weather", "description": "The weather of a city", "input_schema": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}, "required": ["city"]}},
    {"name": "clock", "description": "The time", "input_schema": {"type": "object", "properties": {"zone": {"enum": ["UTC", "CET"]}}, "required": ["zone"]}},
]


def test_tool_choice_any_and_tool_force_a_call(client, server):
    options = {"tools": TOOLS, "max_tokens": 60, "messages": [{"role": "user", "content": "Hello there!"}]}
    named = ask(client, server, **options, tool_choice={"type": "tool", "name": "clock"})
    (call,) = [block for block in named.content if block.type == "tool_use"]
    assert named.stop_reason == "tool_use" and call.name == "clock" and call.input["zone"] in ("UTC", "CET")
    any_ = ask(client, server, **options, tool_choice={"type": "any", "disable_parallel_tool_use": True})
    (call,) = [block for block in any_.content if block.type == "tool_use"]
    assert any_.stop_reason == "tool_use" and call.name in ("weather", "clock")
    none = ask(client, server, **options, tool_choice={"type": "none"})
    assert all(block.type == "text" for block in none.content)


def test_a_strict_tools_input_validates(client, server):
    strict = [{**TOOLS[1], "strict": True}]
    message = ask(client, server, tools=strict, max_tokens=60, tool_choice={"type": "any"})
    calls = [block for block in message.content if block.type == "tool_use"]
    assert calls and all(call.input["zone"] in ("UTC", "CET") for call in calls)


# --- thoughts that may take so many tokens


@pytest.fixture(scope="module")
def thinker(program, chat_model, tmp_path_factory):
    """A model whose template opens a thought that it would never close."""
    home = tmp_path_factory.mktemp("thinker-home")
    give_model(home, chat_model)
    process = ServerProcess(Squish(program, home), model="thinker")
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "<|im_start|>assistant\n{% if enable_thinking %}<think>\n{% endif %}"
    )
    made = process.post("/api/create", {"model": "thinker", "from": "smollm2:135m", "template": template, "stream": False})
    assert made.status == 200, made.text
    yield process
    assert process.stop() == 0, process.log[-2000:]


def think(process, budget, **options):
    with anthropic.Anthropic(base_url=process.base, api_key="none", max_retries=0, timeout=120) as client:
        thinking = {"type": "enabled", "budget_tokens": budget} if budget else {"type": "disabled"}
        return client.messages.create(
            **{
                "model": "thinker",
                "max_tokens": 80,
                "thinking": thinking,
                "extra_body": {"temperature": 0},
                "messages": [{"role": "user", "content": "Write a long story about a river."}],
            }
            | options
        )


def test_a_thought_ends_with_its_budget_and_the_answer_goes_on(thinker):
    endless = think(thinker, 1000)
    assert [block.type for block in endless.content] == ["thinking"] and endless.stop_reason == "max_tokens"
    for budget in (3, 8, 20):  # the first token is a space, and a thought of spaces is no block
        message = think(thinker, budget)
        thought, text = message.content
        assert (thought.type, text.type) == ("thinking", "text") and text.text
        assert "</think>" not in thought.thinking, "the answer of so small a model may write anything"
        assert not text.text.startswith("</think>")
        assert endless.content[0].thinking.startswith(thought.thinking.rstrip()), "as far as it went, the same thought"
        count = len(thinker.post("/v1/tokenize", {"text": thought.thinking.rstrip(), "model": "thinker"}).json["token_ids"])
        assert budget - 2 <= count <= budget + 2


def test_a_budget_and_a_format_hold_together(thinker):
    message = think(thinker, 6, output_config={"format": {"type": "json_schema", "schema": PERSON}})
    thought, text = message.content
    assert thought.type == "thinking" and set(json.loads(text.text)) == {"name", "age"}


def test_without_thinking_there_is_only_text(thinker):
    assert [block.type for block in think(thinker, 0).content] == ["text"]
