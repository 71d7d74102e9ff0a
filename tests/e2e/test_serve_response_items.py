"""What a response is made of and takes back, with known answers: a scripted model (scripted_model.py) and OpenAI's own client."""

import anthropic
import openai
import pytest
from scripted_model import CONTEXT, write_scripted_model
from server_process import ServerProcess
from squish_program import Squish

CALL = '<tool_call>\n{"name": "look", "arguments": {"where": "there"}}\n</tool_call>'
SCRIPTS = {
    "done": "It snows.",
    "text": "Grüße aus 世界 🌍! One, two.",
    "thought": "<think>\nThey want 世界.\n</think>\n\nHere it is: 🌍",
    "endless": "tick tock ",
    "by-turns": (
        "<think>\nboth\n</think>\n\nFirst 世界.\n" + CALL + "\nThen.\n" + CALL + CALL + "\nLast."
    ),
    "no-call": '{"city": "Zürich"} is data.',
}


@pytest.fixture(scope="module")
def scripted(program, tmp_path_factory):
    home = tmp_path_factory.mktemp("items-home")
    write_scripted_model(home / "scripted.gguf", SCRIPTS)
    process = ServerProcess(Squish(program, home), home / "scripted.gguf", key="k")
    yield process
    assert process.stop() == 0, process.log[-2000:]


@pytest.fixture(scope="module")
def client(scripted):
    with openai.OpenAI(base_url=f"{scripted.base}/v1", api_key="k", max_retries=0, timeout=60) as made:
        yield made


def ask(client, given="done", **options):
    return client.responses.create(**{"model": "default", "input": given, "temperature": 0} | options)


def says(role, text):
    return {"role": role, "content": text}


# --- truncation


def talk(turns, size=200):
    return [says(role, letter * size) for turn in range(turns) for role, letter in (("user", "q"), ("assistant", "a"))]


def test_a_conversation_that_is_too_long_is_refused_unless_it_may_be_truncated(client):
    for options in ({}, {"truncation": "disabled"}):
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, [*talk(6), says("user", "done")], **options)
        assert caught.value.code == "context_length_exceeded" and str(CONTEXT) in caught.value.message
    made = ask(client, [*talk(6), says("user", "done")], truncation="auto", instructions="Be brief.")
    assert made.truncation == "auto" and made.output_text == "It snows." and made.status == "completed"
    assert ask(client).truncation == "disabled"


def test_what_is_left_out_is_the_oldest_turns_and_nothing_else(client):
    cut = ask(client, [*talk(6), says("user", "done")], truncation="auto", instructions="Be brief.").usage.input_tokens
    rest = ask(client, [*talk(3), says("user", "done")], instructions="Be brief.").usage.input_tokens
    assert cut == rest <= CONTEXT * 3 / 4, "a quarter of the context is free for answers"
    assert ask(client, [*talk(3), says("user", "done")], instructions="Be brief.", truncation="auto").usage.input_tokens == rest


def test_a_stored_conversation_is_truncated_in_front_of_the_newest_input(client):
    first = ask(client, [*talk(4), says("user", "done")])
    newest = [says("user", "n" * 500), says("user", "done")]
    made = ask(client, newest, previous_response_id=first.id, truncation="auto")
    alone = ask(client, newest)
    assert made.output_text == "It snows." and made.usage.input_tokens > alone.usage.input_tokens
    assert client.responses.input_tokens.count(model="default", input=newest, previous_response_id=first.id, truncation="auto").input_tokens == made.usage.input_tokens


def test_calls_go_with_their_results(client):
    def call(number):
        return [
            {"type": "function_call", "call_id": f"call_{number}", "name": "look", "arguments": '{"where": "there"}'},
            {"type": "function_call_output", "call_id": f"call_{number}", "output": "r" * 300},
        ]

    def agent(*numbers):
        return [says("user", "q"), *(item for number in numbers for item in call(number)), says("assistant", "a"), says("user", "done")]

    cut = ask(client, agent(1, 2, 3, 4, 5, 6, 7), truncation="auto").usage.input_tokens
    assert cut == ask(client, agent(4, 5, 6, 7)).usage.input_tokens


