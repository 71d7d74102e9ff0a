"""/v1/responses with OpenAI's own client: events, conversations that go on, what is kept."""

import json
import openai
import pytest


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.base}/v1", api_key=server.key, max_retries=0, timeout=120) as made:
        yield made


def ask(client, text="Say hello.", **options):
    return client.responses.create(**{"model": "", "input": text, "max_output_tokens": 12, "temperature": 0} | options)


def test_a_response_has_items_and_usage(client):
    response = ask(client, instructions="Be brief.")
    assert response.object == "response" and response.id.startswith("resp_")
    assert response.status == "incomplete" and response.incomplete_details.reason == "max_output_tokens"
    assert response.output_text and response.output[0].type == "message" and response.output[0].role == "assistant"
    assert response.usage.output_tokens == 12
    assert response.usage.total_tokens == response.usage.input_tokens + 12
    assert response.instructions == "Be brief." and response.max_output_tokens == 12


def test_events_are_numbered_and_say_the_same(client):
    text = ask(client).output_text
    events = list(ask(client, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:4] == ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
    assert kinds[-4:] == ["response.output_text.done", "response.content_part.done", "response.output_item.done", "response.incomplete"]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == text
    assert events[-1].response.output_text == text


def test_a_conversation_goes_on(client):
    first = ask(client, "My name is Ada.")
    second = ask(client, "What is my name?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    whole = ask(
        client,
        [
            {"role": "user", "content": "My name is Ada."},
            {"role": "assistant", "content": first.output_text},
            {"role": "user", "content": "What is my name?"},
        ],
    )
    assert second.usage.input_tokens == whole.usage.input_tokens
    assert second.output_text == whole.output_text


def test_what_is_stored_can_be_read_and_deleted(client):
    response = ask(client)
    assert client.responses.retrieve(response.id).output_text == response.output_text
    items = client.responses.input_items.list(response.id)
    assert items.data[0].content[0].text == "Say hello."
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, previous_response_id=response.id)
    assert caught.value.param == "previous_response_id"
    kept = ask(client, store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(kept.id)


def test_what_is_stored_survives_a_restart(start_server, chat_model):
    first = start_server(chat_model)
    body = {"input": "Hi", "max_output_tokens": 4}
    response = first.post("/v1/responses", body).json
    assert first.stop() == 0
    second = start_server(chat_model)
    assert second.get(f"/v1/responses/{response['id']}").json == response
    assert second.post("/v1/responses", body | {"previous_response_id": response["id"]}).status == 200


def test_calls_and_their_results_are_items(client):
    tool = {"type": "function", "name": "now", "parameters": {"type": "object", "properties": {}}}
    response = ask(
        client,
        [
            {"role": "user", "content": "What time is it?"},
            {"type": "function_call", "call_id": "call_1", "name": "now", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "12:34"},
        ],
        tools=[tool, {"type": "local_shell"}],
    )
    assert response.tools[0].name == "now" and response.output


def test_text_can_have_a_format(client, server):
    schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}}, "required": ["name"], "additionalProperties": False}
    text = {"format": {"type": "json_schema", "name": "person", "schema": schema, "strict": True}}
    response = client.responses.create(model=server.model, input="Who are you?", text=text, max_output_tokens=60)
    assert response.status == "completed"
    assert list(json.loads(response.output_text)) == ["name"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": [{"type": "computer_call"}]}, "input[0]"),
        ({"input": "x", "max_output_tokens": 0}, "max_output_tokens"),
        ({"input": "x", "background": True}, "background"),
        ({"input": "x", "text": {"format": {"type": "json_schema", "name": "x"}}}, "text"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(server, body, param):
    reply = server.post("/v1/responses", body)
    assert reply.status == 400 and reply.json["error"]["param"] == param


def test_a_complete_response_cannot_be_cancelled(client):
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(ask(client).id)
