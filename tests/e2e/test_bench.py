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
