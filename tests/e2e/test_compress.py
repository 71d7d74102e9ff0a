"""`squish compress`: results that run, and what happens when a run is stopped, killed or has no room."""

import hashlib
import json
import math
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import time

import pytest

# A Llama of two layers: large enough that a run takes some tens of milliseconds, small enough for hundreds of them.
HIDDEN, INNER, LAYERS, VOCABULARY = 256, 768, 4, 300
HEADS, KV_HEADS = 4, 2


def tiny_tensors(layers=LAYERS):
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN)
    for i in range(layers):
        prefix = f"model.layers.{i}."
        yield prefix + "input_layernorm.weight", (HIDDEN,)
        yield prefix + "self_attn.q_proj.weight", (HIDDEN, HIDDEN)
        yield prefix + "self_attn.k_proj.weight", (HIDDEN // HEADS * KV_HEADS, HIDDEN)
        yield prefix + "self_attn.v_proj.weight", (HIDDEN // HEADS * KV_HEADS, HIDDEN)
        yield prefix + "self_attn.o_proj.weight", (HIDDEN, HIDDEN)
        yield prefix + "post_attention_layernorm.weight", (HIDDEN,)
        yield prefix + "mlp.gate_proj.weight", (INNER, HIDDEN)
        yield prefix + "mlp.up_proj.weight", (INNER, HIDDEN)
        yield prefix + "mlp.down_proj.weight", (HIDDEN, INNER)
    yield "model.norm.weight", (HIDDEN,)


def write_tiny(directory, seed=7, layers=LAYERS):
    """A seeded model as a Hugging Face directory in BF16."""
    directory.mkdir()
    source = random.Random(seed)
    header, data, offset = {}, [], 0
    for name, shape in tiny_tensors(layers):
        count = 1
        for dim in shape:
            count *= dim
        values = [1.0] * count if len(shape) == 1 else [source.gauss(0, 0.05) for _ in range(count)]
        raw = b"".join(struct.pack("<f", value)[2:] for value in values)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + len(raw)]}
        offset += len(raw)
        data.append(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))
    (directory / "config.json").write_text(
        json.dumps(
            {
                "architectures": ["LlamaForCausalLM"],
                "model_type": "llama",
                "vocab_size": VOCABULARY,
                "hidden_size": HIDDEN,
                "intermediate_size": INNER,
                "num_hidden_layers": layers,
                "num_attention_heads": HEADS,
                "num_key_value_heads": KV_HEADS,
                "max_position_embeddings": 256,
                "rms_norm_eps": 1e-5,
                "tie_word_embeddings": True,
            }
        )
    )
    golden = os.path.join(os.path.dirname(__file__), "..", "golden", "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(golden, name), directory / name)
    return directory


def content(directory):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(directory.iterdir())}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("tiny") / "model")


def compress(squish, *words, **options):
    return squish("compress", *words, "--calibration-tokens", "512", **options)


@pytest.fixture
def whole(squish, tiny, tmp_path):
    """What an undisturbed int4 run gives."""
    result = compress(squish, tiny, "-o", tmp_path / "whole", "--compare-tokens", "64")
    assert result.returncode == 0, result.stderr
    return content(tmp_path / "whole")


@pytest.mark.parametrize("form", ["int8", "int4", "mixed_attn"])
def test_a_real_model_runs_after_it(squish, chat_model, tmp_path, form):
    before = hashlib.sha256(chat_model.read_bytes()).hexdigest()
    result = compress(squish, chat_model, "--format", form, "-o", tmp_path / "small", "--compare-tokens", "256")
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "small" / "report.json").read_text())
    assert report["format"] == form and report["held_out"]["kl_nats"] < 0.2
    answer = squish("run", tmp_path / "small", "Name the capital of France.", "--temperature", "0")
    assert answer.returncode == 0 and "Paris" in answer.stdout, answer.stdout + answer.stderr
    assert hashlib.sha256(chat_model.read_bytes()).hexdigest() == before


def test_checksums_of_the_result_hold(squish, tiny, whole, tmp_path):
    checked = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path / "whole")
    assert checked.returncode == 0


def test_threads_do_not_change_a_byte(squish, tiny, whole, tmp_path):
    for threads in ("1", "2", "5"):
        out = tmp_path / f"t{threads}"
        assert compress(squish, tiny, "-o", out, "--compare-tokens", "64", "--threads", threads).returncode == 0
        assert content(out) == whole


def test_killed_at_any_moment_it_goes_on_and_ends_with_the_same_bytes(squish, tiny, whole, tmp_path):
    """At least 200 kills; each run that survives its delay is compared byte for byte."""
    out = tmp_path / "killed"
    command = ("compress", tiny, "-o", out, "--calibration-tokens", "512", "--compare-tokens", "64")
    source = content(tiny)
    duration = math.inf
    for _ in range(3):
        begin = time.monotonic()
        squish(*command)
        duration = min(duration, time.monotonic() - begin)
        shutil.rmtree(out)
    generator = random.Random(20261124)
    kills = finished = 0
    while kills < 200:
        assert finished < 400, f"only {kills} kills, and {finished} runs that were over before theirs"
        process = squish.start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            _, talk = process.communicate(timeout=generator.uniform(0, duration))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            assert not out.exists() or content(out) == whole
            if out.exists():
                shutil.rmtree(out)
            continue
        assert process.returncode == 0, talk
        assert content(out) == whole
        finished += 1
        shutil.rmtree(out)
    assert compress(squish, tiny, "-o", out, "--compare-tokens", "64").returncode == 0
    assert content(out) == whole
    assert content(tiny) == source
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith("killed")) == ["killed"]


