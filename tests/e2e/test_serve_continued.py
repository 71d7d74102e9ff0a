"""An answer that goes on from a last message of the assistant, as the clients of every dialect ask for it."""

import anthropic
import ollama
import openai
import pytest

TALK = [{"role": "user", "content": "Count from one to six in words."}, {"role": "assistant", "content": "Here it is: one, two,"}]
PLAIN = {"temperature": 0, "max_tokens": 12}


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.base}/v1", api_key=server.key, max_retries=0, timeout=120) as made:
        yield made


@pytest.fixture(scope="module")
def expected(server):
    """What the model says behind the template's words and the beginning."""
    prompt = server.post("/apply-template", {"messages": TALK}).json["prompt"]
    assert prompt.endswith("assistant\n" + TALK[-1]["content"]), "the message is open"
    said = server.post("/v1/completions", {"prompt": prompt, **PLAIN}).json["choices"][0]["text"]
    assert "three" in said
    return said


def test_openais_clients(client, server, expected):
    answer = client.chat.completions.create(model=server.model, messages=TALK, **PLAIN)
    assert answer.choices[0].message.content == expected
    stream = client.chat.completions.create(model=server.model, messages=TALK, stream=True, **PLAIN)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == expected
    asked = client.chat.completions.create(model=server.model, messages=TALK, extra_body={"continue_final_message": True}, **PLAIN)
    assert asked.choices[0].message.content == expected


def test_ollamas_client(server, expected):
    client = ollama.Client(host=server.base, headers={"Authorization": f"Bearer {server.key}"}, timeout=120)
    options = {"temperature": 0, "num_predict": PLAIN["max_tokens"], "top_k": 0, "top_p": 1, "repeat_penalty": 1}
    assert client.chat(server.model, TALK, options=options).message.content == expected


def test_anthropics_client(server, expected):
    with anthropic.Anthropic(base_url=server.base, api_key=server.key, max_retries=0, timeout=120) as client:
        message = client.messages.create(model=server.model, messages=TALK, max_tokens=PLAIN["max_tokens"], extra_body={"temperature": 0})
    assert message.content[0].text == expected


@pytest.mark.parametrize("fields", [{"continue_final_message": False}, {"add_generation_prompt": True}])
def test_a_message_of_its_own_where_that_is_wanted(client, server, expected, fields):
    prompt = server.post("/apply-template", {"messages": TALK, **fields}).json["prompt"]
    assert prompt.endswith("<|im_start|>assistant\n")
    answer = client.chat.completions.create(model=server.model, messages=TALK, extra_body=fields, **PLAIN)
    assert answer.choices[0].message.content != expected


def test_a_form_is_that_of_a_whole_message(client, server):
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": ["yes", "no"]}}}
    answer = client.chat.completions.create(model=server.model, messages=TALK, response_format=form, **PLAIN)
    assert answer.choices[0].message.content in ('"yes"', '"no"')


def test_the_items_of_responses_are_whole(client, server, expected):
    answer = client.responses.create(model=server.model, input=TALK, temperature=0, max_output_tokens=16)
    assert answer.output_text and not answer.output_text.startswith(expected)


@pytest.mark.parametrize(
    "messages, fields",
    [
        (TALK[:1], {"continue_final_message": True}),
        (TALK, {"continue_final_message": True, "add_generation_prompt": True}),
        (TALK, {"continue_final_message": "perhaps"}),
    ],
)
def test_what_cannot_go_on_is_refused(server, messages, fields):
    reply = server.post("/v1/chat/completions", {"messages": messages, **fields})
    assert reply.status == 400 and reply.json["error"]["param"] == "continue_final_message"
