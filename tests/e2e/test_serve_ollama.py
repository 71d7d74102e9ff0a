"""`squish serve` with Ollama's own Python client, on a real model."""

import datetime
import hashlib
import json
import os
import socket

import ollama
import pytest
from squish_program import CHAT_MODEL

GREEDY = {"temperature": 0, "num_predict": 12}
QUESTION = [{"role": "user", "content": "Name the capital of France."}]
DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
GO_TEMPLATE = (
    "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}"
    "{{ if .Prompt }}<|im_start|>user\n{{ .Prompt }}<|im_end|>\n{{ end }}<|im_start|>assistant\n{{ .Response }}<|im_end|>\n"
)


def client_of(process):
    headers = {"Authorization": f"Bearer {process.key}"} if process.key else {}
    return ollama.Client(host=process.base, headers=headers, timeout=120)


@pytest.fixture(scope="module")
def client(server):
    return client_of(server)


@pytest.fixture
def own(start_server, local_model, squish):
    """A server whose models directory belongs to the test, and a client of it."""
    process = start_server(model=local_model)
    return process, client_of(process)


def is_time(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")[:26].rstrip("Z") + "+00:00" if "." in text else text)


# --- who is there


def test_root_speaks_to_each_kind_of_client(server):
    plain = server.get("/", headers={"Authorization": None})
    assert plain.status == 200 and plain.text == "Ollama is running"
    head = server.request("HEAD", "/", headers={"Authorization": None})
    assert head.status == 200 and head.body == b""
    asked = server.get("/", headers={"Accept": "application/json"}).json
    assert asked["version"] == "2.0.0" and asked["squish_version"] and asked["message"]
    assert server.get("/v1/version").json["squish_version"] == asked["squish_version"]
    assert server.get("/readyz").json == {"status": "ok"}
    assert server.get("/healthz").json == {"status": "ok"}


def test_version_is_one_that_clients_accept(server):
    answer = server.get("/api/version", headers={"Authorization": None}).json
    assert [int(part) for part in answer["version"].split(".")] >= [0, 12, 0]


def test_other_routes_want_the_key(server):
    reply = server.get("/api/tags", headers={"Authorization": None})
    assert reply.status == 401 and set(reply.json) == {"error"}


def test_there_is_no_cloud_and_nobody_is_signed_in_to_it(server):
    """What Ollama's clients ask before they offer its cloud: 404 is an error there, these answers are none."""
    status = server.get("/api/status")
    assert status.status == 200 and status.json == {"cloud": {"disabled": True, "source": "env"}}
    for path, answer in (
        ("/api/me", {"error": "unauthorized", "signin_url": ""}),
        ("/api/signout", {"error": "you are not currently signed in"}),
    ):
        for body in (None, b"", b"{}"):
            reply = server.request("POST", path, body=body, headers={"Content-Type": "application/json"})
            assert (reply.status, reply.json) == (401, answer)
    assert {"/api/status", "/api/me", "/api/signout"} <= set(server.get("/openapi.json").json["paths"])


# --- models


def test_tags_tell_what_is_really_there(own, chat_model):
    _, client = own
    (model,) = client.list().models
    assert model.model == "smollm2:135m"
    assert model.size == os.stat(chat_model).st_size
    assert len(model.digest) == 64
    assert model.modified_at is not None
    assert model.details.family == "llama" and model.details.format == "gguf"
    assert model.details.quantization_level == "Q4_1"
    assert model.details.parameter_size.startswith("134.")


def test_show_tells_template_metadata_and_capabilities(client, server):
    shown = client.show(server.model)
    assert "im_start" in shown.template
    assert shown.modelfile.startswith("#") and "FROM smollm2:135m" in shown.modelfile
    assert "completion" in shown.capabilities and "embedding" not in shown.capabilities
    assert "thinking" not in shown.capabilities
    assert shown.modelinfo["general.architecture"] == "llama"
    assert shown.modelinfo["llama.context_length"] == 8192
    assert shown.modelinfo["tokenizer.ggml.tokens"] is None
    assert shown.modelinfo["general.parameter_count"] > 134e6
    verbose = server.post("/api/show", {"model": server.model, "verbose": True}).json
    assert len(verbose["model_info"]["tokenizer.ggml.tokens"]) == 49152
    assert {"name", "type", "shape"} == set(verbose["tensors"][0])


def test_a_model_that_is_not_here_is_a_404_everywhere(client, server):
    for call in (
        lambda: client.show("nowhere"),
        lambda: client.generate("nowhere", "x"),
        lambda: client.chat("nowhere", QUESTION),
        lambda: client.delete("nowhere"),
        lambda: client.copy("nowhere", "other"),
        lambda: client.generate("nowhere", "", keep_alive=0),
    ):
        with pytest.raises(ollama.ResponseError) as caught:
            call()
        assert caught.value.status_code == 404
        assert caught.value.error == "model 'nowhere' not found"


def test_latest_is_a_name_without_a_tag(own):
    process, client = own
    client.create("plain", from_="smollm2:135m")
    assert client.generate("plain:latest", "Hi", options={"num_predict": 1}).done
    assert "plain:latest" in [model.model for model in client.list().models]


# --- generate


def test_generate_answers_at_once(client, server):
    answer = client.generate(server.model, "Name the capital of France.", options=GREEDY)
    assert "Paris" in answer.response
    assert answer.model == server.model and answer.done and answer.done_reason in ("stop", "length")
    assert answer.prompt_eval_count > 10 and 0 < answer.eval_count <= 12
    for name in DURATIONS:
        assert isinstance(answer[name], int) and answer[name] >= 0
    assert answer.total_duration >= answer.eval_duration > 1000
    assert is_time(answer.created_at)


def test_generate_streams_by_default_as_lines_of_json(client, server):
    reply = server.post("/api/generate", {"model": server.model, "prompt": "Count to five.", "options": GREEDY})
    assert reply.headers["Content-Type"] == "application/x-ndjson"
    frames = [json.loads(line) for line in reply.text.splitlines()]
    assert [frame["done"] for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert frames[-1]["response"] == "" and frames[-1]["done_reason"] == "length"
    text = "".join(frame["response"] for frame in frames)
    assert text == client.generate(server.model, "Count to five.", options=GREEDY).response
    assert len({frame["created_at"] for frame in frames}) > 1, "each frame has its own time"


def test_generate_takes_system_template_and_raw(client, server):
    def ask(prompt, **fields):
        return client.generate(server.model, prompt, options=GREEDY | {"num_predict": 6}, **fields)

    plain = ask("Hi")
    with_system = ask("Hi", system="You are a pirate captain. " * 10)
    assert with_system.prompt_eval_count > plain.prompt_eval_count
    written = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    raw = ask(written, raw=True)
    assert raw.context is None
    for source in (GO_TEMPLATE, "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n\n"):  # Jinja drops the last line break
        by_template = ask("Hi", system="Be brief.", template=source)
        assert by_template.response == raw.response
        assert by_template.prompt_eval_count == raw.prompt_eval_count
    with pytest.raises(ollama.ResponseError, match="line 1: the field .Nothing is not known"):
        ask("Hi", template="{{ .Nothing }}")


def test_generate_remembers_by_context(client, server):
    first = client.generate(server.model, "My name is Zoe.", options=GREEDY)
    assert len(first.context) >= first.prompt_eval_count + first.eval_count
    second = client.generate(server.model, "What is my name?", context=first.context, options=GREEDY)
    assert second.prompt_eval_count > len(first.context)
    assert second.context[: len(first.context)] == first.context


def test_generate_fills_gaps_only_where_the_model_can(client, server):
    assert "insert" not in client.show(server.model).capabilities
    with pytest.raises(ollama.ResponseError, match="no tokens for filling a gap") as caught:
        client.generate(server.model, "def add(a, b):\n", suffix="\n    return c", options=GREEDY)
    assert caught.value.status_code == 400


def test_an_empty_prompt_loads_and_keep_alive_0_unloads(own):
    process, client = own
    assert client.generate("smollm2:135m", "").done_reason == "load"
    (loaded,) = client.ps().models
    assert loaded.name == "smollm2:135m" and loaded.size > 50e6 and loaded.size_vram == 0
    assert loaded.context_length > 0
    assert client.generate("smollm2:135m", "", keep_alive=0).done_reason == "unload"
    process.wait_until(lambda: not client.ps().models, what="the unloading")
    assert client.chat("smollm2:135m", []).done_reason == "load"
    assert client.chat("smollm2:135m", QUESTION, options={"num_predict": 1}, keep_alive=0).done
    process.wait_until(lambda: not client.ps().models, what="the unloading after an answer")


@pytest.mark.parametrize(("given", "seconds"), [("10m", 600), (120, 120), ("1h30m", 5400), (-1, 1e9), ("-1s", 1e9)])
def test_keep_alive_is_a_time_or_seconds(own, given, seconds):
    process, client = own
    client.generate("smollm2:135m", "", keep_alive=given)
    (loaded,) = client.ps().models
    left = loaded.expires_at - datetime.datetime.now(datetime.timezone.utc)
    if seconds == 1e9:
        assert left > datetime.timedelta(days=365)
    else:
        assert abs(left.total_seconds() - seconds) < 60


def test_the_model_of_the_command_line_stays_when_it_comes_back(start_server, chat_model):
    server = start_server(chat_model, "--keep-alive", "30s")
    far = server.get("/api/ps").json["models"][0]["expires_at"]
    server.post("/api/generate", {"model": server.model or "default", "keep_alive": 0})
    server.wait_until(lambda: not server.get("/api/ps").json["models"], what="the unloading")
    assert server.post("/v1/completions", {"prompt": "x", "max_tokens": 1}).status == 200
    assert server.get("/api/ps").json["models"][0]["expires_at"][:3] == far[:3] != str(datetime.date.today().year)[:3]


def test_keep_alive_must_be_a_time(server):
    reply = server.post("/api/generate", {"model": server.model, "prompt": "x", "keep_alive": "soon"})
    assert reply.status == 400 and "keep_alive" in reply.json["error"]


# --- chat


def test_chat_answers_and_streams_the_same(client, server):
    whole = client.chat(server.model, QUESTION, options=GREEDY)
    assert "Paris" in whole.message.content and whole.message.role == "assistant"
    parts = list(client.chat(server.model, QUESTION, options=GREEDY, stream=True))
    assert "".join(part.message.content for part in parts) == whole.message.content
    assert parts[-1].done and parts[-1].eval_count == whole.eval_count
    assert not any(part.done for part in parts[:-1])


def test_options_are_all_understood(client, server):
    everything = {
        "num_keep": 5, "seed": 42, "num_predict": 4, "top_k": 20, "top_p": 0.9, "min_p": 0.0, "typical_p": 0.7,
        "repeat_last_n": 33, "temperature": 0.8, "repeat_penalty": 1.2, "presence_penalty": 1.5, "frequency_penalty": 1.0,
        "stop": ["\n", "user:"], "numa": False, "num_ctx": 1024, "num_batch": 2, "num_gpu": 1, "main_gpu": 0,
        "use_mmap": True, "num_thread": 8,
    }  # fmt: skip
    first = client.chat(server.model, QUESTION, options=everything)
    assert first.eval_count <= 4
    assert client.chat(server.model, QUESTION, options=everything).message.content == first.message.content


def test_options_that_nobody_knows_are_let_pass_with_a_warning(server):
    body = {"model": server.model, "prompt": "x", "stream": False, "options": {"num_predict": 1, "warp_factor": 9}}
    assert server.post("/api/generate", body).status == 200
    server.wait_until(lambda: "option warp_factor is not known" in server.log)


@pytest.mark.parametrize(
    ("options", "word"),
    [({"temperature": "hot"}, "temperature"), ({"top_p": 7}, "top_p"), ({"num_ctx": -1}, "num_ctx"), ({"stop": 5}, "stop")],
)
def test_options_with_wrong_values_are_named(server, options, word):
    reply = server.post("/api/generate", {"model": server.model, "prompt": "x", "options": options})
    assert reply.status == 400 and word in reply.json["error"]


def test_stop_texts_end_the_answer_and_are_not_shown(client, server):
    full = client.chat(server.model, QUESTION, options=GREEDY).message.content
    stop = full.split()[2]
    cut = client.chat(server.model, QUESTION, options=GREEDY | {"stop": [stop]})
    assert cut.message.content == full[: full.index(stop)] and cut.done_reason == "stop"


def test_num_ctx_drops_the_oldest_messages_or_refuses(client, server):
    talk = [{"role": "system", "content": "Be brief."}]
    for number in range(20):
        talk += [{"role": "user", "content": f"Number {number} of many."}, {"role": "assistant", "content": "Yes, I see."}]
    talk += QUESTION
    full = client.chat(server.model, talk, options=GREEDY)
    short = client.chat(server.model, talk, options=GREEDY | {"num_ctx": 200})
    assert full.prompt_eval_count > 200 > short.prompt_eval_count > 100
    last = client.chat(server.model, [talk[0], *QUESTION], options=GREEDY)
    shortest = client.chat(server.model, talk, options=GREEDY | {"num_ctx": last.prompt_eval_count + 3})
    assert shortest.prompt_eval_count == last.prompt_eval_count
    assert shortest.done_reason == "length" and shortest.eval_count <= 3
    body = {"model": server.model, "messages": talk, "options": {"num_ctx": 200}, "truncate": False}
    reply = server.post("/api/chat", body)
    assert reply.status == 400 and "num_ctx" in reply.json["error"]


def test_a_prompt_that_is_too_long_keeps_its_start_and_end(client, server):
    answer = client.generate(server.model, "word " * 500, raw=True, options={"num_ctx": 100, "num_predict": 1})
    assert answer.prompt_eval_count == 99


def test_log_probabilities(client, server):
    answer = client.chat(server.model, QUESTION, options=GREEDY, logprobs=True, top_logprobs=3)
    assert len(answer.logprobs) == answer.eval_count
    for token in answer.logprobs:
        assert len(token.top_logprobs) == 3 and token.logprob <= 0
        assert token.logprob == pytest.approx(token.top_logprobs[0].logprob), "greedy takes the likeliest"


def test_think_needs_a_model_that_can(client, server):
    with pytest.raises(ollama.ResponseError, match="does not support thinking") as caught:
        client.chat(server.model, QUESTION, think=True)
    assert caught.value.status_code == 400
    assert client.chat(server.model, QUESTION, think=False, options={"num_predict": 1}).done
    assert server.post("/api/chat", {"model": server.model, "messages": QUESTION, "think": "hard"}).status == 400


def test_images_are_refused(server):
    message = QUESTION[0] | {"images": ["aGk="]}
    for path, body in (("/api/chat", {"messages": [message]}), ("/api/generate", {"prompt": "x", "images": ["aGk="]})):
        reply = server.post(path, {"model": server.model, **body})
        assert reply.status == 400 and "images" in reply.json["error"]


@pytest.mark.parametrize(
    "body", [{}, {"model": ""}, {"model": 5}, {"model": "m", "messages": "x"}, {"model": "m", "messages": [{"content": "x"}]}, [], "x"]
)
def test_what_is_no_request_is_a_400_with_one_line(server, body):
    reply = server.request("POST", "/api/chat", json.dumps(body), headers={"Content-Type": "application/json"})
    assert reply.status in (400, 404) and set(reply.json) == {"error"} and "\n" not in reply.json["error"]


# --- models that are made here


def test_create_copy_and_delete(own, squish):
    process, client = own
    states = [
        part.status
        for part in client.create(
            "mario",
            from_="smollm2:135m",
            system="You are Mario.",
            template=GO_TEMPLATE,
            parameters={"temperature": 0, "num_predict": 3, "stop": ["\n", "user:"]},
            messages=[{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Mario!"}],
            license="MIT",
            stream=True,
        )
    ]
    assert states[-1] == "success" and "writing manifest" in states
    shown = client.show("mario")
    assert shown.template == GO_TEMPLATE and shown.license == "MIT"
    assert shown.parameters.splitlines()[0].split() == ["temperature", "0"]
    assert 'SYSTEM "You are Mario."' in shown.modelfile and shown.details.parent_model == "smollm2:135m"
    answer = client.chat("mario", QUESTION)
    assert answer.eval_count <= 3
    bare = client.chat("smollm2:135m", QUESTION, options={"temperature": 0, "num_predict": 3})
    assert answer.prompt_eval_count > bare.prompt_eval_count, "its system message and messages are in the prompt"

    client.copy("mario", "me/luigi:v1")
    assert process.post("/api/show", {"model": "me/luigi:v1"}).json["system"] == "You are Mario."
    weights = [model for model in client.list().models if model.size == client.list().models[0].size]
    assert len(weights) == 3
    used = sum(file.stat().st_size / file.stat().st_nlink for file in (squish.home / "squish" / "models").rglob("*.gguf"))
    assert used <= weights[0].size, "the files are shared"

    client.delete("mario")
    assert sorted(model.model for model in client.list().models) == ["me/luigi:v1", "smollm2:135m"]
    client.delete("smollm2:135m")
    assert client.chat("me/luigi:v1", QUESTION).done, "a copy does not need what it was copied from"


def test_create_from_a_modelfile_text(own):
    process, client = own
    modelfile = 'FROM smollm2:135m\nPARAMETER num_predict 2\nSYSTEM """Be\nbrief."""\n'
    reply = process.post("/api/create", {"name": "brief", "modelfile": modelfile, "stream": False})
    assert reply.status == 200 and reply.json == {"status": "success"}
    assert process.post("/api/show", {"name": "brief"}).json["system"] == "Be\nbrief."
    assert client.chat("brief", QUESTION).eval_count <= 2
    child = client.create("briefer", from_="brief", parameters={"num_predict": 1})
    assert child.status == "success"
    assert client.show("briefer").modelfile.count("Be\nbrief.") == 1, "what it does not say it has from its base"
    assert client.chat("briefer", QUESTION).eval_count == 1


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"model": "x"}, 400, "from"),
        ({"model": "../x", "from": "smollm2:135m"}, 400, "name"),
        ({"model": "x", "from": "smollm2:135m", "parameters": {"warp": 1}}, 400, "warp"),
        ({"model": "x", "from": "smollm2:135m", "parameters": {"temperature": "hot"}}, 400, "temperature"),
        ({"model": "x", "from": "smollm2:135m", "template": "{{ if }}"}, 400, "line 1"),
        ({"model": "x", "from": "smollm2:135m", "adapters": {"a": "sha256:" + "0" * 64}}, 400, "adapters"),
        ({"model": "x", "from": "smollm2:135m", "quantize": "q4_K_M"}, 400, "compress"),
        ({"model": "x", "modelfile": "FROM smollm2:135m\nADAPTER a.gguf"}, 400, "ADAPTER"),
        ({"model": "x", "modelfile": "FROM smollm2:135m\nWHAT"}, 400, "line 2"),
        ({"model": "x", "files": {"a.gguf": "sha256:" + "0" * 64}}, 400, "upload"),
        ({"model": "x", "files": {"../a.gguf": "sha256:" + "0" * 64}}, 400, "a.gguf"),
        ({"model": "smollm2:135m", "from": "smollm2:135m"}, 400, "not created here"),
    ],
)
def test_create_says_what_is_wrong(own, body, status, word):
    process, client = own
    reply = process.post("/api/create", body)
    text = reply.json["error"] if reply.status != 200 else json.loads(reply.text.splitlines()[-1])["error"]
    assert reply.status in (status, 200) and word in text
    assert [model.model for model in client.list().models] == ["smollm2:135m"]