def test_an_input_that_alone_is_too_long_stays_a_400(client):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, [*talk(2), says("user", "x" * (CONTEXT + 1))], truncation="auto")
    assert caught.value.code == "context_length_exceeded" and "newest input" in caught.value.message


@pytest.mark.parametrize("value", ["sometimes", 5])
def test_other_ways_to_truncate_are_refused_by_name(client, value):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, extra_body={"truncation": value})
    assert caught.value.param == "truncation" and str(value) in caught.value.message


# --- the order of what is said

LOGPROBS = ["message.output_text.logprobs"]
BY_TURNS = ["both", "First 世界.", "look", "Then.", "look", "look", "Last."]
TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {"where": {"type": "string"}}}}


def parts_of(response):
    return [item.name if item.type == "function_call" else item.content[0].text.strip() for item in response.output]


def test_a_response_tells_texts_and_calls_in_the_order_in_which_they_were_said(client):
    whole = ask(client, "by-turns", tools=[TOOL])
    streamed = list(ask(client, "by-turns", tools=[TOOL], stream=True))[-1].response
    assert parts_of(whole) == parts_of(streamed) == BY_TURNS
    assert [item.status for item in whole.output] == [item.status for item in streamed.output] == ["completed"] * 7


def test_a_message_of_anthropic_does_so_too(scripted):
    tools = [{"name": "look", "input_schema": TOOL["parameters"]}]
    asked = {"model": "default", "max_tokens": 500, "messages": [says("user", "by-turns")], "tools": tools}
    with anthropic.Anthropic(base_url=scripted.base, api_key="k", max_retries=0, timeout=60) as made:
        whole = made.messages.create(**asked)
        with made.messages.stream(**asked) as stream:
            streamed = stream.get_final_message()
    for message in (whole, streamed):
        told = {"thinking": lambda block: block.thinking.strip(), "text": lambda block: block.text, "tool_use": lambda block: block.name}
        assert [told[block.type](block) for block in message.content] == BY_TURNS


def test_log_probabilities_belong_to_the_text_between_calls(client):
    whole = ask(client, "by-turns", tools=[TOOL], include=LOGPROBS)
    *_, end = ask(client, "by-turns", tools=[TOOL], include=LOGPROBS, stream=True)
    for response in (whole, end.response):
        for item in response.output:
            if item.type == "message":
                assert item.content[0].text in text_of(item.content[0].logprobs), "with what else its first and last token have"


# --- include


def text_of(logprobs):
    return b"".join(bytes(token.bytes) for token in logprobs).decode(errors="replace")


@pytest.mark.parametrize("script", ["text", "thought", "no-call"])
def test_log_probabilities_are_of_the_tokens_of_the_text(client, script):
    tools = {"tools": [TOOL]} if script == "no-call" else {}
    made = ask(client, script, include=LOGPROBS, top_logprobs=2, **tools)
    part = made.output[-1].content[0]
    # The first token of this model may have the white space before the text in it, too.
    assert text_of(part.logprobs).lstrip() == part.text == made.output_text
    assert all(len(token.top_logprobs) == 2 and token.top_logprobs[0].logprob >= token.logprob - 1e-3 for token in part.logprobs)
    assert made.top_logprobs == 2 and client.responses.retrieve(made.id).output == made.output
    *events, end = ask(client, script, include=LOGPROBS, top_logprobs=2, stream=True, **tools)
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert [token.token for event in deltas for token in event.logprobs] == [token.token for token in part.logprobs]
    assert end.response.output[-1].content == made.output[-1].content
    done = [event for event in events if event.type == "response.output_text.done"]
    assert [token.logprob for token in done[0].logprobs] == [token.logprob for token in part.logprobs]


