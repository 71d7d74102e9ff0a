"""/v1/responses with OpenAI's own client: events, conversations that go on, what is kept."""

import json
import time

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
        ({"input": "x", "text": {"format": {"type": "json_schema", "name": "x"}}}, "text"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(server, body, param):
    reply = server.post("/v1/responses", body)
    assert reply.status == 400 and reply.json["error"]["param"] == param


def test_a_complete_response_cannot_be_cancelled(client):
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(ask(client).id)


# --- answered while nobody waits


def wait_for_end(client, identifier, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        response = client.responses.retrieve(identifier)
        if response.status not in ("queued", "in_progress"):
            return response
        time.sleep(0.05)
    raise AssertionError(f"{identifier} does not end")


def test_a_background_response_comes_later_and_is_the_same(client):
    queued = ask(client, background=True)
    assert queued.status == "queued" and queued.background and queued.output == [] and queued.usage is None
    done = wait_for_end(client, queued.id)
    assert done.id == queued.id and done.status == "incomplete" and done.background
    assert done.output_text == ask(client).output_text and done.usage.output_tokens == 12
    follower = ask(client, "And now?", previous_response_id=done.id)
    assert follower.usage.input_tokens > done.usage.input_tokens


def test_a_background_response_can_be_cancelled(client, server):
    queued = ask(client, "Count to a thousand.", background=True, max_output_tokens=5000, extra_body={"ignore_eos": True})
    assert client.responses.retrieve(queued.id).status == "in_progress"
    assert client.responses.cancel(queued.id).status == "cancelled"
    assert wait_for_end(client, queued.id).status == "cancelled"
    server.wait_until(lambda: server.metric("squish_sequences_running") == 0, what="the answer's end")
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(queued.id)


def test_background_answers_end_before_the_server_does(start_server, local_model):
    process = start_server()
    queued = process.post("/v1/responses", {"input": "Hi", "background": True, "max_output_tokens": 40, "ignore_eos": True}).json
    assert process.stop() == 0
    again = start_server()
    stored = again.get(f"/v1/responses/{queued['id']}").json
    assert stored["status"] == "incomplete" and stored["usage"]["output_tokens"] == 40


@pytest.mark.parametrize(
    "body, words",
    [
        ({"background": True, "store": False}, "needs store"),
        ({"conversation": "resp_1"}, "conv_"),
        ({"conversation": 5}, "conv_"),
        ({"conversation": "conv_1", "previous_response_id": "resp_1"}, "exclude each other"),
    ],
)
def test_what_does_not_go_together_is_a_400(server, body, words):
    reply = server.post("/v1/responses", {"input": "Hi", **body})
    assert reply.status == 400 and words in reply.json["error"]["message"], reply.text


# --- conversations


def test_a_conversation_keeps_what_was_said(client):
    conversation = client.conversations.create(items=[{"type": "message", "role": "user", "content": "My name is Ada."}], metadata={"topic": "names"})
    assert conversation.id.startswith("conv_") and conversation.metadata == {"topic": "names"}
    assert client.conversations.retrieve(conversation.id) == conversation
    first = ask(client, "What is my name?", conversation=conversation.id)
    assert first.conversation.id == conversation.id
    items = client.conversations.items.list(conversation.id, order="asc").data
    assert [item.type for item in items] == ["message"] * 3 and items[2].content[0].text == first.output_text
    second = ask(client, "Why?", conversation={"id": conversation.id})
    assert second.usage.input_tokens > first.usage.total_tokens
    client.conversations.items.create(conversation.id, items=[{"type": "message", "role": "user", "content": "Thanks."}])
    assert len(client.conversations.items.list(conversation.id).data) == 6
    client.conversations.delete(conversation.id)
    with pytest.raises(openai.NotFoundError):
        ask(client, "And now?", conversation=conversation.id)
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(conversation.id)
    assert client.responses.retrieve(first.id).output_text == first.output_text


def test_a_stream_and_a_background_answer_go_into_a_conversation(client):
    conversation = client.conversations.create()
    text = list(ask(client, conversation=conversation.id, stream=True))[-1].response.output_text
    assert client.conversations.items.list(conversation.id).data[0].content[0].text == text, "the newest comes first"
    wait_for_end(client, ask(client, "Again.", conversation=conversation.id, background=True).id)
    assert len(client.conversations.items.list(conversation.id).data) == 4


def test_wrong_items_are_a_400(server):
    for body in ({"items": 5}, {"items": [5]}):
        assert server.post("/v1/conversations", body).status == 400
    made = server.post("/v1/conversations", {}).json["id"]
    assert server.post(f"/v1/conversations/{made}/items", {}).status == 400
    assert server.post(f"/v1/conversations/{made}/other", {"items": []}).status == 404
    assert server.get(f"/v1/conversations/{made}/items").json == {"object": "list", "data": [], "has_more": False, "first_id": "", "last_id": ""}


# --- compact


def test_a_compacted_talk_goes_on(client, server):
    talk = [
        {"type": "message", "role": "user", "content": "My name is Ada and I live in London."},
        {"type": "message", "role": "assistant", "content": "Nice to meet you, Ada. London is a fine city. " * 20},
        {"type": "message", "role": "user", "content": "What can I see there?"},
    ]
    reply = server.post("/v1/responses/compact", {"input": talk, "temperature": 0, "max_output_tokens": 30})
    assert reply.status == 200, reply.text
    body = reply.json
    assert body["object"] == "response.compaction" and body["usage"]["output_tokens"] <= 30
    *kept, summary = body["output"]
    assert kept == [talk[0], talk[2]], "what the user said stays word for word"
    assert summary["type"] == "compaction" and len(summary["encrypted_content"]) > 20
    whole = ask(client, [*talk, {"role": "user", "content": "Go on."}])
    short = ask(client, [*body["output"], {"role": "user", "content": "Go on."}])
    assert short.output_text and short.usage.input_tokens < whole.usage.input_tokens
    foreign = server.post("/v1/responses", {"input": [{"type": "compaction", "encrypted_content": "gAAAA"}]})
    assert foreign.status == 400 and "compact" in foreign.json["error"]["message"]


def test_an_error_in_a_stream_is_an_event_of_its_own(start_server, chat_model):
    server = start_server(chat_model, "--request-timeout", "1")
    body = {"input": "x", "max_output_tokens": 4000, "stream": True, "ignore_eos": True, "speculate": False}
    with openai.OpenAI(base_url=f"{server.base}/v1", api_key="none", max_retries=0) as client:
        events = list(client.responses.create(model="default", input="x", max_output_tokens=4000, stream=True, extra_body={"ignore_eos": True, "speculate": False}))
    assert events[-1].type == "response.failed" and events[-1].response.status == "failed"
    assert events[-1].response.error.code and [event.sequence_number for event in events] == list(range(len(events)))
    assert client.base_url and "[DONE]" not in server.post("/v1/responses", body).text
