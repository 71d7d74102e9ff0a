"""Guessed tokens: the same answers, alone and in a crowd, on a real model."""

import concurrent.futures
import json

import pytest
from squish_program import Squish
from server_process import ServerProcess

LINES = "".join(f"    if name == 'item_{i}': return {i * 37 % 101}\n" for i in range(12))
PROMPTS = {
    "copying": f"Copy this text exactly:\n{LINES}\nCopy:\n{LINES[:60]}",
    "counting": "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,",
    "story": "Once upon a time there was a little",
    "question": "The main difference between a lake and a sea is that",
    "code": "def quicksort(values):\n    if len(values) <= 1:\n        return values\n",
}


def ask(server, prompt, **options):
    body = {"prompt": prompt, "max_tokens": 96, "temperature": 0, **options}
    reply = server.post("/v1/completions", body)
    assert reply.status == 200, reply.text
    return reply.json["choices"][0]


@pytest.fixture(scope="module")
def servers(program, chat_model, tmp_path_factory):
    """With guesses, and without."""
    made = [
        ServerProcess(Squish(program, tmp_path_factory.mktemp("home")), chat_model, *flags) for flags in ((), ("--no-speculation",))
    ]
    yield made
    for process in made:
        assert process.stop() == 0, process.log[-2000:]


@pytest.mark.parametrize("name", PROMPTS)
def test_answers_are_the_same_with_and_without(servers, name):
    guessed, plain = (ask(server, PROMPTS[name]) for server in servers)
    assert guessed == plain
    assert ask(servers[0], PROMPTS[name], speculate=False) == plain
    options = {"frequency_penalty": 0.4, "repetition_penalty": 1.1}
    assert ask(servers[0], PROMPTS[name], **options) == ask(servers[1], PROMPTS[name], **options)


def test_log_probabilities_are_the_same(servers):
    guessed, plain = (ask(server, PROMPTS["copying"], logprobs=2, max_tokens=60) for server in servers)
    assert guessed == plain


def test_stop_texts_end_the_answer_at_the_same_place(servers):
    guessed, plain = (ask(server, PROMPTS["copying"], stop=["item_7"]) for server in servers)
    assert guessed == plain


def test_a_crowd_gets_the_answers_that_each_gets_alone(servers):
    alone = {name: ask(servers[1], prompt) for name, prompt in PROMPTS.items()}
    names = [name for name in PROMPTS for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = pool.map(lambda name: ask(servers[0], PROMPTS[name]), names)
        for name, answer in zip(names, answers):
            assert answer == alone[name], name


def test_guesses_happen_and_are_counted(servers):
    guessed, plain = servers
    before = guessed.metric("squish_engine_steps_total")
    drafted, accepted = (guessed.metric(f"squish_spec_{kind}_tokens_total") for kind in ("drafted", "accepted"))
    answer = ask(guessed, "x, y, z, " * 60, max_tokens=120)
    assert len(answer["text"]) > 0
    accepted = guessed.metric("squish_spec_accepted_tokens_total") - accepted
    drafted = guessed.metric("squish_spec_drafted_tokens_total") - drafted
    assert drafted >= accepted > 20
    assert guessed.metric("squish_engine_steps_total") - before < 120
    assert plain.metric("squish_spec_drafted_tokens_total") == 0


def test_run_gives_the_same_text(squish, chat_model):
    words = ("run", chat_model, "--no-template", "--json", "--temperature", "0", "--max-tokens", "64", PROMPTS["copying"])
    guessed, plain = (json.loads(squish(*words, *flags).stdout) for flags in ((), ("--no-speculation",)))
    assert guessed["text"] == plain["text"]