def test_interrupted_it_says_how_to_go_on(squish, tiny, tmp_path):
    out = tmp_path / "out"
    for delay in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3):
        process = squish.start(
            "compress", tiny, "-o", out, "--calibration-tokens", "2048", stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, talk = process.communicate(timeout=30)
        if process.returncode == 0:
            shutil.rmtree(out)
            continue
        assert not out.exists()
        if process.returncode > 0:  # the handler was there already
            assert process.returncode == 130 and b"same command again" in talk, talk
    assert compress(squish, tiny, "-o", out).returncode in (0, 4)


@pytest.mark.parametrize("limit", [1, 10_000, 500_000, 1_000_000])
def test_without_room_nothing_is_there_and_with_room_it_goes_on(squish, tiny, whole, tmp_path, limit):
    out = tmp_path / "full"
    process = subprocess.run(
        [squish.program, "compress", tiny, "-o", out, "--calibration-tokens", "512", "--compare-tokens", "64"],
        env=squish.environment,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert process.returncode == 1, process.stderr
    assert len([line for line in process.stderr.splitlines() if line.startswith("✗")]) == 1
    assert not out.exists()
    assert compress(squish, tiny, "-o", out, "--compare-tokens", "64").returncode == 0
    assert content(out) == whole


def test_two_runs_into_one_output_do_not_meet(squish, tiny, tmp_path):
    out = tmp_path / "out"
    first = squish.start("compress", tiny, "-o", out, "--calibration-tokens", "4096", stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    while not (tmp_path / "out.lock").exists():
        assert first.poll() is None, first.communicate()
        time.sleep(0.001)
    first.send_signal(signal.SIGSTOP)
    try:
        second = compress(squish, tiny, "-o", out)
    finally:
        first.send_signal(signal.SIGCONT)
    assert second.returncode == 1 and f"process {first.pid}" in second.stderr
    first.communicate()
    assert first.returncode == 0


def test_a_dry_run_writes_nothing_and_predicts_the_size(squish, tiny, whole, tmp_path):
    result = squish("compress", tiny, "-o", tmp_path / "out", "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert plan["event"] == "plan" and len(plan["tensors"]) == len(list(tiny_tensors()))
    assert plan["bytes"] == (tmp_path / "whole" / "model.safetensors").stat().st_size
    assert plan["peak_memory_bytes"] > 0
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()


def test_json_events_end_with_the_figures(squish, tiny, tmp_path):
    result = compress(squish, tiny, "-o", tmp_path / "out", "--json", "--compare-tokens", "64")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[-1]["event"] == "done" and events[-1]["held_out"]["kl_nats"] >= 0
    assert all(event["event"] in ("progress", "note", "done") for event in events)


def test_blocked_pairs_and_gates_exit_with_4(squish, tiny, base_model, tmp_path):
    refused = squish("compress", base_model, "--format", "int3", "-o", tmp_path / "a")
    assert refused.returncode == 4 and "use int4" in refused.stderr
    refused = squish("compress", tiny, "--format", "int2", "-o", tmp_path / "b")
    assert refused.returncode == 4 and "sq2" in refused.stderr
    refused = compress(squish, tiny, "--max-kl", "0", "--compare-tokens", "64", "-o", tmp_path / "c")
    assert refused.returncode == 4 and "--max-kl" in refused.stderr
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    "words, says",
    [
        (["--format", "q7"], "q7"),
        (["--max-kl", "few"], "--max-kl"),
        (["--max-kl", "1", "--compare-tokens", "0"], "--compare-tokens"),
        (["--int4", "--format", "int8"], "two answers"),
        (["--calibration", "/nowhere/text"], "/nowhere/text"),
    ],
)
def test_bad_flags_are_one_line(squish, tiny, tmp_path, words, says):
    result = squish("compress", tiny, "-o", tmp_path / "out", *words)
    assert result.returncode != 0 and says in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize("name, form", [("org/gemma-3-1b-it-int3", "int3"), ("org/Qwen3-4B-int3", "int3"), ("org/any-7b-int2", "int2")])
def test_pull_refuses_blocked_pairs_before_it_asks_anybody(squish, name, form):
    refused = squish("--offline", "pull", f"hf:{name}")
    assert refused.returncode == 4 and f"{form} is blocked" in refused.stderr


def test_run_refuses_a_blocked_pair_that_came_from_elsewhere(squish, base_model, tmp_path):
    """A directory of gemma-3 that says it is int3: made as int4 and renamed, as another program might."""
    out = tmp_path / "model"
    assert compress(squish, base_model, "--format", "int8", "--no-awq", "-o", out, "--compare-tokens", "0").returncode == 0
    config = json.loads((out / "config.json").read_text())
    config["quantization_config"]["format"] = "int3"
    (out / "config.json").write_text(json.dumps(config))
    refused = squish("run", out, "hello", "--max-tokens", "1")
    assert refused.returncode == 4 and "use int4" in refused.stderr
    checked = squish("check", out, "--quick")
    assert checked.returncode == 4 and "use int4" in checked.stderr
