"""`squish bench`: what it prints of one product of a backend."""

import json

import pytest

SMALL = ("--in-features", "512", "--out-features", "96", "--iters", "5", "--warmup", "1")


@pytest.mark.parametrize("form", ["int8", "int4", "int4x", "int3", "q6_k", "bf16", "f32"])
def test_a_product_is_timed_and_checked_against_the_reference(squish, form):
    result = squish("bench", "--format", form, *SMALL, "--batch", "3", "--json")
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["batch"] == 3 and facts["in_features"] == 512 and facts["out_features"] == 96
    assert 0 < facts["p50_ms"] <= facts["p95_ms"] <= facts["p99_ms"]
    assert facts["iterations"] == 5 and facts["gops"] > 0 and facts["weight_gb_per_second"] > 0
    assert facts["error"] < 0.05


@pytest.mark.parametrize("backend", ["ref", "cpu", "scalar"])
def test_backend_names_a_backend_or_an_instruction_set(squish, backend):
    facts = json.loads(squish("bench", "--format", "int4", *SMALL, "--backend", backend, "--threads", "1", "--json").stdout)
    assert backend in facts["backend"] and facts["threads"] == 1


def test_prompt_rows_take_the_wide_kernels_and_are_right_too(squish):
    facts = json.loads(squish("bench", "--format", "int4", *SMALL, "--batch", "40", "--prefill", "--json").stdout)
    assert facts["rows"] == "prompt" and facts["error"] < 0.05


def test_people_get_lines_with_percentiles(squish):
    text = squish("bench", "--format", "int4", *SMALL).stdout
    for word in ("p50", "p95", "p99", "mean", "GOPS", "GB/s", "against ref"):
        assert word in text


@pytest.mark.parametrize(
    "words, code, says",
    [
        (["--format", "int9"], 2, "no format is called 'int9'"),
        (["--format", "int4", "--in-features", "100"], 1, "not a multiple of 32"),
        (["--format", "int4", "--group-size", "64"], 2, "groups of 32"),
        (["--format", "int4", "--batch", "0"], 2, "--batch"),
        (["--format", "int4", "--backend", "cuda"], 2, "cuda"),
        (["some-model", "--format", "int4"], 2, "not both"),
    ],
)
def test_what_cannot_be_measured_is_refused(squish, words, code, says):
    result = squish("bench", *words)
    assert result.returncode == code and says in result.stderr, result.stderr


def test_answers_at_a_time_and_cached_tokens_are_told(squish, chat_model):
    words = ("bench", chat_model, "--prompt", "0", "--generate", "20", "--repeat", "2", "--threads", "1", "--json")
    alone = json.loads(squish(*words).stdout)
    assert (alone["sequences"], alone["depth"], alone["prompt"]) == (1, 0, None)
    together = squish(*words, "--sequences", "3", "--depth", "70")
    assert together.returncode == 0, together.stderr
    facts = json.loads(together.stdout)
    assert (facts["sequences"], facts["depth"]) == (3, 70) and len(facts["generate"]["runs"]) == 2
    assert facts["generate"]["tokens_per_second"] > 0 and facts["token_hash"] != alone["token_hash"]
    assert facts["token_hash"] == json.loads(squish(*words, "--sequences", "3", "--depth", "70").stdout)["token_hash"]
    text = squish(*words[:-1], "--sequences", "2", "--depth", "5").stdout
    assert "generate 20, 2 at once, after 5" in text


@pytest.mark.parametrize("words", [("--sequences", "0"), ("--sequences", "257"), ("--depth", "-1")])
def test_impossible_batches_are_refused(squish, words):
    result = squish("bench", "no-such-model", *words)
    assert result.returncode == 2 and words[0] in result.stderr


@pytest.mark.parametrize(
    "words, says",
    [
        (("--prompt", "1000000"), "--prompt 1000000 takes a context of 1000000 tokens, the model's is 8192"),
        (("--generate", "8193", "--prompt", "0"), "--generate 8193 takes a context of 8193 tokens, the model's is 8192"),
        (("--depth", "8000", "--generate", "500"), "--depth 8000 with --generate 500 takes a context of 8499 tokens"),
        (("--context", "100"), "--prompt 512 takes a context of 512 tokens, the context is set to 100; ask for fewer, or for more with --context 512"),
        (("--sequences", "256", "--context", "900000", "--depth", "890000"), "--sequences 256 of 890127 tokens each"),
    ],
)
def test_more_tokens_than_the_context_or_memory_holds_are_wrong_usage(squish, chat_model, words, says):
    result = squish("bench", chat_model, *words, "--repeat", "1", timeout=60)
    assert result.returncode == 2 and says in result.stderr and len(result.stderr.splitlines()) == 1, result.stderr


def test_a_context_that_is_asked_for_is_measured_to_its_last_token(squish, chat_model):
    words = ("--prompt", "32", "--depth", "30", "--generate", "3", "--context", "32", "--repeat", "1", "--json")
    result = squish("bench", chat_model, *words)
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["prompt"]["tokens"] == 32 and facts["generate"]["tokens_per_second"] > 0


KV = ("benchmark", "--ctx", "64", "--n-heads", "2")


def test_codes_of_keys_and_values_have_the_sizes_and_decibels_of_their_definition(squish):
    facts = json.loads(squish(*KV, "--modes", "fp16,int8,int4,int2,lm4,lm2", "--json").stdout)
    results = facts["results"]
    assert facts["version"] == 1 and facts["ctx_len"] == 64 and facts["head_dim"] == 128
    per_vector = {mode: row["memory_bytes"] / (2 * 2 * 64) for mode, row in results.items()}
    assert per_vector == {"fp16": 256, "int8": 132, "int4": 68, "int2": 36, "lm4": 66, "lm2": 34}
    decibels = {mode: row["snr_db"] for mode, row in results.items()}
    assert decibels["int8"] > 43 and 18.5 < decibels["int4"] < 20 and 4.5 < decibels["int2"] < 6
    assert decibels["lm4"] > decibels["int4"] and decibels["lm2"] > decibels["int2"] + 3
    assert results["int4"]["memory_saved_bytes"] == 2 * 2 * 64 * (256 - 68)


def test_modes_that_a_head_cannot_hold_are_left_out(squish):
    facts = json.loads(squish(*KV, "--head-dim", "10", "--json").stdout)
    assert list(facts["results"]) == ["int8", "int4"]


def test_saved_figures_are_compared(squish, tmp_path):
    saved = tmp_path / "before.json"
    assert squish(*KV, "--save", saved).returncode == 0
    assert squish(*KV, "--compare", saved).returncode == 0
    better = json.loads(saved.read_text())
    better["results"]["int4"]["snr_db"] *= 1.2
    saved.write_text(json.dumps(better))
    worse = squish(*KV, "--compare", saved)
    assert worse.returncode == 1 and "snr_db of int4 fell" in worse.stderr
    assert squish(*KV, "--compare", saved, "--threshold", "0.5").returncode == 0
    missing = squish(*KV, "--compare", tmp_path / "none.json")
    assert missing.returncode == 2 and "none.json" in missing.stderr
    saved.write_text("[]")
    assert squish(*KV, "--compare", saved).returncode == 1


@pytest.mark.parametrize("words", [("--modes", "int5"), ("--ctx", "0"), ("--rotate", "--head-dim", "96"), ("--threshold", "2")])
def test_impossible_benchmarks_are_refused(squish, words):
    result = squish("benchmark", *words)
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
