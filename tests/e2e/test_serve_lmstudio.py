"""The routes of LM Studio and of llama-server, as their clients use them."""

import json

import pytest

CHAT = {"messages": [{"role": "user", "content": "Name the capital of France."}], "temperature": 0, "max_tokens": 8}


def events_of(reply):
    return [json.loads(line[6:]) for line in reply.text.split("\n\n") if line.startswith("data: {")]


def check_figures(body):
    stats = body["stats"]
    assert stats["tokens_per_second"] > 0 and stats["time_to_first_token"] > 0 and stats["generation_time"] > 0
    assert stats["stop_reason"] in ("eosFound", "maxPredictedTokensReached")
    assert body["model_info"] == {"arch": "llama", "quant": "Q4_1", "format": "gguf", "context_length": body["model_info"]["context_length"]}
    assert body["model_info"]["context_length"] > 0
    assert body["runtime"]["name"] == "squish" and "gguf" in body["runtime"]["supported_formats"]


# --- LM Studio


def test_models_tell_state_and_kind(server):
    listed = server.get("/api/v0/models").json
    (model,) = [model for model in listed["data"] if model["id"] == server.model]
    assert listed["object"] == "list" and model["object"] == "model"
    assert model["type"] == "llm" and model["arch"] == "llama" and model["compatibility_type"] == "gguf"
    assert model["quantization"] == "Q4_1" and model["max_context_length"] == 8192
    assert model["state"] == "loaded" and model["loaded_context_length"] > 0
    assert model["capabilities"] == [], "its template knows nothing of tools"
    assert server.get(f"/api/v0/models/{server.model}").json == model
    missing = server.get("/api/v0/models/nowhere")
    assert missing.status == 404 and missing.json["error"]["code"] == "model_not_found"


def test_chat_has_figures(server):
    body = server.post("/api/v0/chat/completions", {"model": server.model, **CHAT}).json
    assert "Paris" in body["choices"][0]["message"]["content"] and body["usage"]["completion_tokens"] <= 8
    check_figures(body)


def test_streamed_chat_has_figures_in_a_last_chunk(server):
    reply = server.post("/api/v0/chat/completions", {"model": server.model, "stream": True, **CHAT})
    assert reply.text.endswith("data: [DONE]\n\n")
    first, *_, last = events_of(reply)
    assert last["choices"] == []
    for name in ("id", "object", "created", "model"):
        assert last[name] == first[name]
    check_figures(last)


def test_completions_have_figures(server):
    body = server.post("/api/v0/completions", {"model": server.model, "prompt": "Once upon a time", "max_tokens": 4, "temperature": 0}).json
    assert body["choices"][0]["text"]
    assert body["stats"]["stop_reason"] == "maxPredictedTokensReached"
    check_figures(body)


def test_ttl_is_how_long_the_model_stays(start_server, local_model):
    process = start_server(model=local_model)
    body = {"model": local_model, "ttl": 600, **CHAT}
    assert process.post("/api/v0/chat/completions", body).status == 200
    (loaded,) = process.get("/api/ps").json["models"]
    assert not loaded["expires_at"].startswith("21"), "no longer for ever"
    assert process.post("/api/v0/chat/completions", body | {"ttl": "soon"}).status == 400


# --- llama-server


def test_tokens_and_back(server):
    text = "Hello, Zürich!"
    tokens = server.post("/tokenize", {"content": text}).json["tokens"]
    assert tokens and all(isinstance(token, int) for token in tokens)
    assert server.post("/detokenize", {"tokens": tokens}).json == {"content": text}
    pieces = server.post("/tokenize", {"content": text, "with_pieces": True}).json["tokens"]
    assert [piece["id"] for piece in pieces] == tokens
    raw = b"".join(bytes(p["piece"]) if isinstance(p["piece"], list) else p["piece"].encode() for p in pieces)
    assert raw.decode() == text
    assert server.post("/tokenize", {}).status == 400
    assert server.post("/detokenize", {"tokens": ["x"]}).status == 400


