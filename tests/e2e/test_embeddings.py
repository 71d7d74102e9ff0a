"""Embeddings and reranking: the numbers against numpy, the routes with the OpenAI client, the command line."""

import base64
import concurrent.futures
import json
import os
import pathlib
import sys
import threading
import time

import numpy
import pytest
from server_process import ServerProcess
from squish_program import Squish

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
MODELS = pathlib.Path(os.environ.get("SQUISH_TEST_MODELS", pathlib.Path.home() / ".cache" / "squish-test-models"))

openai = pytest.importorskip("openai")
tokenizers = pytest.importorskip("tokenizers")

TEXTS = [
    "The cat sat on the mat.",
    "a",
    "Résumés, naïve coöperation and Ærøskøbing!",
    "你好，世界 hello",
    "def main():\n    return {'a': [1, 2, 3]}  # unaffable ##ing",
    "word " * 300,
    "Unbelievably, antidisestablishmentarianism (28 letters) isn't the longest word; 1,234.56 $ %",
]
QUERY = "How many people live in Berlin?"
DOCUMENTS = [
    "The recipe needs two eggs and a cup of sugar.",
    "Berlin has a population of 3.7 million registered inhabitants.",
    "Berlin is well known for its museums.",
    "A computer virus spread through the network.",
]


@pytest.fixture(scope="module")
def minilm():
    path = MODELS / "minilm"
    if not (path / "config.json").exists():
        pytest.skip(f"{path} is absent; SQUISH_TEST_MODELS names a directory with the test models")
    return path


