"""What a response is made of and takes back, with known answers: a scripted model (scripted_model.py) and OpenAI's own client."""

import openai
import pytest
from scripted_model import CONTEXT, write_scripted_model
from server_process import ServerProcess
from squish_program import Squish

SCRIPTS = {"done": "It snows.", "short": "Yes."}


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
