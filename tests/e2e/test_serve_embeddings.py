"""Embeddings in the words of Ollama (with its own client) and of LM Studio: the same vectors as over /v1/embeddings."""

import numpy
import ollama
import pytest

TEXTS = ["The cat sat on the mat.", "你好，世界", "def main():\n    return 1"]


@pytest.fixture(scope="module")
def client(server):
    return ollama.Client(host=server.base, headers={"Authorization": f"Bearer {server.key}"}, timeout=120)


@pytest.fixture(scope="module")
def expected(server):
    """The vectors of TEXTS, and how many tokens they have."""
    reply = server.post("/v1/embeddings", {"model": server.model, "input": TEXTS})
    assert reply.status == 200, reply.text
    return [item["embedding"] for item in reply.json["data"]], reply.json["usage"]["prompt_tokens"]


def test_ollamas_client_gets_the_vectors_of_a_list(client, server, expected):
    made = client.embed(server.model, TEXTS)
    assert [list(vector) for vector in made.embeddings] == expected[0]
    assert made.model == server.model and made.prompt_eval_count == expected[1]
    assert made.total_duration > 0 and 0 <= made.load_duration <= made.total_duration


def test_one_text_gives_one_vector_in_a_list(client, server, expected):
    made = client.embed(server.model, TEXTS[0])
    assert [list(vector) for vector in made.embeddings] == expected[0][:1]


def test_the_body_has_ollamas_fields_and_no_others(server):
    body = server.post("/api/embed", {"model": server.model, "input": "a"}).json
    assert list(body) == ["model", "embeddings", "total_duration", "load_duration", "prompt_eval_count"]


def test_dimensions_shorten_and_keep_length_one(client, server, expected):
    (short,) = client.embed(server.model, TEXTS[0], dimensions=64).embeddings
    wanted = numpy.array(expected[0][0][:64]) / numpy.linalg.norm(expected[0][0][:64])
    assert numpy.allclose(short, wanted, atol=1e-6)
    with pytest.raises(ollama.ResponseError) as caught:
        client.embed(server.model, "a", dimensions=577)
    assert caught.value.status_code == 400 and "makes vectors of 576" in caught.value.error


def test_nothing_to_embed_loads_the_model(client, server):
    for given in ("", []):
        made = client.embed(server.model, given)
        assert list(made.embeddings) == []
    assert server.post("/api/embeddings", {"model": server.model}).json == {"embedding": []}


def test_the_older_route_has_one_prompt_and_one_vector(client, server, expected):
    made = client.embeddings(server.model, TEXTS[1])
    assert list(made.embedding) == expected[0][1]
    assert list(server.post("/api/embeddings", {"model": server.model, "prompt": "a"}).json) == ["embedding"]


def test_texts_that_are_too_long_are_cut_unless_refused(start_server, chat_model):
    small = start_server(chat_model, "--context", "64")
    client = ollama.Client(host=small.base, timeout=120)
    name = client.list().models[0].model if client.list().models else "squish"
    cut = client.embed(name, "word " * 200)
    assert cut.prompt_eval_count == 64
    assert cut.embeddings == client.embed(name, "word " * 300).embeddings
    with pytest.raises(ollama.ResponseError) as caught:
        client.embed(name, ["a", "word " * 200], truncate=False)
    assert caught.value.status_code == 400
    assert "input[1]" in caught.value.error and "64" in caught.value.error


@pytest.mark.parametrize(
    "body, words",
    [
        ({"input": [1, 2, 3]}, "a text or a list of texts"),
        ({"input": ["a", ""]}, "not empty"),
        ({"input": ["a"] * 2049}, "2049 entries"),
        ({"input": {"text": "a"}}, "input must be"),
        ({"input": "a", "keep_alive": "soon"}, "keep_alive"),
        ({"input": "a", "options": 5}, "options must be an object"),
        ({"input": "a", "options": {"temperature": "hot"}}, "temperature"),
        ({"input": "a", "truncate": "maybe"}, "truncate"),
    ],
)
def test_what_cannot_be_embedded_is_a_400_in_ollamas_shape(server, body, words):
    reply = server.post("/api/embed", {"model": server.model, **body})
    assert reply.status == 400 and set(reply.json) == {"error"}
    assert words in reply.json["error"], reply.text


def test_the_older_route_takes_no_list(server):
    reply = server.post("/api/embeddings", {"model": server.model, "prompt": ["a", "b"]})
    assert reply.status == 400 and "prompt must be a text" in reply.json["error"]


def test_a_model_that_is_not_here_is_ollamas_404(client):
    for call in (client.embed, client.embeddings):
        with pytest.raises(ollama.ResponseError) as caught:
            call("nowhere", "a")
        assert caught.value.status_code == 404 and caught.value.error == "model 'nowhere' not found"


def test_keep_alive_0_unloads_afterwards(start_server, local_model):
    process = start_server()
    client = ollama.Client(host=process.base, timeout=120)
    client.embed(local_model, "a", keep_alive=0)
    process.wait_until(lambda: process.get("/health").json["models_loaded"] == 0, what="unloading")


# --- LM Studio


def test_lm_studios_route_is_openais_with_a_ttl(start_server, local_model):
    process = start_server()
    body = {"model": local_model, "input": TEXTS}
    openai = process.post("/v1/embeddings", body).json
    assert process.post("/api/v0/embeddings", body).json == openai
    assert process.get("/health").json["models_loaded"] == 1
    assert process.post("/api/v0/embeddings", {**body, "ttl": 0}).json == openai
    process.wait_until(lambda: process.get("/health").json["models_loaded"] == 0, what="unloading")
    wrong = process.post("/api/v0/embeddings", {**body, "ttl": "soon"})
    assert wrong.status == 400 and "ttl" in wrong.json["error"]["message"]