def test_log_probabilities_come_only_when_they_are_included(client):
    for options in ({}, {"include": []}, {"top_logprobs": 2}, {"include": ["file_search_call.results"]}):
        assert ask(client, "text", **options).output[0].content[0].logprobs == []
    assert ask(client, "text", include=LOGPROBS).output[0].content[0].logprobs[0].top_logprobs == []


def test_a_thought_comes_back_without_being_stored(client):
    made = ask(client, "thought", include=["reasoning.encrypted_content"], store=False)
    thought, message = (item.to_dict() for item in made.output)
    assert thought["type"] == "reasoning" and thought["encrypted_content"] and "世界" in thought["content"][0]["text"]
    sealed = {key: thought[key] for key in ("type", "id", "summary", "encrypted_content")}

    def tokens(*items):
        return ask(client, [says("user", "thought"), *items, message, says("user", "done")], store=False).usage.input_tokens

    assert tokens(sealed) == tokens(thought) > tokens()
    assert tokens(sealed | {"encrypted_content": "gAAAA of another server"}) == tokens()
    events = list(ask(client, "thought", include=["reasoning.encrypted_content"], stream=True))
    items = [event.item for event in events if event.type == "response.output_item.done"]
    assert items[0].encrypted_content == thought["encrypted_content"]
    assert ask(client, "thought").output[0].encrypted_content is None


def test_what_is_read_again_has_what_it_includes(client):
    """The query's `include` was not looked at: neither was a thought's content given nor a wrong name refused."""
    sealed = ask(client, "thought", include=["reasoning.encrypted_content"]).output[0].encrypted_content
    made = ask(client, "thought")
    assert client.responses.retrieve(made.id).output[0].encrypted_content is None
    told = client.responses.retrieve(made.id, include=["reasoning.encrypted_content", "message.output_text.logprobs"])
    assert told.output[0].encrypted_content == sealed and told.output[1:] == made.output[1:]
    first = made.output[0].to_dict() | {"encrypted_content": None}
    again = ask(client, [says("user", "q"), first, says("assistant", "a"), says("user", "done")])
    for words, expected in (({}, [None]), ({"include": ["reasoning.encrypted_content"]}, [sealed])):
        items = client.responses.input_items.list(again.id, **words).data
        assert [item.encrypted_content for item in items if item.type == "reasoning"] == expected
    talk = client.conversations.create(items=[first])
    items = client.conversations.items
    assert items.list(talk.id, include=["reasoning.encrypted_content"]).data[0].encrypted_content == sealed
    assert items.retrieve(made.output[0].id, conversation_id=talk.id, include=["reasoning.encrypted_content"]).encrypted_content == sealed
    with_probabilities = ask(client, "text", include=LOGPROBS)
    assert client.responses.retrieve(with_probabilities.id, include=LOGPROBS).output == with_probabilities.output


@pytest.mark.parametrize("query", ["include=nothing", "include[]=nothing", "include%5B0%5D=nothing", "include=file_search_call.results,nothing"])
def test_a_query_that_includes_what_there_is_not_is_refused_by_name(client, query):
    made = ask(client, "text")
    talk = client.conversations.create(items=[says("user", "q")])
    item = client.conversations.items.list(talk.id).data[0].id
    for path in (f"/responses/{made.id}", f"/responses/{made.id}/input_items", f"/conversations/{talk.id}/items",
                 f"/conversations/{talk.id}/items/{item}"):
        with pytest.raises(openai.BadRequestError) as caught:
            client.get(f"{path}?{query}", cast_to=object)
        assert caught.value.param == "include" and "include has nothing, which is none of" in caught.value.message


def test_a_thought_without_an_answer_is_not_that_of_a_later_one(client):
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
    told = [says("user", "q"), thought, says("user", "q"), says("assistant", "a"), says("user", "done")]
    assert ask(client, told).usage.input_tokens == ask(client, [item for item in told if item is not thought]).usage.input_tokens


