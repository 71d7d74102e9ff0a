"""/v1/messages with Anthropic's own client."""

import anthropic
import pytest


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


def test_models_are_listed_in_its_shape(client, server):
    models = list(client.models.list())
    assert models and models[0].type == "model" and models[0].created_at
    assert client.models.retrieve(models[0].id).id == models[0].id
