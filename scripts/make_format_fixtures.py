#!/usr/bin/env python3
"""Writes small model files with the formats' own Python packages, and the first seeds of the fuzz corpora.

Usage: python scripts/make_format_fixtures.py      (needs: pip install numpy gguf safetensors)

tests/format/package.gguf and package.safetensors are read by src/format/package_test.cpp, which states their content.
"""
import json
import struct
from importlib.metadata import version
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import save

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests/format"
CORPUS = ROOT / "fuzz/corpus"


def write_gguf(path: Path) -> None:
    random = np.random.default_rng(7)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_string("writer", f"gguf {version('gguf')}")
    writer.add_uint8("u8", 200)
    writer.add_int8("i8", -100)
    writer.add_uint16("u16", 60000)
    writer.add_int16("i16", -30000)
    writer.add_uint32("u32", 4000000000)
    writer.add_int32("i32", -2000000000)
    writer.add_uint64("u64", 2**63 + 1)
    writer.add_int64("i64", -(2**62))
    writer.add_float32("f32", 0.5)
    writer.add_float64("f64", 0.1)
    writer.add_bool("yes", True)
    writer.add_array("tokens", ["<s>", "\u2581the", ""])
    writer.add_array("ints", [1, -2, 3])
    writer.add_array("floats", [0.25, -1.5])
    writer.add_array("bools", [True, False])
    writer.add_tensor("matrix", np.arange(6, dtype=np.float32).reshape(2, 3))
    writer.add_tensor("half", np.array([1.0, -2.0, 0.5], dtype=np.float16))
    weights = random.normal(size=(2, 64)).astype(np.float32)
    packed = gguf.quants.quantize(weights, gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("packed", packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_safetensors(path: Path) -> None:
    tensors = {
        "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
        "half": np.array([1.0, -2.0, 0.5], dtype=np.float16),
        "ids": np.array([1, 2], dtype=np.int64),
        "scalar": np.array(7.0, dtype=np.float32),
        "empty": np.zeros((0, 4), dtype=np.float32),
    }
    path.write_bytes(save(tensors, metadata={"format": "np", "writer": f"safetensors {version('safetensors')}"}))


def seed(target: str, name: str, data: bytes) -> None:
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def gguf_seeds() -> None:
    seed("gguf", "seed-package", (FIXTURES / "package.gguf").read_bytes())
    seed("gguf", "seed-empty-model", b"GGUF" + struct.pack("<IQQ", 3, 0, 0))
    seed("gguf", "seed-huge-counts", b"GGUF" + struct.pack("<IQQ", 3, 2**63, 2**63))
    seed("gguf", "seed-version-1", b"GGUF" + struct.pack("<III", 1, 1, 1))
    strings = string("t") + struct.pack("<IIQ", 9, 8, 2) + string("a") + string("b")
    split = string("split.no") + struct.pack("<IH", 2, 0) + string("split.count") + struct.pack("<IH", 2, 3)
    seed("gguf", "seed-strings", b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + strings)
    seed("gguf", "seed-split", b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + split)
    aligned = string("general.alignment") + struct.pack("<II", 4, 8)
    tensors = string("a") + struct.pack("<IQIQ", 1, 2, 0, 0) + string("b") + struct.pack("<IQIQ", 1, 2, 0, 8)
    for name, table in [("tensors", tensors), ("overlap", tensors[:-8] + struct.pack("<Q", 0))]:
        head = b"GGUF" + struct.pack("<IQQ", 3, 2, 1) + aligned + table
        seed("gguf", f"seed-{name}", head + bytes(-len(head) % 8) + bytes(16))


def safetensors_seeds() -> None:
    whole = (FIXTURES / "package.safetensors").read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    seed("safetensors", "seed-package", b"\0" + whole)
    seed("safetensors", "seed-header", bytes([16 * 4 + 1]) + whole[8 : 8 + length])
    one = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    variants = {
        "one": one,
        "hole": {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
        "overflow": {"a": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]}},
        "metadata": {"__metadata__": {"k": "v\"\n"}, **one},
        "fp4": {"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}},
    }
    for name, header in variants.items():
        seed("safetensors", f"seed-{name}", b"\x05" + json.dumps(header).encode())


def config_seeds() -> None:
    texts = {
        "llama": json.dumps({
            "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "rms_norm_eps": 1e-5, "rope_scaling": None,
            "eos_token_id": [1, 2], "tie_word_embeddings": True, "rope_parameters": {"factor": 8.0, "type": "llama3"},
        }),
        "index": json.dumps({"metadata": {"total_size": 8}, "weight_map": {"a.weight": "m-1.safetensors"}}),
        "big-number": '{"model_max_length": 1000000000000000019884624838656, "x": -0.0e+5}',
        "escapes": '{"a\\u00e9\\n": "\\ud83d\\ude00", "a.b": {"c": [[[]]]}}',
        "broken": '{"a": [1, 2}',
        "deep": '{"a":' + "[" * 70 + "]" * 70 + "}",
    }
    for name, text in texts.items():
        seed("config", f"seed-{name}", text.encode())


def main() -> None:
    FIXTURES.mkdir(parents=True, exist_ok=True)
    write_gguf(FIXTURES / "package.gguf")
    write_safetensors(FIXTURES / "package.safetensors")
    gguf_seeds()
    safetensors_seeds()
    config_seeds()


if __name__ == "__main__":
    main()