@pytest.fixture(scope="module")
def reference(minilm):
    """text -> ids and its vector by numpy."""
    import numpy_bert

    bert = numpy_bert.Bert(minilm)
    tokenizer = tokenizers.Tokenizer.from_file(str(minilm / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def run(text):
        ids = tokenizer.encode(text).ids
        return ids, bert.embedding(ids)

    return run


@pytest.fixture(scope="module")
def embedder(program, minilm, tmp_path_factory):
    process = ServerProcess(Squish(program, tmp_path_factory.mktemp("embedder-home")), minilm)
    yield process
    assert process.stop() == 0, process.log[-2000:]


@pytest.fixture(scope="module")
def client(embedder):
    with openai.OpenAI(base_url=f"{embedder.base}/v1", api_key=embedder.key or "none", max_retries=0, timeout=120) as made:
        yield made


def embed(server, texts, **options):
    reply = server.post("/v1/embeddings", {"input": texts, **options})
    assert reply.status == 200, reply.text
    return [numpy.array(item["embedding"], dtype=numpy.float32) for item in reply.json["data"]]


# --- the numbers


@pytest.mark.parametrize("backend", ["cpu", "ref"])
def test_vectors_equal_numpy(squish, minilm, reference, backend):
    texts = TEXTS[:5] if backend == "ref" else TEXTS
    done = squish("embed", minilm, *texts, "--json", "--backend", backend)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["pooling"] == "mean" and answer["dimensions"] == 384
    ids = [reference(text)[0] for text in texts]
    assert answer["tokens"] == sum(map(len, ids)), "the same tokens as the tokenizers package has"
    for text, found in zip(texts, answer["embeddings"]):
        expected = reference(text)[1]
        assert abs(numpy.linalg.norm(found) - 1) < 1e-6
        # f16 keys and values (2^-11 each) in 6 layers, all else in f32: 1 - cosine is the square of an angle of
        # about 6 * 2^-11 / sqrt(tokens).
        assert numpy.dot(found, expected) > 0.99999, text
        assert numpy.abs(numpy.array(found) - expected).max() < 1e-3


def test_pooling_follows_the_models_files(squish, minilm, tmp_path):
    directory = tmp_path / "cls"
    directory.mkdir()
    for path in minilm.iterdir():
        (directory / path.name).symlink_to(path)
    (directory / "1_Pooling").mkdir()
    (directory / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}')
    import numpy_bert

    ids = tokenizers.Tokenizer.from_file(str(minilm / "tokenizer.json"))
    ids.no_padding()
    state = numpy_bert.Bert(minilm).states(ids.encode(TEXTS[0]).ids)[0]
    answer = json.loads(squish("embed", directory, TEXTS[0], "--json").stdout)
    assert answer["pooling"] == "cls"
    assert numpy.dot(answer["embeddings"][0], state / numpy.linalg.norm(state)) > 0.99999
    (directory / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    refused = squish("embed", directory, TEXTS[0])
    assert refused.returncode == 1 and "pooling_mode_max_tokens" in refused.stderr


def test_word_list_without_tokenizer_json_gives_the_same_vectors(squish, minilm, tmp_path):
    directory = tmp_path / "words"
    directory.mkdir()
    for path in minilm.iterdir():
        if path.name != "tokenizer.json":
            (directory / path.name).symlink_to(path)
    vocabulary = json.loads((minilm / "tokenizer.json").read_text())["model"]["vocab"]
    (directory / "vocab.txt").write_text("".join(f"{word}\n" for word in sorted(vocabulary, key=vocabulary.get)))
    both = [json.loads(squish("embed", path, *TEXTS, "--json").stdout)["embeddings"] for path in (directory, minilm)]
    assert both[0] == both[1]


def test_a_text_has_the_same_vector_alone_and_among_others(embedder):
    together = embed(embedder, TEXTS)
    for text, vector in zip(TEXTS, together):
        assert (embed(embedder, text)[0] == vector).all(), text


def test_any_chat_model_makes_vectors_too(squish, chat_model):
    answer = json.loads(squish("embed", chat_model, QUERY, *DOCUMENTS, "--json").stdout)
    vectors = numpy.array(answer["embeddings"])
    assert vectors.shape == (5, 576)
    assert numpy.allclose(numpy.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert len({tuple(vector) for vector in answer["embeddings"]}) == 5


# --- the OpenAI client


def test_the_openai_client_reads_its_default_base64(client, embedder):
    made = client.embeddings.create(model="minilm", input=TEXTS)  # asks for base64 by itself
    assert [item.index for item in made.data] == list(range(len(TEXTS)))
    for item, vector in zip(made.data, embed(embedder, TEXTS)):
        assert item.object == "embedding"
        assert (numpy.array(item.embedding, dtype=numpy.float32) == vector).all(), "base64 holds the same floats"
    assert made.usage.prompt_tokens == made.usage.total_tokens > 0


def test_base64_is_little_endian_f32(embedder):
    text = embedder.post("/v1/embeddings", {"input": "a", "encoding_format": "base64"}).json["data"][0]["embedding"]
    found = numpy.frombuffer(base64.b64decode(text), dtype="<f4")
    assert (found == embed(embedder, "a")[0]).all()


def test_tokens_are_taken_as_they_are(client, reference):
    ids, _ = reference(TEXTS[0])
    by_text = client.embeddings.create(model="minilm", input=TEXTS[0], encoding_format="float").data[0].embedding
    one = client.embeddings.create(model="minilm", input=ids, encoding_format="float")
    many = client.embeddings.create(model="minilm", input=[ids, ids[:4]], encoding_format="float")
    assert one.data[0].embedding == by_text == many.data[0].embedding
    assert one.usage.prompt_tokens == len(ids) and len(many.data) == 2


def test_dimensions_shorten_and_keep_length_one(client):
    whole = client.embeddings.create(model="minilm", input="a", encoding_format="float").data[0].embedding
    short = client.embeddings.create(model="minilm", input="a", dimensions=64, encoding_format="float").data[0].embedding
    assert len(short) == 64
    assert numpy.allclose(short, numpy.array(whole[:64]) / numpy.linalg.norm(whole[:64]), atol=1e-6)


@pytest.mark.parametrize(
    "body, words",
    [
        ({}, "input is missing"),
        ({"input": ""}, "not empty"),
        ({"input": []}, "1 to 2048"),
        ({"input": ["a", ""]}, "not empty"),
        ({"input": ["a"] * 2049}, "2049 entries"),
        ({"input": [1, -2]}, "no token id"),
        ({"input": [[1], [99999999]]}, "input[1]: token 99999999"),
        ({"input": 7}, "must be a text"),
        ({"input": "a", "dimensions": 385}, "makes vectors of 384"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "float or base64"),
        ({"input": "word " * 600}, "602 tokens"),
        ({"input": ["a", "word " * 600]}, "input[1]: the text has 602 tokens, minilm takes 512"),
    ],
)
def test_what_cannot_be_embedded_is_a_400_with_numbers(embedder, body, words):
    reply = embedder.post("/v1/embeddings", body)
    assert reply.status == 400 and words in reply.json["error"]["message"], reply.text


def test_long_texts_are_cut_only_when_asked(embedder, reference):
    ids, _ = reference("word " * 510)  # 512 with the two around them
    cut = embedder.post("/v1/embeddings", {"input": "word " * 600, "truncate": True}).json
    assert cut["usage"]["prompt_tokens"] == 512
    by_hand = embed(embedder, [ids])[0]
    assert (numpy.array(cut["data"][0]["embedding"], dtype=numpy.float32) == by_hand).all()


def test_a_model_for_embeddings_says_that_it_does_not_chat(embedder):
    reply = embedder.post("/v1/completions", {"prompt": "Once"})
    assert reply.status == 400 and "embeddings" in reply.json["error"]["message"]


# --- reranking


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v2/rerank"])
def test_documents_come_by_how_well_they_fit(embedder, path):
    reply = embedder.post(path, {"query": QUERY, "documents": DOCUMENTS, "top_n": 2, "return_documents": True})
    assert reply.status == 200, reply.text
    results = reply.json["results"]
    assert [item["index"] for item in results] == [1, 2]
    assert results[0]["document"] == {"text": DOCUMENTS[1]}
    assert reply.json["usage"]["total_tokens"] > 0
    vectors = embed(embedder, [QUERY, *DOCUMENTS])
    for item in results:
        assert abs(item["relevance_score"] - float(numpy.dot(vectors[0], vectors[1 + item["index"]]))) < 1e-6


def test_documents_may_be_objects_and_all_come_without_top_n(embedder):
    reply = embedder.post("/v1/rerank", {"query": QUERY, "documents": [{"text": text} for text in DOCUMENTS]}).json
    assert sorted(item["index"] for item in reply["results"]) == [0, 1, 2, 3]
    assert all("document" not in item for item in reply["results"])
    scores = [item["relevance_score"] for item in reply["results"]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    "body, words",
    [
        ({"documents": ["a"]}, "query"),
        ({"query": "a"}, "documents"),
        ({"query": "a", "documents": []}, "1 to 2048"),
        ({"query": "a", "documents": ["b", {"txt": "c"}]}, "documents[1]"),
        ({"query": "a", "documents": ["b"], "top_n": 0}, "top_n"),
    ],
)
def test_what_cannot_be_ranked_is_a_400(embedder, body, words):
    reply = embedder.post("/v1/rerank", body)
    assert reply.status == 400 and words in reply.json["error"]["message"], reply.text


# --- beside answers


def test_many_texts_at_once_and_from_many_clients(embedder):
    texts = [f"text number {i} about {'cats' if i % 2 else 'dogs'}" for i in range(120)]
    alone = embed(embedder, texts[:3])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for vectors in pool.map(lambda _: embed(embedder, texts), range(8)):
            assert len(vectors) == 120
            assert all((a == b).all() for a, b in zip(alone, vectors))


def test_answers_go_on_while_texts_are_read(start_server, chat_model):
    server = start_server(chat_model)
    stop = threading.Event()

    def read_all_the_time():
        while not stop.is_set():
            embed(server, ["some long text to be read " * 60] * 16)

    body = {"model": "", "prompt": "Once upon a time", "max_tokens": 40, "temperature": 0, "ignore_eos": True}
    alone = server.post("/v1/completions", body).json["choices"][0]["text"]
    reader = threading.Thread(target=read_all_the_time)
    reader.start()
    try:
        time.sleep(0.3)
        reply = server.post("/v1/completions", body | {"prompt": "Once upon a time"}, timeout=120)
        assert reply.status == 200
        assert reply.json["choices"][0]["text"] == alone, "and the answer is the same"
        assert reader.is_alive()
    finally:
        stop.set()
        reader.join()


def test_a_client_that_leaves_stops_the_work(start_server, chat_model):
    server = start_server(chat_model)
    with pytest.raises(TimeoutError):
        server.request("POST", "/v1/embeddings", {"input": ["word " * 1500] * 200}, timeout=1)
    server.wait_until(lambda: server.metric("squish_sequences_running") == 0, what="the end of the work")
    server.wait_until(lambda: server.metric("squish_queue_depth") == 0)


# --- the command line


def test_plain_output_is_one_vector_a_line(squish, minilm):
    done = squish("embed", minilm, "a", "b")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 2
    assert all(len(line.split()) == 384 for line in done.stdout.splitlines())


def test_standard_input_is_one_text(squish, minilm):
    assert squish("embed", minilm, "-", stdin="hello world").stdout == squish("embed", minilm, "hello world").stdout


def test_a_long_text_is_refused_with_the_way_out(squish, minilm):
    refused = squish("embed", minilm, "word " * 600)
    assert refused.returncode == 4 and "602 tokens" in refused.stderr and "512" in refused.stderr
    assert squish("embed", minilm, "--truncate", "word " * 600).returncode == 0


def test_verbs_that_need_an_answer_refuse_by_name(squish, minilm):
    for words in (("run", minilm, "--no-template", "hello"), ("compress", minilm)):
        refused = squish(*words)
        assert refused.returncode != 0 and "embeddings" in refused.stderr, refused.stderr
