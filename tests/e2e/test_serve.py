"""`squish serve` with the OpenAI client that people use, on a real model."""

import concurrent.futures
import json
import math
import re

import openai
import pytest
from squish_program import model_or_skip

STORY = "Once upon a time there was a little"


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.base}/v1", api_key=server.key, max_retries=0, timeout=120) as made:
        yield made


@pytest.fixture(scope="module")
def chat(client, server):
    """One question, greedy unless said otherwise."""

    def ask(text="Say hello.", **options):
        return client.chat.completions.create(
            **{"model": server.model, "messages": [{"role": "user", "content": text}], "max_tokens": 12, "temperature": 0} | options
        )

    return ask


@pytest.fixture(scope="module")
def complete(client, server):
    def ask(prompt=STORY, **options):
        return client.completions.create(**{"model": server.model, "prompt": prompt, "max_tokens": 8, "temperature": 0} | options)

    return ask


def events_of(reply):
    """The data of an event stream; checks its frames."""
    frames = reply.text.split("\n\n")
    assert frames.pop() == ""
    assert frames[-1] == "data: [DONE]"
    assert all(frame.startswith(("data: ", ":")) for frame in frames)
    return [json.loads(frame[6:]) for frame in frames[:-1] if frame.startswith("data: ")]


# --- models


def test_health_needs_no_key(server):
    health = server.get("/health", headers={"Authorization": None}).json
    assert health["status"] == "ok"
    assert health["model"] == server.model
    assert health["load_mode"] == "eager"
    assert server.get("/healthz", headers={"Authorization": None}).status == 200
    assert server.get("/readyz", headers={"Authorization": None}).status == 200


def test_models_are_listed_and_found(server, client):
    models = client.models.list().data
    assert [model.id for model in models] == [server.model]
    assert models[0].object == "model"
    assert models[0].created > 1_600_000_000
    one = client.models.retrieve(server.model)
    assert one == models[0]
    assert one.squish["loaded"] is True


def test_an_unknown_model_is_404_in_openais_shape(client, chat):
    for call in (lambda: client.models.retrieve("org/none"), lambda: chat(model="org/none")):
        with pytest.raises(openai.NotFoundError) as caught:
            call()
        assert caught.value.code == "model_not_found"
        assert caught.value.type == "not_found_error"
        assert "org/none" in caught.value.message


@pytest.mark.parametrize("name", ["/etc/passwd", "../../etc/passwd", "~/x.gguf", "./x"])
def test_a_request_cannot_open_files_by_their_path(chat, name):
    with pytest.raises(openai.NotFoundError):
        chat(model=name)


@pytest.mark.parametrize("name", ["", "squish", "default"])
def test_the_default_model_has_other_names(server, chat, name):
    assert chat(model=name, max_tokens=1).model == server.model


# --- chat


def test_a_chat_answer_has_all_its_parts(server, chat):
    answer = chat()
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{12}", answer.id)
    assert re.fullmatch(r"sq-[0-9a-f]{8}", answer.system_fingerprint)
    assert answer.object == "chat.completion"
    assert answer.model == server.model
    assert len(answer.choices) == 1
    choice = answer.choices[0]
    assert (choice.index, choice.message.role, choice.logprobs) == (0, "assistant", None)
    assert choice.message.content
    assert choice.message.tool_calls is None
    assert choice.finish_reason in ("stop", "length")
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.completion_tokens <= 12
    assert usage.prompt_tokens_details.cached_tokens >= 0
    assert usage.completion_tokens_details.reasoning_tokens == 0


def test_a_stream_says_what_the_whole_answer_says(server, chat):
    whole = chat()
    chunks = list(chat(stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert len({(chunk.id, chunk.created, chunk.model, chunk.system_fingerprint) for chunk in chunks}) == 1
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[0].choices[0].delta.content == ""
    assert all(chunk.choices[0].delta.role is None for chunk in chunks[1:])
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks[:-1])
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].choices[0].delta.content is None
    assert all(chunk.usage is None for chunk in chunks)


