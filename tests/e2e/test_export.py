"""`squish export`: GGUF files as another program reads them."""

import json
import subprocess

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
        (("--gguf", tmp_path / "no" / "out.gguf"), "there is no directory"),
        (("--gguf", tmp_path, "--force"), "a directory"),
        (("--gguf", "/dev/null", "--force"), "a device"),
        (("--gguf", ""), "--gguf"),
    ):
        result = squish("export", chat_model, *words)
        assert result.returncode != 0 and reason in result.stderr, result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
    assert not out.exists()


def test_a_device_and_what_was_there_stay(squish, chat_model, tmp_path):
    """As root, a rename onto /dev/full would leave a file of 98 MB in its place."""
    link = tmp_path / "out.gguf"
    link.symlink_to("/dev/full")
    result = squish("export", chat_model, "--gguf", link, "--force")
    assert result.returncode == 2 and "a device" in result.stderr
    assert link.is_char_device() and list(tmp_path.glob("out.gguf*")) == [link]


def test_two_runs_to_one_file_do_not_mix(squish, chat_model, tmp_path):
    out = tmp_path / "out.gguf"
    first = squish.start("export", chat_model, "--gguf", out, "--type", "q4_0", stderr=subprocess.PIPE)
    while not (tmp_path / "out.gguf.lock").exists():
        assert first.poll() is None, first.stderr.read()
    second = squish("export", chat_model, "--gguf", out, "--type", "q8_0")
    assert second.returncode == 1 and "process" in second.stderr, second.stderr
    assert first.wait(timeout=120) == 0
    assert tensors_of(out)["blk.0.attn_q.weight"].tensor_type == GGMLQuantizationType.Q4_0
    assert [path.name for path in tmp_path.glob("out*")] == ["out.gguf"]
