"""Verbs that change or describe a model as a whole: sparsity-trim, gen-masks, merge, sbom, rotate."""

import io
import json
import struct
import zipfile

import pytest
from test_compress import INNER, LAYERS, tiny, write_tiny  # noqa: F401 a fixture


def test_trim_cuts_a_real_model_that_still_runs(squish, chat_model, tmp_path):
    out = tmp_path / "trimmed"
    dry = json.loads(squish("sparsity-trim", chat_model, "--threshold", "0.04", "-o", out, "--dry-run", "--json").stdout)
    assert dry["neurons_before"] == 1536 and dry["neurons"] == 1472 and not dry["written"] and not out.exists()
    assert len(dry["magnitude_lost"]) == 30 and all(0 < lost < 1 / 24 for lost in dry["magnitude_lost"])
    result = squish("sparsity-trim", chat_model, "--threshold", "0.04", "-o", out)
    assert result.returncode == 0, result.stderr
    facts = json.loads(squish("check", out, "--quick", "--json").stdout)
    assert facts["layers"] == 30 and facts["parameters"] == 134_515_008 - 30 * 3 * 64 * 576
    answer = squish("run", out, "Say hello.", "--max-tokens", "4", "--temperature", "0")
    assert answer.returncode == 0, answer.stderr
    again = squish("sparsity-trim", chat_model, "-o", out)
    assert again.returncode == 2 and "exists already" in again.stderr


def test_a_trimmed_model_can_be_compressed(squish, tiny, tmp_path):  # noqa: F811
    out = tmp_path / "trimmed"
    assert squish("sparsity-trim", tiny, "--threshold", "0.25", "-o", out).returncode == 0
    assert json.loads((out / "config.json").read_text())["intermediate_size"] == INNER - INNER // 4
    small = squish("compress", out, "--format", "int8", "-o", tmp_path / "small", "--compare-tokens", "64")
    assert small.returncode == 0, small.stderr


@pytest.mark.parametrize(
    "words, says",
    [
        (["--threshold", "1.5"], "above 0 and below 1"),
        (["--threshold", "some"], "--threshold"),
        (["--group-size", "12"], "multiple of 8"),
        (["--group-size", "640"], "not whole groups"),
    ],
)
def test_trim_refuses_what_makes_no_sense(squish, tiny, tmp_path, words, says):  # noqa: F811
    result = squish("sparsity-trim", tiny, "-o", tmp_path / "out", *words)
    assert result.returncode == 2 and says in result.stderr
    assert not (tmp_path / "out").exists()


def test_masks_are_arrays_of_a_neuron_a_number(squish, tiny, tmp_path):  # noqa: F811
    numpy = pytest.importorskip("numpy")
    file = tmp_path / "masks.npz"
    result = squish("gen-masks", tiny, "-o", file, "--samples", "2", "--json")
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    with numpy.load(file) as masks:
        assert sorted(masks.files) == sorted(f"layer_{i}" for i in range(LAYERS))
        values = numpy.concatenate([masks[name] for name in masks.files])
    assert values.dtype == numpy.float32 and set(values) <= {0.0, 1.0} and len(values) == LAYERS * INNER
    assert abs(facts["sparsity"] - (1 - values.mean())) < 1e-6
    with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as archive:
        assert archive.testzip() is None


def write_adapter(directory, values, rank=2):
    directory.mkdir()
    header = json.dumps({"base.q.lora_A.weight": {"dtype": "F32", "shape": [rank, len(values) // rank], "data_offsets": [0, 4 * len(values)]}}).encode()
    header += b" " * (-len(header) % 8)
    data = b"".join(struct.pack("<f", value) for value in values)
    (directory / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)
    (directory / "adapter_config.json").write_text(json.dumps({"r": rank, "peft_type": "LORA", "base_model_name_or_path": "x/y"}))
    return directory


def test_merge_votes_on_signs(squish, tmp_path):
    a = write_adapter(tmp_path / "a", [4.0, -1.0, 2.0, 0.0])
    b = write_adapter(tmp_path / "b", [-2.0, -3.0, 2.0, 0.0])
    result = squish("merge", "--adapters", f"law:{a}", "--adapters", f"code:{b}", "--method", "ties", "--output-path", tmp_path / "out", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["sign_conflicts"] == pytest.approx(1 / 3, abs=1e-6)
    raw = (tmp_path / "out" / "adapter_model.safetensors").read_bytes()
    assert struct.unpack("<4f", raw[-16:]) == (4.0, -2.0, 2.0, 0.0)
    alone = squish("merge", "--adapters", f"law:{a}", "--output-path", tmp_path / "never")
    assert alone.returncode == 2 and "two adapters" in alone.stderr
    unnamed = squish("merge", "--adapters", str(a), "--adapters", f"code:{b}", "--output-path", tmp_path / "never")
    assert unnamed.returncode == 2 and "DOMAIN:PATH" in unnamed.stderr


def test_a_bill_of_materials_knows_its_files(squish, tmp_path):
    model = write_tiny(tmp_path / "model")
    assert squish("sbom", "show", model).returncode == 1, "there is none yet"
    assert squish("sbom", "create", model).returncode == 0
    bill = json.loads((model / "cyclonedx-mlbom.json").read_text())
    assert bill["bomFormat"] == "CycloneDX" and bill["specVersion"] == "1.5"
    assert {c["name"] for c in bill["components"]} >= {"model.safetensors", "config.json", "tokenizer.json"}
    assert squish("sbom", "verify", model).returncode == 0
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"scores": {"arc_easy": 61.2}, "limit": None}))
    bound = squish("sbom", "bind", model, "--result", report)
    assert bound.returncode == 0, bound.stderr
    shown = squish("sbom", "show", model)
    assert "arc_easy" in shown.stdout and "61.2" in shown.stdout
    assert squish("sbom", "verify", model).returncode == 0, "metrics are not part of the hash"
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    changed = squish("sbom", "verify", model)
    assert changed.returncode == 5 and "model.safetensors has other bytes" in changed.stderr
    (model / "tokenizer.json").unlink()
    assert "tokenizer.json is missing" in squish("sbom", "verify", model).stderr


@pytest.mark.parametrize("words, code, says", [
    (["sbom", "bind"], 2, "--result"), (["sbom", "sign"], 1, "holds no keys"), (["sbom", "eat"], 2, "no action")])
def test_sbom_says_what_it_cannot_do(squish, tmp_path, words, code, says):
    model = write_tiny(tmp_path / "model")
    assert squish("sbom", "create", model).returncode == 0
    result = squish(*words, model)
    assert result.returncode == code and says in result.stderr


def test_rotate_is_refused_with_its_reason(squish):
    result = squish("rotate", "smollm2:135m")
    assert result.returncode == 1 and "trellis formats turn every matrix" in result.stderr