def test_usage_comes_in_a_last_chunk_when_asked_for(chat):
    chunks = list(chat(stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage.model_dump(exclude={"prompt_tokens_details"}) == chat().usage.model_dump(exclude={"prompt_tokens_details"})
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-2].choices[0].finish_reason


def test_the_bytes_of_a_stream_are_an_event_stream(server):
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3, "stream": True}
    reply = server.post("/v1/chat/completions", body)
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    assert reply.headers["Cache-Control"] == "no-cache"
    assert reply.headers["X-Accel-Buffering"] == "no"
    assert reply.headers["X-Request-Id"].startswith("req-")
    assert all("usage" not in event for event in events_of(reply))
    with_usage = events_of(server.post("/v1/chat/completions", body | {"stream_options": {"include_usage": True}}))
    assert all(event["usage"] is None for event in with_usage[:-1])


def test_a_prompt_seen_before_is_cached(chat):
    text = "Tell me about the " + "very " * 100 + "old sea."
    first = chat(text, max_tokens=1).usage
    second = chat(text, max_tokens=1).usage
    assert first.prompt_tokens == second.prompt_tokens
    assert second.prompt_tokens_details.cached_tokens > first.prompt_tokens_details.cached_tokens


def test_several_answers_to_one_question(chat):
    answer = chat("Name a colour.", n=3, temperature=1.5, seed=7, max_tokens=6)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) > 1
    assert answer.usage.prompt_tokens == chat("Name a colour.").usage.prompt_tokens
    assert answer.usage.completion_tokens > 6
    streamed = ["", "", ""]
    for chunk in chat("Name a colour.", n=3, temperature=1.5, seed=7, max_tokens=6, stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert streamed == [choice.message.content for choice in answer.choices]


def test_a_seed_repeats_an_answer(chat):
    def text(seed):
        return chat("Tell me a story.", temperature=1, seed=seed, max_tokens=16).choices[0].message.content

    assert text(1) == text(1)
    assert len({text(seed) for seed in range(4)}) > 1


def test_stop_strings_end_an_answer_and_are_not_in_it(chat):
    whole = chat(max_tokens=24).choices[0].message.content
    stop = whole[4:8]
    for options in ({"stop": stop}, {"stop": ["no such text", stop]}):
        answer = chat(max_tokens=24, **options).choices[0]
        assert answer.message.content == whole[: whole.index(stop)]
        assert answer.finish_reason == "stop"
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chat(max_tokens=24, stream=True, **options))
        assert streamed == answer.message.content


@pytest.mark.parametrize("options, tokens", [({"max_tokens": 3}, 3), ({"max_tokens": 9, "max_completion_tokens": 2}, 2)])
def test_the_length_of_an_answer_is_limited(client, server, options, tokens):
    answer = client.chat.completions.create(
        model=server.model, messages=[{"role": "user", "content": "Count to one hundred."}], temperature=0, **options
    )
    assert answer.usage.completion_tokens == tokens
    assert answer.choices[0].finish_reason == "length"


def test_logit_bias_forbids_and_forces_tokens(server, chat):
    token = server.post("/v1/tokenize", {"text": "!", "add_special": False}).json["token_ids"][0]
    forced = chat(logit_bias={str(token): 100}, max_tokens=3)
    assert forced.choices[0].message.content == "!!!"
    plain = chat(logprobs=True, max_tokens=1).choices[0].logprobs.content[0]
    first = server.post("/v1/tokenize", {"text": plain.token, "add_special": False}).json["token_ids"][0]
    without = chat(logit_bias={str(first): -100}, max_tokens=1)
    assert without.choices[0].message.content != plain.token


def test_a_penalty_keeps_an_answer_from_repeating(server, chat):
    token = server.post("/v1/tokenize", {"text": "!", "add_special": False}).json["token_ids"][0]
    bias = {str(token): 30}
    assert chat(logit_bias=bias, max_tokens=40).choices[0].message.content == "!" * 40
    assert chat(logit_bias=bias, max_tokens=40, frequency_penalty=2).choices[0].message.content != "!" * 40


