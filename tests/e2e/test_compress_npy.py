"""npy directories and SQINT2: written by compress and export, read by compress, run from the cache."""

import json
import pathlib
import struct

import pytest
from test_compress import write_tiny

LAYERS = 6  # the first two and the last two are int4, so that two are left for sqint2


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("six") / "model", layers=LAYERS)


def read_npy(path):
    """(descr, shape, bytes) of a version 1 file."""
    raw = path.read_bytes()
    assert raw[:6] == b"\x93NUMPY" and raw[6] == 1
    length = struct.unpack("<H", raw[8:10])[0]
    header = eval(raw[10 : 10 + length], {"__builtins__": {}})  # a literal of our own making
    return header["descr"], header["shape"], raw[10 + length :]


def test_compress_writes_the_kinds_of_the_rule_and_counts_them(squish, six, tmp_path):
    out = tmp_path / "npy"
    plan = json.loads(squish("compress", six, "--format", "sqint2", "-o", out, "--dry-run", "--json").stdout)
    assert not out.exists()
    result = squish("compress", six, "--format", "sqint2", "-o", out, "--json")
    assert result.returncode == 0, result.stderr
    done = json.loads(result.stdout.splitlines()[-1])
    # 6 layers: 2 of them with 2 sqint2, 4 int3 and 1 int4; 4 with 7 int4; 2 vectors a layer, the last norm, the table.
    assert done["counts"] == plan["counts"] == {"sqint2": 4, "int3": 8, "int4": 30, "fp16": 14}
    assert done["bytes"] == plan["bytes"]
    stored = sum(len(read_npy(path)[2]) for path in (out / "tensors").glob("*.npy") if not path.name.endswith("__shape.npy"))
    assert stored == plan["bytes"], "the plan says what is on disk, to the byte"
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["model.layers.2.mlp.up_proj.weight"] == "model__layers__2__mlp__up_proj__weight"
    descr, shape, _ = read_npy(out / "tensors" / "model__layers__2__mlp__up_proj__weight__sqint2_idx.npy")
    assert (descr, shape) == ("|u1", (768, 64))


def test_a_directory_runs_from_the_cache_and_is_unpacked_once(squish, six, tmp_path):
    out = tmp_path / "npy"
    assert squish("compress", six, "--format", "sqint2", "-o", out).returncode == 0
    first = squish("run", out, "hello", "--max-tokens", "4", "--temperature", "0")
    assert first.returncode == 0 and "unpacking it to int8" in first.stderr, first.stderr
    second = squish("run", out, "hello", "--max-tokens", "4", "--temperature", "0")
    assert second.returncode == 0 and "unpacking" not in second.stderr
    assert second.stdout == first.stdout
    again = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps(again))
    (out / "tensors" / ".manifest_ready").write_text("touched")
    third = squish("run", out, "hello", "--max-tokens", "4", "--temperature", "0")
    assert "unpacking it to int8" in third.stderr, "files that changed are another model"


@pytest.mark.parametrize("kind", ["int8", "int4", "int3", "fp16"])
@pytest.mark.parametrize("level", [(), ("--zstd-level", "3")])
def test_export_and_back(squish, six, tmp_path, kind, level):
    out = tmp_path / "npy"
    result = squish("export", six, "--npy", out, "--type", kind, *level)
    assert result.returncode == 0, result.stderr
    assert any(path.name.endswith(".npy.zst" if level else ".npy") for path in (out / "tensors").iterdir())
    back = squish("compress", out, "--format", "int8", "--no-awq", "-o", tmp_path / "back", "--compare-tokens", "0")
    assert back.returncode == 0, back.stderr
    compared = squish("compress", "--compare", six, tmp_path / "back", "--compare-tokens", "64", "--json")
    assert compared.returncode == 0, compared.stderr
    limit = {"int8": 1e-3, "fp16": 1e-3, "int4": 0.05, "int3": 0.2}[kind]
    assert json.loads(compared.stdout)["kl_nats"] < limit


def test_a_directory_is_served(squish, start_server, six, tmp_path):
    out = tmp_path / "npy"
    assert squish("export", six, "--npy", out, "--type", "int8").returncode == 0
    server = start_server(out)
    assert server.get("/health").status == 200
    reply = server.post("/v1/completions", {"model": server.get("/v1/models").json["data"][0]["id"], "prompt": "hello", "max_tokens": 2})
    assert reply.status == 200, reply.text


def test_a_model_from_gguf_keeps_its_vocabulary(squish, chat_model, tmp_path):
    out = tmp_path / "npy"
    result = squish("export", chat_model, "--npy", out, "--type", "int8")
    assert result.returncode == 0, result.stderr
    answer = squish("run", out, "Name the capital of France.", "--temperature", "0")
    assert answer.returncode == 0 and "Paris" in answer.stdout, answer.stdout + answer.stderr


def damage(out, how):
    tensors = out / "tensors"
    idx = next(tensors.glob("*sqint2_idx.npy"))
    if how == "unfinished":
        (tensors / ".manifest_ready").unlink()
    elif how == "half a correction":
        next(tensors.glob("*sqint2_L.npy")).unlink()
    elif how == "codes cut off":
        idx.write_bytes(idx.read_bytes()[:-8])
    elif how == "scales missing":
        next(tensors.glob("*sqint2_scales.npy")).unlink()
    elif how == "plain 2-bit codes":
        pathlib.Path(str(idx).replace("__sqint2_idx", "__q2")).write_bytes(idx.read_bytes())
    else:
        meta = next(tensors.glob("*sqint2_meta.npy"))
        raw = bytearray(meta.read_bytes())
        raw[-128:-120] = struct.pack("<d", 2.0)
        meta.write_bytes(raw)


@pytest.mark.parametrize(
    "how, code, says",
    [
        ("unfinished", 1, ".manifest_ready is missing"),
        ("half a correction", 1, "its companions are there"),
        ("codes cut off", 1, "sqint2_idx"),
        ("scales missing", 1, "sqint2_scales.npy is missing"),
        ("plain 2-bit codes", 4, "int2 is blocked"),
        ("another version", 1, "version 2"),
    ],
)
def test_damaged_directories_are_one_line(squish, six, tmp_path, how, code, says):
    out = tmp_path / "npy"
    assert squish("compress", six, "--format", "sqint2", "-o", out).returncode == 0
    damage(out, how)
    result = squish("compress", out, "--format", "int8", "--no-awq", "-o", tmp_path / "back")
    assert result.returncode == code, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("✗")]
    assert len(lines) == 1 and says in lines[0], result.stderr
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize(
    "words, says",
    [
        (["--max-kl", "1"], "--max-kl is not for npy directories"),
        (["--zstd-level", "23"], "--zstd-level"),
        (["--target-bits", "3"], "--target-bits is not for npy directories"),
    ],
)
def test_flags_that_do_nothing_there_are_refused(squish, six, tmp_path, words, says):
    result = squish("compress", six, "--format", "sqint2", "-o", tmp_path / "npy", *words)
    assert result.returncode == 2 and says in result.stderr
    assert not (tmp_path / "npy").exists()


def test_export_says_where_to_exactly_once(squish, six, tmp_path):
    assert squish("export", six).returncode == 2
    assert squish("export", six, "--npy", tmp_path / "a", "--gguf", tmp_path / "b").returncode == 2