@pytest.mark.parametrize("include", [["message.output_text.everything"], [5], "reasoning.encrypted_content"])
def test_what_cannot_be_included_is_refused_by_name(client, include):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, extra_body={"include": include})
    assert caught.value.param == "include"
    assert isinstance(include, str) or str(include[0]) in caught.value.message


# --- references to items


def reference(identifier):
    return {"type": "item_reference", "id": identifier}


def test_a_reference_stands_for_the_item_itself(client):
    first = ask(client, [says("user", "thought")])
    told = [item.to_dict() for item in first.output]
    asked = client.responses.input_items.list(first.id).data[0]
    whole = ask(client, [says("user", "thought"), *told, says("user", "done")])
    names = [asked.id, *(item["id"] for item in told)]
    by_name = ask(client, [*(reference(name) for name in names), says("user", "done")])
    without_type = ask(client, [*({"id": name} for name in names), says("user", "done")])
    assert by_name.usage.input_tokens == without_type.usage.input_tokens == whole.usage.input_tokens
    kept = client.responses.input_items.list(by_name.id, order="asc").data
    assert [item.id for item in kept[:-1]] == names and kept[1].content[0].text == told[0]["content"][0]["text"]


def test_a_reference_finds_items_of_the_previous_response_and_of_a_conversation(client):
    first = ask(client)
    again = ask(client, [reference(first.output[0].id), says("user", "done")], previous_response_id=first.id)
    plain = ask(client, [says("assistant", "It snows."), says("user", "done")], previous_response_id=first.id)
    assert again.usage.input_tokens == plain.usage.input_tokens
    conversation = client.conversations.create(items=[{"type": "message"} | says("user", "q" * 50)])
    item = client.conversations.items.list(conversation.id).data[0]
    assert ask(client, [reference(item.id), says("user", "done")]).usage.input_tokens == ask(client, [says("user", "q" * 50), says("user", "done")]).usage.input_tokens


def test_a_reference_to_nothing_is_refused_by_its_id(client):
    gone = ask(client, store=False).output[0].id
    deleted = ask(client)
    client.responses.delete(deleted.id)
    for name in (gone, deleted.output[0].id, "msg_never"):
        with pytest.raises(openai.NotFoundError) as caught:
            ask(client, [says("user", "q"), reference(name)])
        assert name in caught.value.message and caught.value.param == "input[1]" and caught.value.code == "item_not_found"


# --- lists of items, and conversations


def test_every_item_of_a_request_has_an_id_and_what_clients_read(client):
    given = [
        says("developer", "Be brief."),
        says("user", "q"),
        {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "r"},
        says("assistant", "a"),
        {"type": "message", "id": "msg_mine", "role": "user", "content": [{"type": "input_text", "text": "done"}]},
    ]
    made = ask(client, given)
    items = client.responses.input_items.list(made.id, order="asc").data
    assert [item.type for item in items] == ["message", "message", "function_call", "function_call_output", "message", "message"]
    assert all(item.id and item.status == "completed" for item in items) and len({item.id for item in items}) == 6
    assert items[-1].id == "msg_mine" and items[1].content[0].type == "input_text"
    assert (items[4].content[0].type, items[4].content[0].text) == ("output_text", "a")
    assert [item.id for item in client.responses.input_items.list(made.id)] == [item.id for item in items][::-1]