def test_logprobs_of_a_chat(chat):
    content = chat(logprobs=True, top_logprobs=3, max_tokens=4).choices[0].logprobs.content
    assert len(content) == 4
    for token in content:
        assert token.logprob <= 0
        assert bytes(token.bytes).decode(errors="replace") == token.token
        assert len(token.top_logprobs) == 3
        assert token.top_logprobs[0].token == token.token  # greedy
        assert math.isclose(token.top_logprobs[0].logprob, token.logprob, abs_tol=1e-5)
        values = [other.logprob for other in token.top_logprobs]
        assert values == sorted(values, reverse=True)
    streamed = []
    for chunk in chat(logprobs=True, top_logprobs=3, max_tokens=4, stream=True):
        if chunk.choices[0].logprobs:
            streamed += chunk.choices[0].logprobs.content
    assert [token.token for token in streamed] == [token.token for token in content]


def test_content_parts_roles_and_odd_conversations(chat, client, server):
    parts = [{"type": "text", "text": "Say"}, {"type": "text", "text": "hello."}]
    assert client.chat.completions.create(
        model=server.model, messages=[{"role": "user", "content": parts}], max_tokens=2
    ).choices[0].message.content
    conversation = [
        {"role": "developer", "content": "Be short."},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi", "name": "Ann"},
        {"role": "assistant", "content": None, "reasoning_content": "They greet.", "refusal": None},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": ""},
    ]
    assert client.chat.completions.create(model=server.model, messages=conversation, max_tokens=2).choices


def test_fields_that_are_not_known_are_let_pass(chat):
    answer = chat(
        max_tokens=1,
        user="ann",
        metadata={"a": "b"},
        store=False,
        service_tier="auto",
        reasoning_effort="low",
        verbosity="low",
        prediction={"type": "content", "content": "x"},
        modalities=["text"],
        parallel_tool_calls=True,
        extra_body={"chat_template_kwargs": {"enable_thinking": False}, "no_such_field": {"x": [1, None]}, "top_k": 5, "min_p": 0.1},
    )
    assert answer.choices[0].finish_reason == "length"


def test_numbers_may_come_as_text_and_null_is_absent(server):
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": "2", "temperature": "0.5", "top_p": None, "stop": None}
    reply = server.post("/v1/chat/completions", body)
    assert reply.status == 200
    assert reply.json["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize(
    "change, param",
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0]"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": "nan"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.01}, "top_p"),
        ({"max_tokens": 131073}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": -3}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"n": 65}, "n"),
        ({"n": 1e308}, "n"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"5": 101}}, "logit_bias"),
        ({"logit_bias": [5]}, "logit_bias"),
        ({"stop": 5}, "stop"),
        ({"stop": ["x"] * 65}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": 1}, "stream_options"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"seed": -2}, "seed"),
        ({"model": 5}, "model"),
    ],
)
def test_a_wrong_value_is_400_and_names_its_field(server, change, param):
    reply = server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1} | change)
    assert reply.status == 400, reply.text
    error = reply.json["error"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert param in error["message"]
    assert reply.json["detail"] == error["message"]


def test_a_prompt_over_the_context_is_refused_with_both_numbers(chat):
    with pytest.raises(openai.BadRequestError) as caught:
        chat("word " * 9000, max_tokens=1)
    assert caught.value.code == "context_length_exceeded"
    assert "8192" in caught.value.message


def test_answers_at_the_same_time_are_those_given_alone(chat):
    questions = [f"Name {count} animals." for count in range(2, 10)]
    alone = [chat(question).choices[0].message.content for question in questions]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda question: chat(question).choices[0].message.content, questions))
    assert together == alone


# --- completions


def test_a_completion_has_all_its_parts(server, complete):
    answer = complete()
    assert re.fullmatch(r"cmpl-[0-9a-f]{12}", answer.id)
    assert answer.object == "text_completion"
    assert answer.model == server.model
    assert answer.choices[0].text
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 8


