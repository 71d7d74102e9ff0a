"""`squish compress --target-bits, --target-size`: the budget is kept, and spent where it matters; --compare."""

import json
import pathlib
import shutil
import struct

import pytest
from test_compress import compress, tiny  # noqa: F401 a fixture


def plan_of(squish, model, *words):
    result = squish("compress", model, "--dry-run", "--json", "--calibration-tokens", "512", *words)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_a_dry_run_shows_the_plan_tensor_by_tensor(squish, tiny, tmp_path):  # noqa: F811
    plan = plan_of(squish, tiny, "--target-bits", "4.5", "-o", tmp_path / "out")
    assert plan["format"] == "mixed" and plan["bits_per_weight"] <= 4.5 and plan["expected_kl_nats"] > 0
    coded = [t for t in plan["tensors"] if t["sensitivity_nats"] is not None]
    assert len(coded) == 4 * 7 + 1, "seven matrices a layer and the table"
    assert len({t["type"] for t in coded}) > 1
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()


def test_more_bytes_are_expected_to_lose_less(squish, tiny, tmp_path):  # noqa: F811
    plans = [plan_of(squish, tiny, "--target-bits", bits, "-o", tmp_path / "out") for bits in ("3.2", "4", "6")]
    losses = [plan["expected_kl_nats"] for plan in plans]
    assert losses == sorted(losses, reverse=True) and losses[0] > losses[-1]


def test_the_result_has_the_size_that_was_asked_for(squish, tiny, tmp_path):  # noqa: F811
    limit = 2_400_000
    result = compress(squish, tiny, "--target-size", "2.4MB", "-o", tmp_path / "out", "--compare-tokens", "64", "--json")
    assert result.returncode == 0, result.stderr
    size = (tmp_path / "out" / "model.safetensors").stat().st_size
    assert 0.9 * limit < size <= limit
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["format"] == "mixed" and report["expected_kl_nats"] > 0
    answer = squish("run", tmp_path / "out", "hello", "--max-tokens", "2")
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize(
    "words, says",
    [
        (["--target-bits", "0.3"], "the smallest that the types of this model allow"),
        (["--target-bits", "many"], "--target-bits"),
        (["--target-size", "12 parsecs"], "--target-size"),
        (["--target-bits", "3", "--target-size", "1MB"], "two answers"),
        (["--target-bits", "3", "--format", "int4"], "has a size of its own"),
        (["--target-bits", "3", "--no-awq"], "--no-awq"),
        (["--format", "mixed"], "needs --target-bits or --target-size"),
    ],
)
def test_bad_targets_are_one_line(squish, tiny, tmp_path, words, says):  # noqa: F811
    result = compress(squish, tiny, "-o", tmp_path / "out", *words)
    assert result.returncode == 2 and says in result.stderr, result.stderr
    assert len([line for line in result.stderr.splitlines() if line.startswith("✗")]) == 1
    assert not (tmp_path / "out").exists()


def test_compare_shows_size_loss_and_speed_side_by_side(squish, tiny, tmp_path):  # noqa: F811
    assert compress(squish, tiny, "-o", tmp_path / "small", "--format", "int4", "--compare-tokens", "0").returncode == 0
    result = squish("compress", "--compare", tiny, tmp_path / "small", "--compare-tokens", "128", "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["model"]["bytes"] < report["reference"]["bytes"] and report["kl_nats"] > 0
    assert report["model"]["tokens_per_second"] > 0 and report["reference"]["tokens_per_second"] > 0
    same = json.loads(squish("compress", "--compare", tiny, tiny, "--compare-tokens", "128", "--json").stdout)
    assert same["kl_nats"] == 0 and same["top1_agreement"] == 1
    table = squish("compress", "--compare", tiny, tmp_path / "small", "--compare-tokens", "128").stdout
    for word in ("size", "perplexity", "KL, nats", "same first choice", "decode"):
        assert word in table


PUBLISHED = {  # config.json of Qwen2.5: layers, hidden, inner, heads, kv heads, vocabulary, tied
    "1.5B": (28, 1536, 8960, 12, 2, 151936, True),
    "7B": (28, 3584, 18944, 28, 4, 152064, False),
}


def write_published(directory, size):
    """The configuration and the shapes of a real model over a file that has no block on the disk."""
    layers, hidden, inner, heads, kv, vocabulary, tied = PUBLISHED[size]
    directory.mkdir()
    head_dim = hidden // heads
    shapes = {"model.embed_tokens.weight": [vocabulary, hidden], "model.norm.weight": [hidden]}
    if not tied:
        shapes["lm_head.weight"] = [vocabulary, hidden]
    for i in range(layers):
        at = f"model.layers.{i}."
        shapes |= {at + "input_layernorm.weight": [hidden], at + "post_attention_layernorm.weight": [hidden]}
        for name, rows in (("q", hidden), ("k", kv * head_dim), ("v", kv * head_dim)):
            shapes |= {f"{at}self_attn.{name}_proj.weight": [rows, hidden], f"{at}self_attn.{name}_proj.bias": [rows]}
        shapes |= {at + "self_attn.o_proj.weight": [hidden, hidden], at + "mlp.gate_proj.weight": [inner, hidden],
                   at + "mlp.up_proj.weight": [inner, hidden], at + "mlp.down_proj.weight": [hidden, inner]}
    header, offset = {}, 0
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + 2 * count]}
        offset += 2 * count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(directory / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)
    (directory / "config.json").write_text(json.dumps({
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": vocabulary, "hidden_size": hidden,
        "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv,
        "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "tie_word_embeddings": tied}))
    golden = pathlib.Path(__file__).parent.parent / "golden" / "model"
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(golden / name, directory / name)
    return directory


@pytest.mark.parametrize("size", PUBLISHED)
def test_two_bit_presets_are_under_half_of_our_own_int4(squish, tmp_path, size):
    """By the dry run's planner, from the configuration and the shapes that follow from it: no weight is there to be read."""
    model = write_published(tmp_path / "model", size)
    assert model.joinpath("model.safetensors").stat().st_blocks * 512 < 10_000_000, "no disk has 15 GB for this"

    def bytes_of(form):
        result = squish("compress", model, "--format", form, "--no-awq", "--dry-run", "--json", "-o", tmp_path / "out")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout.splitlines()[-1])["bytes"]

    int4 = bytes_of("int4")
    assert int4 == pytest.approx({"1.5B": 0.966e9, "7B": 4.761e9}[size], rel=0.003)
    for form in ("sq2", "sq2-xs"):
        assert bytes_of(form) <= 0.5 * int4, f"{form} of {size}: {bytes_of(form) / int4:.3f}"
