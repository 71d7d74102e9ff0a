"""`echo` with `logprobs` on /v1/completions: OpenAI's shape, and the log-likelihoods that `squish eval` computes."""

import json
import math
import pathlib

import openai
import pytest
from server_process import ServerProcess
from squish_program import Squish

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
TEXT = "The capital of France is Paris, and the capital of Spain is Madrid. Ærøskøbing 你好"


@pytest.fixture(scope="module")
def complete(server):
    with openai.OpenAI(base_url=f"{server.base}/v1", api_key=server.key, max_retries=0, timeout=120) as client:
        yield lambda prompt=TEXT, **options: client.completions.create(
            **{"model": server.model, "prompt": prompt, "max_tokens": 0, "temperature": 0, "echo": True, "logprobs": 2} | options
        )


def tokens_of(server, text):
    return server.post("/v1/tokenize", {"text": text}).json["token_ids"]


def test_the_prompts_own_tokens_are_told_with_null_first(server, complete):
    answer = complete()
    (choice,) = answer.choices
    told = choice.logprobs
    count = len(tokens_of(server, TEXT))
    assert choice.text == TEXT and choice.finish_reason == "length"
    assert answer.usage.prompt_tokens == count and answer.usage.completion_tokens == 0
    assert len(told.tokens) == len(told.token_logprobs) == len(told.top_logprobs) == len(told.text_offset) == count
    assert told.token_logprobs[0] is None and told.top_logprobs[0] is None
    for token, value, top in list(zip(told.tokens, told.token_logprobs, told.top_logprobs))[1:]:
        assert value <= 0
        assert top[token] == value or "�" in token, "only parts of characters look alike"
        assert 2 <= len(top) <= 3 or any("�" in name for name in top), "the two likeliest, and the token itself"
        assert max(top.values()) >= value


def test_offsets_say_where_each_token_begins_in_the_text(complete):
    told = complete().choices[0].logprobs
    assert told.text_offset[0] == 0 and told.text_offset == sorted(told.text_offset)
    for token, begin in zip(told.tokens, told.text_offset):
        if "�" not in token:  # a part of a character
            assert TEXT[begin : begin + len(token)] == token


def test_each_place_has_what_sampling_tells_there(server, complete):
    """The prompt cut before a token, with one token sampled: the same distribution, up to what the kernels of prompts and of
    single steps round (bf16 and int8; docs/quality.md: 99 of 100 differ by less than 0.1)."""
    told = complete().choices[0].logprobs
    tokens = tokens_of(server, TEXT)
    for cut in (1, 2, 7, len(tokens) - 1):
        sampled = complete(tokens[:cut], echo=False, max_tokens=1).choices[0].logprobs
        best = max(told.top_logprobs[cut].values())
        assert math.isclose(sampled.token_logprobs[0], best, abs_tol=0.1)


def test_the_answer_follows_the_prompt(server, complete):
    both = complete(max_tokens=4).choices[0]
    alone = complete(max_tokens=4, echo=False).choices[0]
    count = len(tokens_of(server, TEXT))
    assert both.text == TEXT + alone.text
    assert both.logprobs.tokens[count:] == alone.logprobs.tokens
    assert both.logprobs.token_logprobs[count:] == pytest.approx(alone.logprobs.token_logprobs, abs=2e-2)
    assert both.logprobs.text_offset[count] == len(TEXT)
    assert both.logprobs.tokens[:count] == complete().choices[0].logprobs.tokens


def test_a_stream_says_the_same(complete):
    whole = complete(max_tokens=4).choices[0]
    chunks = [chunk.choices[0] for chunk in complete(max_tokens=4, stream=True) if chunk.choices]
    assert "".join(chunk.text for chunk in chunks) == whole.text
    for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
        parts = [getattr(chunk.logprobs, name) for chunk in chunks if chunk.logprobs]
        assert sum(parts, []) == getattr(whole.logprobs, name), name


def test_several_prompts_as_tokens_each_have_their_own(server, complete):
    texts = ["The capital of France is Paris", "Once upon a time there was a cat", "One"]
    lists = [tokens_of(server, text) for text in texts]
    choices = complete(lists, logprobs=1, max_tokens=1).choices
    assert [choice.index for choice in choices] == [0, 1, 2]
    for text, tokens, choice in zip(texts, lists, choices):
        assert choice.text.startswith(text)
        assert len(choice.logprobs.tokens) == len(tokens) + 1
        alone = complete([tokens], logprobs=1, max_tokens=1).choices[0]
        assert choice.logprobs.token_logprobs == alone.logprobs.token_logprobs


def test_without_top_logprobs_there_is_null(complete):
    told = complete(logprobs=0).choices[0].logprobs
    assert told.top_logprobs is None and told.token_logprobs[0] is None and told.token_logprobs[1] < 0


def test_echo_alone_computes_nothing(complete):
    choice = complete(logprobs=None).choices[0]
    assert choice.text == TEXT and choice.logprobs is None and choice.finish_reason == "length"


def test_a_long_prompt_takes_no_memory_for_all_its_logits(server, complete):
    """2,000 tokens times 49,152 logits would be 375 MiB; the pages of 2,000 tokens are 44 MiB."""
    tokens = (tokens_of(server, TEXT) * 100)[:2000]
    before = server.memory_kb()
    told = complete(tokens, logprobs=1).choices[0].logprobs
    assert len(told.tokens) == 2000
    assert server.memory_kb() - before < 200 * 1024


def test_log_likelihoods_are_those_of_squish_eval(squish, program, chat_model, tmp_path):
    """As lm-eval's local-completions sums them: the tokens after the context, without the one that was sampled."""
    if not (DATA / "eval").exists():
        pytest.skip(f"{DATA / 'eval'} is absent: it holds the benchmarks' questions")
    dump = tmp_path / "dump.jsonl"
    tasks = ["eval", chat_model, "--tasks", "arc_easy,winogrande", "--limit", 10, "--data", DATA, "--dump-loglikelihood", dump, "--json"]
    done = squish(*tasks, timeout=600)
    assert done.returncode == 0, done.stderr
    entries = [json.loads(line) for line in dump.read_text(encoding="utf-8").splitlines()]
    assert len(entries) >= 50
    process = ServerProcess(Squish(program, squish.home), chat_model)
    try:
        for entry in entries:
            body = {"prompt": [entry["tokens"]], "echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0}
            told = process.post("/v1/completions", body).json["choices"][0]["logprobs"]
            begin = len(entry["tokens"]) - entry["scored"]
            scored = told["token_logprobs"][begin:-1]
            assert sum(scored) == pytest.approx(entry["log_likelihood"], abs=2e-3)
            greedy = all(value == max(top.values()) for value, top in zip(scored, told["top_logprobs"][begin:-1]))
            assert greedy == entry["is_greedy"]
    finally:
        assert process.stop() == 0
