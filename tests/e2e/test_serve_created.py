"""Settings of a model made with /api/create hold on every route: OpenAI's, Anthropic's, LM Studio's and llama-server's."""

import pytest
from server_process import ServerProcess
from squish_program import Squish, give_model

QUESTION = [{"role": "user", "content": "Name the capital of France."}]
# A template that shows what reached it.
TEMPLATE = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant]"


@pytest.fixture(scope="module")
def made(program, chat_model, tmp_path_factory):
    home = tmp_path_factory.mktemp("created-home")
    give_model(home, chat_model)
    process = ServerProcess(Squish(program, home))
    for body in (
        {"model": "short", "parameters": {"num_predict": 3, "temperature": 0}},
        {"model": "pirate", "system": "Speak like a pirate.", "template": TEMPLATE, "messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Arr!"}]},
        {"model": "stopper", "parameters": {"stop": ["capital", "Paris"], "temperature": 0}},
        {"model": "small", "parameters": {"num_ctx": 48, "temperature": 0}},
    ):
        reply = process.post("/api/create", {**body, "from": "smollm2:135m", "stream": False})
        assert reply.status == 200, reply.text
    yield process
    assert process.stop() == 0, process.log[-2000:]


def chat(process, model, **options):
    return process.post("/v1/chat/completions", {"model": model, "messages": QUESTION, **options})


def answers(process, model, **limits):
    """(tokens, text) by route."""
    limit = {"max_tokens": limits["limit"]} if "limit" in limits else {}
    openai = chat(process, model, **limit).json
    yield "openai", openai["usage"]["completion_tokens"], openai["choices"][0]["message"]["content"]
    plain = process.post("/v1/completions", {"model": model, "prompt": "The capital of France is", **limit}).json
    yield "completions", plain["usage"]["completion_tokens"], plain["choices"][0]["text"]
    studio = process.post("/api/v0/chat/completions", {"model": model, "messages": QUESTION, **limit}).json
    yield "lmstudio", studio["usage"]["completion_tokens"], studio["choices"][0]["message"]["content"]
    responses = process.post("/v1/responses", {"model": model, "input": QUESTION, "store": False, **({"max_output_tokens": limits["limit"]} if limit else {})}).json
    yield "responses", responses["usage"]["output_tokens"], responses["output"][0]["content"][0]["text"] if responses["output"] else ""
    llama = process.post("/completion", {"model": model, "prompt": "The capital of France is", **({"n_predict": limits["limit"]} if limit else {})}).json
    yield "llama", llama["tokens_predicted"], llama["content"]


def test_parameters_count_where_the_request_is_silent(made):
    for route, tokens, _ in answers(made, "short"):
        assert tokens == 3, route
    for route, tokens, _ in answers(made, "short", limit=5):
        assert tokens == 5, f"{route}: what the request says lies over them"
    message = made.post("/v1/messages", {"model": "short", "max_tokens": 5, "messages": QUESTION}).json
    assert message["usage"]["output_tokens"] == 5


def test_temperature_0_of_the_model_makes_answers_repeat(made):
    texts = {chat(made, "short", max_tokens=12).json["choices"][0]["message"]["content"] for _ in range(4)}
    assert len(texts) == 1


def test_stops_of_the_model_end_answers(made):
    for route, _, text in answers(made, "stopper", limit=24):
        assert "capital" not in text and "Paris" not in text, route
    assert "capital" in chat(made, "stopper", max_tokens=24, stop=["qqq"]).json["choices"][0]["message"]["content"]
    message = made.post("/v1/messages", {"model": "stopper", "max_tokens": 24, "messages": QUESTION}).json
    assert message["stop_reason"] == "stop_sequence" and message["stop_sequence"] in ("capital", "Paris")


def test_system_template_and_messages_reach_the_prompt(made):
    wanted = "[system] Speak like a pirate.\n[user] Who?\n[assistant] Arr!\n[user] Name the capital of France.\n[assistant]"
    shown = made.post("/apply-template", {"model": "pirate", "messages": QUESTION}).json["prompt"]
    assert shown == wanted
    count = len(made.post("/v1/tokenize", {"model": "pirate", "text": wanted, "add_special": False}).json["token_ids"])
    assert made.post("/v1/tokenize", {"model": "pirate", "messages": QUESTION}).json["token_count"] == count
    assert chat(made, "pirate", max_tokens=1).json["usage"]["prompt_tokens"] == count
    studio = made.post("/api/v0/chat/completions", {"model": "pirate", "messages": QUESTION, "max_tokens": 1}).json
    assert studio["usage"]["prompt_tokens"] == count
    assert made.post("/v1/messages/count_tokens", {"model": "pirate", "messages": QUESTION}).json["input_tokens"] == count
    usage = made.post("/v1/messages", {"model": "pirate", "max_tokens": 1, "messages": QUESTION}).json["usage"]
    assert usage["input_tokens"] + usage["cache_read_input_tokens"] == count
    assert made.post("/v1/responses/input_tokens", {"model": "pirate", "input": QUESTION}).json["input_tokens"] == count
    assert made.post("/api/chat", {"model": "pirate", "messages": QUESTION, "stream": False, "options": {"num_predict": 1}}).json["prompt_eval_count"] == count


def test_a_system_message_of_the_request_stands_instead(made):
    messages = [{"role": "system", "content": "Be dull."}, *QUESTION]
    shown = made.post("/apply-template", {"model": "pirate", "messages": messages}).json["prompt"]
    assert "Be dull." in shown and "pirate" not in shown


def test_num_ctx_bounds_prompt_and_answer(made):
    body = chat(made, "small", ignore_eos=True).json
    assert body["usage"]["total_tokens"] == 48 and body["choices"][0]["finish_reason"] == "length"
    long = made.post("/v1/completions", {"model": "small", "prompt": "word " * 60})
    assert long.status == 400 and long.json["error"]["code"] == "context_length_exceeded"
    assert "num_ctx is 48" in long.json["error"]["message"]


def test_other_models_have_no_settings(made):
    plain = made.post("/apply-template", {"model": "smollm2:135m", "messages": QUESTION}).json["prompt"]
    assert "pirate" not in plain and "<|im_start|>" in plain