def test_create_reads_no_file_of_the_server(own, chat_model):
    process, _ = own
    reply = process.post("/api/create", {"model": "x", "from": str(chat_model), "stream": False})
    assert reply.status == 400 and "upload" in reply.json["error"]


def test_blobs_become_models(own, chat_model, squish):
    process, client = own
    digest = client.create_blob(chat_model)
    assert digest == "sha256:" + hashlib.sha256(chat_model.read_bytes()).hexdigest()
    assert process.request("HEAD", f"/api/blobs/{digest}").status == 200
    assert client.create("uploaded", files={CHAT_MODEL: digest}, system="Be brief.").status == "success"
    assert "Paris" in client.chat("uploaded", QUESTION, options=GREEDY).message.content
    client.delete("uploaded")
    assert process.request("HEAD", f"/api/blobs/{digest}").status == 404, "the blob went with its only model"


def test_blobs_with_other_bytes_are_refused(own, squish):
    process, _ = own
    digest = "sha256:" + hashlib.sha256(b"right").hexdigest()
    reply = process.request("POST", f"/api/blobs/{digest}", b"wrong")
    assert reply.status == 400 and "digest mismatch" in reply.json["error"]
    assert process.request("HEAD", f"/api/blobs/{digest}").status == 404
    assert process.request("POST", "/api/blobs/sha256:..", b"x").status == 400
    assert process.request("POST", f"/api/blobs/{digest}", b"right").status == 201
    assert process.request("POST", f"/api/blobs/{digest}", b"right").status == 200
    made = process.post("/api/create", {"model": "odd", "files": {"a.gguf": digest}, "stream": False})
    assert made.status == 400 and "GGUF" in made.json["error"]


