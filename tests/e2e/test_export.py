"""`squish export`: GGUF files as another program reads them."""

import json

import numpy
import pytest
from gguf import GGMLQuantizationType, GGUFReader, dequantize


def tensors_of(path):
    return {t.name: t for t in GGUFReader(path).tensors}


def weights_of(tensor):
    return dequantize(tensor.data, tensor.tensor_type)


def test_types_and_values_are_those_that_the_gguf_package_reads(squish, chat_model, tmp_path):
    out = tmp_path / "out.gguf"
    result = squish("export", chat_model, "--gguf", out, "--type", "q8_0", "--json")
    assert result.returncode == 0, result.stderr
    done = json.loads(result.stdout.splitlines()[-1])
    assert done["bytes"] == out.stat().st_size
    before, after = tensors_of(chat_model), tensors_of(out)
    assert list(before) == list(after)
    for name in ("token_embd.weight", "blk.0.attn_q.weight", "blk.7.ffn_down.weight", "output_norm.weight"):
        assert list(before[name].shape) == list(after[name].shape)
        matrix = len(before[name].shape) > 1
        assert after[name].tensor_type == (GGMLQuantizationType.Q8_0 if matrix else GGMLQuantizationType.F32)
        expected, actual = weights_of(before[name]), weights_of(after[name])
        assert numpy.square(actual - expected).sum() <= 1e-4 * numpy.square(expected).sum()


def test_facts_and_vocabulary_go_along(squish, chat_model, tmp_path):
    out = tmp_path / "out.gguf"
    assert squish("export", chat_model, "--gguf", out, "--type", "q4_0").returncode == 0
    before, after = GGUFReader(chat_model).fields, GGUFReader(out).fields
    changed = {"general.file_type", "general.quantization_version", "GGUF.tensor_count", "GGUF.kv_count"}
    for key, field in before.items():
        if key not in changed and not key.startswith("quantize."):
            assert field.contents() == after[key].contents(), key
    assert after["general.file_type"].contents() == 2


@pytest.mark.parametrize("form", ["int8", "int4"])
def test_a_compressed_model_says_the_same_after_it(squish, chat_model, tmp_path, form):
    small, out = tmp_path / "small", tmp_path / "out.gguf"
    words = ("--format", form, "-o", small, "--compare-tokens", "0", "--calibration-tokens", "512")
    assert squish("compress", chat_model, *words).returncode == 0
    result = squish("export", small, "--gguf", out, "--json")
    assert result.returncode == 0, result.stderr
    done = json.loads(result.stdout.splitlines()[-1])
    assert done["copied"] == done["tensors"]
    question = ("Name the capital of France.", "--temperature", "0", "--max-tokens", "12")
    answers = [squish("run", model, *question).stdout for model in (small, out)]
    assert answers[0] == answers[1] and "Paris" in answers[0]


def test_it_refuses_what_it_cannot_do_in_one_line(squish, chat_model, tmp_path):
    out = tmp_path / "out.gguf"
    for words, reason in (
        ((), "--gguf FILE"),
        (("--gguf", out, "--type", "t2"), "'t2'"),
        (("--gguf", tmp_path / "no" / "out.gguf"), "out.gguf.partial"),
    ):
        result = squish("export", chat_model, *words)
        assert result.returncode != 0 and reason in result.stderr, result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
    assert not out.exists()