def test_items_come_in_pages(client):
    texts = [f"message {number}" for number in range(25)]
    made = ask(client, [says("user", text) for text in [*texts, "done"]])
    conversation = client.conversations.create(items=[{"type": "message"} | says("user", text) for text in texts[:20]])
    client.conversations.items.create(conversation.id, items=[{"type": "message"} | says("user", text) for text in [*texts[20:], "done"]])
    for lists, name in ((client.responses.input_items, made.id), (client.conversations.items, conversation.id)):
        first = lists.list(name)
        assert len(first.data) == 20 and first.has_more and first.data[0].content[0].text == "done"
        assert [item.content[0].text for item in lists.list(name, order="asc", limit=7)] == [*texts, "done"], "the client asks for page after page"
        page = lists.list(name, order="asc", limit=2, after=lists.list(name, order="asc", limit=2).data[-1].id)
        assert [item.content[0].text for item in page.data] == texts[2:4]
        last = lists.list(name, limit=100)
        assert len(last.data) == 26 and not last.has_more and last.last_id == last.data[-1].id
        for wrong, param in (({"limit": 0}, "limit"), ({"limit": 101}, "limit"), ({"order": "up"}, "order"), ({"after": "msg_none"}, "after")):
            with pytest.raises(openai.BadRequestError) as caught:
                lists.list(name, **wrong)
            assert caught.value.param == param and str(wrong[param]) in caught.value.message


def test_one_item_of_a_conversation_can_be_read_and_taken_out(client):
    conversation = client.conversations.create(items=[{"type": "message"} | says("user", text) for text in ("one", "two")])
    two, one = client.conversations.items.list(conversation.id).data
    assert client.conversations.items.retrieve(one.id, conversation_id=conversation.id) == one
    assert client.conversations.items.delete(one.id, conversation_id=conversation.id) == conversation
    assert client.conversations.items.list(conversation.id).data == [two]
    for call in (client.conversations.items.retrieve, client.conversations.items.delete):
        with pytest.raises(openai.NotFoundError) as caught:
            call(one.id, conversation_id=conversation.id)
        assert one.id in caught.value.message
        with pytest.raises(openai.NotFoundError):
            call(two.id, conversation_id="conv_none")


def test_the_metadata_of_a_conversation_can_be_changed(client):
    conversation = client.conversations.create(metadata={"topic": "one"})
    changed = client.conversations.update(conversation.id, metadata={"topic": "two", "more": "x"})
    assert changed.id == conversation.id and changed.created_at == conversation.created_at
    assert client.conversations.retrieve(conversation.id).metadata == {"topic": "two", "more": "x"}
    with pytest.raises(openai.NotFoundError):
        client.conversations.update("conv_none", metadata={})
    for wrong in ({"a": 5}, {"a": "x" * 513}, {"x" * 65: "a"}, {str(number): "" for number in range(17)}, "topic"):
        with pytest.raises(openai.BadRequestError) as caught:
            client.conversations.update(conversation.id, metadata=wrong)
        assert caught.value.param == "metadata"


def test_items_that_no_response_could_read_are_refused_when_they_are_added(client):
    conversation = client.conversations.create()
    for item, param in (({"type": "computer_call"}, "items[0]"), ({"type": "message", "content": "x"}, "items[0].role")):
        with pytest.raises(openai.BadRequestError) as caught:
            client.conversations.items.create(conversation.id, items=[item])
        assert caught.value.param == param


def test_what_was_added_while_an_answer_was_computed_stays(client, scripted):
    conversation = client.conversations.create()
    with client.responses.create(model="default", input="endless", conversation=conversation.id, max_output_tokens=1500, stream=True) as stream:
        next(iter(stream))
        client.conversations.items.create(conversation.id, items=[{"type": "message"} | says("user", "meanwhile")])
        for _ in stream:
            pass
    texts = [item.content[0].text for item in client.conversations.items.list(conversation.id, order="asc")]
    assert texts[:2] == ["meanwhile", "endless"] and len(texts) == 3


# --- roles


def test_a_role_that_the_template_does_not_know_is_refused_by_its_name(client):
    told = [says("user", "q"), says("narrator", "It was night."), says("user", "done")]
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, told)
    assert caught.value.param == "input[1].role" and "narrator" in caught.value.message and "developer, user, assistant" in caught.value.message
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="default", messages=told)
    assert caught.value.param == "messages[1].role" and "narrator" in caught.value.message