def test_blobs_larger_than_any_other_body_stream_to_disk(own, squish):
    process, _ = own
    before = process.memory_kb()
    piece = bytes(range(256)) * 4096
    count = 64
    digest = "sha256:" + hashlib.sha256(piece * count).hexdigest()

    def pieces():
        for _ in range(count):
            yield piece

    reply = process.request("POST", f"/api/blobs/{digest}", pieces(), headers={"Transfer-Encoding": "chunked"})
    assert reply.status == 201
    assert process.memory_kb() - before < 32 * 1024
    with socket.create_connection((process.host, process.port)) as connection:
        connection.sendall(f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: {33 * 1024 * 1024}\r\n\r\n".encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 413")


def test_an_upload_that_breaks_off_leaves_nothing(own, squish):
    process, _ = own
    digest = "sha256:" + "0" * 64
    with socket.create_connection((process.host, process.port)) as connection:
        connection.sendall(f"POST /api/blobs/{digest} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nabc".encode())
        blobs = squish.home / "squish" / "models" / ".blobs"
        process.wait_until(lambda: blobs.exists() and any(blobs.iterdir()), what="the temporary file")
    process.wait_until(lambda: not any(blobs.iterdir()), what="its removal")


# --- what cannot be done here


def test_pull_says_when_it_must_not_use_the_network(own):
    process, client = own
    with pytest.raises(ollama.ResponseError, match="SQUISH_OFFLINE"):
        client.pull("qwen2.5-coder:0.5b")
    with pytest.raises(ollama.ResponseError) as caught:
        client.pull("no-such-model")
    assert caught.value.status_code == 404


def test_pull_reads_no_path_of_the_server(own, chat_model):
    process, _ = own
    for name in (str(chat_model), "./x.gguf", "~/x.gguf"):
        reply = process.post("/api/pull", {"model": name, "stream": False})
        assert reply.status == 404, name


def test_push_is_refused(client, server):
    with pytest.raises(ollama.ResponseError, match="does not publish") as caught:
        client.push(server.model)
    assert caught.value.status_code == 400


def test_the_default_key_and_dialect_of_errors(server):
    assert set(server.get("/api/nothing").json) == {"error"}
    assert server.request("PUT", "/api/chat").status == 405