def test_completion_whole_and_streamed(server):
    request = {"prompt": "Once upon a time there was a little", "n_predict": 8, "temperature": 0, "return_tokens": True}
    whole = server.post("/completion", request).json
    assert whole["content"] and whole["stop"] and whole["stop_type"] == "limit"
    assert whole["tokens_predicted"] == 8 == len(whole["tokens"])
    assert whole["timings"]["predicted_n"] == 8 and whole["timings"]["predicted_per_second"] > 0
    assert whole["generation_settings"]["n_predict"] == 8 and whole["generation_settings"]["top_k"] == 40
    reply = server.post("/completion", request | {"stream": True})
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    events = events_of(reply)
    assert "".join(event["content"] for event in events) == whole["content"]
    assert [event["stop"] for event in events] == [False] * (len(events) - 1) + [True]
    by_tokens = server.post("/tokenize", {"content": request["prompt"]}).json["tokens"]
    assert server.post("/completion", request | {"prompt": by_tokens}).json["content"] == whole["content"]


def test_completion_stops_at_words_and_tells_probabilities(server):
    request = {"prompt": "Once upon a time there was a little", "n_predict": 8, "temperature": 0}
    whole = server.post("/completion", request | {"n_probs": 2}).json
    assert len(whole["completion_probabilities"]) == 8
    assert all(len(token["top_logprobs"]) == 2 for token in whole["completion_probabilities"])
    word = whole["content"].split()[1]
    cut = server.post("/completion", request | {"stop": [word]}).json
    assert cut["stop_type"] == "word" and cut["stopping_word"] == word and word not in cut["content"]


@pytest.mark.parametrize("body", [{}, {"prompt": 5}, {"prompt": "x", "n_predict": "many"}, {"prompt": "x", "temperature": -1}])
def test_completion_names_wrong_fields(server, body):
    assert server.post("/completion", body).status == 400


def test_template_props_and_slots(server):
    prompt = server.post("/apply-template", {"messages": CHAT["messages"]}).json["prompt"]
    assert "Name the capital of France." in prompt and prompt.endswith("<|im_start|>assistant\n")
    props = server.get("/props").json
    assert props["total_slots"] == 16 and props["default_generation_settings"]["n_ctx"] > 0
    assert "im_start" in props["chat_template"] and props["eos_token"] == "<|im_end|>"
    slots = server.get("/slots").json
    assert len(slots) >= 16 and not any(slot["is_processing"] for slot in slots)


def test_a_plain_completion_is_held_to_a_form(server):
    def said(**form):
        return server.post("/completion", {"prompt": "Hi", "n_predict": 30, "temperature": 0, **form})

    assert said(grammar='root ::= "yes" | "no"').json["content"] in {"yes", "no"}
    assert said(regex="[a-c]{3}").json["content"].strip("abc") == ""
    number = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9}}, "required": ["n"], "additionalProperties": False}
    assert isinstance(json.loads(said(json_schema=number).json["content"])["n"], int)
    assert isinstance(json.loads(said(response_format={"type": "json_object", "schema": number}).json["content"])["n"], int)
    assert said(grammar="root ::=").status == 400
    assert said(json_schema=number, grammar='root ::= "x"').status == 400
    first = said(n_predict=1, return_tokens=True).json["tokens"][0]
    for never in ([[first, False]], [[first, -100]], {str(first): -100}):
        assert said(n_predict=1, return_tokens=True, logit_bias=never).json["tokens"][0] != first
    assert said(logit_bias=[[first]]).status == 400


def test_a_stop_text_leaves_the_count_of_what_was_said(server):
    request = {"prompt": "one two three four one two three four one two three", "temperature": 0, "stop": "three", "max_tokens": 60}
    counts = {server.post("/v1/completions", request | {"speculate": guess}).json["usage"]["completion_tokens"] for guess in [True, False] * 8}
    assert len(counts) == 1