def test_a_completion_streams(complete):
    chunks = list(complete(stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == complete().choices[0].text
    assert chunks[-1].usage.completion_tokens == 8
    assert chunks[-2].choices[0].finish_reason == "length"


def test_prompts_may_be_lists_and_tokens(server, complete):
    texts = [STORY, "The capital of France is"]
    alone = [complete(text).choices[0].text for text in texts]
    tokens = [server.post("/v1/tokenize", {"text": text}).json["token_ids"] for text in texts]
    assert complete(tokens[0]).choices[0].text == alone[0]
    for prompt in (texts, tokens):
        answer = complete(prompt)
        assert [choice.index for choice in answer.choices] == [0, 1]
        assert [choice.text for choice in answer.choices] == alone
        assert answer.usage.prompt_tokens == sum(map(len, tokens))
        streamed = ["", ""]
        for chunk in complete(prompt, stream=True):
            streamed[chunk.choices[0].index] += chunk.choices[0].text
        assert streamed == alone


def test_echo_puts_the_prompt_before_the_answer(server, complete):
    text = complete().choices[0].text
    assert complete(echo=True).choices[0].text == STORY + text
    assert "".join(chunk.choices[0].text for chunk in complete(echo=True, stream=True)) == STORY + text
    tokens = server.post("/v1/tokenize", {"text": STORY}).json["token_ids"]
    assert complete(tokens, echo=True).choices[0].text == STORY + text


def test_several_completions_and_the_best_of_them(complete):
    answer = complete(n=2, best_of=4, temperature=1.5, seed=3)
    assert len(answer.choices) == 2
    assert answer.usage.completion_tokens > 16  # all four are counted
    assert [choice.logprobs for choice in answer.choices] == [None, None]
    four = complete(n=4, temperature=1.5, seed=3, logprobs=0)
    means = {choice.text: sum(choice.logprobs.token_logprobs) / len(choice.logprobs.tokens) for choice in four.choices}
    best = sorted(means, key=means.get, reverse=True)
    assert [choice.text for choice in answer.choices] == best[:2]


def test_logprobs_of_a_completion(complete):
    answer = complete(logprobs=2)
    logprobs = answer.choices[0].logprobs
    assert "".join(logprobs.tokens) == answer.choices[0].text
    assert len(logprobs.token_logprobs) == len(logprobs.top_logprobs) == len(logprobs.text_offset) == 8
    assert all(len(top) == 2 for top in logprobs.top_logprobs)
    for token, value, top in zip(logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs):
        assert math.isclose(top[token], value, abs_tol=1e-5)
    lengths = [len(token) for token in logprobs.tokens]
    assert logprobs.text_offset == [logprobs.text_offset[0] + sum(lengths[:i]) for i in range(8)]


def test_a_gap_cannot_be_filled_without_tokens_for_it(server):
    reply = server.post("/v1/completions", {"prompt": "def add(a, b):", "suffix": "print(add(1, 2))"})
    assert reply.status == 400
    assert reply.json["error"]["param"] == "suffix"
    assert "vocabulary" in reply.json["error"]["message"]


def test_a_gap_is_filled_with_the_models_own_tokens_for_it(start_server):
    coder = start_server(model_or_skip("Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf"), "--context", "512", "--sequences", "1")
    body = {"prompt": "def add(a, b):\n    return ", "suffix": "\n\nprint(add(1, 2))\n", "max_tokens": 8, "temperature": 0}
    answer = coder.post("/v1/completions", body).json
    assert answer["choices"][0]["text"].startswith("a + b")
    plain = coder.post("/v1/tokenize", {"text": body["prompt"]}).json["token_count"]
    after = coder.post("/v1/tokenize", {"text": body["suffix"]}).json["token_count"]
    assert answer["usage"]["prompt_tokens"] == plain + after + 3


@pytest.mark.parametrize(
    "change, param",
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": [""]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [1, "x"]}, "prompt"),
        ({"prompt": {"x": 1}}, "prompt"),
        ({"prompt": ["x"] * 65}, "prompt"),
        ({"prompt": ["x", "y"], "n": 33}, "n"),
        ({"best_of": 65}, "best_of"),
        ({"n": 3, "best_of": 2}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"logprobs": 21}, "logprobs"),
        ({"echo": "yes"}, "echo"),
        ({"prompt": [1], "suffix": "x"}, "suffix"),
    ],
)
def test_a_wrong_value_of_a_completion_names_its_field(server, change, param):
    reply = server.post("/v1/completions", {"prompt": "Hi", "max_tokens": 1} | change)
    assert reply.status == 400, reply.text
    assert reply.json["error"]["param"] == param


def test_a_token_outside_the_vocabulary_is_refused(server):
    reply = server.post("/v1/completions", {"prompt": [2_000_000_000], "max_tokens": 1})
    assert reply.status == 400
    assert "2000000000" in reply.json["error"]["message"]