def test_every_role_of_openai_is_known(client):
    told = [says("developer", "a"), says("system", "b"), says("user", "c"), says("assistant", "d"), says("user", "done")]
    results = [*told[:-1], {"role": "tool", "tool_call_id": "call_1", "content": "e"}, {"role": "function", "name": "look", "content": "f"}, told[-1]]
    assert ask(client, told).output_text == "It snows."
    assert client.chat.completions.create(model="default", messages=results).choices[0].message.content == "It snows."


# --- streams in the background


def test_a_stream_in_the_background_is_a_stream_that_can_be_read_again(client):
    events = list(ask(client, "by-turns", tools=[TOOL], stream=True, background=True))
    assert [event.type for event in events[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    end = events[-1].response
    assert events[-1].type == "response.completed" and end.background and parts_of(end) == BY_TURNS
    assert client.responses.retrieve(end.id) == end
    assert list(client.responses.retrieve(end.id, stream=True)) == events
    assert list(client.responses.retrieve(end.id, stream=True, starting_after=4)) == events[5:]
    assert list(client.responses.retrieve(end.id, stream=True, starting_after=len(events))) == []


def test_a_client_that_leaves_goes_on_where_it_was(client, scripted):
    with ask(client, "endless", stream=True, background=True, max_output_tokens=1500) as stream:
        seen = [event for event, _ in zip(stream, range(8))]
    name = seen[0].response.id
    rest = list(client.responses.retrieve(name, stream=True, starting_after=seen[-1].sequence_number))
    assert [event.sequence_number for event in seen + rest] == list(range(len(seen + rest)))
    text = "".join(event.delta for event in seen + rest if event.type == "response.output_text.delta")
    assert text == rest[-1].response.output_text and rest[-1].response.usage.output_tokens == 1500
    scripted.wait_until(lambda: scripted.metric("squish_sequences_running") == 0, what="the answer's end")


def test_a_stream_in_the_background_ends_when_it_is_cancelled(client):
    conversation = client.conversations.create()
    stream = ask(client, "endless", stream=True, background=True, max_output_tokens=1900, conversation=conversation.id)
    events = [event for event, _ in zip(stream, range(8))]
    client.responses.cancel(events[0].response.id)
    *_, end = stream
    assert end.type == "response.incomplete" and end.response.status == "cancelled" and end.response.error is None
    assert client.responses.retrieve(end.response.id).status == "cancelled"
    assert [item.role for item in client.conversations.items.list(conversation.id, order="asc")] == ["user", "assistant"], "once, as far as it had come"


def test_a_stream_ends_whatever_is_deleted_meanwhile(client):
    stream = ask(client, "endless", stream=True, background=True, max_output_tokens=1500)
    name = next(iter(stream)).response.id
    with pytest.raises(openai.NotFoundError):
        client.responses.delete(name)
    *_, end = stream
    assert end.response.status == "incomplete" and client.responses.retrieve(name).usage.output_tokens == 1500


def test_what_goes_wrong_in_the_background_is_the_last_event(client):
    events = list(ask(client, "x" * (CONTEXT + 1), stream=True, background=True))
    assert [event.type for event in events] == ["response.created", "response.queued", "response.failed"]
    assert str(CONTEXT) in events[-1].response.error.message
    assert client.responses.retrieve(events[0].response.id).status == "failed"


def test_events_that_are_not_kept_are_refused(client, scripted):
    plain = ask(client).id
    streamed = list(ask(client, stream=True, background=True))[0].response.id
    client.responses.delete(streamed)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.retrieve(plain, stream=True)
    assert caught.value.param == "stream" and plain in caught.value.message
    for name in (streamed, "resp_none"):
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(name, stream=True)
    for query, word in (("stream=maybe", "maybe"), ("stream=true&starting_after=-1", "starting_after")):
        reply = scripted.get(f"/v1/responses/{plain}?{query}")
        assert reply.status == 400 and word in reply.json["error"]["message"]
