"""Several models in one server: how they share the memory they may take."""

import re

from squish_program import give_model

SMALL, OTHER = "smollm2-135m", "gemma-3-270m"


def say(server, model, **more):
    reply = server.post("/api/generate", {"model": model, "prompt": "The colours are red,", "raw": True, "stream": False,
                                          "options": {"temperature": 0, "num_predict": 24}, **more})
    assert reply.status == 200, reply.text
    return reply.json["response"]


def sizes(server):
    return {model["name"].split(":")[0]: model["size"] for model in server.get("/api/ps").json["models"]}


def two_models(squish, start_server, chat_model, base_model, *words):
    give_model(squish.home, chat_model, SMALL)
    give_model(squish.home, base_model, OTHER)
    return start_server("--lazy", "--context", 2048, *words)


def test_a_second_model_finds_room_because_the_cache_of_the_first_becomes_smaller(squish, start_server, chat_model, base_model):
    server = two_models(squish, start_server, chat_model, base_model, "--memory", "700MB")
    answer = say(server, SMALL)
    (alone,) = sizes(server).values()
    say(server, OTHER)
    together = sizes(server)
    assert len(together) == 2, "neither had to go"
    assert sum(together.values()) <= 700e6
    assert min(together.values()) < alone, "the first gave some of its cache"
    assert say(server, SMALL) == answer
    assert server.log.count("loaded ") == 2, "each was loaded once"

    say(server, OTHER, keep_alive=0)
    server.wait_until(lambda: len(sizes(server)) == 1, what="the unloading")
    assert list(sizes(server).values()) == [alone], "what the other one left is used again"
    assert say(server, SMALL) == answer


def test_a_model_goes_when_not_even_one_context_of_each_fits(squish, start_server, chat_model, base_model):
    server = two_models(squish, start_server, chat_model, base_model, "--memory", "400MB")
    say(server, SMALL)
    say(server, OTHER)
    assert len(sizes(server)) == 1
    assert "unloaded" in server.log


def test_a_model_that_fits_with_a_shorter_context_gets_one(squish, start_server, chat_model):
    give_model(squish.home, chat_model, SMALL)
    server = start_server("--lazy", "--memory", "230MB")
    assert say(server, SMALL)
    context, whole = map(int, re.search(r"a context of (\d+) tokens instead of (\d+)", server.log).groups())
    assert 4096 <= context < whole
    (model,) = server.get("/api/ps").json["models"]
    assert model["context_length"] == context
    assert model["size"] <= 230e6


def test_a_context_that_was_asked_for_is_not_made_shorter(squish, start_server, chat_model):
    give_model(squish.home, chat_model, SMALL)
    server = start_server("--lazy", "--memory", "230MB", "--context", 8192)
    reply = server.post("/api/generate", {"model": SMALL, "prompt": "Hi", "stream": False})
    assert reply.status in (500, 503)
    assert "--context" in reply.text and "--memory" in reply.text