# --- tokens


def test_tokens_go_there_and_back(server):
    text = "Grüße, 世界 🌍!"
    tokens = server.post("/v1/tokenize", {"text": text, "add_special": False, "with_pieces": True}).json
    assert tokens["token_count"] == len(tokens["token_ids"]) == len(tokens["pieces"])
    assert server.post("/v1/detokenize", {"tokens": tokens["token_ids"]}).json["text"] == text


def test_the_tokens_of_a_conversation_are_those_of_its_prompt(server, chat):
    messages = [{"role": "user", "content": "Say hello."}]
    assert server.post("/v1/tokenize", {"messages": messages}).json["token_count"] == chat().usage.prompt_tokens


@pytest.mark.parametrize("path, body", [("/v1/tokenize", {}), ("/v1/tokenize", {"text": 5}), ("/v1/detokenize", {}), ("/v1/detokenize", {"tokens": "x"})])
def test_tokens_of_nothing_are_an_error(server, path, body):
    assert server.post(path, body).status == 400


# --- HTTP


def test_request_ids_are_repeated_if_they_are_decent(server):
    assert server.get("/health", headers={"X-Request-Id": "abc-1.2:3_4"}).headers["X-Request-Id"] == "abc-1.2:3_4"
    assert server.get("/health", headers={"X-Request-Id": "a b"}).headers["X-Request-Id"].startswith("req-")
    assert server.get("/health", headers={"X-Request-Id": "x" * 129}).headers["X-Request-Id"].startswith("req-")
    reply = server.get("/nothing", headers={"X-Request-Id": "mine"})
    assert (reply.status, reply.headers["X-Request-Id"]) == (404, "mine")


def test_versions_are_in_every_answer(server):
    for path in ("/health", "/nothing"):
        headers = server.get(path).headers
        assert headers["X-Squish-API-Version"] == "1"
        assert re.match(r"\d+\.\d+", headers["X-Squish-Version"])
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("body", ["", "{", "[]", '"x"', "nul", b"\xff\xfe", '{"messages": [' + "[" * 100000])
def test_a_body_that_is_no_json_object_is_400(server, body):
    reply = server.post("/v1/chat/completions", body, headers={"Content-Type": "application/json"})
    assert reply.status == 400
    assert reply.json["error"]["code"] == "invalid_json"
    assert "request body must be" in reply.json["error"]["message"]


def test_paths_and_methods_that_are_not_there(server):
    assert server.get("/nothing").json["error"]["code"] == "unknown_url"
    reply = server.get("/v1/chat/completions")
    assert reply.status == 405
    assert reply.headers["Allow"] == "POST, OPTIONS"
    assert server.get("/v1/models/").status == 200
    assert server.request("HEAD", "/health").body == b""


def test_the_document_of_the_api_lists_the_routes(server):
    document = server.get("/openapi.json").json
    assert document["openapi"].startswith("3.1")
    fields = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"messages", "temperature", "seed", "stream", "n"} <= fields["properties"].keys()
    assert fields["required"] == ["messages"]


def test_metrics_count_what_was_asked(server, chat):
    requests = server.metric("squish_requests_total")
    tokens = server.metric("squish_tokens_generated_total")
    chat("Count to one hundred.", max_tokens=5)
    assert server.metric("squish_requests_total") == requests + 1
    assert server.metric("squish_tokens_generated_total") == tokens + 5
    assert server.metric("squish_inflight_requests") == 0
    assert server.get("/metrics").status == 200


@pytest.mark.parametrize("key, status", [(None, 401), ("wrong", 401), ("test-ke", 401), ("test-key-", 401), ("test-key", 200)])
def test_a_key_is_asked_for(server, key, status):
    for headers in ({"Authorization": f"Bearer {key}"}, {"Authorization": None, "x-api-key": key}, {"Authorization": None, "xi-api-key": key}):
        reply = server.get("/v1/models", headers={k: v for k, v in headers.items()} if key else {"Authorization": None})
        assert reply.status == status
    if status == 401:
        assert reply.json["error"]["code"] == "invalid_api_key"
        assert reply.json["detail"] == "Invalid or missing API key"
        assert reply.headers["WWW-Authenticate"] == "Bearer"
